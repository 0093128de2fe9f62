/*
 * Threads for work that lasts as long as somebody outside wishes (a session, a connection): one each,
 * counted, bounded, and ended together. What is short belongs on a pool (base/pool.h).
 *
 * Thread-safe. The work polls the context that it is given and returns soon after that ends.
 */
#ifndef BASE_CREW_H
#define BASE_CREW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/mem.h"

struct crew;

struct crew *crew_new(const char *name, size_t threads_max);
/* Runs fn on a thread of its own. -1 with errno when there are too many, none can be had or all ends: then
 * the data remain the caller's. No signal is delivered to these threads. */
int crew_start(struct crew *crew, void (*fn)(void *data, const struct ctx *ctx), void *data) MUST_CHECK;
size_t crew_count(struct crew *crew);
/* Starts nothing more; waits until all have ended by themselves. False when some have not at the deadline
 * (clock_mono() ns). */
bool crew_wait(struct crew *crew, int64_t deadline);
/* Ends all: their context ends, and they are waited for. */
void crew_end(struct crew *crew);
struct crew *crew_free(struct crew *crew); /* ends all; accepts NULL, returns NULL */

#endif
