/*
 * A message is a byte for the channel and data behind it; with base64, text: a digit, then the data encoded.
 * From version 5 on the bytes ff and NN say that channel NN has ended. Messages of bytes are passed on as
 * they come, those of text are collected first.
 */
#include <stdlib.h>

#include "proto/base64.h"
#include "server/streaming/websocket.h"
#include "server/streaming/wire_kind.h"

enum { TEXT_MAX = 1024 * 1024, END_MARK = 0xff, NO_CHANNEL = -1 };

struct wire_websocket {
	struct wire wire;
	struct websocket *websocket;
	bool inside; /* of a message whose first byte was seen */
	int channel; /* its; END_MARK: an end; NO_CHANNEL: to be ignored */
	struct queue text;
	bool text_too_long;
};

static struct wire_websocket *of(const struct wire *wire)
{
	return (struct wire_websocket *)wire;
}

static bool is_input(const struct wire *wire, int channel)
{
	return (channel == CHANNEL_STDIN || channel == CHANNEL_RESIZE) && wire_has(wire, channel);
}

static void pass(struct wire_websocket *self, int channel, const uint8_t *bytes, size_t len)
{
	if (len && is_input(&self->wire, channel))
		self->wire.options.events->received(self->wire.options.data, channel, bytes, len);
}

static void pass_text(struct wire_websocket *self)
{
	const uint8_t *text = queue_front(&self->text);
	size_t len = self->text.len, got;
	CLEANUP(freep) uint8_t *bytes = NULL;

	if (len < 2 || self->text_too_long || text[0] < '0' || text[0] >= '0' + CHANNEL_COUNT)
		return;
	bytes = xmalloc(base64_room(len - 1) + 1);
	if (base64_decode((const char *)text + 1, len - 1, bytes, &got))
		pass(self, text[0] - '0', bytes, got);
}

static void receive_text(struct wire_websocket *self, const uint8_t *bytes, size_t len, bool end)
{
	if (self->text.len + len <= TEXT_MAX)
		queue_add(&self->text, bytes, len);
	else
		self->text_too_long = true;
	if (!end)
		return;
	pass_text(self);
	queue_clear(&self->text);
	self->text_too_long = false;
}

static void on_received(void *data, const uint8_t *bytes, size_t len, bool end)
{
	struct wire_websocket *self = data;

	if (self->wire.options.base64) {
		receive_text(self, bytes, len, end);
		return;
	}
	if (len && !self->inside) {
		self->inside = true;
		self->channel = *bytes++;
		len--;
		if (self->channel == END_MARK && self->wire.options.version < 5)
			self->channel = NO_CHANNEL;
	}
	if (len && self->channel == END_MARK) {
		if (is_input(&self->wire, *bytes))
			self->wire.options.events->ended(self->wire.options.data, *bytes);
		self->channel = NO_CHANNEL;
	} else if (len) {
		pass(self, self->channel, bytes, len);
	}
	if (end)
		self->inside = false;
}

static void free_wire(struct wire *wire)
{
	websocket_free(of(wire)->websocket);
	queue_done(&of(wire)->text);
	free(wire);
}

static int feed(struct wire *wire, const uint8_t *data, size_t len, struct err *err)
{
	return websocket_feed(of(wire)->websocket, data, len, err);
}

static bool ready(const struct wire *wire UNUSED)
{
	return true;
}

static bool closed(const struct wire *wire)
{
	return websocket_closed(of(wire)->websocket);
}

static void send_on(struct wire *wire, enum channel channel, const void *data, size_t len)
{
	struct str message CLEANUP(str_done) = STR_INIT;

	str_addc(&message, (char)(wire->options.base64 ? '0' + (int)channel : (int)channel));
	if (wire->options.base64)
		base64_encode(&message, data, len);
	else
		str_addn(&message, data, len);
	websocket_send(of(wire)->websocket, message.data, message.len, wire->options.base64);
}

static void finish(struct wire *wire, const struct status *status)
{
	struct str text CLEANUP(str_done) = STR_INIT;

	status_write(status, wire->options.version, &text);
	if (text.len)
		send_on(wire, CHANNEL_ERROR, text.data, text.len);
	websocket_close(of(wire)->websocket, true);
}

static struct queue *out(struct wire *wire)
{
	return websocket_out(of(wire)->websocket);
}

struct wire *wire_new_websocket(const struct wire_options *options)
{
	static const struct wire_ops ops = { free_wire, feed, ready, closed, send_on, finish, out };
	static const struct websocket_events events = { on_received };
	struct wire_websocket *self = xnew(struct wire_websocket);

	self->wire.ops = &ops;
	self->wire.options = *options;
	self->websocket = websocket_new(&events, self);
	return &self->wire;
}
