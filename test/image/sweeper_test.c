/* Times that come, are moved, and are no longer waited for. */
#include "test/base/check.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "image/sweeper.h"

static atomic_int count;
static _Atomic int64_t next; /* what a sweep answers; back to NO_DEADLINE then */

static int64_t sweep(void *data UNUSED)
{
	atomic_fetch_add(&count, 1);
	return atomic_exchange(&next, NO_DEADLINE);
}

static int setup(void **state)
{
	atomic_store(&count, 0);
	atomic_store(&next, NO_DEADLINE);
	*state = sweeper_new(sweep, NULL);
	return 0;
}

static int teardown(void **state)
{
	sweeper_free(*state); /* at once, whatever is set: else the test runs into its timeout */
	return 0;
}

static void check_count(int expected)
{
	for (int i = 0; i < 30000 && atomic_load(&count) < expected; i++)
		usleep(1000);
	assert_int_equal(atomic_load(&count), expected);
}

static void test_runs(void **state)
{
	int64_t start = clock_mono();

	sweeper_set(*state, NO_DEADLINE);
	sweeper_set(*state, start + 100 * NS_PER_MS);
	check_count(1);
	assert_true(clock_mono() >= start + 100 * NS_PER_MS);
	sweeper_set(*state, 0); /* after it has ended, too */
	check_count(2);
}

static void test_earliest(void **state)
{
	sweeper_set(*state, clock_deadline_in(3600 * NS_PER_SEC));
	sweeper_set(*state, clock_deadline_in(10 * NS_PER_MS));
	sweeper_set(*state, clock_deadline_in(3600 * NS_PER_SEC));
	check_count(1);
}

static void test_goes_on(void **state)
{
	atomic_store(&next, clock_mono());
	sweeper_set(*state, clock_mono());
	check_count(2);
	atomic_store(&next, clock_deadline_in(3600 * NS_PER_SEC));
	sweeper_set(*state, clock_mono());
	check_count(3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_runs),
		TEST(test_earliest),
		TEST(test_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
