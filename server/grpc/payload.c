/*
 * A request is mostly one slice and is decoded where it lies. Inflating grows the output by doubling and
 * stops at the limit, so a compression bomb costs at most the limit; zlib reads both of gRPC's encodings,
 * "deflate" (RFC 1950) and "gzip" (RFC 1952), and tells them apart by their headers.
 *
 * grpc_byte_buffer's fields are public in grpc_types.h; the reader in byte_buffer_reader.h does not inflate
 * and would only add a copy.
 */
#include "server/grpc/payload.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "proto/message.h"

enum {
	INFLATE_FIRST = 16 * 1024,
	ZLIB_OR_GZIP = 32 + MAX_WBITS, /* inflateInit2: detect the header */
};

void payload_done(struct payload *payload)
{
	free(payload->copy);
	grpc_slice_unref(payload->slice);
	*payload = (struct payload){ .data = (const uint8_t *)"", .slice = grpc_empty_slice() };
}

static void read_plain(const grpc_slice_buffer *slices, struct payload *ret)
{
	size_t at = 0;

	if (slices->count == 1) {
		/* A slice may carry its bytes inline: point into our own copy of it, not into the buffer's.
		 */
		ret->slice = grpc_slice_ref(slices->slices[0]);
		ret->data = GRPC_SLICE_START_PTR(ret->slice);
		ret->len = GRPC_SLICE_LENGTH(ret->slice);
		return;
	}
	ret->copy = xmalloc(slices->length + 1);
	for (size_t i = 0; i < slices->count; i++) {
		memcpy(ret->copy + at, GRPC_SLICE_START_PTR(slices->slices[i]),
		       GRPC_SLICE_LENGTH(slices->slices[i]));
		at += GRPC_SLICE_LENGTH(slices->slices[i]);
	}
	ret->data = ret->copy;
	ret->len = at;
}

struct inflater {
	z_stream zlib;
	uint8_t *out;
	size_t size, len, max;
	bool ended;
};

/* Room for one byte past the limit shows that there is more. */
static int grow(struct inflater *inflater, struct err *err)
{
	if (inflater->len > inflater->max)
		return err_set(err, RPC_RESOURCE_EXHAUSTED,
			       "the decompressed request is larger than %zu bytes", inflater->max);
	if (inflater->len < inflater->size)
		return 0;
	inflater->size = inflater->size ? inflater->size * 2 : INFLATE_FIRST;
	if (inflater->size > inflater->max + 1)
		inflater->size = inflater->max + 1;
	inflater->out = xrealloc(inflater->out, inflater->size, 1);
	return 0;
}

static int feed(struct inflater *inflater, const uint8_t *data, size_t len, struct err *err)
{
	z_stream *zlib = &inflater->zlib;

	zlib->next_in = (z_const Bytef *)data;
	zlib->avail_in = (uInt)len;
	while (zlib->avail_in || !zlib->avail_out) {
		int status;

		if (inflater->ended)
			return zlib->avail_in
				       ? err_set(err, RPC_INTERNAL, "bytes follow the compressed request")
				       : 0;
		if (grow(inflater, err) < 0)
			return -1;
		zlib->next_out = inflater->out + inflater->len;
		zlib->avail_out = (uInt)(inflater->size - inflater->len);
		status = inflate(zlib, Z_NO_FLUSH);
		inflater->len = inflater->size - zlib->avail_out;
		inflater->ended = status == Z_STREAM_END;
		if (status == Z_BUF_ERROR)
			return 0; /* needs the next slice */
		if (status != Z_OK && status != Z_STREAM_END)
			return err_set(err, RPC_INTERNAL, "the compressed request is broken: %s",
				       zlib->msg ? zlib->msg : zError(status));
	}
	return 0;
}

static int read_compressed(const grpc_slice_buffer *slices, struct inflater *inflater, struct err *err)
{
	for (size_t i = 0; i < slices->count; i++)
		if (feed(inflater, GRPC_SLICE_START_PTR(slices->slices[i]),
			 GRPC_SLICE_LENGTH(slices->slices[i]), err) < 0)
			return -1;
	if (!inflater->ended)
		return err_set(err, RPC_INTERNAL, "the compressed request is cut short");
	if (inflater->len > inflater->max)
		return err_set(err, RPC_RESOURCE_EXHAUSTED,
			       "the decompressed request is larger than %zu bytes", inflater->max);
	return 0;
}

static int inflate_all(const grpc_slice_buffer *slices, size_t max, struct payload *ret, struct err *err)
{
	struct inflater inflater = { .max = max };
	int status = inflateInit2(&inflater.zlib, ZLIB_OR_GZIP);
	int result;

	assert(status == Z_OK || status == Z_MEM_ERROR);
	if (status != Z_OK)
		return err_set(err, RPC_RESOURCE_EXHAUSTED, "no memory to decompress the request");
	result = read_compressed(slices, &inflater, err);
	inflateEnd(&inflater.zlib);
	if (result < 0) {
		free(inflater.out);
		return -1;
	}
	ret->copy = inflater.out;
	ret->data = inflater.out ? inflater.out : (const uint8_t *)"";
	ret->len = inflater.len;
	return 0;
}

int payload_read(const grpc_byte_buffer *buffer, size_t max, struct payload *ret, struct err *err)
{
	const grpc_slice_buffer *slices = &buffer->data.raw.slice_buffer;

	assert(buffer->type == GRPC_BB_RAW);
	*ret = (struct payload){ .data = (const uint8_t *)"", .slice = grpc_empty_slice() };
	if (slices->length > max)
		return err_set(err, RPC_RESOURCE_EXHAUSTED, "the request has %zu bytes, the limit is %zu",
			       slices->length, max);
	switch (buffer->data.raw.compression) {
	case GRPC_COMPRESS_NONE:
		read_plain(slices, ret);
		return 0;
	case GRPC_COMPRESS_DEFLATE:
	case GRPC_COMPRESS_GZIP:
		return inflate_all(slices, max, ret, err);
	default:
		return err_set(err, RPC_UNIMPLEMENTED, "the request's compression is not supported");
	}
}

uint8_t *payload_room(size_t len, size_t max, grpc_byte_buffer **ret, struct err *err)
{
	grpc_slice slice;

	if (len > max) {
		err_set(err, RPC_RESOURCE_EXHAUSTED, "the answer has %zu bytes, the limit is %zu", len, max);
		return NULL;
	}
	slice = grpc_slice_malloc(len);
	*ret = grpc_raw_byte_buffer_create(&slice, 1);
	grpc_slice_unref(slice);
	/* A short slice carries its bytes inline: those of the buffer's own copy count. */
	return GRPC_SLICE_START_PTR((*ret)->data.raw.slice_buffer.slices[0]);
}

int payload_write(const ProtobufCMessage *message, size_t max, grpc_byte_buffer **ret, struct err *err)
{
	size_t len = message_size(message);
	uint8_t *room = payload_room(len, max, ret, err);

	if (!room)
		return -1;
	message_pack_to(message, room, len);
	return 0;
}
