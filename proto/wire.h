/*
 * The bytes of a protobuf message, checked against its descriptor before anything is allocated for them.
 *
 * protobuf-c's decoder trusts its input further than a server may: it knows no nesting limit, cuts strings at
 * NUL without a word, takes any bytes for text, and turns two bytes of an empty submessage into hundreds of
 * bytes of memory. wire_check() walks the same bytes first, without allocation and without side effect, and
 * refuses what must not reach the decoder. What passes is decoded by protobuf-c without surprises.
 *
 * Refused with RPC_INTERNAL, as gRPC servers answer a request they can't decode: truncated or overlong
 * varints, lengths past the end, field number 0 or above 2^29-1, a wire type other than the field's own
 * (packed and unpacked scalars are both fine), groups, nesting deeper than WIRE_DEPTH_MAX, text that is not
 * UTF-8. Refused with RPC_INVALID_ARGUMENT: a NUL inside a string, naming the field. Refused with
 * RPC_RESOURCE_EXHAUSTED: more than WIRE_DECODED_MAX bytes when decoded. Unknown fields are fine (newer
 * clients have them) and count by their size.
 *
 * Pure functions; safe from any thread. Format: https://protobuf.dev/programming-guides/encoding/
 */
#ifndef PROTO_WIRE_H
#define PROTO_WIRE_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

enum {
	WIRE_DEPTH_MAX = 100,
	WIRE_DECODED_MAX = 64 * 1024 * 1024, /* bytes; four times what a request may have on the wire */
};

/* data may be NULL when len is 0 (the empty message). */
int wire_check(const ProtobufCMessageDescriptor *desc, const void *data, size_t len,
	       struct err *err) MUST_CHECK;

#endif
