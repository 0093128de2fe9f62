/*
 * Tokens: good once, for their kind, for a minute; a thousand at most.
 */
#include "base/clock.h"
#include "server/streaming/tokens.h"
#include "test/base/check.h"

static int freed;

static void count_free(void *data)
{
	(void)data;
	freed++;
}

static struct stream_request request_of(enum stream_kind kind)
{
	return (struct stream_request){ .kind = kind, .data = &freed, .free = count_free };
}

static void test_once(void **state)
{
	struct tokens *tokens = tokens_new();
	struct stream_request request = request_of(STREAM_EXEC), got = { 0 };
	char token[TOKEN_SIZE];
	struct err err;

	(void)state;
	freed = 0;
	assert_ok(tokens_add_take(tokens, &request, 1, token, &err));
	assert_int_equal(strlen(token), TOKEN_LEN);
	assert_null(request.free);
	assert_false(tokens_has(tokens, "", STREAM_EXEC, 2));
	assert_false(tokens_has(tokens, "0123456789abcdef0123456789abcdef", STREAM_EXEC, 2));
	assert_false(tokens_redeem(tokens, token, STREAM_ATTACH, 2, &got));
	assert_true(tokens_has(tokens, token, STREAM_EXEC, 2));
	assert_true(tokens_redeem(tokens, token, STREAM_EXEC, 2, &got));
	assert_false(tokens_redeem(tokens, token, STREAM_EXEC, 2, &got));
	assert_int_equal(freed, 0);
	stream_request_done(&got);
	assert_int_equal(freed, 1);
	tokens_free(tokens);
}

static void test_minute(void **state)
{
	struct tokens *tokens = tokens_new();
	struct stream_request request = request_of(STREAM_FORWARD), got;
	char token[TOKEN_SIZE];
	struct err err;

	(void)state;
	freed = 0;
	assert_ok(tokens_add_take(tokens, &request, 1, token, &err));
	assert_true(tokens_has(tokens, token, STREAM_FORWARD, 60 * NS_PER_SEC));
	assert_false(tokens_redeem(tokens, token, STREAM_FORWARD, 60 * NS_PER_SEC + 1, &got));
	assert_int_equal(freed, 1);
	tokens_free(tokens);
}

static void test_thousand(void **state)
{
	struct tokens *tokens = tokens_new();
	struct stream_request request;
	char token[TOKEN_SIZE];
	struct err err;

	(void)state;
	freed = 0;
	for (int i = 0; i < 1000; i++) {
		request = request_of(STREAM_EXEC);
		assert_ok(tokens_add_take(tokens, &request, i, token, &err));
	}
	request = request_of(STREAM_EXEC);
	assert_fails(tokens_add_take(tokens, &request, 1000, token, &err), RPC_RESOURCE_EXHAUSTED);
	assert_non_null(request.free);
	/* When the oldest has gone there is room for one. */
	assert_ok(tokens_add_take(tokens, &request, 60 * NS_PER_SEC, token, &err));
	assert_int_equal(freed, 1);
	tokens_free(tokens);
	assert_int_equal(freed, 1001);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_once), cmocka_unit_test(test_minute),
					    cmocka_unit_test(test_thousand) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
