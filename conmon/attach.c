#include "conmon/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"

enum { STREAM_STDOUT = 2, STREAM_STDERR = 3, CONTROL_RESIZE = 1 };

/* The path may be longer than an address can be, so the folder is opened first. */
int attach_connect(const struct monitor_spec *spec, struct err *err)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", spec->attach_dir, spec->id);
	CLEANUP(fd_closep) int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (folder < 0)
		return err_set(err, RPC_FAILED_PRECONDITION, "the monitor of container %s is gone", spec->id);
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/attach", folder);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(err, "attach socket");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return err_set(err, RPC_FAILED_PRECONDITION, "attach to container %s: %m", spec->id);
	return TAKE_FD(fd);
}

ssize_t attach_read(int fd, uint8_t *buf, size_t size, bool *ret_is_err)
{
	uint8_t stream = 0;
	struct iovec pieces[] = { { &stream, 1 }, { buf, size } };
	ssize_t got;

	for (;;) {
		got = readv(fd, pieces, 2);
		if (got < 0 && errno == ECONNRESET)
			return 0;
		if (got <= 0)
			return got;
		if (got == 1 || (stream != STREAM_STDOUT && stream != STREAM_STDERR))
			continue;
		*ret_is_err = stream == STREAM_STDERR;
		return got - 1;
	}
}

int attach_resize(const struct monitor_spec *spec, uint16_t width, uint16_t height, struct err *err)
{
	CLEANUP(freep) char *path = xasprintf("%s/ctl", spec->bundle);
	CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	char line[32];
	int len = snprintf(line, sizeof(line), "%d %u %u\n", CONTROL_RESIZE, height, width);

	if (fd < 0)
		return err_set(err, RPC_FAILED_PRECONDITION, "the monitor of container %s is gone", spec->id);
	if (write(fd, line, (size_t)len) != len)
		return err_set(err, RPC_UNAVAILABLE, "tell the monitor of container %s a size: %m", spec->id);
	return 0;
}
