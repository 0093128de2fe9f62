/*
 * The parts are windows on the items' array: nothing is copied. A part ends before it would pass PART_BYTES;
 * an item longer than that is a part of its own.
 */
#include "server/rpc/item_stream.h"

#include <assert.h>

#include "proto/field.h"
#include "proto/message.h"

enum { PART_BYTES = 1024 * 1024 };

/* How many items from the first one on make a part; at least 1. */
static size_t part_len(ProtobufCMessage **items, size_t count)
{
	size_t bytes = 0, len = 0;

	while (len < count) {
		bytes += message_size(items[len]) + 8; /* tag and length */
		if (len && bytes > PART_BYTES)
			break;
		len++;
	}
	return len;
}

int item_stream(struct call *call, ProtobufCMessage *part, ProtobufCMessage **items, size_t count,
		struct err *err)
{
	const ProtobufCFieldDescriptor *field = &part->descriptor->fields[0];

	assert(part->descriptor->n_fields == 1 && field->type == PROTOBUF_C_TYPE_MESSAGE &&
	       field_repeated(field));
	for (size_t at = 0, len; at < count; at += len) {
		len = part_len(items + at, count - at);
		*(ProtobufCMessage ***)field_to(part, field) = items + at;
		field_set_count(part, field, len);
		if (call_send(call, part, err) < 0)
			return -1;
	}
	return 0;
}

static int take(void *data, ProtobufCMessage **items, size_t count, struct err *err)
{
	struct item_stream *stream = data;

	return item_stream(stream->call, stream->part, items, count, err);
}

struct list_sink item_stream_sink(struct item_stream *stream)
{
	return (struct list_sink){ .take = take, .data = stream };
}
