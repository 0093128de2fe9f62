/*
 * A listening unix socket and its name in the file system. A stale name is replaced, a live server's never;
 * the name goes with the socket, unless somebody else has taken it meanwhile.
 */
#ifndef SERVER_UNIX_SOCKET_H
#define SERVER_UNIX_SOCKET_H

#include <sys/types.h>

#include "base/err.h"
#include "base/mem.h"

struct unix_socket {
	int fd;
	char *path; /* NULL: none */
	dev_t dev;  /* of the name, to know it again */
	ino_t ino;
};

#define UNIX_SOCKET_INIT \
	{                \
		.fd = -1 \
	}

/* Non-blocking; folders on the way are made (0700). FAILED_PRECONDITION when another server listens there or
 * the name is no socket's, INVALID_ARGUMENT for a path that cannot be one. On failure *ret stays as it was.
 */
int unix_socket_listen(const char *path, mode_t mode, struct unix_socket *ret, struct err *err) MUST_CHECK;
/* Removes the name if it is still ours, closes the socket (an fd that somebody has taken is -1). Again:
 * nothing. */
void unix_socket_done(struct unix_socket *socket);

#endif
