/*
 * What nobody here calls (CODING rule 22): functions that cannot bound what they write, keep hidden state
 * shared by all threads, or make processes behind base/spawn.h's back. The compiler refuses the names.
 *
 * Given to every one of our files by `-include base/banned.h`. The headers that declare the names come first,
 * since a poisoned name may not even be declared.
 */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

#include <arpa/inet.h>
#include <dirent.h>
#include <grp.h>
#include <netdb.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* With _FORTIFY_SOURCE clang gets some of them as macros, which are gone before the names are poisoned. */
#undef sprintf
#undef vsprintf

/* Unbounded or silently unterminated copies: struct str, snprintf, memcpy with a length. */
#pragma GCC poison strcpy stpcpy strcat strncpy stpncpy strncat sprintf vsprintf gets
/* Numbers without errors: parse_u64, parse_i64. */
#pragma GCC poison atoi atol atoll atof
/* State shared by all threads: the _r forms, base/clock.h, base/id.h. */
#pragma GCC poison strtok gmtime localtime asctime ctime readdir_r tmpnam tempnam mktemp inet_ntoa \
	gethostbyname
/* Processes: base/spawn.h. */
#pragma GCC poison popen fork vfork system posix_spawn posix_spawnp execl execle execlp execv execvp execvpe \
	execve fexecve
/* Descriptors that leak into children: fcntl F_DUPFD_CLOEXEC, pipe2, dup3. */
#pragma GCC poison dup dup2

#endif
