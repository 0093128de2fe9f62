/*
 * A frame's header is collected first (eight bytes, as clients send them in crumbs), then a control frame as
 * a whole or a data frame's bytes as they come. The replies have no headers, so their compressed blocks are
 * always the same: stored, ended by a sync flush, behind the zlib header in the first.
 */
#include "server/streaming/spdy.h"

#include <stdlib.h>
#include <string.h>

enum { SYN_STREAM = 1, SYN_REPLY = 2, RST_STREAM = 3, PING = 6, GOAWAY = 7, HEADERS = 8 };
enum { FLAG_FIN = 1, FRAME_HEADER = 8 };

static const uint8_t zlib_header[] = { 0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2 };
static const uint8_t no_headers[] = { 0x00, 0x04, 0x00, 0xfb, 0xff, 0x00, 0x00,
				      0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff };

static uint32_t get_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint32_t get_u24(const uint8_t *at)
{
	return (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
}

static void put_u32(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 24);
	at[1] = (uint8_t)(value >> 16);
	at[2] = (uint8_t)(value >> 8);
	at[3] = (uint8_t)value;
}

void spdy_init(struct spdy *spdy, const struct spdy_events *events, void *data)
{
	*spdy = (struct spdy){ .events = events, .data = data };
}

void spdy_done(struct spdy *spdy)
{
	queue_done(&spdy->out);
	freep(&spdy->control);
	spdy_unpacker_done(&spdy->unpacker);
}

/* ---- sending ---- */

static void send_control(struct spdy *spdy, int type, const void *payload, size_t len)
{
	uint8_t header[FRAME_HEADER];

	put_u32(header, 0x80030000u | (uint32_t)type);
	put_u32(header + 4, (uint32_t)len);
	queue_add(&spdy->out, header, sizeof(header));
	queue_add(&spdy->out, payload, len);
}

void spdy_reply(struct spdy *spdy, uint32_t id)
{
	uint8_t payload[4 + sizeof(zlib_header) + sizeof(no_headers)];
	size_t len = 4;

	put_u32(payload, id);
	if (!spdy->replied) {
		memcpy(payload + len, zlib_header, sizeof(zlib_header));
		len += sizeof(zlib_header);
	}
	spdy->replied = true;
	memcpy(payload + len, no_headers, sizeof(no_headers));
	send_control(spdy, SYN_REPLY, payload, len + sizeof(no_headers));
}

static void put_data_header(uint8_t *header, uint32_t id, size_t len, bool fin)
{
	put_u32(header, id);
	put_u32(header + 4, (uint32_t)len | (fin ? (uint32_t)FLAG_FIN << 24 : 0));
}

void spdy_send(struct spdy *spdy, uint32_t id, const void *data, size_t len, bool fin)
{
	const uint8_t *at = data;

	do {
		size_t part = len < SPDY_DATA_MAX ? len : SPDY_DATA_MAX;

		put_data_header(queue_room(&spdy->out, FRAME_HEADER), id, part, fin && part == len);
		queue_grown(&spdy->out, FRAME_HEADER);
		queue_add(&spdy->out, at, part);
		at += part;
		len -= part;
	} while (len);
}

uint8_t *spdy_send_room(struct spdy *spdy)
{
	return queue_room(&spdy->out, FRAME_HEADER + SPDY_DATA_MAX) + FRAME_HEADER;
}

void spdy_send_grown(struct spdy *spdy, uint32_t id, size_t len)
{
	if (!len)
		return;
	put_data_header(queue_room(&spdy->out, FRAME_HEADER + len), id, len, false);
	queue_grown(&spdy->out, FRAME_HEADER + len);
}

void spdy_reset(struct spdy *spdy, uint32_t id, enum spdy_status status)
{
	uint8_t payload[8];

	put_u32(payload, id);
	put_u32(payload + 4, status);
	send_control(spdy, RST_STREAM, payload, sizeof(payload));
}

void spdy_go_away(struct spdy *spdy)
{
	uint8_t payload[8];

	put_u32(payload, spdy->last_id);
	put_u32(payload + 4, 0);
	if (spdy->talking)
		send_control(spdy, GOAWAY, payload, sizeof(payload));
}

/* ---- receiving ---- */

static int syn_stream(struct spdy *spdy, const uint8_t *payload, size_t len, struct err *err)
{
	struct spdy_headers headers;
	uint32_t id;

	if (len < 10)
		return err_set(err, RPC_INVALID_ARGUMENT, "SPDY: a short SYN_STREAM");
	id = get_u32(payload) & SPDY_STREAM_MAX;
	if (id % 2 == 0 || id <= spdy->last_id)
		return err_set(err, RPC_INVALID_ARGUMENT, "SPDY: stream %u out of order", id);
	if (spdy_unpack(&spdy->unpacker, payload + 10, len - 10, &headers, err) < 0)
		return -1;
	spdy->last_id = id;
	spdy->talking = true;
	spdy->events->opened(spdy->data, id, &headers);
	if (spdy->header[4] & FLAG_FIN)
		spdy->events->ended(spdy->data, id, false);
	return 0;
}

/* Unpacked only since the blocks that follow depend on it. */
static int other_headers(struct spdy *spdy, const uint8_t *payload, size_t len, struct err *err)
{
	struct spdy_headers headers;

	if (len < 4)
		return err_set(err, RPC_INVALID_ARGUMENT, "SPDY: a short frame of headers");
	if (spdy_unpack(&spdy->unpacker, payload + 4, len - 4, &headers, err) < 0)
		return -1;
	if (spdy->header[4] & FLAG_FIN)
		spdy->events->ended(spdy->data, get_u32(payload) & SPDY_STREAM_MAX, false);
	return 0;
}

static int control_frame(struct spdy *spdy, struct err *err)
{
	const uint8_t *payload = spdy->control;
	size_t len = spdy->control_len;

	switch (get_u32(spdy->header) & 0xffff) {
	case SYN_STREAM:
		return syn_stream(spdy, payload, len, err);
	case SYN_REPLY:
	case HEADERS:
		return other_headers(spdy, payload, len, err);
	case RST_STREAM:
		if (len < 8)
			return err_set(err, RPC_INVALID_ARGUMENT, "SPDY: a short RST_STREAM");
		spdy->events->ended(spdy->data, get_u32(payload) & SPDY_STREAM_MAX, true);
		return 0;
	case PING: /* odd ones are the client's own; we send none that could be answered */
		if (len == 4 && payload[3] % 2 == 1 && spdy->talking)
			send_control(spdy, PING, payload, len);
		return 0;
	case GOAWAY:
		spdy->gone_away = true;
		return 0;
	default:
		return 0;
	}
}

static int header_complete(struct spdy *spdy, struct err *err)
{
	bool control = spdy->header[0] & 0x80;

	spdy->left = get_u24(spdy->header + 5);
	spdy->control_len = 0;
	if (!control && get_u32(spdy->header) == 0)
		return err_set(err, RPC_INVALID_ARGUMENT, "SPDY: data for stream 0");
	if (!control)
		return 0;
	if ((get_u32(spdy->header) >> 16 & 0x7fff) != 3)
		return err_set(err, RPC_INVALID_ARGUMENT, "SPDY: not version 3");
	if (spdy->left > SPDY_CONTROL_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "SPDY: a control frame of %u bytes", spdy->left);
	if (!spdy->control)
		spdy->control = xmalloc(SPDY_CONTROL_MAX);
	return 0;
}

static int frame_complete(struct spdy *spdy, struct err *err)
{
	spdy->header_len = 0;
	if (spdy->header[0] & 0x80)
		return control_frame(spdy, err);
	if (spdy->header[4] & FLAG_FIN)
		spdy->events->ended(spdy->data, get_u32(spdy->header), false);
	return 0;
}

/* Takes what belongs to the frame whose header is complete. */
static size_t take_payload(struct spdy *spdy, const uint8_t *data, size_t len)
{
	size_t part = len < spdy->left ? len : spdy->left;

	if (spdy->header[0] & 0x80) {
		memcpy(spdy->control + spdy->control_len, data, part);
		spdy->control_len += part;
	} else if (part) {
		spdy->events->received(spdy->data, get_u32(spdy->header), data, part);
	}
	spdy->left -= (uint32_t)part;
	return part;
}

int spdy_feed(struct spdy *spdy, const uint8_t *data, size_t len, struct err *err)
{
	while (len) {
		size_t part = FRAME_HEADER - spdy->header_len;

		if (part) {
			part = len < part ? len : part;
			memcpy(spdy->header + spdy->header_len, data, part);
			spdy->header_len += part;
			if (spdy->header_len == FRAME_HEADER && header_complete(spdy, err) < 0)
				return -1;
		} else {
			part = take_payload(spdy, data, len);
		}
		if (spdy->header_len == FRAME_HEADER && !spdy->left && frame_complete(spdy, err) < 0)
			return -1;
		data += part;
		len -= part;
	}
	return 0;
}
