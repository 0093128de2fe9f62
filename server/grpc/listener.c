/*
 * After a failed accept for want of descriptors the listening socket stays readable, so a level-triggered
 * loop would spin: the source is dropped and a timer brings it back.
 */
#include "server/grpc/listener.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/unix_socket.h"

#define PAUSE (100 * NS_PER_MS)

struct listener {
	struct listener_options options;
	struct unix_socket socket;
	struct source *readable, *pause;
};

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
		int fd = accept4(listener->socket.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

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
		loop_add_fd(listener->options.loop, listener->socket.fd, EPOLLIN, on_readable, listener, err);
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

static int add_sources(struct listener *listener, struct err *err)
{
	if (watch(listener, err) < 0)
		return -1;
	/* Armed far away: it runs only when re-armed by take_pause(). */
	listener->pause =
		loop_add_timer(listener->options.loop, INT64_MAX / 4, 0, on_pause_over, listener, err);
	return listener->pause ? 0 : -1;
}

struct listener *listener_new(const struct listener_options *options, struct err *err)
{
	struct listener *listener = xnew(struct listener);

	assert(options->loop && options->accepted);
	listener->options = *options;
	listener->socket = (struct unix_socket)UNIX_SOCKET_INIT;
	if (unix_socket_listen(options->path, options->mode, &listener->socket, err) < 0 ||
	    add_sources(listener, err) < 0)
		return listener_free(listener);
	return listener;
}

int listener_move(struct listener *listener, struct loop *loop, struct err *err)
{
	listener->readable = source_free(listener->readable);
	listener->pause = source_free(listener->pause);
	listener->options.loop = loop;
	return add_sources(listener, err);
}

struct listener *listener_free(struct listener *listener)
{
	if (!listener)
		return NULL;
	source_free(listener->readable);
	source_free(listener->pause);
	unix_socket_done(&listener->socket);
	free(listener);
	return NULL;
}
