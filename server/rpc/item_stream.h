/*
 * A list as a stream: its items in as few messages as keep well below the limit of one.
 */
#ifndef SERVER_RPC_ITEM_STREAM_H
#define SERVER_RPC_ITEM_STREAM_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "sandbox/lister.h"
#include "server/grpc/call.h"

/* part: an empty message of the stream's type, whose only field is the list. No items, no message. */
int item_stream(struct call *call, ProtobufCMessage *part, ProtobufCMessage **items, size_t count,
		struct err *err) MUST_CHECK;

/* The same for a list that comes in batches. */
struct item_stream {
	struct call *call;
	ProtobufCMessage *part;
};
struct list_sink item_stream_sink(struct item_stream *stream);

#endif
