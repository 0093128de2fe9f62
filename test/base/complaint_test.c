/* What programs say when something has run out, and what they say otherwise. */
#include "base/complaint.h"
#include "test/base/check.h"

static void test_run_out(void **state UNUSED)
{
	assert_int_equal(complaint_code("writing file `config.json`: No space left on device"),
			 RPC_RESOURCE_EXHAUSTED);
	assert_int_equal(complaint_code("fork/exec /x: cannot allocate memory"), RPC_RESOURCE_EXHAUSTED);
	assert_int_equal(complaint_code("fatal error: failed to reserve page summary memory"),
			 RPC_RESOURCE_EXHAUSTED);
}

static void test_anything_else(void **state UNUSED)
{
	assert_int_equal(complaint_code(NULL), RPC_INTERNAL);
	assert_int_equal(complaint_code(""), RPC_INTERNAL);
	assert_int_equal(complaint_code("No such file or directory"), RPC_INTERNAL);
	assert_int_equal(complaint_code("killed by signal 9 (Killed)"), RPC_INTERNAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_run_out),
		cmocka_unit_test(test_anything_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
