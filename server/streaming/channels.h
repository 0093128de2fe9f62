/*
 * Kubernetes' channels in WebSocket messages: a byte for the channel and data behind it, or, as text, the
 * byte plus '0' and the data in base64. Bytes in, pieces of data out; what is to be sent waits in
 * channels_out(). No I/O; not thread-safe.
 */
#ifndef SERVER_STREAMING_CHANNELS_H
#define SERVER_STREAMING_CHANNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "server/streaming/queue.h"

struct channels;

/* received: the next bytes of a channel, at least one; messages of bytes are passed on as they come, those of
 * text are collected first. */
struct channels *channels_new(bool base64,
			      void (*received)(void *data, int channel, const uint8_t *bytes, size_t len),
			      void *data);
struct channels *channels_free(struct channels *channels); /* accepts NULL, returns NULL */

/* INVALID_ARGUMENT when the client breaks the protocol. */
int channels_feed(struct channels *channels, const uint8_t *bytes, size_t len, struct err *err) MUST_CHECK;
void channels_send(struct channels *channels, int channel, const void *data, size_t len); /* one message */
void channels_close(struct channels *channels, bool good);
bool channels_closed(const struct channels *channels); /* by the client */
struct queue *channels_out(struct channels *channels);

#endif
