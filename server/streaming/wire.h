/*
 * Exec and attach on the wire: the channels of kubernetes' remotecommand protocol, over SPDY streams or
 * WebSocket messages. Bytes in, events out; what is to be sent waits in wire_out(). No I/O; not thread-safe.
 */
#ifndef SERVER_STREAMING_WIRE_H
#define SERVER_STREAMING_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "server/streaming/queue.h"
#include "server/streaming/status.h"

/* WebSocket's numbers. */
enum channel { CHANNEL_STDIN, CHANNEL_STDOUT, CHANNEL_STDERR, CHANNEL_ERROR, CHANNEL_RESIZE, CHANNEL_COUNT };

struct wire_events {
	void (*received)(void *data, enum channel channel, const uint8_t *bytes, size_t len);
	void (*ended)(void *data, enum channel channel);
};

struct wire_options {
	int version;           /* 1 to 5 */
	bool base64;           /* WebSocket only */
	unsigned int channels; /* set of 1 << enum channel that the session has; CHANNEL_ERROR always */
	const struct wire_events *events;
	void *data;
};

struct wire;

struct wire *wire_new_spdy(const struct wire_options *options);
struct wire *wire_new_websocket(const struct wire_options *options);
struct wire *wire_free(struct wire *wire); /* accepts NULL, returns NULL */

/* INVALID_ARGUMENT when the client breaks the protocol. */
int wire_feed(struct wire *wire, const uint8_t *data, size_t len, struct err *err) MUST_CHECK;
/* Whether the client has opened all channels, so that the session may begin. */
bool wire_ready(const struct wire *wire);
/* Whether the client has said that it goes away. */
bool wire_closed(const struct wire *wire);
/* For channels of the session; others are passed over. */
void wire_send(struct wire *wire, enum channel channel, const void *data, size_t len);
/* Status, the ends of all channels, the connection's end. Once. */
void wire_finish(struct wire *wire, const struct status *status);
struct queue *wire_out(struct wire *wire);

#endif
