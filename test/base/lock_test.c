/* Mutual exclusion, conditions with deadlines, and every misuse that must end in a core file. */
#include "test/base/check.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/lock.h"

enum { THREADS = 8, ROUNDS = 5000 };

struct shared {
	struct lock lock;
	struct cond cond;
	long counter; /* under lock */
	bool ready;   /* under lock */
};

static void shared_init(struct shared *shared)
{
	*shared = (struct shared){ 0 };
	lock_init(&shared->lock, "shared", LOCK_POOL);
	cond_init(&shared->cond);
}

static void shared_done(struct shared *shared)
{
	cond_done(&shared->cond);
	lock_done(&shared->lock);
}

static void *count_up(void *data)
{
	struct shared *shared = data;

	for (int i = 0; i < ROUNDS; i++) {
		lock_take(&shared->lock);
		lock_assert_held(&shared->lock);
		shared->counter++;
		lock_drop(&shared->lock);
	}
	return NULL;
}

static void excludes(void **state)
{
	struct shared shared;
	pthread_t threads[THREADS];

	(void)state;
	shared_init(&shared);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_up, &shared), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(shared.counter, THREADS * ROUNDS);
	shared_done(&shared);
}

static void *make_ready(void *data)
{
	struct shared *shared = data;

	usleep(20000);
	lock_take(&shared->lock);
	shared->ready = true;
	cond_broadcast(&shared->cond);
	lock_drop(&shared->lock);
	return NULL;
}

static void condition_wakes(void **state)
{
	struct shared shared;
	pthread_t thread;

	(void)state;
	shared_init(&shared);
	assert_int_equal(pthread_create(&thread, NULL, make_ready, &shared), 0);
	lock_take(&shared.lock);
	while (!shared.ready)
		cond_wait(&shared.cond, &shared.lock);
	lock_assert_held(&shared.lock);
	lock_drop(&shared.lock);
	pthread_join(thread, NULL);
	shared_done(&shared);
}

static void condition_has_a_deadline(void **state)
{
	struct shared shared;
	int64_t start = clock_mono();

	(void)state;
	shared_init(&shared);
	lock_take(&shared.lock);
	bool in_time = true;
	while (in_time)
		in_time = cond_wait_until(&shared.cond, &shared.lock, start + 30 * NS_PER_MS);
	assert_between(clock_mono() - start, 30 * NS_PER_MS, 5 * NS_PER_SEC);
	assert_false(cond_wait_until(&shared.cond, &shared.lock, start));
	lock_drop(&shared.lock);
	shared_done(&shared);
}

static void ordered_nesting_is_fine(void **state)
{
	struct lock a, b, c;

	(void)state;
	lock_init(&a, "a", LOCK_SERVER);
	lock_init(&b, "b", LOCK_POD);
	lock_init(&c, "c", LOCK_LOG);
	lock_take(&a);
	lock_take(&b);
	lock_take(&c);
	lock_drop(&a); /* not in reverse order: fine as well */
	lock_drop(&c);
	lock_take(&c);
	lock_drop(&c);
	lock_drop(&b);
	lock_take(&a);
	lock_drop(&a);
	lock_done(&a);
	lock_done(&b);
	lock_done(&c);
}

static void misuse_aborts(void **state)
{
	CLEANUP(freep)
	char *order = xasprintf("lock order: outer (rank %d) taken while inner (rank %d) is held",
				LOCK_SANDBOX, LOCK_FLIGHT);

	(void)state;
	assert_aborts("order", order);
	assert_aborts("same-rank", "lock order");
	assert_aborts("twice", "lock order");
	assert_aborts("drop-free", "lock_assert_held");
	assert_aborts("foreign-drop", "lock_assert_held");
	assert_aborts("destroy-held", "destroy");
}

static void *drop_foreign(void *data) NO_LOCK_ANALYSIS
{
	lock_drop(data);
	return NULL;
}

static int scenario(const char *name) NO_LOCK_ANALYSIS
{
	struct lock outer, inner, same;
	pthread_t thread;

	lock_init(&outer, "outer", LOCK_SANDBOX);
	lock_init(&inner, "inner", LOCK_FLIGHT);
	lock_init(&same, "same", LOCK_SANDBOX);
	if (strcmp(name, "drop-free") == 0)
		lock_drop(&outer);
	lock_take(strcmp(name, "order") == 0 ? &inner : &outer);
	if (strcmp(name, "order") == 0 || strcmp(name, "twice") == 0)
		lock_take(&outer);
	if (strcmp(name, "same-rank") == 0)
		lock_take(&same);
	if (strcmp(name, "destroy-held") == 0)
		lock_done(&outer);
	if (strcmp(name, "foreign-drop") == 0 && pthread_create(&thread, NULL, drop_foreign, &outer) == 0)
		pthread_join(thread, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(excludes),
		cmocka_unit_test(condition_wakes),
		cmocka_unit_test(condition_has_a_deadline),
		cmocka_unit_test(ordered_nesting_is_fine),
		cmocka_unit_test(misuse_aborts),
	};

	if (argc > 1)
		return scenario(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
