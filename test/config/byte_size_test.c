/* Sizes as text: what is read, what is refused, and that what is printed is read back as the same. */
#include "test/base/check.h"

#include "config/byte_size.h"

static void check(const char *text, int64_t bytes, const char *printed)
{
	CLEANUP(str_done) struct str out = STR_INIT;
	int64_t parsed = -1;

	assert_true(byte_size_parse(text, &parsed));
	assert_int_equal(parsed, bytes);
	byte_size_print(&out, parsed);
	assert_string_equal(str_get(&out), printed);
	assert_true(byte_size_parse(str_get(&out), &parsed));
	assert_int_equal(parsed, bytes);
}

static void check_refused(const char *text)
{
	int64_t parsed = -1;

	assert_false(byte_size_parse(text, &parsed));
}

static void test_good(void **state UNUSED)
{
	check("0", 0, "0");
	check("0GiB", 0, "0");
	check("1", 1, "1");
	check("1000", 1000, "1000");
	check("1024", 1024, "1KiB");
	check("64MiB", 64 << 20, "64MiB");
	check("1536KiB", 1536 << 10, "1536KiB");
	check("2048MiB", INT64_C(2) << 30, "2GiB");
	check("3TiB", INT64_C(3) << 40, "3TiB");
	check("9223372036854775807", INT64_MAX, "9223372036854775807");
}

static void test_bad(void **state UNUSED)
{
	check_refused("");
	check_refused("MiB");
	check_refused("-1");
	check_refused("1MB");
	check_refused("1 MiB");
	check_refused("1.5MiB");
	check_refused("1MiB ");
	check_refused("0x10");
	check_refused("9223372036854775808");
	check_refused("8388608TiB");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
