/* Steps reach the listener for the call that they were done for, over pools as well. */
#include "base/step.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/pool.h"
#include "test/base/check.h"

struct heard {
	atomic_int count;
	struct step_scope scope;
	char name[32], what[32];
	int64_t took;
	bool failed;
};

static void hear(void *data, const struct step_scope *scope, const struct step *step)
{
	struct heard *heard = data;

	heard->scope = *scope;
	snprintf(heard->name, sizeof(heard->name), "%s", step->name);
	snprintf(heard->what, sizeof(heard->what), "%s", step->what ? step->what : "-");
	heard->took = step->took;
	heard->failed = step->failed;
	atomic_fetch_add(&heard->count, 1);
}

static const struct step_scope traced = { .traced = true, .trace_id = { 1, 2, 3 }, .span_id = { 4, 5 } };

static void test_heard(void **state UNUSED)
{
	struct heard heard = { 0 };

	step_listen(hear, &heard);
	step_ended("none", NULL, clock_mono(), false);
	assert_int_equal(heard.count, 0); /* for no call */
	step_enter(&traced);
	step_ended("cni ADD", "bridge", clock_mono() - NS_PER_SEC, true);
	assert_int_equal(heard.count, 1);
	assert_string_equal(heard.name, "cni ADD");
	assert_string_equal(heard.what, "bridge");
	assert_true(heard.failed && heard.took >= NS_PER_SEC && heard.took < 60 * NS_PER_SEC);
	assert_memory_equal(&heard.scope, &traced, sizeof(traced));
	step_enter(NULL);
	step_ended("none", NULL, clock_mono(), false);
	assert_int_equal(heard.count, 1);
	step_enter(&traced);
	step_listen(NULL, NULL);
	step_ended("none", NULL, clock_mono(), false);
	assert_int_equal(heard.count, 1);
	step_enter(NULL);
}

static void task(void *data UNUSED)
{
	step_ended("task", NULL, clock_mono(), false);
}

static void wait_count(struct heard *heard, int count)
{
	int64_t deadline = clock_deadline_in(20 * NS_PER_SEC);

	while (atomic_load(&heard->count) < count && clock_mono() < deadline)
		sched_yield();
	assert_true(atomic_load(&heard->count) >= count);
}

/* A worker works for whom its task was given, and for nobody else's later. */
static void test_pool(void **state UNUSED)
{
	struct pool *pool = pool_new(&(struct pool_options){
		.name = "step", .threads_max = 1, .queue_max = 100, .idle_ns = 60 * NS_PER_SEC });
	struct heard heard = { 0 };
	struct err err = { 0 };

	step_listen(hear, &heard);
	step_enter(&traced);
	assert_ok(pool_run(pool, task, NULL, &err));
	step_enter(NULL);
	wait_count(&heard, 1);
	assert_int_equal(heard.count, 1);
	assert_memory_equal(&heard.scope, &traced, sizeof(traced));
	assert_ok(pool_run(pool, task, NULL, &err));
	pool_free(pool);
	assert_int_equal(heard.count, 1);
	step_listen(NULL, NULL);
}

static void *tell_on(void *stop)
{
	step_enter(&traced);
	while (!atomic_load((atomic_bool *)stop))
		step_ended("many", NULL, clock_mono(), false);
	return NULL;
}

/* After it was taken away a listener is not called any more. */
static void test_taken_away(void **state UNUSED)
{
	atomic_bool stop = false;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, tell_on, &stop), 0);
	for (int i = 0; i < 200; i++) {
		struct heard *heard = xnew(struct heard);

		step_listen(hear, heard);
		if (i % 20 == 0)
			wait_count(heard, 1);
		step_listen(NULL, NULL);
		free(heard);
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heard),
		cmocka_unit_test(test_pool),
		cmocka_unit_test(test_taken_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
