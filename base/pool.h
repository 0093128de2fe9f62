/*
 * A pool of worker threads that grows with the backlog to a bound and shrinks back when idle. Tasks run in
 * order of arrival; when all workers are busy at the bound, tasks queue (the queue is bounded too: pool_run
 * refuses). A task must not wait for another task of the same pool that has not started.
 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

struct pool;

struct pool_options {
	const char *name; /* thread name prefix, at most 10 bytes */
	size_t threads_max;
	size_t queue_max;  /* waiting tasks; beyond: RESOURCE_EXHAUSTED */
	int64_t idle_ns;   /* a worker idle for longer ends */
	size_t stack_size; /* 0: 256 KiB */
};

struct pool *pool_new(const struct pool_options *options);
/* Runs fn(data) on a worker. fn owns data. */
int pool_run(struct pool *pool, void (*fn)(void *data), void *data, struct err *err) MUST_CHECK;
/* Tasks running and waiting. */
size_t pool_busy(struct pool *pool);
struct pool_load {
	size_t threads, running, waiting; /* workers; tasks */
};
struct pool_load pool_load(struct pool *pool);
/* Waits until no task runs or waits. False when the deadline (clock_mono() ns or NO_DEADLINE) came first. */
bool pool_wait_quiet(struct pool *pool, int64_t deadline);
/* Waits until all accepted tasks have ended, ends the threads, frees. Returns NULL. */
struct pool *pool_free(struct pool *pool);

#endif
