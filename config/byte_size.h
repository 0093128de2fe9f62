/*
 * Sizes as text: a whole number of bytes, or with a unit behind it: KiB, MiB, GiB, TiB.
 */
#ifndef CONFIG_BYTE_SIZE_H
#define CONFIG_BYTE_SIZE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/str.h"

/* False when malformed, negative or beyond int64_t. */
bool byte_size_parse(const char *text, int64_t *ret) MUST_CHECK;
/* The shortest exact form: "64MiB", "1000", "0". bytes must not be negative. */
void byte_size_print(struct str *out, int64_t bytes);

#endif
