/*
 * The client's side of the wire for tests: SPDY frames with compressed headers, masked WebSocket frames.
 */
#ifndef TEST_STREAMING_PEER_H
#define TEST_STREAMING_PEER_H

#include <zlib.h>

#include "server/streaming/queue.h"
#include "server/streaming/spdy_dictionary.h"
#include "test/base/check.h"

struct packer {
	z_stream zlib;
	bool open;
};

static inline void put_u32(struct queue *queue, uint32_t value)
{
	const uint8_t bytes[] = { (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
				  (uint8_t)value };

	queue_add(queue, bytes, 4);
}

static inline uint32_t peek_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* pairs: name, value, ..., NULL */
static inline void pack_headers(struct packer *packer, const char *const *pairs, struct queue *out)
{
	CLEANUP(queue_done) struct queue plain = { 0 };
	uint8_t dictionary[SPDY_DICTIONARY_SIZE], packed[16384];
	uint32_t count = 0;

	if (!packer->open) {
		assert_int_equal(deflateInit(&packer->zlib, 9), Z_OK);
		spdy_dictionary(dictionary);
		assert_int_equal(deflateSetDictionary(&packer->zlib, dictionary, sizeof(dictionary)), Z_OK);
		packer->open = true;
	}
	while (pairs[2 * count])
		count++;
	put_u32(&plain, count);
	for (size_t i = 0; pairs[i]; i++) {
		put_u32(&plain, (uint32_t)strlen(pairs[i]));
		queue_add(&plain, pairs[i], strlen(pairs[i]));
	}
	packer->zlib.next_in = (uint8_t *)queue_front(&plain);
	packer->zlib.avail_in = (uInt)plain.len;
	packer->zlib.next_out = packed;
	packer->zlib.avail_out = sizeof(packed);
	assert_int_equal(deflate(&packer->zlib, Z_SYNC_FLUSH), Z_OK);
	queue_add(out, packed, sizeof(packed) - packer->zlib.avail_out);
}

static inline void packer_done(struct packer *packer)
{
	if (packer->open)
		deflateEnd(&packer->zlib);
	packer->open = false;
}

static inline void put_control(struct queue *out, uint32_t type, uint8_t flags, const struct queue *payload)
{
	put_u32(out, 0x80030000u | type);
	put_u32(out, (uint32_t)flags << 24 | (uint32_t)payload->len);
	queue_add(out, queue_front(payload), payload->len);
}

static inline void put_syn(struct queue *out, struct packer *packer, uint32_t id, const char *const *pairs)
{
	CLEANUP(queue_done) struct queue payload = { 0 };

	put_u32(&payload, id);
	put_u32(&payload, 0);
	queue_add(&payload, "\0\0", 2);
	pack_headers(packer, pairs, &payload);
	put_control(out, 1, 0, &payload);
}

static inline void put_data(struct queue *out, uint32_t id, const void *data, size_t len, bool fin)
{
	put_u32(out, id);
	put_u32(out, (uint32_t)len | (fin ? 1u << 24 : 0));
	queue_add(out, data, len);
}

static inline void put_u32_control(struct queue *out, uint32_t type, uint32_t a, uint32_t b, int count)
{
	CLEANUP(queue_done) struct queue payload = { 0 };

	put_u32(&payload, a);
	if (count > 1)
		put_u32(&payload, b);
	put_control(out, type, 0, &payload);
}

/* first: FIN and opcode; payload below 64 KiB. */
static inline void put_message(struct queue *out, uint8_t first, const void *payload, size_t len)
{
	static const uint8_t mask[] = { 1, 2, 3, 4 };
	const uint8_t *bytes = payload;

	queue_add(out, &first, 1);
	if (len < 126) {
		uint8_t size = (uint8_t)(0x80 | len);

		queue_add(out, &size, 1);
	} else {
		uint8_t size[] = { 0x80 | 126, (uint8_t)(len >> 8), (uint8_t)len };

		queue_add(out, size, 3);
	}
	queue_add(out, mask, 4);
	for (size_t i = 0; i < len; i++) {
		uint8_t byte = bytes[i] ^ mask[i % 4];

		queue_add(out, &byte, 1);
	}
}

#endif
