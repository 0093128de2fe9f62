/* The thread is that of a pool of one, which ends when idle: there is mostly nothing to sweep. */
#include "image/sweeper.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/pool.h"

struct sweeper {
	int64_t (*sweep)(void *data);
	void *data;
	struct pool *pool;
	struct lock lock;
	struct cond changed;
	int64_t due;   /* under lock */
	bool running;  /* under lock: there is a task */
	bool stopping; /* under lock */
};

struct sweeper *sweeper_new(int64_t (*sweep)(void *data), void *data)
{
	const struct pool_options options = {
		.name = "sweeper", .threads_max = 1, .queue_max = 1, .idle_ns = NS_PER_SEC
	};
	struct sweeper *sweeper = xnew(struct sweeper);

	sweeper->sweep = sweep;
	sweeper->data = data;
	sweeper->due = NO_DEADLINE;
	sweeper->pool = pool_new(&options);
	lock_init(&sweeper->lock, "sweeper", LOCK_PULL);
	cond_init(&sweeper->changed);
	return sweeper;
}

/* Waits until it is time; false when there is no time to wait for any more. */
static bool wait_due(struct sweeper *sweeper)
{
	bool due;

	lock_take(&sweeper->lock);
	while (!sweeper->stopping && sweeper->due != NO_DEADLINE && clock_mono() < sweeper->due)
		cond_wait_until(&sweeper->changed, &sweeper->lock, sweeper->due);
	due = !sweeper->stopping && sweeper->due != NO_DEADLINE;
	sweeper->due = NO_DEADLINE;
	sweeper->running = due;
	lock_drop(&sweeper->lock);
	return due;
}

static void run(void *data)
{
	struct sweeper *sweeper = data;

	while (wait_due(sweeper))
		sweeper_set(sweeper, sweeper->sweep(sweeper->data));
}

void sweeper_set(struct sweeper *sweeper, int64_t when)
{
	bool start;
	struct err ignored;

	lock_take(&sweeper->lock);
	if (when < sweeper->due)
		sweeper->due = when;
	start = sweeper->due != NO_DEADLINE && !sweeper->running && !sweeper->stopping;
	sweeper->running = sweeper->running || start;
	cond_signal(&sweeper->changed);
	lock_drop(&sweeper->lock);
	if (start && pool_run(sweeper->pool, run, sweeper, &ignored) < 0) {
		lock_take(&sweeper->lock);
		sweeper->running = false; /* no thread: the next time tries again */
		lock_drop(&sweeper->lock);
	}
}

struct sweeper *sweeper_free(struct sweeper *sweeper)
{
	if (!sweeper)
		return NULL;
	lock_take(&sweeper->lock);
	sweeper->stopping = true;
	cond_signal(&sweeper->changed);
	lock_drop(&sweeper->lock);
	pool_free(sweeper->pool);
	cond_done(&sweeper->changed);
	lock_done(&sweeper->lock);
	free(sweeper);
	return NULL;
}
