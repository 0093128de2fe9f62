/* Credentials from the CRI: what is taken, what is refused, and that secrets stay out of texts. */
#include "test/base/check.h"

#include "image/auth.h"

static void test_cri(void **state UNUSED)
{
	const struct image_auth plain = { .username = "me", .password = "p:w" };
	const struct image_auth encoded = { .auth = "bWU6cDp3" }; /* me:p:w */
	const struct image_auth *const auths[] = { &plain, &encoded };

	for (size_t i = 0; i < ARRAY_LEN(auths); i++) {
		CLEANUP(credentials_done) struct credentials credentials = { 0 };
		CLEANUP(wipe_freep) char *basic = NULL;
		struct err err = { 0 };

		assert_ok(credentials_from_cri(auths[i], "r.io", &credentials, &err));
		basic = credentials_basic(&credentials);
		assert_string_equal(basic, "Basic bWU6cDp3");
	}
}

static void test_cri_tokens(void **state UNUSED)
{
	const struct image_auth auth = { .identity_token = "id", .registry_token = "reg" };
	CLEANUP(credentials_done) struct credentials credentials = { 0 };
	struct err err = { 0 };

	assert_ok(credentials_from_cri(&auth, "r.io", &credentials, &err));
	assert_string_equal(credentials.identity_token, "id");
	assert_string_equal(credentials.registry_token, "reg");
	assert_null(credentials_basic(&credentials));
}

static void test_cri_server(void **state UNUSED)
{
	const struct image_auth auth = { .username = "u",
					 .password = "p",
					 .server_address = "https://r.io/v1/" };
	CLEANUP(credentials_done) struct credentials same = { 0 };
	CLEANUP(credentials_done) struct credentials other = { 0 };
	struct err err = { 0 };

	assert_ok(credentials_from_cri(&auth, "r.io", &same, &err));
	assert_false(credentials_empty(&same));
	assert_ok(credentials_from_cri(&auth, "r.io:5000", &other, &err));
	assert_true(credentials_empty(&other));
}

static void test_cri_bad(void **state UNUSED)
{
	static const struct image_auth bad[] = {
		{ .auth = "not base64!" },
		{ .auth = "bWU=" } /* no colon */,
		{ .auth = "OnB3" } /* :pw */,
		{ .auth = "bWU6cDp3=" },
		{ .auth = "YQBiOmM=" } /* a NUL */,
		{ .auth = "bWU6cHcA====" } /* padding that hides one */,
		{ .username = "u\r\nX: y", .password = "p" },
		{ .username = "u", .password = "secretpart\r\n" },
		{ .username = "u:v", .password = "p" },
		{ .registry_token = "secretpart\n" },
		{ .identity_token = "secretpart\t" },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CLEANUP(credentials_done) struct credentials credentials = { 0 };
		struct err err = { 0 };

		assert_fails(credentials_from_cri(&bad[i], "r.io", &credentials, &err), RPC_INVALID_ARGUMENT);
		assert_null(strstr(err.text, "secretpart"));
	}
}

/* They go into headers. */
static void test_cri_long(void **state UNUSED)
{
	char *huge = xmalloc(64 * 1024 + 2);
	const struct image_auth bad[] = {
		{ .username = huge, .password = "p" },
		{ .username = "u", .password = huge },
		{ .auth = huge },
		{ .identity_token = huge },
		{ .registry_token = huge },
	};
	CLEANUP(credentials_done) struct credentials credentials = { 0 };
	struct err err = { 0 };

	memset(huge, 'A', 64 * 1024 + 1);
	huge[64 * 1024 + 1] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_fails(credentials_from_cri(&bad[i], "r.io", &credentials, &err), RPC_INVALID_ARGUMENT);
	huge[64 * 1024] = '\0';
	assert_ok(credentials_from_cri(&bad[1], "r.io", &credentials, &err));
	free(huge);
}

static void test_digest(void **state UNUSED)
{
	const struct image_auth a = { .username = "u", .password = "p" };
	const struct image_auth b = { .username = "u", .password = "q" };
	const struct image_auth c = { .username = "up" };
	struct digest da, db, dc, none;

	image_auth_digest(&a, &da);
	image_auth_digest(&b, &db);
	image_auth_digest(&c, &dc);
	image_auth_digest(NULL, &none);
	assert_false(digest_equal(&da, &db) || digest_equal(&da, &dc) || digest_equal(&da, &none));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cri),        cmocka_unit_test(test_cri_tokens),
		cmocka_unit_test(test_cri_server), cmocka_unit_test(test_cri_bad),
		cmocka_unit_test(test_cri_long),   cmocka_unit_test(test_digest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
