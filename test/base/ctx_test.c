/* Deadlines, cancellation through parents, and waiting on a descriptor within a context. */
#include "test/base/check.h"

#include <poll.h>
#include <pthread.h>

#include "base/ctx.h"

static bool readable(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	return poll(&poll_fd, 1, 0) == 1;
}

static void null_never_ends(void **state)
{
	struct err err = { 0 };

	(void)state;
	assert_false(ctx_cancelled(NULL));
	assert_true(ctx_deadline(NULL) == NO_DEADLINE);
	assert_int_equal(ctx_poll_timeout(NULL), -1);
	assert_int_equal(ctx_fd(NULL), -1);
	assert_ok(ctx_check(NULL, "x", &err));
}

static void deadline_passes(void **state)
{
	struct err err = { 0 };
	struct ctx ctx;

	(void)state;
	ctx_init(&ctx, clock_deadline_in(20 * NS_PER_MS));
	assert_ok(ctx_check(&ctx, "pull", &err));
	assert_between(ctx_poll_timeout(&ctx), 1, 20);
	usleep(25000);
	assert_fails(ctx_check(&ctx, "pull", &err), RPC_DEADLINE_EXCEEDED);
	assert_contains(err.text, "pull");
	assert_int_equal(ctx_poll_timeout(&ctx), 0);
	ctx_done(&ctx);
}

static void cancellation_reaches_children_and_fds(void **state)
{
	struct err err = { 0 };
	struct ctx top, child, grandchild;

	(void)state;
	ctx_init(&top, NO_DEADLINE);
	ctx_init_child(&child, &top, clock_deadline_in(NS_PER_SEC));
	ctx_init_child(&grandchild, &child, NO_DEADLINE);
	assert_true(grandchild.deadline == child.deadline);
	int fd = ctx_fd(&grandchild);
	assert_true(fd >= 0);
	assert_int_equal(fd, ctx_fd(&top));
	assert_false(readable(fd));
	ctx_cancel(&top);
	ctx_cancel(&top);
	assert_true(readable(fd));
	assert_true(ctx_cancelled(&grandchild));
	assert_int_equal(ctx_poll_timeout(&grandchild), 0);
	assert_fails(ctx_check(&grandchild, "x", &err), RPC_CANCELLED);
	ctx_done(&grandchild);
	ctx_done(&child);
	ctx_done(&top);
}

static void fd_made_after_cancellation_is_readable(void **state)
{
	struct ctx ctx;

	(void)state;
	ctx_init(&ctx, NO_DEADLINE);
	ctx_cancel(&ctx);
	assert_true(readable(ctx_fd(&ctx)));
	ctx_done(&ctx);
	ctx_init_child(&ctx, NULL, 5);
	assert_true(ctx_deadline(&ctx) == 5);
	ctx_done(&ctx);
}

static void *cancel_soon(void *data)
{
	usleep(20000);
	ctx_cancel(data);
	return NULL;
}

static void poll_ends_by_each_cause(void **state)
{
	struct err err = { 0 };
	struct ctx ctx;
	pthread_t thread;
	int pipe_fds[2];

	(void)state;
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	ctx_init(&ctx, clock_deadline_in(20 * NS_PER_MS));
	assert_fails(ctx_poll(&ctx, pipe_fds[0], POLLIN, "read", &err), RPC_DEADLINE_EXCEEDED);
	ctx_done(&ctx);
	ctx_init(&ctx, NO_DEADLINE);
	assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &ctx), 0);
	assert_fails(ctx_poll(&ctx, pipe_fds[0], POLLIN, "read", &err), RPC_CANCELLED);
	pthread_join(thread, NULL);
	assert_int_equal(write(pipe_fds[1], "x", 1), 1);
	assert_ok(ctx_poll(&ctx, pipe_fds[0], POLLIN, "read", &err)); /* ready counts even when cancelled */
	assert_ok(ctx_poll(NULL, pipe_fds[0], POLLIN, "read", &err));
	ctx_done(&ctx);
	close(pipe_fds[1]);
	assert_int_equal(read(pipe_fds[0], (char[1]){ 0 }, 1), 1);
	assert_ok(ctx_poll(NULL, pipe_fds[0], POLLIN, "read", &err)); /* hang-up */
	close(pipe_fds[0]);
	assert_fails(ctx_poll(NULL, pipe_fds[0], POLLIN, "read", &err), RPC_INTERNAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(null_never_ends),
		cmocka_unit_test(deadline_passes),
		cmocka_unit_test(cancellation_reaches_children_and_fds),
		cmocka_unit_test(fd_made_after_cancellation_is_readable),
		cmocka_unit_test(poll_ends_by_each_cause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
