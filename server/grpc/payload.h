/*
 * What travels in a call: gRPC's byte buffers on one side, contiguous bytes and protobuf-c messages on the
 * other.
 *
 * gRPC's own decompression is switched off (it inflates without a bound); compressed requests are inflated
 * here, up to the receive limit. Pure functions over the given buffers; safe from any thread.
 *
 * Wire format: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md and doc/compression.md
 */
#ifndef SERVER_GRPC_PAYLOAD_H
#define SERVER_GRPC_PAYLOAD_H

#include <grpc/byte_buffer.h>
#include <grpc/slice.h>
#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

/* The bytes of one message: borrowed from a slice when they lie in one piece, copied otherwise. */
struct payload {
	const uint8_t *data; /* never NULL */
	size_t len;
	uint8_t *copy;
	grpc_slice slice;
};

/* Takes the bytes out of buffer, which must outlive *ret. RESOURCE_EXHAUSTED when more than max, INTERNAL
 * when the compressed form is broken, UNIMPLEMENTED for a compression we don't know. */
int payload_read(const grpc_byte_buffer *buffer, size_t max, struct payload *ret, struct err *err) MUST_CHECK;
void payload_done(struct payload *payload); /* also for CLEANUP */

/* *ret is a new buffer of len bytes, which the caller fills through what is returned; NULL and
 * RESOURCE_EXHAUSTED when len is more than max. */
uint8_t *payload_room(size_t len, size_t max, grpc_byte_buffer **ret, struct err *err);
/* *ret is a new buffer; RESOURCE_EXHAUSTED when the message is longer than max. */
int payload_write(const ProtobufCMessage *message, size_t max, grpc_byte_buffer **ret,
		  struct err *err) MUST_CHECK;

#endif
