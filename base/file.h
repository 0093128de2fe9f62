/*
 * Files: fd first, name second. Directory fds are held, names below them are single components or are
 * resolved with openat2(2); everything is opened O_CLOEXEC. All functions are thread-safe.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

void fd_closep(int *fd); /* for CLEANUP; -1 is fine; keeps errno */
int fd_close(int fd);    /* returns -1 */

int write_all(int fd, const void *data,
	      size_t len) MUST_CHECK; /* 0, or -1 with errno; EINTR and short writes handled */

/* Opens a directory for reading, or as O_PATH when it may not be read; dir may be AT_FDCWD. -1 and err:
 * NOT_FOUND when it does not exist. */
int dir_open(int dir, const char *path, struct err *err) MUST_CHECK;
/* Makes each missing component with mode (exact, umask ignored) and opens the last. Symlinks in an absolute
 * path on the host are followed. */
int dir_make(int dir, const char *path, mode_t mode, struct err *err) MUST_CHECK;

/* By their names alone: the path is the folder or lies in it. Both absolute, without "." and "..", and no "/"
 * at the end but that of "/" itself. */
bool path_is_within(const char *path, const char *folder);

/*
 * openat2(2) beneath a directory. open_beneath() refuses to leave `root` by "..", absolute links or magic
 * links (RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS); open_in_root() resolves as if root were "/"
 * (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS), which is how every path inside a container's rootfs is opened.
 * O_CLOEXEC is added. Return the fd or -1 with errno. Where the kernel lacks openat2 they fail with ENOSYS:
 * there is no unsafe fallback.
 */
int open_beneath(int root, const char *path, int flags, mode_t mode) MUST_CHECK;
int open_in_root(int root, const char *path, int flags, mode_t mode) MUST_CHECK;
/* mkdir -p below root with RESOLVE_IN_ROOT semantics; returns an O_PATH fd of the last directory or -1 with
 * err. */
int make_in_root(int root, const char *path, mode_t mode, struct err *err) MUST_CHECK;
/* The same; what had to be made belongs to uid and gid. */
int make_in_root_owned(int root, const char *path, mode_t mode, uid_t uid, gid_t gid,
		       struct err *err) MUST_CHECK;

/* The whole of a regular file (no FIFO, no device, final link not followed) of at most max bytes. *ret is
 * malloc'd and NUL-terminated; ret_len may be NULL. err's code is NOT_FOUND when it does not exist,
 * RESOURCE_EXHAUSTED when too long, FAILED_PRECONDITION when it is no regular file. */
int file_read(int dir, const char *name, size_t max, char **ret, size_t *ret_len, struct err *err) MUST_CHECK;
/* The same for an absolute path that an administrator has chosen: links are followed. A link that leads
 * nowhere is NOT_FOUND. */
int file_read_linked(const char *path, size_t max, char **ret, size_t *ret_len, struct err *err) MUST_CHECK;
/* The same for /proc, /sys and cgroup files, whose size is not known: reads until EOF. */
int file_read_virtual(int dir, const char *name, size_t max, char **ret, struct err *err) MUST_CHECK;
/* One open(O_WRONLY) and one write, for cgroup and sysctl files. On failure errno tells why, too. */
int file_write_virtual(int dir, const char *name, const char *value, struct err *err) MUST_CHECK;

/*
 * The one function that writes state: temporary file, fsync, rename, fsync of the directory. A crash at any
 * line leaves the old or the new file whole. Several writers of one name do not mix: the last
 * one wins. Leftover temporaries (".NAME.new", of colliding writers ".NAME.HEX.new") are used again next time
 * or removed by file_sweep().
 */
int file_replace(int dir, const char *name, const void *data, size_t len, mode_t mode,
		 struct err *err) MUST_CHECK;
/* The same without the two fsyncs, for tmpfs. */
int file_replace_volatile(int dir, const char *name, const void *data, size_t len, mode_t mode,
			  struct err *err) MUST_CHECK;
/* Moves the entry `name` of one directory into another of the same file system. Once this returns 0 no power
 * cut brings it back; absent is success, as an earlier call may have moved it and failed after that. */
int file_move(int from, const char *name, int to, struct err *err) MUST_CHECK;
void file_sweep(int dir); /* removes ".*.new" */

/* Removes name (a single component) and all below it, without recursion on the C stack and without following
 * links or crossing mounts: FAILED_PRECONDITION where something is mounted; the rest may be gone by then.
 * Absent is success. */
int tree_remove(int dir, const char *name, struct err *err) MUST_CHECK;

/* Names in a directory except "." and "..", sorted, added to ret. NOT_FOUND when it does not exist. */
int dir_list(int dir, const char *path, struct strv *ret, struct err *err) MUST_CHECK;

/* The steps of file_replace() in their order, for fault injection; file_move() has the last two. */
enum file_step { FILE_STEP_WRITE, FILE_STEP_FSYNC, FILE_STEP_RENAME, FILE_STEP_FSYNC_DIR };
#ifdef CRISP_FAULTS
/* Only in builds of file.c with CRISP_FAULTS, for tests: this step of this thread's next call fails
 * with EIO; -1: none. */
extern _Thread_local int file_fault_step;
#endif

#endif
