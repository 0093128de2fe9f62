/*
 * base64 (RFC 4648): bytes in JSON, credentials in auth files.
 *
 * Encoding uses the standard alphabet with padding. Decoding takes the standard and the URL alphabet, with or
 * without padding, as protobuf's JSON mapping asks; it refuses everything else, also line breaks and stray
 * bits behind the last byte, so that no two texts decode to the same bytes by accident of laxness. Pure
 * functions.
 */
#ifndef PROTO_BASE64_H
#define PROTO_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/str.h"

void base64_encode(struct str *out, const void *data, size_t len);

/* Room enough for what `len` characters decode to. */
size_t base64_room(size_t len);
/* Decodes into out, which has base64_room(len) bytes; false when text is not base64. */
bool base64_decode(const char *text, size_t len, uint8_t *out, size_t *ret_len) MUST_CHECK;

#endif
