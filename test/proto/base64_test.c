/* The vectors of RFC 4648 section 10, both alphabets, refusals, and random round trips. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base64.h"

static void test_vectors(void **state)
{
	static const char *const rows[][2] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
		{ "\xfb\xff\xfe", "+//+" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(str_done) struct str text = STR_INIT;

		base64_encode(&text, rows[i][0], strlen(rows[i][0]));
		assert_string_equal(str_get(&text), rows[i][1]);
	}
}

static void decodes(const char *text, const char *expected)
{
	CLEANUP(freep) uint8_t *out = xmalloc(base64_room(strlen(text)));
	size_t len = 99;

	if (!base64_decode(text, strlen(text), out, &len))
		fail_msg("\"%s\" was refused", text);
	assert_int_equal(len, strlen(expected));
	assert_memory_equal(out, expected, len);
}

static void test_accepts(void **state)
{
	(void)state;
	decodes("", "");
	decodes("Zm9vYg==", "foob");
	decodes("Zm9vYg", "foob");
	decodes("Zm9vYmE", "fooba");
	decodes("+//+", "\xfb\xff\xfe");
	decodes("-__-", "\xfb\xff\xfe");
}

static void test_refuses(void **state)
{
	static const char *const rows[] = {
		"Z",        "Zm9vY", "Zg=",  "Zg===",  "=",     "==",   "Z===", "Zm9v=",
		"Zm9v====", "Zh==",  "Zm9=", "Zm9v\n", " Zm9v", "Zm=v", "Zm9*", "\xff\xff\xff\xff",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(freep) uint8_t *out = xmalloc(base64_room(strlen(rows[i])));
		size_t len;

		if (base64_decode(rows[i], strlen(rows[i]), out, &len))
			fail_msg("\"%s\" was taken", rows[i]);
	}
}

static void test_round_trip(void **state)
{
	uint8_t data[80];

	(void)state;
	for (size_t len = 0; len <= sizeof(data); len++) {
		CLEANUP(str_done) struct str text = STR_INIT;
		size_t back_len = 99;

		for (size_t i = 0; i < len; i++)
			data[i] = (uint8_t)(i * 167 + len * 13);
		base64_encode(&text, data, len);
		CLEANUP(freep) uint8_t *back = xmalloc(base64_room(text.len));
		assert_true(base64_decode(str_get(&text), text.len, back, &back_len));
		assert_int_equal(back_len, len);
		assert_memory_equal(back, data, len);
	}
}

static void test_limit_sticks(void **state)
{
	CLEANUP(str_done) struct str text = STR_LIMIT(7);

	(void)state;
	base64_encode(&text, "foobar", 6);
	assert_true(text.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),      cmocka_unit_test(test_accepts),
		cmocka_unit_test(test_refuses),      cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_limit_sticks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
