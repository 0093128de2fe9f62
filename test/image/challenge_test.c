/* WWW-Authenticate as registries write it, and as nobody should. */
#include "test/base/check.h"

#include "image/challenge.h"

static void check_bearer(const char *header, const char *realm, const char *service, const char *scope)
{
	CLEANUP(challenge_done) struct challenge challenge = { 0 };

	if (!challenge_add(&challenge, header))
		fail_msg("%s was refused", header);
	assert_true(challenge.bearer);
	assert_true(str_eq(challenge.realm, realm));
	assert_true(str_eq(challenge.service, service));
	assert_true(str_eq(challenge.scope, scope));
}

static void test_bearer(void **state UNUSED)
{
	check_bearer("Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:x:pull\"", "https://a/t",
		     "s", "repository:x:pull");
	check_bearer("bearer  realm = \"https://a/t\" , SERVICE=s", "https://a/t", "s", NULL);
	check_bearer("Basic realm=\"x, y\", Bearer realm=\"r\", error=\"e\"", "r", NULL, NULL);
	check_bearer("Bearer realm=\"a\\\"b\"", "a\"b", NULL, NULL);
	check_bearer("Negotiate abc==, Bearer realm=r", "r", NULL, NULL);
	check_bearer("Bearer realm=first, Bearer realm=second", "first", NULL, NULL);
	check_bearer("Bearer", NULL, NULL, NULL);
}

static void test_several_headers(void **state UNUSED)
{
	CLEANUP(challenge_done) struct challenge challenge = { 0 };

	assert_true(challenge_add(&challenge, "Basic realm=\"x\""));
	assert_true(challenge.basic);
	assert_false(challenge.bearer);
	assert_true(challenge_add(&challenge, "Bearer realm=\"y\""));
	assert_true(challenge.basic && challenge.bearer);
	assert_string_equal(challenge.realm, "y");
}

static void test_malformed(void **state UNUSED)
{
	static const char *const bad[] = { "Bearer realm=\"open", "Bearer realm=\"a\" service=b", "=", "\"",
					   "Bearer realm=\"a\\" };
	CLEANUP(challenge_done) struct challenge challenge = { 0 };
	CLEANUP(freep) char *huge = xmalloc(CHALLENGE_TEXT_MAX + 2);

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (challenge_add(&challenge, bad[i]))
			fail_msg("%s was accepted", bad[i]);
	memset(huge, 'a', CHALLENGE_TEXT_MAX + 1);
	huge[CHALLENGE_TEXT_MAX + 1] = '\0';
	assert_false(challenge_add(&challenge, huge));
	assert_false(challenge.basic || challenge.bearer || challenge.realm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bearer),
		cmocka_unit_test(test_several_headers),
		cmocka_unit_test(test_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
