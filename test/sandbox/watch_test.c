/* Watches on a running loop: ends are told once, cancelled ones not at all, and data is released exactly
 * once. */
#include "sandbox/watch.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "test/base/check.h"

struct seen { /* what became of one watch */
	atomic_int ends, releases;
	pthread_t thread; /* of the last call; written before the count */
};

struct runner {
	struct loop *loop;
	pthread_t thread;
};

static void ended(void *data)
{
	struct seen *seen = data;

	seen->thread = pthread_self();
	atomic_fetch_add(&seen->ends, 1);
}

static void release(void *data)
{
	struct seen *seen = data;

	seen->thread = pthread_self();
	atomic_fetch_add(&seen->releases, 1);
}

static void *run_loop(void *data)
{
	struct err err = { 0 };

	assert_ok(loop_run(data, &err));
	return NULL;
}

static void runner_start(struct runner *runner)
{
	struct err err = { 0 };

	runner->loop = loop_new(&err);
	assert_non_null(runner->loop);
	assert_int_equal(pthread_create(&runner->thread, NULL, run_loop, runner->loop), 0);
}

static void runner_stop(struct runner *runner)
{
	loop_stop(runner->loop);
	pthread_join(runner->thread, NULL);
	loop_free(runner->loop);
}

static void wait_for(atomic_int *count, int wanted)
{
	for (int i = 0; i < 10000 && atomic_load(count) < wanted; i++)
		usleep(1000);
	assert_int_equal(atomic_load(count), wanted);
}

static struct process start_sleeper(void)
{
	const char *const argv[] = { "sleep", "60", NULL };
	const struct command command = { .path = "sleep", .argv = argv };
	struct process process = PROCESS_INIT;
	struct err err = { 0 };

	assert_ok(command_start(&command, &process, &err));
	return process;
}

static void end_sleeper(struct process *process)
{
	struct err err = { 0 };
	int status;

	assert_ok(process_signal(process, SIGKILL, &err));
	assert_ok(process_wait(process, NULL, &status, &err));
	process_done(process);
}

static struct watch *watch_later(struct loop *loop, const struct process *process, struct seen *seen,
				 int64_t delay)
{
	const struct watch_target target = {
		.process = process, .fn = ended, .release = release, .data = seen, .delay = delay
	};
	struct err err = { 0 };
	struct watch *made = watch_process(loop, &target, &err);

	if (!made)
		fail_msg("%s", err.text);
	return made;
}

static struct watch *watch(struct loop *loop, const struct process *process, struct seen *seen)
{
	return watch_later(loop, process, seen, 0);
}

static void test_end_is_told_later(void **state)
{
	struct process process = start_sleeper(), other = start_sleeper();
	struct seen seen = { 0 }, never = { 0 };
	struct runner runner;

	(void)state;
	runner_start(&runner);
	struct watch *made = watch_later(runner.loop, &process, &seen, 200 * NS_PER_MS);
	struct watch *cancelled = watch_later(runner.loop, &other, &never, 3600 * NS_PER_SEC);
	int64_t begin = clock_mono();
	end_sleeper(&process);
	end_sleeper(&other);
	wait_for(&seen.releases, 1);
	assert_true(clock_mono() - begin >= 200 * NS_PER_MS);
	assert_int_equal(seen.ends, 1);
	assert_int_equal(never.releases, 0);
	watch_cancel(cancelled); /* between the end and its telling */
	wait_for(&never.releases, 1);
	assert_int_equal(never.ends, 0);
	watch_cancel(made);
	runner_stop(&runner);
}

static void test_end_is_told(void **state)
{
	struct process process = start_sleeper();
	struct seen seen = { 0 };
	struct runner runner;

	(void)state;
	runner_start(&runner);
	struct watch *made = watch(runner.loop, &process, &seen);
	usleep(20000);
	assert_int_equal(seen.ends, 0);
	end_sleeper(&process); /* closes its pidfd too: the watch has one of its own */
	wait_for(&seen.releases, 1);
	assert_int_equal(seen.ends, 1);
	assert_true(pthread_equal(seen.thread, runner.thread));
	watch_cancel(made);
	runner_stop(&runner);
	assert_int_equal(seen.ends, 1);
	assert_int_equal(seen.releases, 1);
}

static void test_end_before_the_watch(void **state)
{
	struct process process = start_sleeper();
	struct seen seen = { 0 };
	struct err err = { 0 };
	struct runner runner;

	(void)state;
	runner_start(&runner);
	assert_ok(process_signal(&process, SIGKILL, &err));
	assert_ok(process_wait_gone(&process, NULL, &err));
	struct watch *made = watch(runner.loop, &process, &seen);
	wait_for(&seen.releases, 1);
	assert_int_equal(seen.ends, 1);
	watch_cancel(made);
	end_sleeper(&process);
	runner_stop(&runner);
	assert_int_equal(seen.releases, 1);
}

static void test_cancel_before_the_end(void **state)
{
	struct process process = start_sleeper();
	struct seen seen = { 0 };
	struct runner runner;

	(void)state;
	runner_start(&runner);
	assert_null(watch_cancel(watch(runner.loop, &process, &seen)));
	wait_for(&seen.releases, 1);
	end_sleeper(&process);
	usleep(20000);
	runner_stop(&runner);
	assert_int_equal(seen.ends, 0);
	assert_int_equal(seen.releases, 1);
	assert_null(watch_cancel(NULL));
}

/* The loop never runs, or not any more: loop_free() still lets go of everything. */
static void test_without_a_running_loop(void **state)
{
	struct process process = start_sleeper();
	struct seen seen = { 0 };
	struct err err = { 0 };
	struct loop *loop = loop_new(&err);

	(void)state;
	watch_cancel(watch(loop, &process, &seen));
	loop_free(loop);
	assert_int_equal(seen.ends, 0);
	assert_int_equal(seen.releases, 1);
	end_sleeper(&process);
}

static void test_needs_a_pidfd(void **state)
{
	const struct process none = PROCESS_INIT;
	struct seen seen = { 0 };
	const struct watch_target target = {
		.process = &none, .fn = ended, .release = release, .data = &seen
	};
	struct err err = { 0 };
	struct loop *loop = loop_new(&err);

	(void)state;
	assert_null(watch_process(loop, &target, &err));
	assert_int_equal(err.code, RPC_INTERNAL);
	loop_free(loop);
	assert_int_equal(seen.releases, 0);
}

/* Cancelling from another thread while the end arrives: told at most once, released exactly once. */
static void test_cancel_meets_the_end(void **state)
{
	enum { ROUNDS = 50 };
	struct seen seen[ROUNDS] = { 0 };
	struct runner runner;

	(void)state;
	runner_start(&runner);
	for (int i = 0; i < ROUNDS; i++) {
		struct process process = start_sleeper();
		struct watch *made = watch(runner.loop, &process, &seen[i]);
		struct err err = { 0 };

		assert_ok(process_signal(&process, SIGKILL, &err));
		if (i % 2)
			usleep(200);
		watch_cancel(made);
		end_sleeper(&process);
	}
	for (int i = 0; i < ROUNDS; i++)
		wait_for(&seen[i].releases, 1);
	runner_stop(&runner);
	for (int i = 0; i < ROUNDS; i++) {
		assert_between(seen[i].ends, 0, 1);
		assert_int_equal(seen[i].releases, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_end_is_told),           cmocka_unit_test(test_end_before_the_watch),
		cmocka_unit_test(test_cancel_before_the_end), cmocka_unit_test(test_without_a_running_loop),
		cmocka_unit_test(test_needs_a_pidfd),         cmocka_unit_test(test_cancel_meets_the_end),
		cmocka_unit_test(test_end_is_told_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
