#include "server/streaming/channels.h"

#include <stdlib.h>

#include "base/str.h"
#include "proto/base64.h"
#include "server/streaming/websocket.h"

enum { TEXT_MAX = 1024 * 1024 };

struct channels {
	struct websocket *websocket;
	bool base64;
	void (*received)(void *data, int channel, const uint8_t *bytes, size_t len);
	void *data;
	bool inside; /* of a message whose first byte was seen */
	int channel; /* its */
	struct queue text;
	bool text_too_long;
};

static void pass_text(struct channels *channels)
{
	const uint8_t *text = queue_front(&channels->text);
	size_t len = channels->text.len, got;
	CLEANUP(freep) uint8_t *bytes = NULL;

	if (len < 2 || channels->text_too_long || text[0] < '0')
		return;
	bytes = xmalloc(base64_room(len - 1) + 1);
	if (base64_decode((const char *)text + 1, len - 1, bytes, &got) && got)
		channels->received(channels->data, text[0] - '0', bytes, got);
}

static void receive_text(struct channels *channels, const uint8_t *bytes, size_t len, bool end)
{
	if (channels->text.len + len <= TEXT_MAX)
		queue_add(&channels->text, bytes, len);
	else
		channels->text_too_long = true;
	if (!end)
		return;
	pass_text(channels);
	queue_clear(&channels->text);
	channels->text_too_long = false;
}

static void on_received(void *data, const uint8_t *bytes, size_t len, bool end)
{
	struct channels *channels = data;

	if (channels->base64) {
		receive_text(channels, bytes, len, end);
		return;
	}
	if (len && !channels->inside) {
		channels->inside = true;
		channels->channel = *bytes++;
		len--;
	}
	if (len)
		channels->received(channels->data, channels->channel, bytes, len);
	if (end)
		channels->inside = false;
}

struct channels *channels_new(bool base64,
			      void (*received)(void *data, int channel, const uint8_t *bytes, size_t len),
			      void *data)
{
	static const struct websocket_events events = { on_received };
	struct channels *channels = xnew(struct channels);

	channels->base64 = base64;
	channels->received = received;
	channels->data = data;
	channels->websocket = websocket_new(&events, channels);
	return channels;
}

struct channels *channels_free(struct channels *channels)
{
	if (!channels)
		return NULL;
	websocket_free(channels->websocket);
	queue_done(&channels->text);
	free(channels);
	return NULL;
}

int channels_feed(struct channels *channels, const uint8_t *bytes, size_t len, struct err *err)
{
	return websocket_feed(channels->websocket, bytes, len, err);
}

void channels_send(struct channels *channels, int channel, const void *data, size_t len)
{
	struct str message CLEANUP(str_done) = STR_INIT;

	str_addc(&message, (char)(channels->base64 ? '0' + channel : channel));
	if (channels->base64)
		base64_encode(&message, data, len);
	else
		str_addn(&message, data, len);
	websocket_send(channels->websocket, message.data, message.len, channels->base64);
}

void channels_close(struct channels *channels, bool good)
{
	websocket_close(channels->websocket, good);
}

bool channels_closed(const struct channels *channels)
{
	return websocket_closed(channels->websocket);
}

struct queue *channels_out(struct channels *channels)
{
	return websocket_out(channels->websocket);
}
