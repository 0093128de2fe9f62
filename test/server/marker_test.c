/* The mark of crisp on its root: made once, kept, and refused when it is another's or of a newer crisp. */
#include "server/marker.h"

#include "test/base/check.h"

static void test_made_and_kept(void **data UNUSED)
{
	CLEANUP(scratch_done) struct scratch scratch;
	struct err err = { 0 };

	scratch_init(&scratch);
	assert_int_equal(marker_check(scratch.path, &err), -1);
	assert_int_equal(err.code, RPC_NOT_FOUND);
	assert_ok(marker_write(scratch.path, &err));
	assert_ok(marker_check(scratch.path, &err));
	assert_ok(marker_write(scratch.path, &err));
	put_file(scratch.dir, "version", "{\"crisp\":\"0.0.1\",\"state\":1,\"more\":[]}");
	assert_ok(marker_check(scratch.path, &err));
	assert_ok(marker_write(scratch.path, &err)); /* is of this version now */
	assert_ok(marker_check(scratch.path, &err));
}

static void test_refused(void **data UNUSED)
{
	static const char *const others[] = {
		"", "{", "[]", "{\"crisp\":1,\"state\":1}", "{\"state\":1}", "{\"crisp\":\"9\",\"state\":2}"
	};
	CLEANUP(scratch_done) struct scratch scratch;

	scratch_init(&scratch);
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		struct err err = { 0 };

		put_file(scratch.dir, "version", others[i]);
		assert_int_equal(marker_check(scratch.path, &err), -1);
		assert_int_equal(err.code, RPC_FAILED_PRECONDITION);
		assert_int_equal(marker_write(scratch.path, &err), -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made_and_kept),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
