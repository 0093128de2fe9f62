/*
 * The context of one piece of work: its deadline and its cancellation, handed down through every function
 * that may wait. A call's context is cancelled when its client goes away; shared work (base/flight.h) has a
 * context of its own. Waiters poll ctx_fd() beside what they wait for, or use ctx_deadline() with a timed
 * wait.
 *
 * Threads: any thread may cancel; the owner frees it once nobody uses it any more. A NULL ctx never ends.
 */
#ifndef BASE_CTX_H
#define BASE_CTX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/lock.h"

struct ctx {
	int64_t deadline;         /* clock_mono() ns or NO_DEADLINE; fixed at init */
	const struct ctx *parent; /* cancelled with it; must outlive this one; its fd is shared */
	atomic_bool cancelled;
	struct lock lock;
	int fd; /* under lock; -1 until somebody asks */
};

void ctx_init(struct ctx *ctx, int64_t deadline);
/* The earlier of parent's deadline and this one; ends when the parent ends. parent may be NULL. */
void ctx_init_child(struct ctx *ctx, const struct ctx *parent, int64_t deadline);
void ctx_done(struct ctx *ctx);

void ctx_cancel(struct ctx *ctx);
bool ctx_cancelled(const struct ctx *ctx);
int64_t ctx_deadline(const struct ctx *ctx);
/* Milliseconds left for poll(): 0 when over, -1 for none. */
int ctx_poll_timeout(const struct ctx *ctx);
/* An fd that becomes readable on cancellation (of this or the parent); -1 for a NULL ctx or when fds are
 * exhausted. Owned by ctx. */
int ctx_fd(const struct ctx *ctx);
/* 0 while the work may go on; else -1 with CANCELLED or DEADLINE_EXCEEDED: "what: deadline exceeded". */
int ctx_check(const struct ctx *ctx, const char *what, struct err *err);

/* Waits until fd is ready for events (poll(2)'s; errors and hang-ups count) or the work is over: 0, or -1 as
 * ctx_check(). What is ready at once is told even when the work is over. */
int ctx_poll(const struct ctx *ctx, int fd, short events, const char *what, struct err *err);

#endif
