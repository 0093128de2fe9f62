/* Lists of strings as protobuf-c has them (items, count) in the form that exec and the modules below want. */
#ifndef SANDBOX_STRINGS_H
#define SANDBOX_STRINGS_H

#include <stddef.h>

#include "base/arena.h"

/* The same items with a NULL behind them; NULL when there are none. The items are borrowed. */
const char *const *strings_null_terminated(struct arena *arena, char *const *items, size_t count);

#endif
