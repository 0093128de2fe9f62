/*
 * The server's side of a SPDY/3.1 connection (SPDY draft 3.1, as moby/spdystream speaks it): bytes in,
 * events out; what is to be sent goes into a queue. No I/O.
 *
 * Nothing is ever sent before the client's first SYN_STREAM: its HTTP reader would swallow it. Data comes in
 * pieces as it arrives, whatever a frame's length; all else is bounded (SPDY_CONTROL_MAX). There is no flow
 * control: WINDOW_UPDATE and SETTINGS are ignored, as the clients do. Not thread-safe.
 */
#ifndef SERVER_STREAMING_SPDY_H
#define SERVER_STREAMING_SPDY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "server/streaming/queue.h"
#include "server/streaming/spdy_headers.h"

enum {
	SPDY_CONTROL_MAX = 16 * 1024, /* bytes of a control frame behind its header */
	SPDY_DATA_MAX = 64 * 1024,    /* bytes of a data frame we send */
	SPDY_STREAM_MAX = 0x7fffffff,
};

enum spdy_status { SPDY_PROTOCOL_ERROR = 1, SPDY_REFUSED = 3, SPDY_CANCEL = 5 };

struct spdy_events {
	/* A new stream. To be answered at once with spdy_reply() or spdy_reset(). */
	void (*opened)(void *data, uint32_t id, const struct spdy_headers *headers);
	void (*received)(void *data, uint32_t id, const uint8_t *bytes, size_t len);
	/* The client sends no more on it; reset: and wants no more either. May come for any id, and twice. */
	void (*ended)(void *data, uint32_t id, bool reset);
};

struct spdy {
	const struct spdy_events *events;
	void *data;
	struct queue out;
	bool gone_away; /* the client has said that it ends the connection */

	/* private */
	bool talking, replied;
	uint32_t last_id;
	uint8_t header[8];
	size_t header_len;
	uint8_t *control; /* SPDY_CONTROL_MAX bytes, once needed */
	size_t control_len;
	uint32_t left; /* bytes of this frame that are still to come */
	struct spdy_unpacker unpacker;
};

void spdy_init(struct spdy *spdy, const struct spdy_events *events, void *data);
void spdy_done(struct spdy *spdy);

/* INVALID_ARGUMENT when the connection cannot go on; then nothing more may be fed. */
int spdy_feed(struct spdy *spdy, const uint8_t *data, size_t len, struct err *err) MUST_CHECK;

void spdy_reply(struct spdy *spdy, uint32_t id);
/* Any length; len 0 and fin: just the end. */
void spdy_send(struct spdy *spdy, uint32_t id, const void *data, size_t len, bool fin);
/* The same without a copy: room for SPDY_DATA_MAX bytes, then how many of them were written (0: none). */
uint8_t *spdy_send_room(struct spdy *spdy);
void spdy_send_grown(struct spdy *spdy, uint32_t id, size_t len);
void spdy_reset(struct spdy *spdy, uint32_t id, enum spdy_status status);
/* The last frame. */
void spdy_go_away(struct spdy *spdy);

#endif
