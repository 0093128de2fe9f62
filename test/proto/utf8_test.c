/* The table of RFC 3629 section 4, row by row, and mending. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/utf8.h"

struct row {
	const char *text;
	size_t good; /* bytes in front of the first bad one */
	const char *mended;
};

#define BAD "\xef\xbf\xbd"

static const struct row rows[] = {
	{ "", 0, "" },
	{ "plain text, longer than eight bytes", 35, "plain text, longer than eight bytes" },
	{ "\x7f", 1, "\x7f" },
	{ "\xc2\x80\xdf\xbf", 4, "\xc2\x80\xdf\xbf" },
	{ "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf", 12,
	  "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf" },
	{ "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8, "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf" },
	{ "a\x80z", 1, "a" BAD "z" },
	{ "\xc0\x80", 0, BAD BAD },
	{ "\xc1\xbf", 0, BAD BAD },
	{ "\xe0\x9f\xbf", 0, BAD BAD BAD },
	{ "\xed\xa0\x80", 0, BAD BAD BAD },
	{ "\xf0\x8f\xbf\xbf", 0, BAD BAD BAD BAD },
	{ "\xf4\x90\x80\x80", 0, BAD BAD BAD BAD },
	{ "\xf5\x80\x80\x80", 0, BAD BAD BAD BAD },
	{ "\xff", 0, BAD },
	{ "12345678\xc3", 8, "12345678" BAD },
	{ "\xe2\x82", 0, BAD BAD },
	{ "\xe2\x82z", 0, BAD BAD "z" },
	{ "\xf0\x9f\x98", 0, BAD BAD BAD },
	{ "1234567\xc3\xa9", 9, "1234567\xc3\xa9" },
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(str_done) struct str mended = STR_INIT;
		size_t len = strlen(rows[i].text);

		assert_int_equal(utf8_prefix(rows[i].text, len), rows[i].good);
		assert_int_equal(utf8_valid(rows[i].text, len), rows[i].good == len);
		utf8_mend(&mended, rows[i].text, len);
		assert_string_equal(str_get(&mended), rows[i].mended);
		assert_true(utf8_valid(str_get(&mended), mended.len));
	}
}

/* A sequence cut by the length, not by a NUL. */
static void test_length_counts(void **state)
{
	(void)state;
	assert_false(utf8_valid("\xc3\xa9", 1));
	assert_true(utf8_valid("\xc3\xa9", 2));
	assert_true(utf8_valid("a\0b", 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_length_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
