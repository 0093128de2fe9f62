/*
 * A poll loop over the client's socket and the pairs' sockets. Pairs are few enough to be searched one by
 * one. Which pair is read first goes round, so that a busy one does not starve the others.
 *
 * All pairs share the client's connection, and SPDY as spoken here has no flow control: when one pair's
 * destination does not take its bytes, the others wait, as they do in the client.
 */
#include "server/streaming/forward.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "server/streaming/forward_pair.h"
#include "server/streaming/websocket.h"

enum {
	PAIRS_MAX = 1000,
	POD_QUEUE_MAX = 1024 * 1024,      /* bytes for one pod's socket beyond which the client is not read */
	POD_QUEUES_MAX = 8 * 1024 * 1024, /* for all together */
	CLIENT_QUEUE_MAX = 1024 * 1024,   /* for the client beyond which pods are not read */
	CLIENT_ANSWERS_MAX = 4 * 1024 * 1024,
	PORT_MAX = 65535,
};

struct forward {
	struct client *client;
	struct spdy spdy;
	struct websocket *tunnel; /* NULL: SPDY without one */
	struct pair *pairs[PAIRS_MAX];
	size_t len, first;
	struct pollfd fds[PAIRS_MAX + 3];
	bool gone;
	struct err err; /* of the feeding */
};

/* ---- streams ---- */

static struct pair *find_by_stream(struct forward *forward, uint32_t id)
{
	for (size_t i = 0; i < forward->len; i++)
		if (forward->pairs[i]->data_id == id)
			return forward->pairs[i];
	return NULL;
}

static struct pair *find_by_request(struct forward *forward, const char *request_id)
{
	for (size_t i = 0; i < forward->len; i++)
		if (forward->pairs[i]->state == PAIR_WAITING &&
		    str_eq(forward->pairs[i]->request_id, request_id))
			return forward->pairs[i];
	return NULL;
}

/* Which request a stream is of; clients that don't tell open the error stream, then the data stream. */
static void request_id_of(uint32_t id, const struct spdy_headers *headers, bool is_data,
			  char ret[SPDY_HEADER_VALUE_SIZE])
{
	if (*headers->request_id)
		snprintf(ret, SPDY_HEADER_VALUE_SIZE, "%s", headers->request_id);
	else
		snprintf(ret, SPDY_HEADER_VALUE_SIZE, "%u", is_data ? id - 2 : id);
}

static struct pair *pair_of(struct forward *forward, uint32_t id, const struct spdy_headers *headers)
{
	bool is_data = str_eq(headers->stream_type, "data");
	char request_id[SPDY_HEADER_VALUE_SIZE];
	struct pair *pair;
	uint64_t port;

	if ((!is_data && !str_eq(headers->stream_type, "error")) ||
	    !parse_u64(headers->port, PORT_MAX, &port) || port == 0)
		return NULL;
	request_id_of(id, headers, is_data, request_id);
	pair = find_by_request(forward, request_id);
	if (pair)
		return pair->port != port || (is_data ? pair->data_id : pair->error_id) ? NULL : pair;
	if (forward->len == PAIRS_MAX)
		return NULL;
	return forward->pairs[forward->len++] = pair_new(request_id, (uint16_t)port);
}

static void on_opened(void *data, uint32_t id, const struct spdy_headers *headers)
{
	struct forward *forward = data;
	struct pair *pair = pair_of(forward, id, headers);

	if (!pair) {
		spdy_reset(&forward->spdy, id, SPDY_REFUSED);
		return;
	}
	spdy_reply(&forward->spdy, id);
	if (str_eq(headers->stream_type, "data"))
		pair->data_id = id;
	else
		pair->error_id = id;
	if (pair->data_id && pair->error_id)
		pair_connect(pair, &forward->spdy);
}

static void on_received(void *data, uint32_t id, const uint8_t *bytes, size_t len)
{
	struct forward *forward = data;
	struct pair *pair = find_by_stream(forward, id);

	if (pair)
		pair_receive(pair, &forward->spdy, bytes, len);
}

static void on_ended(void *data, uint32_t id, bool reset)
{
	struct pair *pair = find_by_stream(data, id);

	if (pair)
		pair_end(pair, reset);
}

static void on_tunnelled(void *data, const uint8_t *bytes, size_t len, bool end UNUSED)
{
	struct forward *forward = data;

	if (len && !forward->gone && spdy_feed(&forward->spdy, bytes, len, &forward->err) < 0)
		forward->gone = true;
}

/* ---- the client ---- */

/* What waits for it; SPDY's bytes go into the tunnel if there is one. */
static struct queue *out_of(struct forward *forward)
{
	struct queue *spdy = &forward->spdy.out;

	if (!forward->tunnel)
		return spdy;
	if (spdy->len)
		websocket_send(forward->tunnel, queue_front(spdy), spdy->len, false);
	queue_clear(spdy);
	return websocket_out(forward->tunnel);
}

static void feed(struct forward *forward, const uint8_t *bytes, size_t len)
{
	int result = forward->tunnel ? websocket_feed(forward->tunnel, bytes, len, &forward->err)
				     : spdy_feed(&forward->spdy, bytes, len, &forward->err);

	if (result < 0 || forward->gone)
		log_debug("port-forward: %s", forward->err.text);
	if (result < 0 || forward->spdy.gone_away || (forward->tunnel && websocket_closed(forward->tunnel)))
		forward->gone = true;
}

static bool wants_client(struct forward *forward)
{
	size_t total = 0;

	for (size_t i = 0; i < forward->len; i++) {
		if (forward->pairs[i]->to_pod.len > POD_QUEUE_MAX)
			return false;
		total += forward->pairs[i]->to_pod.len;
	}
	return total < POD_QUEUES_MAX && out_of(forward)->len < CLIENT_ANSWERS_MAX;
}

static void read_client(struct forward *forward)
{
	const uint8_t *bytes;
	ssize_t got = client_read(forward->client, &bytes);

	if (got < 0)
		forward->gone = true;
	else if (got > 0)
		feed(forward, bytes, (size_t)got);
}

/* ---- the loop ---- */

enum { AT_CLIENT, AT_STOP, AT_POD, AT_PAIRS };

static int64_t set_fds(struct forward *forward, int pod)
{
	int64_t deadline = client_idle_deadline(forward->client);
	size_t waiting = out_of(forward)->len;
	bool may_read = waiting < CLIENT_QUEUE_MAX;

	forward->fds[AT_CLIENT] = (struct pollfd){ forward->client->fd, POLLRDHUP, 0 };
	if (wants_client(forward))
		forward->fds[AT_CLIENT].events |= POLLIN;
	if (waiting)
		forward->fds[AT_CLIENT].events |= POLLOUT;
	forward->fds[AT_STOP] = (struct pollfd){ ctx_fd(forward->client->ctx), POLLIN, 0 };
	forward->fds[AT_POD] = (struct pollfd){ pod, POLLIN, 0 };
	for (size_t i = 0; i < forward->len; i++) {
		const struct pair *pair = forward->pairs[i];
		short events = pair_events(pair, may_read);

		forward->fds[AT_PAIRS + i] = (struct pollfd){ events ? pair->fd : -1, events, 0 };
		if (pair->state <= PAIR_CONNECTING && pair->deadline < deadline)
			deadline = pair->deadline;
	}
	return deadline;
}

static void serve_pairs(struct forward *forward, size_t polled)
{
	int64_t now = clock_mono();

	for (size_t k = 0; k < polled; k++) {
		size_t i = (forward->first + k) % polled;
		struct pair *pair = forward->pairs[i];
		short revents = forward->fds[AT_PAIRS + i].revents;

		if (revents && (forward->spdy.out.len < CLIENT_QUEUE_MAX || !(revents & POLLIN)))
			pair_serve(pair, &forward->spdy, revents);
		else if (pair->state <= PAIR_CONNECTING && now >= pair->deadline)
			pair_expire(pair, &forward->spdy);
	}
	forward->first = polled ? (forward->first + 1) % polled : 0;
}

static void sweep(struct forward *forward)
{
	size_t kept = 0;

	for (size_t i = 0; i < forward->len; i++) {
		if (forward->pairs[i]->state == PAIR_OVER)
			pair_free(forward->pairs[i]);
		else
			forward->pairs[kept++] = forward->pairs[i];
	}
	forward->len = kept;
}

/* One turn; false when the session is over. */
static bool turn(struct forward *forward, int pod)
{
	size_t polled = forward->len;
	int64_t deadline = set_fds(forward, pod);
	short events;

	if (poll(forward->fds, AT_PAIRS + polled,
		 forward->client->early.len ? 0 : clock_poll_timeout(deadline)) < 0 &&
	    errno != EINTR)
		return false;
	events = forward->fds[AT_CLIENT].revents;
	if (forward->fds[AT_STOP].revents || forward->fds[AT_POD].revents ||
	    clock_mono() >= client_idle_deadline(forward->client))
		return false;
	serve_pairs(forward, polled);
	if ((events & POLLIN) || forward->client->early.len)
		read_client(forward);
	else if (events & (POLLRDHUP | POLLHUP | POLLERR))
		return false;
	if (forward->gone || client_write(forward->client, out_of(forward)) < 0)
		return false;
	sweep(forward);
	return true;
}

void forward_run(struct client *client, const struct upgrade *upgrade, const struct stream_request *request)
{
	static const struct spdy_events spdy_events = { on_opened, on_received, on_ended };
	static const struct websocket_events tunnel_events = { on_tunnelled };
	CLEANUP(freep) struct forward *forward = xnew(struct forward);
	int pod = -1;

	forward->client = client;
	spdy_init(&forward->spdy, &spdy_events, forward);
	if (upgrade->websocket)
		forward->tunnel = websocket_new(&tunnel_events, forward);
	if (request->forward->enter(request->data, &pod, &forward->err) < 0)
		log_warn("port-forward: %s", forward->err.text);
	else
		while (turn(forward, pod))
			;
	if (forward->tunnel)
		websocket_close(forward->tunnel, true);
	else
		spdy_go_away(&forward->spdy);
	(void)client_write(client, out_of(forward));
	for (size_t i = 0; i < forward->len; i++)
		pair_free(forward->pairs[i]);
	websocket_free(forward->tunnel);
	spdy_done(&forward->spdy);
}
