/*
 * Stale or live is decided by connecting: a socket file whose owner is gone refuses (ECONNREFUSED), whatever
 * its age. Two crispd that start at once cannot both get here for one state folder, since claim.c locked it
 * before; a foreign server that binds between the test and our unlink would lose its name, which is the most
 * that unix sockets allow to exclude.
 *
 * After a failed accept for want of descriptors the listening socket stays readable, so a level-triggered
 * loop would spin: the source is dropped and a timer brings it back.
 */
#include "server/grpc/listener.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#define PAUSE (100 * NS_PER_MS)

struct listener {
	struct listener_options options;
	char *path;
	int fd;
	dev_t dev; /* of the socket file, to know it again */
	ino_t ino;
	struct source *readable, *pause;
};

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

static int bind_socket(struct listener *listener, struct err *err)
{
	struct sockaddr_un addr;
	struct stat st;

	if (!address(listener->path, &addr))
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "%s: a socket's path is absolute and at most %zu bytes long", listener->path,
			       sizeof(addr.sun_path) - 1);
	if (make_parent(listener->path, err) < 0 || clear_path(&addr, err) < 0)
		return -1;
	listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd < 0)
		return err_errno(err, "socket");
	if (bind(listener->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_errno(err, "bind %s", listener->path);
	if (chmod(listener->path, listener->options.mode) < 0 || lstat(listener->path, &st) < 0)
		return err_errno(err, "chmod %s", listener->path);
	listener->dev = st.st_dev;
	listener->ino = st.st_ino;
	if (listen(listener->fd, SOMAXCONN) < 0)
		return err_errno(err, "listen on %s", listener->path);
	return 0;
}

static void take_pause(struct listener *listener)
{
	struct err err = { 0 };

	log_warn("accepting connections pauses: %s", strerror(errno));
	listener->readable = source_free(listener->readable);
	if (source_rearm(listener->pause, PAUSE, 0, &err) < 0)
		log_error("accepting connections has stopped: %s", err.text);
}

static void on_readable(struct source *source UNUSED, uint32_t events UNUSED, void *data)
{
	struct listener *listener = data;

	for (;;) {
		int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			listener->options.accepted(listener->options.data, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			take_pause(listener);
		return;
	}
}

static int watch(struct listener *listener, struct err *err)
{
	listener->readable =
		loop_add_fd(listener->options.loop, listener->fd, EPOLLIN, on_readable, listener, err);
	return listener->readable ? 0 : -1;
}

static void on_pause_over(struct source *source, void *data)
{
	struct listener *listener = data;
	struct err err = { 0 };

	if (listener->readable || watch(listener, &err) == 0)
		return;
	if (source_rearm(source, PAUSE, 0, &err) < 0)
		log_error("accepting connections has stopped: %s", err.text);
}

struct listener *listener_new(const struct listener_options *options, struct err *err)
{
	struct listener *listener = xnew(struct listener);

	assert(options->loop && options->accepted);
	listener->options = *options;
	listener->path = xstrdup(options->path);
	listener->fd = -1;
	if (bind_socket(listener, err) < 0 || watch(listener, err) < 0)
		return listener_free(listener);
	/* Armed far away: it runs only when re-armed by take_pause(). */
	listener->pause = loop_add_timer(options->loop, INT64_MAX / 4, 0, on_pause_over, listener, err);
	if (!listener->pause)
		return listener_free(listener);
	return listener;
}

struct listener *listener_free(struct listener *listener)
{
	struct stat st;

	if (!listener)
		return NULL;
	source_free(listener->readable);
	source_free(listener->pause);
	if (listener->ino && lstat(listener->path, &st) == 0 && st.st_dev == listener->dev &&
	    st.st_ino == listener->ino)
		unlink(listener->path);
	fd_close(listener->fd);
	free(listener->path);
	free(listener);
	return NULL;
}
