/* Digests: parsing, text, hashing in pieces, mismatch. */
#include "test/base/check.h"

#include "image/digest.h"

#define EMPTY "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC_512                                                                   \
	"sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a" \
	"2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"

static void check_round(const char *text)
{
	struct digest digest;
	char again[DIGEST_TEXT_SIZE];
	struct err err = { 0 };

	assert_ok(digest_parse(text, &digest, &err));
	digest_text(&digest, again);
	assert_string_equal(again, text);
}

static void test_round(void **state UNUSED)
{
	check_round(EMPTY);
	check_round(ABC_512);
}

static void test_bad(void **state UNUSED)
{
	static const char *const bad[] = {
		"",
		"sha256",
		"sha256:",
		":",
		"sha256:zz",
		"sha256:../../../../etc/passwd",
		"sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709",
		(EMPTY "0"),
		(" " EMPTY),
		"SHA256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"sha256:E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"sha512:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct digest digest;
		struct err err = { 0 };

		if (digest_parse(bad[i], &digest, &err) == 0)
			fail_msg("%s was accepted", bad[i]);
		assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	}
}

static void test_hash(void **state UNUSED)
{
	CLEANUP(hasher_freep) struct hasher *hasher = hasher_new(DIGEST_SHA512);
	struct digest digest;
	char text[DIGEST_TEXT_SIZE];

	digest_of(DIGEST_SHA256, "", 0, &digest);
	digest_text(&digest, text);
	assert_string_equal(text, EMPTY);
	hasher_add(hasher, "a", 1);
	hasher_add(hasher, "", 0);
	hasher_add(hasher, "bc", 2);
	hasher_end(hasher, &digest);
	digest_text(&digest, text);
	assert_string_equal(text, ABC_512);
}

static void test_mismatch(void **state UNUSED)
{
	struct digest digest;
	struct err err = { 0 };

	digest_of(DIGEST_SHA256, "x", 1, &digest);
	assert_ok(digest_check(&digest, "x", 1, "thing", &err));
	assert_fails(digest_check(&digest, "y", 1, "thing", &err), RPC_DATA_LOSS);
	assert_contains(err.text, "thing: expected sha256:");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_mismatch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
