/*
 * Stale or live is decided by connecting: a socket file whose owner is gone refuses (ECONNREFUSED), whatever
 * its age. Two crispd that start at once cannot both get here for one state folder, since claim.c locked it
 * before; a foreign server that binds between the test and our unlink would lose its name, which is the most
 * that unix sockets allow to exclude.
 */
#include "server/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"

static bool address(const char *path, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (path[0] != '/' || strlen(path) >= sizeof(ret->sun_path))
		return false;
	memcpy(ret->sun_path, path, strlen(path) + 1);
	return true;
}

/* Does somebody listen there? Any answer but a refusal counts as yes: better to refuse a start than to rob.
 */
static bool answers(const struct sockaddr_un *addr)
{
	CLEANUP(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return true;
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0)
		return true;
	return errno != ECONNREFUSED && errno != ENOENT;
}

static int clear_path(const struct sockaddr_un *addr, struct err *err)
{
	struct stat st;

	if (lstat(addr->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : err_errno(err, "stat %s", addr->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, RPC_FAILED_PRECONDITION, "%s exists and is not a socket", addr->sun_path);
	if (answers(addr))
		return err_set(err, RPC_FAILED_PRECONDITION, "another server listens on %s", addr->sun_path);
	if (unlink(addr->sun_path) < 0 && errno != ENOENT)
		return err_errno(err, "remove the stale socket %s", addr->sun_path);
	return 0;
}

static int make_parent(const char *path, struct err *err)
{
	CLEANUP(freep) char *parent = xstrdup(path);
	CLEANUP(fd_closep) int dir = -1;
	char *slash = strrchr(parent, '/');

	if (slash == parent)
		return 0;
	*slash = '\0';
	dir = dir_make(AT_FDCWD, parent, 0700, err);
	return dir < 0 ? -1 : 0;
}

static int bind_to(struct unix_socket *made, mode_t mode, struct err *err)
{
	struct sockaddr_un addr;
	struct stat st;

	if (!address(made->path, &addr))
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "%s: a socket's path is absolute and at most %zu bytes long", made->path,
			       sizeof(addr.sun_path) - 1);
	if (make_parent(made->path, err) < 0 || clear_path(&addr, err) < 0)
		return -1;
	made->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (made->fd < 0)
		return err_errno(err, "socket");
	if (bind(made->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_errno(err, "bind %s", made->path);
	if (chmod(made->path, mode) < 0 || lstat(made->path, &st) < 0)
		return err_errno(err, "chmod %s", made->path);
	made->dev = st.st_dev;
	made->ino = st.st_ino;
	if (listen(made->fd, SOMAXCONN) < 0)
		return err_errno(err, "listen on %s", made->path);
	return 0;
}

int unix_socket_listen(const char *path, mode_t mode, struct unix_socket *ret, struct err *err)
{
	struct unix_socket made = { .fd = -1, .path = xstrdup(path) };

	if (bind_to(&made, mode, err) < 0) {
		unix_socket_done(&made);
		return -1;
	}
	*ret = made;
	return 0;
}

void unix_socket_done(struct unix_socket *socket)
{
	struct stat st;

	if (socket->ino && lstat(socket->path, &st) == 0 && st.st_dev == socket->dev &&
	    st.st_ino == socket->ino)
		unlink(socket->path);
	fd_closep(&socket->fd);
	free(socket->path);
	*socket = (struct unix_socket)UNIX_SOCKET_INIT;
}
