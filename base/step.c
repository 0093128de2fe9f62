/*
 * The scope is thread-local, the listener a pair behind one pointer. Who takes the listener away waits until
 * nobody is inside it, which lasts as long as putting a span into a queue.
 */
#include "base/step.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

struct listener {
	void (*fn)(void *data, const struct step_scope *scope, const struct step *step);
	void *data;
};

static _Thread_local struct step_scope mine;
static struct listener *_Atomic listening;
static atomic_uint telling;

struct step_scope step_scope(void)
{
	return mine;
}

void step_enter(const struct step_scope *scope)
{
	mine = scope ? *scope : (struct step_scope){ 0 };
}

void step_ended(const char *name, const char *what, int64_t began, bool failed)
{
	struct listener *listener;

	if (!mine.traced)
		return;
	atomic_fetch_add(&telling, 1);
	listener = atomic_load(&listening);
	if (listener) {
		const struct step step = {
			.name = name, .what = what, .took = clock_mono() - began, .failed = failed
		};

		listener->fn(listener->data, &mine, &step);
	}
	atomic_fetch_sub(&telling, 1);
}

void step_listen(void (*fn)(void *data, const struct step_scope *scope, const struct step *step), void *data)
{
	struct listener *listener = NULL, *before;

	if (fn) {
		listener = xnew(struct listener);
		*listener = (struct listener){ fn, data };
	}
	before = atomic_exchange(&listening, listener);
	while (before && atomic_load(&telling))
		sched_yield();
	free(before);
}
