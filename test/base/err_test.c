/* Codes, texts, prefixes and truncation. */
#include "test/base/check.h"

#include <errno.h>

static void sets_code_and_text(void **state)
{
	struct err err = { 0 };

	(void)state;
	assert_int_equal(err_set(&err, RPC_NOT_FOUND, "no container %s", "abc"), -1);
	assert_int_equal(err.code, RPC_NOT_FOUND);
	assert_string_equal(err.text, "no container abc");
}

static void accepts_null(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, RPC_INTERNAL, "x"), -1);
	assert_int_equal(err_errno(NULL, "x"), -1);
	assert_int_equal(err_prefix(NULL, "x"), -1);
}

static void maps_errno(void **state)
{
	static const struct {
		int error;
		enum rpc_code code;
	} rows[] = {
		{ ENOSPC, RPC_RESOURCE_EXHAUSTED }, { EDQUOT, RPC_RESOURCE_EXHAUSTED },
		{ EMFILE, RPC_RESOURCE_EXHAUSTED }, { ENFILE, RPC_RESOURCE_EXHAUSTED },
		{ ENOMEM, RPC_RESOURCE_EXHAUSTED }, { EAGAIN, RPC_RESOURCE_EXHAUSTED },
		{ ENOENT, RPC_INTERNAL },           { EIO, RPC_INTERNAL },
	};
	struct err err = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		errno = rows[i].error;
		assert_int_equal(err_errno(&err, "open %s", "x"), -1);
		assert_int_equal(err.code, rows[i].code);
		assert_int_equal(errno, rows[i].error);
	}
	assert_string_equal(err.text, "open x: Input/output error");
}

static void percent_m_is_the_errno_of_the_call(void **state)
{
	struct err err = { 0 };

	(void)state;
	errno = ENOENT;
	err_set(&err, RPC_INTERNAL, "a: %m");
	assert_string_equal(err.text, "a: No such file or directory");
}

static void prefixes_from_inside_out(void **state)
{
	struct err err = { 0 };

	(void)state;
	err_set(&err, RPC_ABORTED, "c");
	assert_int_equal(err_prefix(&err, "b %d", 2), -1);
	assert_int_equal(err_prefix(&err, "a"), -1);
	assert_string_equal(err.text, "a: b 2: c");
	assert_int_equal(err.code, RPC_ABORTED);
	err_clear(&err);
	assert_int_equal(err.code, RPC_OK);
	assert_string_equal(err.text, "");
}

static void truncates_visibly(void **state)
{
	struct err err = { 0 };
	char text[3 * ERR_TEXT_MAX];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	err_set(&err, RPC_INTERNAL, "%s", text);
	assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
	assert_string_equal(err.text + ERR_TEXT_MAX - 4, "...");
	err_prefix(&err, "front");
	assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
	assert_memory_equal(err.text, "front: xxx", 10);
	assert_string_equal(err.text + ERR_TEXT_MAX - 4, "...");
	err_set(&err, RPC_INTERNAL, "short");
	err_prefix(&err, "%s", text);
	assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
	assert_string_equal(err.text + ERR_TEXT_MAX - 4, "...");
	errno = EIO;
	err_errno(&err, "%s", text);
	assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
	assert_string_equal(err.text + ERR_TEXT_MAX - 4, "...");
}

/* Around the very end of the buffer each length must fit exactly or be marked. */
static void every_length_near_the_end(void **state)
{
	char text[ERR_TEXT_MAX + 8];

	(void)state;
	for (size_t len = ERR_TEXT_MAX - 40; len < ERR_TEXT_MAX + 4; len++) {
		struct err err = { 0 };
		memset(text, 'y', len);
		text[len] = '\0';
		err_set(&err, RPC_INTERNAL, "abc");
		err_prefix(&err, "%s", text);
		bool fits = len + 5 < ERR_TEXT_MAX;
		const char *end = err.text + strlen(err.text) - 3;
		assert_string_equal(end, fits ? "abc" : "...");
		assert_true(strlen(err.text) < ERR_TEXT_MAX);
	}
}

static void names_of_codes(void **state)
{
	(void)state;
	assert_string_equal(rpc_code_name(RPC_OK), "OK");
	assert_string_equal(rpc_code_name(RPC_DEADLINE_EXCEEDED), "DEADLINE_EXCEEDED");
	assert_string_equal(rpc_code_name(RPC_UNAUTHENTICATED), "UNAUTHENTICATED");
	assert_string_equal(rpc_code_name((enum rpc_code)17), "UNKNOWN");
	assert_string_equal(rpc_code_name((enum rpc_code) - 1), "UNKNOWN");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_code_and_text),
		cmocka_unit_test(accepts_null),
		cmocka_unit_test(maps_errno),
		cmocka_unit_test(percent_m_is_the_errno_of_the_call),
		cmocka_unit_test(prefixes_from_inside_out),
		cmocka_unit_test(truncates_visibly),
		cmocka_unit_test(every_length_near_the_end),
		cmocka_unit_test(names_of_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
