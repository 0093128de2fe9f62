/* Growth with the backlog, the bounds, shrinking, and that every accepted task runs exactly once. */
#include "test/base/check.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/pool.h"

/* Tasks that wait until the test lets them go. */
struct barrier {
	struct lock lock;
	struct cond cond;
	int inside, most; /* under lock */
	int done;         /* under lock */
	bool open;        /* under lock */
};

static void barrier_init(struct barrier *barrier)
{
	*barrier = (struct barrier){ 0 };
	lock_init(&barrier->lock, "barrier", LOCK_SERVER);
	cond_init(&barrier->cond);
}

static void barrier_done(struct barrier *barrier)
{
	cond_done(&barrier->cond);
	lock_done(&barrier->lock);
}

static void stay(void *data)
{
	struct barrier *barrier = data;

	lock_take(&barrier->lock);
	if (++barrier->inside > barrier->most)
		barrier->most = barrier->inside;
	cond_broadcast(&barrier->cond);
	while (!barrier->open)
		cond_wait(&barrier->cond, &barrier->lock);
	barrier->inside--;
	barrier->done++;
	cond_broadcast(&barrier->cond);
	lock_drop(&barrier->lock);
}

static void wait_inside(struct barrier *barrier, int count)
{
	int64_t deadline = clock_deadline_in(20 * NS_PER_SEC);

	lock_take(&barrier->lock);
	bool in_time = true;
	while (barrier->inside < count && in_time)
		in_time = cond_wait_until(&barrier->cond, &barrier->lock, deadline);
	int inside = barrier->inside;
	lock_drop(&barrier->lock);
	assert_int_equal(inside, count);
}

static void open_barrier(struct barrier *barrier)
{
	lock_take(&barrier->lock);
	barrier->open = true;
	cond_broadcast(&barrier->cond);
	lock_drop(&barrier->lock);
}

static struct pool *new_pool(size_t threads, size_t queue)
{
	const struct pool_options options = {
		.name = "test", .threads_max = threads, .queue_max = queue, .idle_ns = 20 * NS_PER_MS
	};

	return pool_new(&options);
}

/* Threads of this process whose name starts with the pool's. */
static int pool_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	int count = 0;

	assert_non_null(dir);
	for (const struct dirent *entry; (entry = readdir(dir));) {
		char path[512], name[32] = "";
		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (read(fd, name, sizeof(name) - 1) > 0 && strncmp(name, "test-", 5) == 0)
			count++;
		close(fd);
	}
	closedir(dir);
	return count;
}

/* Whether none is left, in 10 s: the kernel lists a thread a moment longer than pthread_join waits. */
static bool pool_threads_end(void)
{
	for (int i = 0; i < 2000 && pool_threads(); i++)
		usleep(5000);
	return !pool_threads();
}

static void grows_to_the_bound_then_queues_then_refuses(void **state)
{
	struct barrier barrier;
	struct err err = { 0 };
	struct pool *pool = new_pool(4, 3);

	(void)state;
	barrier_init(&barrier);
	for (int i = 0; i < 7; i++)
		assert_ok(pool_run(pool, stay, &barrier, &err));
	assert_fails(pool_run(pool, stay, &barrier, &err), RPC_RESOURCE_EXHAUSTED);
	wait_inside(&barrier, 4);
	assert_int_equal(pool_busy(pool), 7);
	assert_fails(pool_run(pool, stay, &barrier, &err), RPC_RESOURCE_EXHAUSTED);
	assert_int_equal(pool_threads(), 4);
	open_barrier(&barrier);
	pool = pool_free(pool);
	assert_null(pool);
	assert_int_equal(barrier.done, 7);
	assert_int_equal(barrier.most, 4);
	assert_true(pool_threads_end());
	barrier_done(&barrier);
}

static void shrinks_when_idle_and_grows_again(void **state)
{
	struct err err = { 0 };
	struct pool *pool = new_pool(4, 4);

	(void)state;
	for (int round = 0; round < 3; round++) {
		struct barrier barrier;
		barrier_init(&barrier);
		for (int i = 0; i < 3; i++)
			assert_ok(pool_run(pool, stay, &barrier, &err));
		wait_inside(&barrier, 3);
		open_barrier(&barrier);
		assert_true(pool_threads_end());
		assert_int_equal(pool_busy(pool), 0);
		barrier_done(&barrier);
	}
	pool_free(pool);
}

struct order {
	int next;
	int seen[64];
};

struct numbered {
	struct order *order;
	int number;
};

static void note(void *data)
{
	struct numbered *numbered = data;

	numbered->order->seen[numbered->order->next++] = numbered->number;
	free(numbered);
}

static void one_worker_keeps_the_order(void **state)
{
	struct order order = { 0 };
	struct err err = { 0 };
	struct pool *pool = new_pool(1, 64);

	(void)state;
	for (int i = 0; i < 64; i++) {
		struct numbered *numbered = xnew(struct numbered);
		*numbered = (struct numbered){ .order = &order, .number = i };
		assert_ok(pool_run(pool, note, numbered, &err));
	}
	pool_free(pool);
	for (int i = 0; i < 64; i++)
		assert_int_equal(order.seen[i], i);
}

struct feeder {
	struct pool *pool;
	atomic_int ran, accepted;
};

static void count(void *data)
{
	struct feeder *feeder = data;

	atomic_fetch_add(&feeder->ran, 1);
}

/* A task may post tasks, also while the pool is being freed. */
static void fan_out(void *data)
{
	struct feeder *feeder = data;

	usleep(2000);
	for (int i = 0; i < 10; i++)
		if (pool_run(feeder->pool, count, feeder, NULL) == 0)
			atomic_fetch_add(&feeder->accepted, 1);
}

static void *feed(void *data)
{
	struct feeder *feeder = data;

	for (int i = 0; i < 2000; i++)
		if (pool_run(feeder->pool, count, feeder, NULL) == 0)
			atomic_fetch_add(&feeder->accepted, 1);
	return NULL;
}

static void every_accepted_task_runs_once(void **state)
{
	struct feeder feeder = { .pool = new_pool(6, 50) };
	pthread_t threads[8];
	struct err err = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, feed, &feeder), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	while (pool_busy(feeder.pool))
		usleep(1000);
	for (int i = 0; i < 5; i++)
		assert_ok(pool_run(feeder.pool, fan_out, &feeder, &err));
	pool_free(feeder.pool);
	assert_int_equal(atomic_load(&feeder.ran), atomic_load(&feeder.accepted));
	assert_true(atomic_load(&feeder.accepted) >= 50);
}

static void note_mask(void *data)
{
	pthread_sigmask(SIG_BLOCK, NULL, data);
}

static void workers_take_no_signals(void **state)
{
	struct err err = { 0 };
	struct pool *pool = new_pool(1, 0);
	sigset_t mask, own;

	(void)state;
	sigemptyset(&mask);
	assert_ok(pool_run(pool, note_mask, &mask, &err));
	pool_free(pool);
	assert_true(sigismember(&mask, SIGTERM) && sigismember(&mask, SIGCHLD));
	pthread_sigmask(SIG_BLOCK, NULL, &own);
	assert_false(sigismember(&own, SIGTERM));
	assert_null(pool_free(NULL));
}

static void sleep_a_while(void *data)
{
	usleep(50000);
	atomic_store((atomic_bool *)data, true);
}

static void waits_until_it_is_quiet(void **state)
{
	struct err err = { 0 };
	struct pool *pool = new_pool(1, 1);
	atomic_bool done = false;

	(void)state;
	assert_true(pool_wait_quiet(pool, 0));
	assert_ok(pool_run(pool, sleep_a_while, &done, &err));
	assert_false(pool_wait_quiet(pool, clock_deadline_in(NS_PER_MS)));
	assert_true(pool_wait_quiet(pool, NO_DEADLINE));
	assert_true(atomic_load(&done));
	pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows_to_the_bound_then_queues_then_refuses),
		cmocka_unit_test(shrinks_when_idle_and_grows_again),
		cmocka_unit_test(one_worker_keeps_the_order),
		cmocka_unit_test(every_accepted_task_runs_once),
		cmocka_unit_test(workers_take_no_signals),
		cmocka_unit_test(waits_until_it_is_quiet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
