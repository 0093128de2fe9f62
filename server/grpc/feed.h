/*
 * A streamed answer that goes on after its handler has returned, and takes no thread: messages are put in
 * from anywhere and sent one after the other, as fast as the client reads.
 *
 * What waits is bounded. A client that falls behind by more is cut off with RESOURCE_EXHAUSTED, which it
 *finds behind the last message it was being sent, and never holds up whoever puts in. The stream is over when
 *the client has gone, the call's deadline has passed, crispd shuts down (UNAVAILABLE), the client fell
 *behind, or feed_end() was called.
 *
 * A handler makes a feed, lists it where messages come from, starts it and returns 0:
 *
 *	feed = feed_new(call, &options);
 *	subscribe(feed);                        (puts are kept from here on)
 *	if (feed_start(feed, err) < 0) {        (options.closed was not and will not be called)
 *		unsubscribe(feed);
 *		...return -1;
 *
 * Threads: all functions, any. feed_put() may be called under locks of ranks up to LOCK_EVENTS; the others
 * without any lock, because they reach into gRPC. Messages go out in the order of the puts.
 */
#ifndef SERVER_GRPC_FEED_H
#define SERVER_GRPC_FEED_H

#include <grpc/byte_buffer.h>
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "server/grpc/call.h"

struct calls;
struct feed;

struct feed_options {
	size_t count_max, bytes_max; /* of messages that wait */
	/* Called once, without locks, when a started feed is over: the place to unsubscribe. Puts that come
	 * later are ignored. The data must live until then. */
	void (*closed)(void *data);
	void *data;
};

/* For handlers of streaming RPCs; at most one a call. The caller gets a reference. */
struct feed *feed_new(struct call *call, const struct feed_options *options);
/* From here on the call ends with the feed. CANCELLED when the client has gone already, UNAVAILABLE while
 * crispd shuts down. */
int feed_start(struct feed *feed, struct err *err) MUST_CHECK;
struct feed *feed_ref(struct feed *feed);
struct feed *feed_unref(struct feed *feed); /* accepts NULL, returns NULL */
void feed_unrefp(struct feed **feed);

/* One message packed for any number of feeds; it is mended first (proto/message.h), with memory of arena.
 * Freed with grpc_byte_buffer_destroy(). Also for a feed that is over. RESOURCE_EXHAUSTED when longer than
 * call_answer_max() allows. */
int feed_pack(const struct feed *feed, ProtobufCMessage *message, struct arena *arena, grpc_byte_buffer **ret,
	      struct err *err) MUST_CHECK;
/* Keeps a message (the caller's stays its own) to be sent by the next feed_flush(). Never blocks. False when
 * the feed is over or too much waits; feed_flush() then cuts it off. */
bool feed_put(struct feed *feed, grpc_byte_buffer *message);
/* Sends what was put; returns at once. After every feed_put(), once no lock is held. */
void feed_flush(struct feed *feed);
/* Ends the stream after what was put; err NULL: with OK. */
void feed_end(struct feed *feed, const struct err *err);

/* For call.c and rpc_server.c. Has feed_start() succeeded? The stream is over. All feeds end, and no new ones
 * start. */
bool feed_started(struct feed *feed);
void feed_closed(struct feed *feed);
void feeds_stop(struct calls *calls);

#endif
