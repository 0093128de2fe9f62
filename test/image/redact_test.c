/* Secrets in other people's texts. */
#include "test/base/check.h"

#include "image/redact.h"

static void check(const char *text, const char *expected)
{
	CLEANUP(str_done) struct str out = STR_INIT;

	redact(text, &out);
	assert_string_equal(str_get(&out), expected);
}

static void test_urls(void **state UNUSED)
{
	check("", "");
	check("denied: no such thing?", "denied: no such thing?");
	check("see https://u:p@x.io/a?sig=1&t=2 there", "see https://x.io/a?... there");
	check("https://u:p@ss@x.io/a", "https://x.io/a");
	check("https://x.io/a@sha256:00", "https://x.io/a@sha256:00");
	check("(https://a.io,https://u:p@b.io)", "(https://a.io,https://b.io)");
	check("https://x.io/cb#access_token=1", "https://x.io/cb#...");
	check("GET \"/v2/a?token=1\" failed", "GET \"/v2/a?...\" failed");
	check("https://u:p@", "https://");
	check("https://", "https://");
	check("://@", "://");
}

static void test_headers(void **state UNUSED)
{
	check("Authorization: Bearer abc.def rejected", "Authorization: Bearer ... rejected");
	check("basic  bWU6cHc=", "basic  ...");
	check("\"Bearer\" \"abc\"", "\"Bearer\" \"...\"");
}

static void test_unprintable(void **state UNUSED)
{
	check("a\x1b[31m\nb\xc3\xa4", "a?[31m b??");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_unprintable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
