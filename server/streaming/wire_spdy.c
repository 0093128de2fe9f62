/*
 * Each channel is a stream that the client opens with the header "streamtype", one after the other's reply.
 * A stream of another type is replied to and ignored; a second one of a type is refused.
 */
#include <stdlib.h>
#include <string.h>

#include "server/streaming/spdy.h"
#include "server/streaming/wire_kind.h"

enum { STRANGERS_MAX = 16 };

static const char *const types[CHANNEL_COUNT] = { "stdin", "stdout", "stderr", "error", "resize" };

struct wire_spdy {
	struct wire wire;
	struct spdy spdy;
	uint32_t ids[CHANNEL_COUNT]; /* 0: not open */
	unsigned int strangers;
	bool left; /* the client has reset the error stream: it does not listen any more */
};

static struct wire_spdy *of(const struct wire *wire)
{
	return (struct wire_spdy *)wire;
}

static int channel_of(const struct wire_spdy *self, uint32_t id)
{
	for (int channel = 0; channel < CHANNEL_COUNT; channel++)
		if (self->ids[channel] == id)
			return channel;
	return -1;
}

static void on_opened(void *data, uint32_t id, const struct spdy_headers *headers)
{
	struct wire_spdy *self = data;

	for (int channel = 0; channel < CHANNEL_COUNT; channel++) {
		if (strcmp(headers->stream_type, types[channel]) != 0 || !wire_has(&self->wire, channel))
			continue;
		if (self->ids[channel]) {
			spdy_reset(&self->spdy, id, SPDY_REFUSED);
			return;
		}
		self->ids[channel] = id;
		spdy_reply(&self->spdy, id);
		return;
	}
	if (self->strangers++ < STRANGERS_MAX)
		spdy_reply(&self->spdy, id);
	else
		spdy_reset(&self->spdy, id, SPDY_REFUSED);
}

static void on_received(void *data, uint32_t id, const uint8_t *bytes, size_t len)
{
	struct wire_spdy *self = data;
	int channel = channel_of(self, id);

	if (channel == CHANNEL_STDIN || channel == CHANNEL_RESIZE)
		self->wire.options.events->received(self->wire.options.data, channel, bytes, len);
}

static void on_ended(void *data, uint32_t id, bool reset)
{
	struct wire_spdy *self = data;
	int channel = channel_of(self, id);

	if (channel == CHANNEL_ERROR && reset)
		self->left = true;
	if (channel >= 0)
		self->wire.options.events->ended(self->wire.options.data, channel);
}

static void free_wire(struct wire *wire)
{
	spdy_done(&of(wire)->spdy);
	free(wire);
}

static int feed(struct wire *wire, const uint8_t *data, size_t len, struct err *err)
{
	return spdy_feed(&of(wire)->spdy, data, len, err);
}

static bool ready(const struct wire *wire)
{
	for (int channel = 0; channel < CHANNEL_COUNT; channel++)
		if (wire_has(wire, channel) && !of(wire)->ids[channel])
			return false;
	return true;
}

static bool closed(const struct wire *wire)
{
	return of(wire)->spdy.gone_away || of(wire)->left;
}

static void send_on(struct wire *wire, enum channel channel, const void *data, size_t len)
{
	spdy_send(&of(wire)->spdy, of(wire)->ids[channel], data, len, false);
}

static void finish(struct wire *wire, const struct status *status)
{
	struct wire_spdy *self = of(wire);
	struct str text CLEANUP(str_done) = STR_INIT;

	status_write(status, wire->options.version, &text);
	/* The status before any end: a client that has seen all its streams end looks for it. */
	if (text.len && self->ids[CHANNEL_ERROR])
		spdy_send(&self->spdy, self->ids[CHANNEL_ERROR], text.data, text.len, false);
	for (int channel = 0; channel < CHANNEL_COUNT; channel++)
		if (self->ids[channel])
			spdy_send(&self->spdy, self->ids[channel], NULL, 0, true);
	spdy_go_away(&self->spdy);
}

static struct queue *out(struct wire *wire)
{
	return &of(wire)->spdy.out;
}

struct wire *wire_new_spdy(const struct wire_options *options)
{
	static const struct wire_ops ops = { free_wire, feed, ready, closed, send_on, finish, out };
	static const struct spdy_events events = { on_opened, on_received, on_ended };
	struct wire_spdy *self = xnew(struct wire_spdy);

	self->wire.ops = &ops;
	self->wire.options = *options;
	if (options->version < 3)
		self->wire.options.channels &= ~(1u << CHANNEL_RESIZE);
	spdy_init(&self->spdy, &events, self);
	return &self->wire;
}
