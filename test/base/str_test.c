/* Growing strings, vectors, questions, number parsers and UTF-8. */
#include "test/base/check.h"

#include "base/str.h"

static void builds_text(void **state)
{
	CLEANUP(str_done) struct str str = STR_INIT;

	(void)state;
	assert_string_equal(str_get(&str), "");
	str_add(&str, "ab");
	str_addc(&str, 'c');
	str_addf(&str, "-%d-%s", 42, "x");
	str_addn(&str, "\0z", 2);
	assert_int_equal(str.len, 10);
	assert_memory_equal(str.data, "abc-42-x\0z\0", 11);
	str_clear(&str);
	assert_string_equal(str_get(&str), "");
	for (int i = 0; i < 10000; i++)
		str_addc(&str, 'x');
	assert_int_equal(strlen(str.data), 10000);
}

static void failure_sticks_at_the_limit(void **state)
{
	CLEANUP(str_done) struct str str = STR_LIMIT(4);

	(void)state;
	str_add(&str, "abcd");
	assert_false(str.failed);
	assert_null(str_room(&str, 1));
	assert_true(str.failed);
	str_add(&str, "");
	assert_string_equal(str_get(&str), "abcd");
	str_clear(&str);
	assert_false(str.failed);
	str_addf(&str, "%d", 12345);
	assert_true(str.failed);
	assert_string_equal(str_get(&str), "");
}

static void take_hands_over(void **state)
{
	struct str str = STR_LIMIT(10);

	(void)state;
	CLEANUP(freep) char *empty = str_take(&str);
	assert_string_equal(empty, "");
	str_add(&str, "abc");
	CLEANUP(freep) char *text = str_take(&str);
	assert_string_equal(text, "abc");
	assert_null(str.data);
	assert_int_equal(str.limit, 10);
}

static void vectors(void **state)
{
	CLEANUP(strv_done) struct strv strv = STRV_INIT;
	CLEANUP(strv_done) struct strv empty = STRV_INIT;

	(void)state;
	strv_split(&strv, "a,,b", ',');
	strv_addf(&strv, "%d", 7);
	const char *more[] = { "x", "y" };
	strv_add_all(&strv, more, 2);
	assert_int_equal(strv.len, 6);
	assert_null(strv.items[6]);
	assert_string_equal(strv.items[1], "");
	assert_true(strv_has(&strv, "7"));
	assert_false(strv_has(&strv, "z"));
	CLEANUP(freep) char *joined = strv_join(&strv, ", ");
	assert_string_equal(joined, "a, , b, 7, x, y");
	CLEANUP(freep) char *nothing = strv_join(&empty, ",");
	assert_string_equal(nothing, "");
	strv_split(&empty, "", ',');
	assert_int_equal(empty.len, 1);
	for (int i = 0; i < 1000; i++)
		strv_add(&empty, "e");
	assert_null(empty.items[1001]);
}

static void questions(void **state)
{
	(void)state;
	assert_true(str_eq(NULL, NULL));
	assert_false(str_eq(NULL, ""));
	assert_false(str_eq("", NULL));
	assert_true(str_eq("a", "a"));
	assert_true(str_empty(NULL) && str_empty("") && !str_empty(" "));
	assert_true(str_has_prefix("abc", "") && str_has_prefix("abc", "abc"));
	assert_false(str_has_prefix("ab", "abc"));
	assert_true(str_has_suffix("abc", "bc") && str_has_suffix("abc", "abc") && str_has_suffix("", ""));
	assert_false(str_has_suffix("bc", "abc"));
	assert_true(str_is_printable("a b~"));
	assert_false(str_is_printable("a\n"));
	assert_false(str_is_printable("\x7f"));
	assert_false(str_is_printable("\xc3\xa4"));
}

static void unsigned_numbers(void **state)
{
	static const char *const bad[] = {
		"",  "-1", "+1", " 1", "1 ", "0x1", "1a", "18446744073709551616", "99999999999999999999999",
		NULL
	};
	uint64_t value = 9;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (parse_u64(bad[i], UINT64_MAX, &value))
			fail_msg("\"%s\" was taken as %ju", bad[i], (uintmax_t)value);
	assert_int_equal(value, 9);
	assert_true(parse_u64("18446744073709551615", UINT64_MAX, &value));
	assert_true(value == UINT64_MAX);
	assert_true(parse_u64("007", 7, &value));
	assert_int_equal(value, 7);
	assert_false(parse_u64("8", 7, &value));
}

static void signed_numbers(void **state)
{
	static const char *const bad[] = {
		"", "-", "--1", "+1", "- 1", "9223372036854775808", "-9223372036854775809"
	};
	int64_t value = 9;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (parse_i64(bad[i], INT64_MIN, INT64_MAX, &value))
			fail_msg("\"%s\" was taken as %jd", bad[i], (intmax_t)value);
	assert_false(parse_i64(NULL, 0, 1, &value));
	assert_int_equal(value, 9);
	assert_true(parse_i64("-9223372036854775808", INT64_MIN, INT64_MAX, &value));
	assert_true(value == INT64_MIN);
	assert_true(parse_i64("9223372036854775807", INT64_MIN, INT64_MAX, &value));
	assert_true(value == INT64_MAX);
	assert_false(parse_i64("-11", -10, 10, &value));
	assert_true(parse_i64("-10", -10, 10, &value));
	assert_int_equal(value, -10);
}

static void utf8(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} rows[] = {
		{ "", 0 },
		{ "a", 1 },
		{ "\x7f", 1 },
		{ "\x80", 0 },
		{ "\xc1\x81", 0 },
		{ "\xc3\xa4", 2 },
		{ "\xc3", 0 },
		{ "\xe0\x80\x80", 0 },
		{ "\xe2\x82\xac", 3 },
		{ "\xe2\x82", 0 },
		{ "\xed\xa0\x80", 0 },
		{ "\xed\x9f\xbf", 3 },
		{ "\xf0\x9f\x98\x80", 4 },
		{ "\xf0\x80\x80\x80", 0 },
		{ "\xf4\x8f\xbf\xbf", 4 },
		{ "\xf4\x90\x80\x80", 0 },
		{ "\xf5\x80\x80\x80", 0 },
		{ "\xff", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (utf8_len(rows[i].text) != rows[i].len)
			fail_msg("row %zu: %zu, %zu expected", i, utf8_len(rows[i].text), rows[i].len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(builds_text),     cmocka_unit_test(failure_sticks_at_the_limit),
		cmocka_unit_test(take_hands_over), cmocka_unit_test(vectors),
		cmocka_unit_test(questions),       cmocka_unit_test(unsigned_numbers),
		cmocka_unit_test(signed_numbers),  cmocka_unit_test(utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
