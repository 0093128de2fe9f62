/*
 * Durations as text: numbers with units, as Go's time.ParseDuration reads them and kubelet users write them:
 * "300ms", "1m30s", "1.5h". Units: ns, us, ms, s, m, h. Kept as nanoseconds.
 */
#ifndef CONFIG_DURATION_H
#define CONFIG_DURATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/str.h"

/* False when malformed, negative or beyond int64_t. "0" needs no unit. */
bool duration_parse(const char *text, int64_t *ret) MUST_CHECK;
/* The shortest exact form: "1m30s", "1s500ms", "0s". ns must not be negative. */
void duration_print(struct str *out, int64_t ns);

#endif
