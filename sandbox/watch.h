/*
 * Watches the end of a process on the event loop: the function runs once, on the loop's thread, when the
 * process has ended, or a while after that.
 *
 * Made and cancelled from any thread. The watch keeps a duplicate of the pidfd, so the caller's struct
 * process may change meanwhile. `data` is a counted reference that the watch owns: release(data) is called
 * exactly once, after fn or after the cancellation, on the loop's thread.
 */
#ifndef SANDBOX_WATCH_H
#define SANDBOX_WATCH_H

#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/spawn.h"

struct watch;

struct watch_target {
	const struct process *process; /* holds a pidfd */
	void (*fn)(void *data);
	void (*release)(void *data);
	void *data;
	int64_t delay; /* ns from the end to fn */
};

/* On failure data is not released. */
struct watch *watch_process(struct loop *loop, const struct watch_target *target, struct err *err);
/* Accepts NULL, returns NULL. fn does not run any more unless it is running right now. */
struct watch *watch_cancel(struct watch *watch);

#endif
