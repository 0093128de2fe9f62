/*
 * Content digests: "sha256:<64 hex>" or "sha512:<128 hex>" (OCI image-spec, descriptor.md, "Digests"), parsed
 * once into an algorithm and bytes. Nothing else of this floor keeps a digest as text that came from outside,
 * so no path or URL is ever made of one that was not checked (CVE-2024-3727).
 *
 * struct digest is a plain value. A struct hasher is used by one thread at a time.
 */
#ifndef IMAGE_DIGEST_H
#define IMAGE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

enum digest_algorithm { DIGEST_SHA256, DIGEST_SHA512 };

enum {
	DIGEST_BYTES_MAX = 64,
	DIGEST_HEX_SIZE = 2 * DIGEST_BYTES_MAX + 1,
	DIGEST_TEXT_SIZE = 7 + DIGEST_HEX_SIZE,
};

struct digest {
	enum digest_algorithm algorithm;
	uint8_t bytes[DIGEST_BYTES_MAX]; /* the first digest_len() count, the rest is zero */
};

/* INVALID_ARGUMENT for an unknown algorithm, a wrong length or anything but lower-case hex. */
int digest_parse(const char *text, struct digest *ret, struct err *err) MUST_CHECK;
void digest_text(const struct digest *digest, char text[DIGEST_TEXT_SIZE]);
void digest_hex(const struct digest *digest, char text[DIGEST_HEX_SIZE]); /* without the algorithm */
const char *digest_algorithm_name(enum digest_algorithm algorithm);
size_t digest_len(const struct digest *digest); /* bytes */
bool digest_equal(const struct digest *a, const struct digest *b);

void digest_of(enum digest_algorithm algorithm, const void *data, size_t len, struct digest *ret);
/* 0 when data has that digest, else DATA_LOSS: "what: expected sha256:.., got sha256:..". */
int digest_check(const struct digest *expected, const void *data, size_t len, const char *what,
		 struct err *err) MUST_CHECK;
/* The same for a digest computed elsewhere. */
int digest_expect(const struct digest *expected, const struct digest *got, const char *what,
		  struct err *err) MUST_CHECK;

struct hasher;

struct hasher *hasher_new(enum digest_algorithm algorithm);
struct hasher *hasher_free(struct hasher *hasher); /* accepts NULL, returns NULL */
void hasher_freep(struct hasher **hasher);
void hasher_add(struct hasher *hasher, const void *data, size_t len);
/* Once; nothing may be added afterwards. */
void hasher_end(struct hasher *hasher, struct digest *ret);

#endif
