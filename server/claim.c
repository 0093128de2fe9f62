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
#include <unistd.h>

#include "base/file.h"

#define CLAIM_FILE "crispd.lock"

static int refuse(int fd, const char *folder, struct err *err)
{
	char owner[32] = "";
	ssize_t len = pread(fd, owner, sizeof(owner) - 1, 0);

	owner[len > 0 ? (size_t)len : 0] = '\0';
	owner[strcspn(owner, "\n")] = '\0';
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
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? refuse(fd, folder, err)
					    : err_errno(err, "lock %s/" CLAIM_FILE, folder);
	if (write_pid(fd, folder, err) < 0)
		return -1;
	return TAKE_FD(fd);
}
