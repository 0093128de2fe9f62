/* Origins decide where credentials may go. */
#include "test/base/check.h"

#include "image/origin.h"

static bool same(const char *a, const char *b)
{
	CLEANUP(origin_done) struct origin left = { 0 };
	CLEANUP(origin_done) struct origin right = { 0 };

	assert_true(origin_of(a, &left));
	assert_true(origin_of(b, &right));
	return origin_equal(&left, &right);
}

static void test_equal(void **state UNUSED)
{
	assert_true(same("https://r.io/a", "https://R.IO:443/b?c"));
	assert_true(same("http://r.io", "http://r.io:80/"));
	assert_false(same("https://r.io/", "http://r.io/"));
	assert_false(same("https://r.io:5000/", "http://r.io:5000/"));
	assert_false(same("https://r.io/", "https://r.io:444/"));
	assert_false(same("https://r.io/", "https://x.r.io/"));
	assert_false(same("https://r.io/", "https://r.io.evil/"));
}

static void test_refused(void **state UNUSED)
{
	static const char *const bad[] = { "",
					   "r.io/",
					   "ftp://r.io/",
					   "file:///etc/passwd",
					   "https://",
					   "https://u:p@r.io/",
					   "https://u@r.io/",
					   "https://r.io:x/" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CLEANUP(origin_done) struct origin origin = { 0 };

		if (origin_of(bad[i], &origin))
			fail_msg("%s was accepted", bad[i]);
	}
}

static void check_resolve(const char *location, const char *expected)
{
	CLEANUP(freep) char *url = url_resolve("https://r.io:5000/v2/a?x=1", location, 100);

	assert_true(str_eq(url, expected));
}

static void test_resolve(void **state UNUSED)
{
	check_resolve("/b?y=2#f", "https://r.io:5000/b?y=2");
	check_resolve("//cdn.io/b", "https://cdn.io/b");
	check_resolve("http://cdn.io/b", "http://cdn.io/b");
	check_resolve("https://u:p@cdn.io/", NULL);
	check_resolve(
		"https://cdn.io/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
		NULL);
}

static void test_query(void **state UNUSED)
{
	CLEANUP(freep) char *first = url_add_query("https://r.io/t?a=b", "scope", "repository:x/y:pull&z");

	assert_string_equal(first, "https://r.io/t?a=b&scope=repository%3ax%2fy%3apull%26z");
	assert_null(url_add_query("nonsense://", "a", "b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_resolve),
		cmocka_unit_test(test_query),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
