/* Joining, each waiter's own deadline, abandonment, and that data is freed exactly once in every case. */
#include "test/base/check.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/flight.h"

enum { CROWD = 100 };

struct scene {
	struct pool *pool;
	struct flights *flights;
	atomic_int runs, freed, made;
	atomic_bool open;   /* works that wait end when it is set */
	atomic_bool linger; /* cancelled works go on while it is set */
	bool fail;
	atomic_int cancelled_runs;
};

static void scene_init(struct scene *scene)
{
	const struct pool_options options = {
		.name = "flight", .threads_max = 8, .queue_max = 64, .idle_ns = NS_PER_SEC
	};

	memset(scene, 0, sizeof(*scene));
	scene->pool = pool_new(&options);
	scene->flights = flights_new(scene->pool);
}

static void scene_done(struct scene *scene)
{
	scene->pool = pool_free(scene->pool);
	assert_int_equal(flights_count(scene->flights), 0);
	assert_null(flights_free(scene->flights));
	assert_int_equal(atomic_load(&scene->freed), atomic_load(&scene->made));
}

static void free_data(void *data)
{
	struct scene **box = data;

	atomic_fetch_add(&(*box)->freed, 1);
	free(box);
}

/* Waits for the scene to open or for its context to end. */
static int work(void *data, const struct ctx *ctx, char **ret, struct err *err)
{
	struct scene *scene = *(struct scene **)data;
	int number = atomic_fetch_add(&scene->runs, 1) + 1;

	while (!atomic_load(&scene->open)) {
		if (ctx_check(ctx, "work", err) < 0) {
			atomic_fetch_add(&scene->cancelled_runs, 1);
			while (atomic_load(&scene->linger))
				usleep(1000);
			return -1;
		}
		usleep(1000);
	}
	if (scene->fail)
		return err_set(err, RPC_ALREADY_EXISTS, "run %d failed", number);
	*ret = xasprintf("run-%d", number);
	return 0;
}

static struct flight_work new_work(struct scene *scene, const char *key)
{
	struct scene **box = xmalloc(sizeof(scene));

	*box = scene;
	atomic_fetch_add(&scene->made, 1);
	return (struct flight_work){ .key = key,
				     .what = "RunPodSandbox a/b",
				     .run = work,
				     .free_data = free_data,
				     .data = box,
				     .deadline = NO_DEADLINE };
}

struct caller {
	struct scene *scene;
	int64_t wait; /* own deadline in ns, 0 for none */
	bool abandon;
	int failed;
	char *result;
	struct err err;
	int64_t took;
};

static void *call(void *data)
{
	struct caller *caller = data;
	struct flight_work flight_work = new_work(caller->scene, "pod");
	struct ctx ctx;
	int64_t start = clock_mono();

	flight_work.abandon = caller->abandon;
	ctx_init(&ctx, caller->wait ? clock_deadline_in(caller->wait) : NO_DEADLINE);
	caller->failed =
		flight_join(caller->scene->flights, &ctx, &flight_work, &caller->result, &caller->err);
	caller->took = clock_mono() - start;
	ctx_done(&ctx);
	return NULL;
}

static void start_crowd(struct scene *scene, struct caller *callers, pthread_t *threads)
{
	for (int i = 0; i < CROWD; i++) {
		callers[i].scene = scene;
		assert_int_equal(pthread_create(&threads[i], NULL, call, &callers[i]), 0);
	}
}

static void wait_for(atomic_int *value, int wanted)
{
	for (int i = 0; i < 20000 && atomic_load(value) < wanted; i++)
		usleep(1000);
	assert_int_equal(atomic_load(value), wanted);
}

/* Even callers get what they wait for, odd ones run into a deadline of their own. */
static void a_hundred_join_one_run(void **state)
{
	static struct caller callers[CROWD];
	pthread_t threads[CROWD];
	struct scene scene;

	(void)state;
	memset(callers, 0, sizeof(callers));
	scene_init(&scene);
	for (int i = 1; i < CROWD; i += 2)
		callers[i].wait = 30 * NS_PER_MS;
	start_crowd(&scene, callers, threads);
	wait_for(&scene.made, CROWD);
	wait_for(&scene.freed, CROWD - 1); /* all but the one that flies */
	for (int i = 1; i < CROWD; i += 2)
		pthread_join(threads[i], NULL);
	assert_int_equal(flights_count(scene.flights), 1);
	atomic_store(&scene.open, true);
	for (int i = 0; i < CROWD; i += 2)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&scene.runs), 1);
	for (int i = 0; i < CROWD; i++) {
		assert_int_equal(callers[i].failed, i % 2 ? -1 : 0);
		if (i % 2) {
			assert_int_equal(callers[i].err.code, RPC_DEADLINE_EXCEEDED);
			assert_contains(callers[i].err.text, "RunPodSandbox a/b");
			assert_true(callers[i].took >= 30 * NS_PER_MS);
		} else {
			assert_string_equal(callers[i].result, "run-1");
			free(callers[i].result);
		}
	}
	scene_done(&scene);
}

static void errors_reach_everybody(void **state)
{
	static struct caller callers[CROWD];
	pthread_t threads[CROWD];
	struct scene scene;

	(void)state;
	memset(callers, 0, sizeof(callers));
	scene_init(&scene);
	scene.fail = true;
	start_crowd(&scene, callers, threads);
	wait_for(&scene.freed, CROWD - 1);
	atomic_store(&scene.open, true);
	for (int i = 0; i < CROWD; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(callers[i].failed, -1);
		assert_int_equal(callers[i].err.code, RPC_ALREADY_EXISTS);
		assert_string_equal(callers[i].err.text, "run 1 failed");
		assert_null(callers[i].result);
	}
	scene_done(&scene);
}

static void after_the_landing_a_new_run_starts(void **state)
{
	struct scene scene;
	struct err err = { 0 };

	(void)state;
	scene_init(&scene);
	atomic_store(&scene.open, true);
	for (int i = 1; i <= 3; i++) {
		CLEANUP(freep) char *result = NULL;
		char expected[16];
		struct flight_work flight_work = new_work(&scene, "pod");
		snprintf(expected, sizeof(expected), "run-%d", i);
		assert_ok(flight_join(scene.flights, NULL, &flight_work, &result, &err));
		assert_string_equal(result, expected);
	}
	scene_done(&scene);
}

static void work_goes_on_after_its_caller_left(void **state)
{
	struct scene scene;
	pthread_t thread;

	(void)state;
	scene_init(&scene);
	struct caller first = { .scene = &scene, .wait = 20 * NS_PER_MS };
	call(&first);
	assert_int_equal(first.failed, -1);
	assert_int_equal(first.err.code, RPC_DEADLINE_EXCEEDED);
	assert_int_equal(flights_count(scene.flights), 1);
	struct caller retry = { .scene = &scene };
	assert_int_equal(pthread_create(&thread, NULL, call, &retry), 0);
	wait_for(&scene.freed, 1);
	atomic_store(&scene.open, true);
	pthread_join(thread, NULL);
	if (retry.failed)
		fail_msg("%s", retry.err.text);
	assert_string_equal(retry.result, "run-1");
	free(retry.result);
	assert_int_equal(atomic_load(&scene.cancelled_runs), 0);
	scene_done(&scene);
}

static void abandoned_work_is_cancelled(void **state)
{
	struct scene scene;

	(void)state;
	scene_init(&scene);
	atomic_store(&scene.linger, true);
	struct caller first = { .scene = &scene, .wait = 20 * NS_PER_MS, .abandon = true };
	call(&first);
	assert_int_equal(first.failed, -1);
	wait_for(&scene.cancelled_runs, 1);
	/* A newcomer does not inherit the cancelled run, which is still on its way out. */
	atomic_store(&scene.open, true);
	struct caller second = { .scene = &scene, .wait = 20 * NS_PER_SEC, .abandon = true };
	call(&second);
	if (second.failed)
		fail_msg("%s", second.err.text);
	assert_string_equal(second.result, "run-2");
	free(second.result);
	assert_int_equal(flights_count(scene.flights), 1);
	atomic_store(&scene.linger, false);
	scene_done(&scene);
}

static void the_work_has_a_deadline_of_its_own(void **state)
{
	struct scene scene;
	struct err err = { 0 };
	char *result = NULL;

	(void)state;
	scene_init(&scene);
	struct flight_work flight_work = new_work(&scene, "pod");
	flight_work.deadline = clock_deadline_in(20 * NS_PER_MS);
	assert_fails(flight_join(scene.flights, NULL, &flight_work, &result, &err), RPC_DEADLINE_EXCEEDED);
	assert_contains(err.text, "work");
	scene_done(&scene);
}

static void different_keys_fly_side_by_side(void **state)
{
	struct scene scene;
	struct err err = { 0 };
	char *result = NULL;
	pthread_t thread;

	(void)state;
	scene_init(&scene);
	struct caller caller = { .scene = &scene };
	assert_int_equal(pthread_create(&thread, NULL, call, &caller), 0);
	wait_for(&scene.runs, 1);
	struct ctx ctx;
	ctx_init(&ctx, clock_deadline_in(200 * NS_PER_MS));
	struct flight_work other = new_work(&scene, "other");
	assert_fails(flight_join(scene.flights, &ctx, &other, &result, &err), RPC_DEADLINE_EXCEEDED);
	assert_int_equal(atomic_load(&scene.runs), 2);
	atomic_store(&scene.open, true);
	pthread_join(thread, NULL);
	free(caller.result);
	ctx_done(&ctx);
	scene_done(&scene);
}

static void refused_by_the_pool(void **state)
{
	const struct pool_options options = { .name = "small", .threads_max = 1, .idle_ns = NS_PER_SEC };
	struct scene scene = { 0 };
	struct err err = { 0 };
	char *result = NULL;
	pthread_t thread;

	(void)state;
	scene.pool = pool_new(&options);
	scene.flights = flights_new(scene.pool);
	struct caller caller = { .scene = &scene };
	assert_int_equal(pthread_create(&thread, NULL, call, &caller), 0);
	wait_for(&scene.runs, 1);
	struct flight_work other = new_work(&scene, "other");
	assert_fails(flight_join(scene.flights, NULL, &other, &result, &err), RPC_RESOURCE_EXHAUSTED);
	assert_int_equal(flights_count(scene.flights), 1);
	atomic_store(&scene.open, true);
	pthread_join(thread, NULL);
	free(caller.result);
	scene_done(&scene);
}

static void a_call_that_is_over_starts_nothing(void **state)
{
	struct scene scene;
	struct err err = { 0 };
	char *result = NULL;
	struct ctx ctx;

	(void)state;
	scene_init(&scene);
	ctx_init(&ctx, NO_DEADLINE);
	ctx_cancel(&ctx);
	struct flight_work flight_work = new_work(&scene, "pod");
	assert_fails(flight_join(scene.flights, &ctx, &flight_work, &result, &err), RPC_CANCELLED);
	assert_int_equal(atomic_load(&scene.runs), 0);
	assert_int_equal(atomic_load(&scene.freed), 1);
	ctx_done(&ctx);
	scene_done(&scene);
}

static void the_end_cancels_all_and_what_comes_later(void **state)
{
	struct scene scene;
	struct err err = { 0 };
	char *result = NULL;
	pthread_t thread;

	(void)state;
	scene_init(&scene);
	struct caller caller = { .scene = &scene };
	assert_int_equal(pthread_create(&thread, NULL, call, &caller), 0);
	wait_for(&scene.runs, 1);
	flights_cancel(scene.flights);
	pthread_join(thread, NULL);
	assert_int_equal(caller.failed, -1);
	assert_int_equal(caller.err.code, RPC_CANCELLED);
	struct flight_work late = new_work(&scene, "late");
	assert_fails(flight_join(scene.flights, NULL, &late, &result, &err), RPC_CANCELLED);
	assert_int_equal(atomic_load(&scene.cancelled_runs), 2);
	scene_done(&scene);
}

/* The work may still be on its way out when its only caller has the result. */
static void free_waits_for_who_is_leaving(void **state)
{
	struct scene scene;
	struct err err = { 0 };

	(void)state;
	scene_init(&scene);
	atomic_store(&scene.open, true);
	for (int i = 0; i < 500; i++) {
		CLEANUP(freep) char *result = NULL;
		struct flight_work flight_work = new_work(&scene, "pod");
		assert_ok(flight_join(scene.flights, NULL, &flight_work, &result, &err));
		flights_free(scene.flights);
		scene.flights = flights_new(scene.pool);
	}
	scene_done(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hundred_join_one_run),
		cmocka_unit_test(errors_reach_everybody),
		cmocka_unit_test(after_the_landing_a_new_run_starts),
		cmocka_unit_test(work_goes_on_after_its_caller_left),
		cmocka_unit_test(abandoned_work_is_cancelled),
		cmocka_unit_test(the_work_has_a_deadline_of_its_own),
		cmocka_unit_test(different_keys_fly_side_by_side),
		cmocka_unit_test(refused_by_the_pool),
		cmocka_unit_test(a_call_that_is_over_starts_nothing),
		cmocka_unit_test(the_end_cancels_all_and_what_comes_later),
		cmocka_unit_test(free_waits_for_who_is_leaving),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
