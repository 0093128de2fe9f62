/*
 * Header blocks of SPDY/3.1 (draft 3.1, section 2.6.10): one zlib stream per direction and connection, which
 * starts with a dictionary; each block is a part of it. Blocks must be read in their order, all of them.
 *
 * What a block unpacks to is bounded before it is kept (CVE-2026-35469). Of the headers only those that
 * streams here are made of are told. Not thread-safe.
 */
#ifndef SERVER_STREAMING_SPDY_HEADERS_H
#define SERVER_STREAMING_SPDY_HEADERS_H

#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

#include "base/err.h"
#include "base/mem.h"

enum {
	SPDY_HEADERS_MAX = 8 * 1024, /* bytes of one block, unpacked */
	SPDY_HEADER_PAIRS_MAX = 64,
	SPDY_HEADER_VALUE_SIZE = 64, /* of a value that is told, with its NUL */
};

struct spdy_headers { /* "" when absent or longer than any that makes sense */
	char stream_type[SPDY_HEADER_VALUE_SIZE];
	char port[SPDY_HEADER_VALUE_SIZE];
	char request_id[SPDY_HEADER_VALUE_SIZE];
};

/* The pairs of an unpacked block. INVALID_ARGUMENT when it is not well-formed. */
int spdy_headers_parse(const uint8_t *data, size_t len, struct spdy_headers *ret, struct err *err) MUST_CHECK;

struct spdy_unpacker {
	z_stream zlib;
	int open;
};

/* Unpacks and parses the next block. After a failure the connection cannot go on. */
int spdy_unpack(struct spdy_unpacker *unpacker, const uint8_t *data, size_t len, struct spdy_headers *ret,
		struct err *err) MUST_CHECK;
void spdy_unpacker_done(struct spdy_unpacker *unpacker);

#endif
