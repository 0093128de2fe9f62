/*
 * UTF-8, which every protobuf string and every JSON text must be: a peer written in Go or C++ refuses a whole
 * message for one bad byte in it.
 *
 * Valid is what RFC 3629 section 4 defines: no overlong forms, no surrogates, nothing past U+10FFFF. Pure
 * functions; safe from any thread.
 */
#ifndef PROTO_UTF8_H
#define PROTO_UTF8_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

bool utf8_valid(const char *text, size_t len);

/* The number of bytes, at most len, in front of the first that is not UTF-8; len when all are. */
size_t utf8_prefix(const char *text, size_t len);

/* Appends text with each byte that belongs to no valid sequence replaced by U+FFFD. */
void utf8_mend(struct str *out, const char *text, size_t len);

#endif
