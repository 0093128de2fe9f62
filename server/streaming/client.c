#include "server/streaming/client.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

static const int64_t write_patience = 30 * NS_PER_SEC; /* without progress, at the end */
static const int64_t linger = 3 * NS_PER_SEC;

void client_init(struct client *client)
{
	int on = 1;

	/* Neither matters to a socket that is no TCP one. */
	(void)setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)fcntl(client->fd, F_SETFL, fcntl(client->fd, F_GETFL) | O_NONBLOCK);
	client->active = clock_mono();
	client->buffer = xmalloc(CLIENT_READ_SIZE);
}

void client_done(struct client *client)
{
	queue_done(&client->early);
	freep(&client->buffer);
}

static bool is_later(void)
{
	return errno == EAGAIN || errno == EINTR;
}

ssize_t client_read(struct client *client, const uint8_t **ret)
{
	ssize_t got;

	*ret = client->buffer;
	if (client->early.len) {
		size_t len = client->early.len < CLIENT_READ_SIZE ? client->early.len : CLIENT_READ_SIZE;

		memcpy(client->buffer, queue_front(&client->early), len);
		queue_drop(&client->early, len);
		return (ssize_t)len;
	}
	got = recv(client->fd, client->buffer, CLIENT_READ_SIZE, 0);
	if (got < 0 && is_later())
		return 0;
	if (got <= 0)
		return -1;
	client->active = clock_mono();
	return got;
}

int client_write(struct client *client, struct queue *queue)
{
	while (queue->len) {
		ssize_t put = send(client->fd, queue_front(queue), queue->len, MSG_NOSIGNAL);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return errno == EAGAIN ? 0 : -1;
		queue_drop(queue, (size_t)put);
		client->active = clock_mono();
	}
	return 0;
}

int64_t client_idle_deadline(const struct client *client)
{
	return client->idle_timeout > 0 ? client->active + client->idle_timeout : NO_DEADLINE;
}

/* Reads and drops; -1: the client has ended. */
static int discard(struct client *client)
{
	const uint8_t *ignored;
	ssize_t got;

	while ((got = client_read(client, &ignored)) > 0)
		;
	return got < 0 ? -1 : 0;
}

void client_finish(struct client *client, struct queue *queue)
{
	struct err ignored;
	struct ctx ctx;
	int64_t deadline = clock_deadline_in(write_patience);

	while (client_write(client, queue) == 0 && queue->len && clock_mono() < deadline) {
		struct pollfd fds[] = { { client->fd, POLLIN | POLLOUT, 0 },
					{ ctx_fd(client->ctx), POLLIN, 0 } };
		int64_t before = client->active;

		(void)poll(fds, ARRAY_LEN(fds), clock_poll_timeout(deadline));
		if (fds[1].revents || ((fds[0].revents & ~POLLOUT) && discard(client) < 0))
			return;
		if (client->active != before)
			deadline = clock_deadline_in(write_patience);
	}
	if (queue->len)
		return;
	(void)shutdown(client->fd, SHUT_WR);
	ctx_init_child(&ctx, client->ctx, clock_deadline_in(linger));
	while (ctx_poll(&ctx, client->fd, POLLIN, "the client's end", &ignored) == 0 && discard(client) == 0)
		if (ctx_check(&ctx, "the client's end", &ignored) < 0)
			break;
	ctx_done(&ctx);
}
