/*
 * A poll loop over the client's socket and the pairs' sockets. Pairs are few enough to be searched one by
 * one. Which pair is read first goes round, so that a busy one does not starve the others.
 *
 * All pairs share the client's connection, and SPDY as spoken here has no flow control: when one pair's
 * destination does not take its bytes, the others wait, as they do in the client.
 */
#include "server/streaming/forward.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "server/streaming/channels.h"
#include "server/streaming/forward_pair.h"
#include "server/streaming/spdy.h"
#include "server/streaming/websocket.h"

enum {
	PAIRS_MAX = 1000,
	POD_QUEUE_MAX = 512 * 1024,       /* bytes for one pod's socket beyond which the client is not read */
	POD_QUEUE_ALONE = 32 * 1024,      /* the same when no other could use what comes: fewer copies */
	POD_QUEUES_MAX = 8 * 1024 * 1024, /* for all together */
	CLIENT_QUEUE_MAX = 512 * 1024,    /* for the client beyond which pods are not read */
	CLIENT_ANSWERS_MAX = 4 * 1024 * 1024,
	PORT_MAX = 65535,
	READS = 4,   /* of the client in one turn */
	PIECES = 64, /* of one pair's bytes, in what has been read of the client */
};

static const int64_t rest_after = NS_PER_SEC;
static_assert((int)PAIR_READ_MAX <= (int)SPDY_DATA_MAX, "what is read from a pod fits in one frame");

struct forward {
	struct client *client;
	struct spdy spdy;
	struct websocket *tunnel; /* NULL: SPDY without one */
	struct channels
		*channels; /* NULL: SPDY; else two for each port, and a connection each from the start */
	struct pair_out out;
	uint8_t *buffer; /* of what goes out by channels */
	struct pair *pairs[PAIRS_MAX];
	size_t len, first;
	struct pollfd fds[PAIRS_MAX + 3];
	struct iovec pieces[PIECES]; /* the client's bytes for one pair, not sent yet: frames are small */
	size_t pieces_len;
	struct pair *receiver;
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
	return forward->pairs[forward->len++] =
		       pair_new(request_id, (uint16_t)port, forward->client->creation_patience);
}

/* Before the bytes go, and before anything else happens to a pair. */
static void flush(struct forward *forward)
{
	if (forward->pieces_len)
		pair_receive(forward->receiver, &forward->out, forward->pieces, forward->pieces_len);
	forward->pieces_len = 0;
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
		pair_connect(pair, &forward->out);
}

static void on_received(void *data, uint32_t id, const uint8_t *bytes, size_t len)
{
	struct forward *forward = data;
	struct pair *pair = forward->receiver;

	if (!forward->pieces_len || pair->data_id != id) {
		flush(forward);
		pair = find_by_stream(forward, id);
	}
	if (!pair)
		return;
	forward->receiver = pair;
	forward->pieces[forward->pieces_len++] = (struct iovec){ (void *)bytes, len };
	if (forward->pieces_len == PIECES)
		flush(forward);
}

static void on_ended(void *data, uint32_t id, bool reset)
{
	struct forward *forward = data;
	struct pair *pair = find_by_stream(forward, id);

	flush(forward);
	if (pair)
		pair_end(pair, reset);
}

static int feed_spdy(struct forward *forward, const uint8_t *bytes, size_t len)
{
	int result = spdy_feed(&forward->spdy, bytes, len, &forward->err);

	flush(forward);
	return result;
}

static void on_tunnelled(void *data, const uint8_t *bytes, size_t len, bool end UNUSED)
{
	struct forward *forward = data;

	if (len && !forward->gone && feed_spdy(forward, bytes, len) < 0)
		forward->gone = true;
}

static void send_stream(void *data, uint32_t id, const void *bytes, size_t len, bool fin)
{
	spdy_send(&((struct forward *)data)->spdy, id, bytes, len, fin);
}

static uint8_t *stream_room(void *data)
{
	return spdy_send_room(&((struct forward *)data)->spdy);
}

static void stream_grown(void *data, uint32_t id, size_t len)
{
	spdy_send_grown(&((struct forward *)data)->spdy, id, len);
}

/* ---- channels ---- */

/* One channel's end cannot be told: when the pod's side ends, the connection does. */
static void send_channel(void *data, uint32_t id, const void *bytes, size_t len, bool fin)
{
	struct pair *pair = fin ? find_by_stream(data, id) : NULL;

	if (len)
		channels_send(((struct forward *)data)->channels, (int)id - 1, bytes, len);
	if (pair)
		pair->client_ended = true;
}

static uint8_t *channel_room(void *data)
{
	return ((struct forward *)data)->buffer;
}

static void channel_grown(void *data, uint32_t id, size_t len)
{
	send_channel(data, id, channel_room(data), len, false);
}

static void on_channel(void *data, int channel, const uint8_t *bytes, size_t len)
{
	on_received(data, (uint32_t)channel + 1, bytes, len);
	flush(data);
}

/* The i-th port has the channels 2i for data and 2i + 1 for an error; both begin with its number. Streams'
 * ids are one more than the channels', as 0 is none. */
static void open_ports(struct forward *forward, const struct stream_request *request)
{
	for (size_t i = 0; i < request->ports_len; i++) {
		uint16_t port = request->ports[i];
		const uint8_t number[] = { (uint8_t)port, (uint8_t)(port >> 8) };
		struct pair *pair = pair_new("", port, forward->client->creation_patience);

		pair->data_id = (uint32_t)(2 * i + 1);
		pair->error_id = pair->data_id + 1;
		forward->pairs[forward->len++] = pair;
		send_channel(forward, pair->data_id, number, sizeof(number), false);
		send_channel(forward, pair->error_id, number, sizeof(number), false);
		pair_connect(pair, &forward->out);
	}
}

/* ---- the client ---- */

/* What waits for it; SPDY's bytes go into the tunnel if there is one. */
static struct queue *out_of(struct forward *forward)
{
	struct queue *spdy = &forward->spdy.out;

	if (forward->channels)
		return channels_out(forward->channels);
	if (!forward->tunnel)
		return spdy;
	if (spdy->len)
		websocket_send(forward->tunnel, queue_front(spdy), spdy->len, false);
	queue_clear(spdy);
	return websocket_out(forward->tunnel);
}

static int feed_wire(struct forward *forward, const uint8_t *bytes, size_t len)
{
	if (forward->channels)
		return channels_feed(forward->channels, bytes, len, &forward->err);
	if (forward->tunnel)
		return websocket_feed(forward->tunnel, bytes, len, &forward->err);
	return feed_spdy(forward, bytes, len);
}

static bool has_left(const struct forward *forward)
{
	return forward->spdy.gone_away || (forward->tunnel && websocket_closed(forward->tunnel)) ||
	       (forward->channels && channels_closed(forward->channels));
}

static void feed(struct forward *forward, const uint8_t *bytes, size_t len)
{
	int result = feed_wire(forward, bytes, len);

	if (result < 0 || forward->gone)
		log_debug("port-forward: %s", forward->err.text);
	if (result < 0 || has_left(forward))
		forward->gone = true;
}

static bool wants_client(struct forward *forward)
{
	size_t total = 0, max = forward->len == 1 ? POD_QUEUE_ALONE : POD_QUEUE_MAX;

	for (size_t i = 0; i < forward->len; i++) {
		if (forward->pairs[i]->to_pod.len > max)
			return false;
		total += forward->pairs[i]->to_pod.len;
	}
	return total < POD_QUEUES_MAX && out_of(forward)->len < CLIENT_ANSWERS_MAX;
}

static void read_client(struct forward *forward)
{
	const uint8_t *bytes;
	ssize_t got = CLIENT_READ_SIZE;

	for (int i = 0; i < READS && got == CLIENT_READ_SIZE && !forward->gone; i++) {
		if (i > 0 && !wants_client(forward))
			return;
		got = client_read(forward->client, &bytes);
		if (got < 0)
			forward->gone = true;
		else if (got > 0)
			feed(forward, bytes, (size_t)got);
	}
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

		if (revents && (out_of(forward)->len < CLIENT_QUEUE_MAX || !(revents & POLLIN)))
			pair_serve(pair, &forward->out, revents);
		else if (pair->state <= PAIR_CONNECTING && now >= pair->deadline)
			pair_expire(pair, &forward->out);
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
	int64_t deadline = set_fds(forward, pod), rest = clock_deadline_in(rest_after);
	short events;
	int ready;

	if (queue_holds(out_of(forward)) && rest < deadline)
		deadline = rest;
	ready = poll(forward->fds, AT_PAIRS + polled,
		     forward->client->early.len ? 0 : clock_poll_timeout(deadline));
	if (ready < 0 && errno != EINTR)
		return false;
	if (ready == 0) {
		queue_rest(out_of(forward));
		queue_rest(&forward->spdy.out);
	}
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
	return !forward->channels || forward->len || out_of(forward)->len;
}

static void open_wire(struct forward *forward, const struct upgrade *upgrade)
{
	static const struct spdy_events spdy_events = { on_opened, on_received, on_ended };
	static const struct websocket_events tunnel_events = { on_tunnelled };

	spdy_init(&forward->spdy, &spdy_events, forward);
	if (upgrade->by_port) {
		forward->channels = channels_new(upgrade->base64, on_channel, forward);
		forward->buffer = xmalloc(PAIR_READ_MAX);
		forward->out = (struct pair_out){ send_channel, channel_room, channel_grown, forward };
		return;
	}
	if (upgrade->websocket)
		forward->tunnel = websocket_new(&tunnel_events, forward);
	forward->out = (struct pair_out){ send_stream, stream_room, stream_grown, forward };
}

static void close_wire(struct forward *forward)
{
	if (forward->channels)
		channels_close(forward->channels, true);
	else if (forward->tunnel)
		websocket_close(forward->tunnel, true);
	else
		spdy_go_away(&forward->spdy);
	(void)client_write(forward->client, out_of(forward));
	channels_free(forward->channels);
	websocket_free(forward->tunnel);
	spdy_done(&forward->spdy);
	free(forward->buffer);
}

void forward_run(struct client *client, const struct upgrade *upgrade, const struct stream_request *request)
{
	CLEANUP(freep) struct forward *forward = xnew(struct forward);
	int pod = -1;

	forward->client = client;
	open_wire(forward, upgrade);
	if (request->forward->enter(request->data, &pod, &forward->err) < 0) {
		log_warn("port-forward: %s", forward->err.text);
	} else {
		if (forward->channels)
			open_ports(forward, request);
		while (turn(forward, pod))
			;
	}
	close_wire(forward);
	for (size_t i = 0; i < forward->len; i++)
		pair_free(forward->pairs[i]);
}
