/*
 * A poll loop over the client's socket and the peer's descriptors. The client is always watched for having
 * gone, also when its bytes are not wanted at the moment.
 *
 * What a command wrote before it ended is in its pipes at that time, so after its end these are read until
 * they are empty; a descendant that holds them open is given a short while (DRAIN), one that goes on writing
 * only as much as a pipe can hold.
 *
 * A peer that must be drained (conmon, which also writes the log) is read whatever the client does; a client
 * that lags too far behind is dismissed.
 */
#include "server/streaming/remote.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/streaming/wire.h"

enum {
	READ_SIZE = 32 * 1024,
	PEER_QUEUE_MAX = 256 * 1024,   /* bytes for the peer beyond which the client is not read */
	CLIENT_QUEUE_MAX = 256 * 1024, /* for the client beyond which the peer is not read */
	CLIENT_ANSWERS_MAX =
		1024 * 1024, /* beyond which the client is not read either: its pings need answers */
	CLIENT_LAG_MAX = 8 * 1024 * 1024, /* of a peer that must be drained */
	DRAIN_BYTES_MAX = 1024 * 1024,    /* after the peer's end, of each stream */
};
static const int64_t drain_time = 100 * NS_PER_MS;
static const int64_t rest_after = NS_PER_SEC; /* nothing moved: memory is given back */

struct output {
	int fd; /* -1 once at its end */
	size_t after_end;
};

struct remote {
	struct client *client;
	const struct stream_request *request;
	struct wire *wire;
	struct remote_peer peer;
	struct output outputs[2];
	bool open;
	struct queue to_peer;
	bool input_over;  /* the client sends no more */
	bool input_ended; /* and the peer was told, or takes no more */
	struct resize resize;
	struct terminal_size size;
	bool size_known;
	bool ended; /* the peer has */
	int64_t drain_until;
	bool gone; /* the client */
	uint8_t buffer[READ_SIZE];
};

/* ---- from the client ---- */

static void on_received(void *data, enum channel channel, const uint8_t *bytes, size_t len)
{
	struct remote *remote = data;

	if (channel == CHANNEL_RESIZE) {
		if (!resize_feed(&remote->resize, bytes, len, &remote->size))
			return;
		remote->size_known = true;
		if (remote->open)
			remote->request->remote->resize(remote->request->data, &remote->size);
	} else if (!remote->input_ended && !remote->input_over) {
		queue_add(&remote->to_peer, bytes, len);
	}
}

static void on_ended(void *data, enum channel channel)
{
	struct remote *remote = data;

	if (channel == CHANNEL_STDIN)
		remote->input_over = true;
}

static bool wants_client(const struct remote *remote)
{
	return remote->to_peer.len < PEER_QUEUE_MAX && wire_out(remote->wire)->len < CLIENT_ANSWERS_MAX;
}

static void read_client(struct remote *remote)
{
	struct err err;
	const uint8_t *bytes;
	ssize_t got = 1;

	while (got > 0 && wants_client(remote)) {
		got = client_read(remote->client, &bytes);
		if (got < 0 || (got > 0 && wire_feed(remote->wire, bytes, (size_t)got, &err) < 0)) {
			if (got > 0)
				log_debug("stream: %s", err.text);
			remote->gone = true;
			return;
		}
		if (wire_closed(remote->wire)) {
			remote->gone = true;
			return;
		}
		if (got < CLIENT_READ_SIZE && !remote->client->early.len)
			return;
	}
}

static void write_client(struct remote *remote)
{
	if (client_write(remote->client, wire_out(remote->wire)) < 0)
		remote->gone = true;
}

/* ---- to and from the peer ---- */

static void end_input(struct remote *remote)
{
	remote->input_ended = true;
	queue_clear(&remote->to_peer);
	remote->request->remote->end_input(remote->request->data);
}

static void write_peer(struct remote *remote)
{
	while (remote->to_peer.len && !remote->input_ended) {
		size_t len = remote->to_peer.len;
		ssize_t put;

		if (remote->peer.write_max && len > remote->peer.write_max)
			len = remote->peer.write_max;
		put = write(remote->peer.in, queue_front(&remote->to_peer), len);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0 && errno == EAGAIN)
			return;
		if (put < 0)
			end_input(remote);
		else
			queue_drop(&remote->to_peer, (size_t)put);
	}
	if (remote->input_over && !remote->input_ended)
		end_input(remote);
}

static void output_over(struct remote *remote, struct output *output)
{
	if (output->fd == remote->peer.in && !remote->input_ended)
		end_input(remote);
	output->fd = -1;
}

static ssize_t read_peer(struct remote *remote, int fd, bool *ret_is_err)
{
	if (remote->request->remote->read)
		return remote->request->remote->read(remote->request->data, fd, remote->buffer, READ_SIZE,
						     ret_is_err);
	*ret_is_err = fd == remote->peer.err_out;
	return read(fd, remote->buffer, READ_SIZE);
}

static void read_output(struct remote *remote, struct output *output)
{
	bool is_err = false;
	ssize_t got = read_peer(remote, output->fd, &is_err);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		output_over(remote, output);
		return;
	}
	wire_send(remote->wire, is_err ? CHANNEL_STDERR : CHANNEL_STDOUT, remote->buffer, (size_t)got);
	if (!remote->ended)
		return;
	remote->drain_until = clock_deadline_in(drain_time);
	output->after_end += (size_t)got;
	if (output->after_end > DRAIN_BYTES_MAX)
		output->fd = -1;
}

static bool wants_output(const struct remote *remote)
{
	return remote->peer.must_drain || wire_out(remote->wire)->len < CLIENT_QUEUE_MAX;
}

static bool outputs_over(const struct remote *remote)
{
	return remote->outputs[0].fd < 0 && remote->outputs[1].fd < 0;
}

/* Whether all has come that will come. */
static bool is_over(const struct remote *remote)
{
	if (remote->peer.ended < 0)
		return outputs_over(remote);
	return remote->ended &&
	       (outputs_over(remote) || (wants_output(remote) && clock_mono() >= remote->drain_until));
}

/* ---- the loop ---- */

enum { AT_CLIENT, AT_STOP, AT_ENDED, AT_IN, AT_OUT, AT_ERR, AT_COUNT };

static void set_fds(const struct remote *remote, struct pollfd fds[AT_COUNT])
{
	bool output = remote->open && wants_output(remote);
	bool input = remote->open && !remote->input_ended;
	/* A pipe is watched for having lost its reader, too; what is also read tells that by itself. */
	bool watch = remote->to_peer.len || remote->peer.in != remote->peer.out;

	fds[AT_CLIENT] = (struct pollfd){ remote->client->fd, POLLRDHUP, 0 };
	if (wants_client(remote))
		fds[AT_CLIENT].events |= POLLIN;
	if (wire_out(remote->wire)->len)
		fds[AT_CLIENT].events |= POLLOUT;
	fds[AT_STOP] = (struct pollfd){ ctx_fd(remote->client->ctx), POLLIN, 0 };
	fds[AT_ENDED] =
		(struct pollfd){ remote->open && !remote->ended ? remote->peer.ended : -1, POLLIN, 0 };
	fds[AT_IN] = (struct pollfd){ input && watch ? remote->peer.in : -1,
				      remote->to_peer.len ? POLLOUT : 0, 0 };
	fds[AT_OUT] = (struct pollfd){ output ? remote->outputs[0].fd : -1, POLLIN, 0 };
	fds[AT_ERR] = (struct pollfd){ output ? remote->outputs[1].fd : -1, POLLIN, 0 };
}

static void serve_peer(struct remote *remote, const struct pollfd fds[AT_COUNT])
{
	if (fds[AT_ENDED].revents) {
		remote->ended = true;
		remote->drain_until = clock_deadline_in(drain_time);
	}
	if ((fds[AT_IN].revents & (POLLERR | POLLHUP)) && !(fds[AT_IN].revents & POLLOUT) &&
	    !remote->input_ended)
		end_input(remote);
	for (int i = 0; i < 2; i++)
		if (fds[AT_OUT + i].revents && remote->outputs[i].fd >= 0)
			read_output(remote, &remote->outputs[i]);
	if (remote->open)
		write_peer(remote);
}

static void serve_client(struct remote *remote, const struct pollfd *fd)
{
	if (fd->revents & POLLIN)
		read_client(remote);
	else if (fd->revents & (POLLRDHUP | POLLHUP | POLLERR))
		remote->gone = true;
	if (wire_out(remote->wire)->len > CLIENT_LAG_MAX) {
		log_debug("stream: the client lags behind by more than it may");
		remote->gone = true;
	}
}

/* One turn. False when the session cannot go on: the client has gone, was silent for too long, or all ends.
 */
static bool turn(struct remote *remote, int64_t deadline)
{
	int64_t idle = client_idle_deadline(remote->client), rest = clock_deadline_in(rest_after);
	struct pollfd fds[AT_COUNT];
	int ready;

	if (remote->ended && wants_output(remote) && remote->drain_until < deadline)
		deadline = remote->drain_until;
	if (idle < deadline)
		deadline = idle;
	if ((queue_holds(wire_out(remote->wire)) || queue_holds(&remote->to_peer)) && rest < deadline)
		deadline = rest;
	set_fds(remote, fds);
	ready = poll(fds, AT_COUNT, remote->client->early.len ? 0 : clock_poll_timeout(deadline));
	if (ready < 0 && errno != EINTR)
		return false;
	if (ready == 0) {
		queue_rest(wire_out(remote->wire));
		queue_rest(&remote->to_peer);
	}
	if (remote->client->early.len)
		fds[AT_CLIENT].revents |= POLLIN;
	serve_client(remote, &fds[AT_CLIENT]);
	if (remote->gone || fds[AT_STOP].revents || clock_mono() >= idle)
		return false;
	serve_peer(remote, fds);
	write_client(remote);
	return !remote->gone;
}

/* Waits until the client has opened its channels. */
static bool wait_ready(struct remote *remote)
{
	int64_t deadline = clock_deadline_in(remote->client->creation_patience);

	while (!wire_ready(remote->wire))
		if (!turn(remote, deadline) || clock_mono() >= deadline)
			return false;
	return true;
}

static int open_peer(struct remote *remote, struct err *err)
{
	const struct stream_request *request = remote->request;

	if (request->remote->open(request->data, remote->size_known ? &remote->size : NULL,
				  remote->client->ctx, &remote->peer, err) < 0)
		return -1;
	remote->open = true;
	remote->outputs[0].fd = remote->peer.out;
	remote->outputs[1].fd = remote->peer.err_out;
	remote->input_ended = remote->peer.in < 0;
	write_peer(remote);
	return 0;
}

static void session(struct remote *remote)
{
	const struct stream_request *request = remote->request;
	struct status status = { 0 };

	if (!wait_ready(remote))
		return;
	if (open_peer(remote, &status.err) < 0) {
		status.failed = true;
	} else {
		while (!is_over(remote))
			if (!turn(remote, NO_DEADLINE)) {
				request->remote->abandon(request->data);
				return;
			}
		status.failed = request->remote->conclude(request->data, &status.exit_code, &status.err) < 0;
	}
	wire_finish(remote->wire, &status);
	client_finish(remote->client, wire_out(remote->wire));
}

static unsigned int channels_of(const struct stream_request *request)
{
	unsigned int set = 1u << CHANNEL_ERROR;

	if (request->in)
		set |= 1u << CHANNEL_STDIN;
	if (request->out)
		set |= 1u << CHANNEL_STDOUT;
	if (request->err_out)
		set |= 1u << CHANNEL_STDERR;
	if (request->tty)
		set |= 1u << CHANNEL_RESIZE;
	return set;
}

void remote_run(struct client *client, const struct upgrade *upgrade, const struct stream_request *request)
{
	static const struct wire_events events = { on_received, on_ended };
	CLEANUP(freep) struct remote *remote = xnew(struct remote);
	struct wire_options options = { .version = upgrade->version,
					.base64 = upgrade->base64,
					.channels = channels_of(request),
					.events = &events,
					.data = remote };

	remote->client = client;
	remote->request = request;
	remote->peer = (struct remote_peer){ .in = -1, .out = -1, .err_out = -1, .ended = -1 };
	remote->outputs[0].fd = remote->outputs[1].fd = -1;
	remote->wire = upgrade->websocket ? wire_new_websocket(&options) : wire_new_spdy(&options);
	session(remote);
	wire_free(remote->wire);
	queue_done(&remote->to_peer);
}
