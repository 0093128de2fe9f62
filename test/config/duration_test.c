/* Durations: what is read, what is refused, what is printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "config/duration.h"

static void test_parse(void **state UNUSED)
{
	static const struct {
		const char *text;
		int64_t ns;
	} cases[] = {
		{ "0", 0 },
		{ "0s", 0 },
		{ "10s", 10 * NS_PER_SEC },
		{ "1m30s", 90 * NS_PER_SEC },
		{ "1.5h", 5400 * NS_PER_SEC },
		{ "300ms", 300 * NS_PER_MS },
		{ "0.1s", 100 * NS_PER_MS },
		{ "7us1ns", 7001 },
		{ "0.0000000019s", 1 },
		{ "2562047h47m16.854775807s", INT64_MAX },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t ns = -1;
		if (!duration_parse(cases[i].text, &ns))
			fail_msg("refused: %s", cases[i].text);
		assert_int_equal(ns, cases[i].ns);
	}
}

static void test_refused(void **state UNUSED)
{
	static const char *const cases[] = { "",
					     "10",
					     "s",
					     "-1s",
					     "+1s",
					     "1 s",
					     "1.s",
					     ".5s",
					     "1d",
					     "1s ",
					     "1S",
					     "1m30",
					     "2562047h47m16.854775808s",
					     "99999999999999999999s" };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t ns = -1;
		if (duration_parse(cases[i], &ns))
			fail_msg("accepted: %s", cases[i]);
		assert_int_equal(ns, -1);
	}
}

static void test_print(void **state UNUSED)
{
	static const struct {
		int64_t ns;
		const char *text;
	} cases[] = {
		{ 0, "0s" },
		{ 90 * NS_PER_SEC, "1m30s" },
		{ 1500 * NS_PER_MS, "1s500ms" },
		{ 3600 * NS_PER_SEC, "1h" },
		{ 1001, "1us1ns" },
		{ INT64_MAX, "2562047h47m16s854ms775us807ns" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(str_done) struct str out = STR_INIT;
		int64_t back;
		duration_print(&out, cases[i].ns);
		assert_string_equal(str_get(&out), cases[i].text);
		assert_true(duration_parse(str_get(&out), &back));
		assert_int_equal(back, cases[i].ns);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_print),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
