#include "server/tls/door.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/crew.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "server/tls/relay.h"

static const int64_t handshake_patience = 10 * NS_PER_SEC;
static const int64_t accept_pause = 100 * NS_PER_MS; /* when there are no descriptors */
static const int64_t end_patience = 2 * NS_PER_SEC;

struct door {
	struct door_options options;
	struct crew *watch;  /* one thread */
	struct crew *relays; /* NULL: no TLS */
	struct lock lock;
	struct cond changed;
	size_t entering; /* under lock: relays that are in options.enter() */
	bool closed;     /* under lock */
};

struct visitor {
	struct door *door;
	int fd;
};

static bool begin_entering(struct door *door)
{
	bool may;

	lock_take(&door->lock);
	may = !door->closed;
	if (may)
		door->entering++;
	lock_drop(&door->lock);
	return may;
}

static void end_entering(struct door *door)
{
	lock_take(&door->lock);
	door->entering--;
	cond_broadcast(&door->changed);
	lock_drop(&door->lock);
}

static int hand_on(void *data, int plain)
{
	struct door *door = ((const struct visitor *)data)->door;
	int result;

	if (!begin_entering(door)) {
		fd_close(plain);
		return -1;
	}
	result = door->options.enter(door->options.data, plain);
	end_entering(door);
	return result;
}

static void decrypt(void *data, const struct ctx *ctx)
{
	CLEANUP(freep) struct visitor *visitor = data;
	const struct tls_relay relay = { .keys = visitor->door->options.keys,
					 .fd = visitor->fd,
					 .patience = handshake_patience,
					 .ready = hand_on,
					 .data = visitor };
	int on = 1;

	(void)setsockopt(visitor->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	tls_relay_run(&relay, ctx);
	fd_close(visitor->fd);
}

static void let_in(struct door *door, int fd)
{
	struct visitor *visitor;

	if (!door->relays) {
		(void)!door->options.enter(door->options.data, fd);
		return;
	}
	visitor = xnew(struct visitor);
	*visitor = (struct visitor){ door, fd };
	if (crew_start(door->relays, decrypt, visitor) == 0)
		return;
	log_debug("%s: a connection is refused: %m", door->options.name);
	fd_close(fd);
	free(visitor);
}

/* False: nothing can be accepted for now. */
static bool accept_all(struct door *door)
{
	int fd;

	while ((fd = accept4(door->options.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		let_in(door, fd);
	return errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
}

static void keep_watch(void *data, const struct ctx *ctx)
{
	struct door *door = data;
	bool able = true;

	for (;;) {
		int64_t deadline = door->options.tick ? door->options.tick(door->options.data) : NO_DEADLINE;
		struct pollfd fds[] = { { ctx_fd(ctx), POLLIN, 0 },
					{ able ? door->options.listener : -1, POLLIN, 0 } };

		if (!able && clock_deadline_in(accept_pause) < deadline)
			deadline = clock_deadline_in(accept_pause);
		(void)poll(fds, ARRAY_LEN(fds), clock_poll_timeout(deadline));
		if (fds[0].revents)
			return;
		able = !fds[1].revents || accept_all(door);
	}
}

struct door *door_new_take(const struct door_options *options, struct err *err)
{
	struct door *door = xnew(struct door);

	door->options = *options;
	lock_init(&door->lock, "door", LOCK_STREAMING);
	cond_init(&door->changed);
	door->watch = crew_new(options->name, 1);
	if (options->keys)
		door->relays = crew_new("TLS", options->connections_max);
	if (crew_start(door->watch, keep_watch, door) < 0) {
		err_errno(err, "%s: thread", options->name);
		return door_free(door);
	}
	return door;
}

void door_close(struct door *door)
{
	crew_end(door->watch);
	lock_take(&door->lock);
	door->closed = true;
	while (door->entering)
		cond_wait(&door->changed, &door->lock);
	lock_drop(&door->lock);
	door->options.listener = fd_close(door->options.listener);
}

struct door *door_free(struct door *door)
{
	if (!door)
		return NULL;
	door_close(door);
	if (door->relays)
		(void)crew_wait(door->relays, clock_deadline_in(end_patience));
	crew_free(door->relays);
	crew_free(door->watch);
	cond_done(&door->changed);
	lock_done(&door->lock);
	free(door);
	return NULL;
}
