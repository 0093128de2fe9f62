/*
 * Two parties hold a watch: its owner, until watch_cancel(), and the loop, until the process has ended or the
 * cancellation has arrived there. All work on the source happens on the loop's thread, as base/loop.h asks;
 * the last party frees.
 */
#include "sandbox/watch.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/file.h"

struct watch {
	struct loop *loop;
	struct source *source; /* loop's thread only */
	struct watch_target target;
	int pidfd;
	bool over; /* loop's thread only */
	atomic_bool cancelled;
	atomic_int holders;
};

static void drop(struct watch *watch)
{
	if (atomic_fetch_sub(&watch->holders, 1) != 1)
		return;
	fd_close(watch->pidfd);
	free(watch);
}

/* The loop's side is over: source and data go. */
static void finish(struct watch *watch)
{
	if (watch->over)
		return;
	watch->over = true;
	watch->source = source_free(watch->source);
	watch->target.release(watch->target.data);
	drop(watch);
}

static void over(struct source *source UNUSED, void *data)
{
	struct watch *watch = data;

	if (!atomic_load(&watch->cancelled))
		watch->target.fn(watch->target.data);
	finish(watch);
}

static void ended(struct source *source UNUSED, uint32_t events UNUSED, void *data)
{
	struct watch *watch = data;
	struct err err;

	if (watch->target.delay && !atomic_load(&watch->cancelled)) {
		source_free(watch->source);
		watch->source = loop_add_timer(watch->loop, watch->target.delay, 0, over, watch, &err);
		if (watch->source)
			return;
	}
	over(NULL, watch);
}

static bool has_ended(const struct watch *watch)
{
	const struct process process = { .pidfd = watch->pidfd };

	return !process_alive(&process);
}

static void arm(void *data)
{
	struct watch *watch = data;
	struct err err;

	if (atomic_load(&watch->cancelled)) {
		finish(watch);
		return;
	}
	watch->source = loop_add_fd(watch->loop, watch->pidfd, EPOLLIN, ended, watch, &err);
	/* Out of epoll watches: a living process must not be taken for dead. It stays unwatched. */
	if (!watch->source && has_ended(watch))
		ended(NULL, 0, watch);
}

static void disarm(void *data)
{
	struct watch *watch = data;

	finish(watch);
	drop(watch);
}

struct watch *watch_process(struct loop *loop, const struct watch_target *target, struct err *err)
{
	int pidfd = fcntl(target->process->pidfd, F_DUPFD_CLOEXEC, 3);

	if (pidfd < 0) {
		err_errno(err, "watch process %d", target->process->pid);
		return NULL;
	}
	struct watch *watch = xnew(struct watch);
	watch->loop = loop;
	watch->target = *target;
	watch->pidfd = pidfd;
	atomic_init(&watch->cancelled, false);
	atomic_init(&watch->holders, 2);
	loop_post(loop, arm, watch);
	return watch;
}

struct watch *watch_cancel(struct watch *watch)
{
	if (!watch)
		return NULL;
	atomic_store(&watch->cancelled, true);
	/* holders cannot reach 0 before disarm: the owner's share is dropped there. */
	loop_post(watch->loop, disarm, watch);
	return NULL;
}
