/*
 * 127.0.0.1 is tried first, then ::1. The pod's end of sending ends the data and the error stream; text on
 * the error stream makes clients give up all of their connections, so only a failure to connect is told.
 */
#include "server/streaming/forward_pair.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"

enum { READS = 4 };
static const int64_t connect_patience = 10 * NS_PER_SEC;

struct pair *pair_new(const char *request_id, uint16_t port, int64_t patience)
{
	struct pair *pair = xnew(struct pair);

	snprintf(pair->request_id, sizeof(pair->request_id), "%s", request_id);
	pair->port = port;
	pair->fd = -1;
	pair->deadline = clock_deadline_in(patience);
	return pair;
}

struct pair *pair_free(struct pair *pair)
{
	if (!pair)
		return NULL;
	fd_close(pair->fd);
	queue_done(&pair->to_pod);
	free(pair);
	return NULL;
}

/* Both streams end; text: why, for the error stream. */
static void give_up(struct pair *pair, const struct pair_out *out, const char *text)
{
	if (pair->error_id)
		out->send(out->data, pair->error_id, text, strlen(text), true);
	if (pair->data_id)
		out->send(out->data, pair->data_id, NULL, 0, true);
	pair->state = PAIR_OVER;
}

static int dial(struct pair *pair)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(pair->port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(pair->port) };
	int on = 1;

	v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	v6.sin6_addr = in6addr_loopback;
	pair->fd = fd_close(pair->fd);
	pair->fd = socket(pair->second ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (pair->fd < 0)
		return -1;
	(void)setsockopt(pair->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (pair->second)
		return connect(pair->fd, (struct sockaddr *)&v6, sizeof(v6));
	return connect(pair->fd, (struct sockaddr *)&v4, sizeof(v4));
}

static void dial_failed(struct pair *pair, const struct pair_out *out, int error);

static void try_dial(struct pair *pair, const struct pair_out *out)
{
	pair->deadline = clock_deadline_in(connect_patience);
	if (dial(pair) == 0)
		pair->state = PAIR_OPEN;
	else if (errno == EINPROGRESS)
		pair->state = PAIR_CONNECTING;
	else
		dial_failed(pair, out, errno);
}

static void dial_failed(struct pair *pair, const struct pair_out *out, int error)
{
	char text[160];

	if (!pair->second) {
		pair->second = true;
		try_dial(pair, out);
		return;
	}
	errno = error == EAFNOSUPPORT || error == EADDRNOTAVAIL ? ECONNREFUSED : error;
	snprintf(text, sizeof(text), "connect to localhost:%u in the pod: %m", pair->port);
	give_up(pair, out, text);
}

void pair_connect(struct pair *pair, const struct pair_out *out)
{
	try_dial(pair, out);
}

static void settle(struct pair *pair)
{
	if (pair->client_ended && !pair->to_pod.len && !pair->shut) {
		(void)shutdown(pair->fd, SHUT_WR);
		pair->shut = true;
	}
	if (pair->pod_ended && pair->shut)
		pair->state = PAIR_OVER;
}

static void pod_over(struct pair *pair, const struct pair_out *out)
{
	pair->pod_ended = true;
	out->send(out->data, pair->data_id, NULL, 0, true);
	out->send(out->data, pair->error_id, NULL, 0, true);
}

/* More than one piece at a time, so that a busy pod costs fewer polls. */
static void read_pod(struct pair *pair, const struct pair_out *out)
{
	for (int i = 0; i < READS; i++) {
		ssize_t got = recv(pair->fd, out->room(out->data), PAIR_READ_MAX, 0);

		if (got > 0)
			out->grown(out->data, pair->data_id, (size_t)got);
		else if (got == 0 || (errno != EAGAIN && errno != EINTR))
			pod_over(pair, out);
		if (got < PAIR_READ_MAX)
			return;
	}
}

static void write_pod(struct pair *pair)
{
	while (pair->to_pod.len) {
		ssize_t put = send(pair->fd, queue_front(&pair->to_pod), pair->to_pod.len, MSG_NOSIGNAL);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0 && errno == EAGAIN)
			return;
		if (put < 0) { /* the pod takes no more; its own end is seen by reading */
			pair->shut = true;
			queue_clear(&pair->to_pod);
			return;
		}
		queue_drop(&pair->to_pod, (size_t)put);
	}
}

static void finish_connect(struct pair *pair, const struct pair_out *out)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(pair->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error)
		dial_failed(pair, out, error);
	else
		pair->state = PAIR_OPEN;
}

short pair_events(const struct pair *pair, bool may_read)
{
	short events = 0;

	if (pair->state == PAIR_CONNECTING)
		return POLLOUT;
	if (pair->state != PAIR_OPEN)
		return 0;
	if (!pair->pod_ended && may_read)
		events |= POLLIN;
	if (pair->to_pod.len)
		events |= POLLOUT;
	return events;
}

void pair_serve(struct pair *pair, const struct pair_out *out, short revents)
{
	if (pair->state == PAIR_CONNECTING && revents)
		finish_connect(pair, out);
	if (pair->state != PAIR_OPEN)
		return;
	if (revents & (POLLIN | POLLHUP | POLLERR) && !pair->pod_ended)
		read_pod(pair, out);
	write_pod(pair);
	settle(pair);
}

/* Takes away what has been sent. */
static void skip(struct iovec *pieces, size_t len, size_t sent)
{
	for (size_t i = 0; i < len; i++) {
		size_t part = sent < pieces[i].iov_len ? sent : pieces[i].iov_len;

		pieces[i].iov_base = (uint8_t *)pieces[i].iov_base + part;
		pieces[i].iov_len -= part;
		sent -= part;
	}
}

void pair_receive(struct pair *pair, const struct pair_out *out, struct iovec *pieces, size_t len)
{
	struct msghdr message = { .msg_iov = pieces, .msg_iovlen = len };
	ssize_t put = -1;

	if (pair->client_ended || pair->shut || pair->state == PAIR_OVER)
		return;
	if (pair->state == PAIR_OPEN && !pair->to_pod.len)
		put = sendmsg(pair->fd, &message, MSG_NOSIGNAL);
	if (put > 0)
		skip(pieces, len, (size_t)put);
	for (size_t i = 0; i < len; i++)
		queue_add(&pair->to_pod, pieces[i].iov_base, pieces[i].iov_len);
	if (put < 0) /* it waits, or sees the error again */
		pair_serve(pair, out, 0);
}

void pair_end(struct pair *pair, bool reset)
{
	pair->client_ended = true;
	if (reset)
		pair->state = PAIR_OVER;
	else if (pair->state == PAIR_OPEN)
		settle(pair);
}

void pair_expire(struct pair *pair, const struct pair_out *out)
{
	if (pair->state == PAIR_CONNECTING)
		dial_failed(pair, out, ETIMEDOUT);
	else if (pair->state == PAIR_WAITING)
		give_up(pair, out, "timed out waiting for the streams of the connection");
}
