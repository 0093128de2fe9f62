/*
 * Cancellation is an atomic flag plus an eventfd that is made only when somebody wants to poll it: most calls
 * never do. A child without an explicit cancel of its own shares the parent's fd, so poll sets stay small; a
 * child is cancelled through its parent only, which is all that deadlines of steps need.
 */
#include "base/ctx.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <unistd.h>

void ctx_init(struct ctx *ctx, int64_t deadline)
{
	*ctx = (struct ctx){ .deadline = deadline, .fd = -1 };
	atomic_init(&ctx->cancelled, false);
	lock_init(&ctx->lock, "ctx", LOCK_CTX);
}

void ctx_init_child(struct ctx *ctx, const struct ctx *parent, int64_t deadline)
{
	ctx_init(ctx, deadline);
	ctx->parent = parent;
	if (parent && parent->deadline < deadline)
		ctx->deadline = parent->deadline;
}

void ctx_done(struct ctx *ctx)
{
	if (ctx->fd >= 0)
		close(ctx->fd);
	ctx->fd = -1;
	lock_done(&ctx->lock);
}

void ctx_cancel(struct ctx *ctx)
{
	atomic_store(&ctx->cancelled, true);
	lock_take(&ctx->lock);
	if (ctx->fd >= 0)
		eventfd_write(ctx->fd, 1);
	lock_drop(&ctx->lock);
}

bool ctx_cancelled(const struct ctx *ctx)
{
	for (; ctx; ctx = ctx->parent)
		if (atomic_load(&ctx->cancelled))
			return true;
	return false;
}

int64_t ctx_deadline(const struct ctx *ctx)
{
	return ctx ? ctx->deadline : NO_DEADLINE;
}

int ctx_poll_timeout(const struct ctx *ctx)
{
	if (ctx_cancelled(ctx))
		return 0;
	return clock_poll_timeout(ctx_deadline(ctx));
}

int ctx_fd(const struct ctx *ctx)
{
	if (!ctx)
		return -1;
	if (ctx->parent)
		return ctx_fd(ctx->parent);

	struct ctx *self = (struct ctx *)ctx; /* the fd is made lazily behind a const face */
	lock_take(&self->lock);
	if (self->fd < 0)
		self->fd = eventfd(atomic_load(&self->cancelled) ? 1 : 0, EFD_CLOEXEC | EFD_NONBLOCK);
	int fd = self->fd;
	lock_drop(&self->lock);
	return fd;
}

int ctx_check(const struct ctx *ctx, const char *what, struct err *err)
{
	if (ctx_cancelled(ctx))
		return err_set(err, RPC_CANCELLED, "%s: cancelled by the client", what);
	if (ctx_deadline(ctx) != NO_DEADLINE && clock_mono() >= ctx_deadline(ctx))
		return err_set(err, RPC_DEADLINE_EXCEEDED, "%s: deadline exceeded", what);
	return 0;
}

int ctx_poll(const struct ctx *ctx, int fd, short events, const char *what, struct err *err)
{
	struct pollfd fds[] = { { .fd = fd, .events = events }, { .fd = ctx_fd(ctx), .events = POLLIN } };
	const int slice = 100; /* ms: how often to look when descriptors ran out and cancellation has no fd */

	for (;;) {
		int timeout = ctx_poll_timeout(ctx);
		if (ctx && fds[1].fd < 0 && (timeout < 0 || timeout > slice))
			timeout = slice;
		int n = poll(fds, 2, timeout);
		if (n < 0 && errno != EINTR)
			return err_errno(err, "%s: poll", what);
		if (n > 0 && fds[0].revents & POLLNVAL)
			return err_set(err, RPC_INTERNAL, "%s: poll on a closed descriptor", what);
		if (n > 0 && fds[0].revents)
			return 0;
		if (ctx_check(ctx, what, err) < 0)
			return -1;
	}
}
