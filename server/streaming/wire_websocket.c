/*
 * Channels in WebSocket messages. From version 5 on the bytes ff and NN say that channel NN has ended.
 */
#include <stdlib.h>

#include "server/streaming/channels.h"
#include "server/streaming/wire_kind.h"

enum { END_MARK = 0xff };

struct wire_websocket {
	struct wire wire;
	struct channels *channels;
};

static struct channels *of(const struct wire *wire)
{
	return ((const struct wire_websocket *)wire)->channels;
}

static bool is_input(const struct wire *wire, int channel)
{
	return (channel == CHANNEL_STDIN || channel == CHANNEL_RESIZE) && wire_has(wire, channel);
}

static void on_received(void *data, int channel, const uint8_t *bytes, size_t len)
{
	const struct wire_options *options = &((struct wire_websocket *)data)->wire.options;

	if (is_input(data, channel))
		options->events->received(options->data, channel, bytes, len);
	else if (channel == END_MARK && options->version >= 5 && is_input(data, *bytes))
		options->events->ended(options->data, *bytes);
}

static void free_wire(struct wire *wire)
{
	channels_free(of(wire));
	free(wire);
}

static int feed(struct wire *wire, const uint8_t *data, size_t len, struct err *err)
{
	return channels_feed(of(wire), data, len, err);
}

static bool ready(const struct wire *wire UNUSED)
{
	return true;
}

static bool closed(const struct wire *wire)
{
	return channels_closed(of(wire));
}

static void send_on(struct wire *wire, enum channel channel, const void *data, size_t len)
{
	channels_send(of(wire), channel, data, len);
}

static void finish(struct wire *wire, const struct status *status)
{
	struct str text CLEANUP(str_done) = STR_INIT;

	status_write(status, wire->options.version, &text);
	if (text.len)
		send_on(wire, CHANNEL_ERROR, text.data, text.len);
	channels_close(of(wire), true);
}

static struct queue *out(struct wire *wire)
{
	return channels_out(of(wire));
}

struct wire *wire_new_websocket(const struct wire_options *options)
{
	static const struct wire_ops ops = { free_wire, feed, ready, closed, send_on, finish, out };
	struct wire_websocket *self = xnew(struct wire_websocket);

	self->wire.ops = &ops;
	self->wire.options = *options;
	self->channels = channels_new(options->base64, on_received, self);
	return &self->wire;
}
