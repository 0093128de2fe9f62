/* Quantities as k8s.io/apimachinery reads them, rounded up to whole numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cni/quantity.h"

static void test_good(void **state)
{
	static const struct {
		const char *text;
		int64_t value;
	} rows[] = {
		{ "0", 0 },
		{ "1", 1 },
		{ "+7", 7 },
		{ "-7", -7 },
		{ "007", 7 },
		{ "1k", 1000 },
		{ "10M", 10000000 },
		{ "1.5G", 1500000000 },
		{ "1.G", 1000000000 },
		{ ".5k", 500 },
		{ "1Ki", 1024 },
		{ "1.5Ki", 1536 },
		{ "3Ei", 3458764513820540928 },
		{ "1E", 1000000000000000000 },
		{ "1e3", 1000 },
		{ "1E3", 1000 },
		{ "1e+3", 1000 },
		{ "1500e-3", 2 },
		{ "1m", 1 },
		{ "1000m", 1 },
		{ "1001m", 2 },
		{ "1n", 1 },
		{ "0.0000000001", 1 },
		{ "0e100", 0 },
		{ "1e100", INT64_MAX },
		{ "-1e100", -INT64_MAX },
		{ "9Ei", INT64_MAX },
		{ "9223372036854775807", INT64_MAX },
		{ "123456789012345678901234567890", INT64_MAX },
		{ "1234567890123456789012345678.5e-10", 123456789012345679 },
		{ "0.000000000000000000000000000000000000001e39", 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err;
		int64_t value = 0;
		if (quantity_parse(rows[i].text, &value, &err) < 0)
			fail_msg("%s", err.text);
		if (value != rows[i].value)
			fail_msg("%s: have %lld, want %lld", rows[i].text, (long long)value,
				 (long long)rows[i].value);
	}
}

static void test_bad(void **state)
{
	static const char *const rows[] = {
		"",
		"M",
		"-",
		"+",
		".",
		"1..2",
		"1.2.3",
		"1 M",
		" 1",
		"1KB",
		"1K",
		"1ki",
		"1g",
		"1e",
		"1e1.5",
		"1e101",
		"0x10",
		"1,5",
		"--1",
		"1M\n",
		"1Mi3",
		"1e3k",
		"00000000000000000000000000000000000000000000000000000000000000000000000001",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		int64_t value = 0;
		if (quantity_parse(rows[i], &value, &err) == 0)
			fail_msg("\"%s\" is taken for %lld", rows[i], (long long)value);
		assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_good), cmocka_unit_test(test_bad) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
