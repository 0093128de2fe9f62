/* Threads that end together, and no more of them than may be. */
#include "test/base/check.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/crew.h"

enum { MAX = 3 };

static atomic_int ended;

static void until_told(void *data, const struct ctx *ctx)
{
	struct pollfd told = { ctx_fd(ctx), POLLIN, 0 };

	(void)data;
	assert_int_equal(poll(&told, 1, 30000), 1);
	atomic_fetch_add(&ended, 1);
}

static void at_once(void *data, const struct ctx *ctx)
{
	(void)ctx;
	atomic_fetch_add((atomic_int *)data, 1);
}

static void test_bound_and_end(void **state)
{
	struct crew *crew = crew_new("test", MAX);

	(void)state;
	atomic_store(&ended, 0);
	for (int i = 0; i < MAX; i++)
		assert_int_equal(crew_start(crew, until_told, NULL), 0);
	assert_int_equal(crew_count(crew), MAX);
	assert_int_equal(crew_start(crew, until_told, NULL), -1);
	assert_int_equal(errno, EAGAIN);
	assert_false(crew_wait(crew, clock_deadline_in(10 * NS_PER_MS)));
	crew_end(crew);
	assert_int_equal(atomic_load(&ended), MAX);
	assert_int_equal(crew_start(crew, until_told, NULL), -1);
	crew_free(crew);
}

static void test_wait(void **state)
{
	struct crew *crew = crew_new("test", MAX);
	atomic_int count = 0;

	(void)state;
	for (int done = 0; done < 100;) /* one after the other, as places come free */
		done += crew_start(crew, at_once, &count) == 0;
	assert_true(crew_wait(crew, clock_deadline_in(30 * NS_PER_SEC)));
	assert_int_equal(atomic_load(&count), 100);
	assert_int_equal(crew_count(crew), 0);
	crew_free(crew);
	assert_null(crew_free(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bound_and_end),
		cmocka_unit_test(test_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
