/*
 * Decompression of a layer blob as a stream that is pulled: gzip (RFC 1952, any number of members; ISA-L),
 * zstd (RFC 8878, any number of frames, skippable ones included, so zstd:chunked reads as a plain stream;
 * libzstd) and no compression. Which one is decided by the first bytes, not by a media type that might lie.
 *
 * The source is pulled as the reader needs more. Truncated input, a wrong checksum, trailing bytes that are
 * no member and a zstd window over 128 MiB are INVALID_ARGUMENT. Used by one thread at a time.
 */
#ifndef IMAGE_INFLATE_H
#define IMAGE_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

/* Gives the next piece, valid until the next call; *len 0 at the end. Errors pass through unchanged. */
struct byte_source {
	int (*next)(void *data, const uint8_t **ret, size_t *ret_len, struct err *err);
	void *data;
};

enum { INFLATE_BUFFER = 256 * 1024 };

struct inflate;

struct inflate *inflate_new(const struct byte_source *source);
struct inflate *inflate_free(struct inflate *inflate); /* accepts NULL, returns NULL */
void inflate_freep(struct inflate **inflate);
/* The next decompressed piece, valid until the next call; *len 0 at the end. */
int inflate_next(struct inflate *inflate, const uint8_t **ret, size_t *ret_len, struct err *err) MUST_CHECK;
/* True once the first piece has shown that there is no compression: the output is the input. */
bool inflate_is_plain(const struct inflate *inflate);

#endif
