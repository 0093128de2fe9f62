/*
 * The file is opened through the folder's descriptor and never removed: removing lock files is how two
 * processes come to hold "the same" lock.
 */
#include "server/claim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/spawn.h"
#include "base/str.h"

#define CLAIM_FILE "crispd.lock"

static const int64_t patience = 10 * NS_PER_SEC;
static const struct timespec pause_between = { .tv_nsec = 2 * NS_PER_MS };

static void read_owner(int fd, char *text, size_t size)
{
	ssize_t len = pread(fd, text, size - 1, 0);

	text[len > 0 ? (size_t)len : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

static bool owner_is_gone(int fd)
{
	struct process process CLEANUP(process_done) = PROCESS_INIT;
	char owner[32];
	struct err err;
	uint64_t pid;

	read_owner(fd, owner, sizeof(owner));
	if (!parse_u64(owner, INT32_MAX, &pid) || pid == 0)
		return false;
	return process_open((pid_t)pid, 0, &process, &err) < 0 || !process_alive(&process);
}

/* -1 with errno. A crispd that was killed while it started a program leaves the lock to that child for the
 * moment until its exec: nothing tells of it, so it is looked for. */
static int lock(int fd)
{
	int64_t deadline = clock_deadline_in(patience);

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return -1;
		if (!owner_is_gone(fd) || clock_mono() > deadline) {
			errno = EWOULDBLOCK;
			return -1;
		}
		nanosleep(&pause_between, NULL);
	}
	return 0;
}

static int refuse(int fd, const char *folder, struct err *err)
{
	char owner[32];

	read_owner(fd, owner, sizeof(owner));
	return err_set(err, RPC_FAILED_PRECONDITION, "%s is in use by another crispd (pid %s)", folder,
		       *owner ? owner : "unknown");
}

static int write_pid(int fd, const char *folder, struct err *err)
{
	char pid[32];
	int len = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());

	if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)len, 0) != len)
		return err_errno(err, "write %s/" CLAIM_FILE, folder);
	return 0;
}

int claim_take(const char *folder, struct err *err)
{
	CLEANUP(fd_closep) int dir = dir_make(AT_FDCWD, folder, 0700, err);
	CLEANUP(fd_closep) int fd = -1;

	if (dir < 0)
		return -1;
	fd = openat(dir, CLAIM_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(err, "open %s/" CLAIM_FILE, folder);
	if (lock(fd) < 0)
		return errno == EWOULDBLOCK ? refuse(fd, folder, err)
					    : err_errno(err, "lock %s/" CLAIM_FILE, folder);
	if (write_pid(fd, folder, err) < 0)
		return -1;
	return TAKE_FD(fd);
}
