/*
 * The server's side of a WebSocket connection (RFC 6455) on libwslay: bytes in, pieces of messages out; what
 * is to be sent goes into a queue. No I/O. Pings are answered, a close is answered; messages are not
 * collected, so they may have any length. Not thread-safe.
 */
#ifndef SERVER_STREAMING_WEBSOCKET_H
#define SERVER_STREAMING_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "server/streaming/queue.h"

struct websocket;

struct websocket_events {
	/* The next piece of the message in progress; end: it was the last, which may be empty. */
	void (*received)(void *data, const uint8_t *bytes, size_t len, bool end);
};

struct websocket *websocket_new(const struct websocket_events *events, void *data);
struct websocket *websocket_free(struct websocket *websocket); /* accepts NULL, returns NULL */

/* INVALID_ARGUMENT when the client breaks the protocol; what tells it so is in the queue. */
int websocket_feed(struct websocket *websocket, const uint8_t *data, size_t len, struct err *err) MUST_CHECK;
/* One message; text: as such, else binary. */
void websocket_send(struct websocket *websocket, const void *data, size_t len, bool text);
/* Sends the closing frame, code 1000 when good, else 1011; nothing is sent after it. */
void websocket_close(struct websocket *websocket, bool good);
bool websocket_closed(const struct websocket *websocket); /* by the client */
struct queue *websocket_out(struct websocket *websocket);

/* Sec-WebSocket-Accept for a key, 28 characters and a NUL. */
enum { WEBSOCKET_ACCEPT_SIZE = 29 };
void websocket_accept(const char *key, char ret[WEBSOCKET_ACCEPT_SIZE]);

#endif
