/* A syncfs(2) that is counted and can fail, in place of libc's; for one file of a program. */
#ifndef TEST_IMAGE_FAKE_SYNC_H
#define TEST_IMAGE_FAKE_SYNC_H

#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_int syncs;
static atomic_bool sync_fails;

int syncfs(int fd) /* NOLINT: its name is the point */
{
	syncs++;
	if (!sync_fails)
		return (int)syscall(SYS_syncfs, fd);
	errno = EIO;
	return -1;
}

#endif
