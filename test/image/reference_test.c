/* The grammar of references, normalisation, and the bad input that must be refused. */
#include "test/base/check.h"

#include "image/reference.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void check(const char *text, const char *name, const char *tag, bool digest)
{
	CLEANUP(reference_done) struct reference reference = { 0 };
	struct err err = { 0 };

	assert_ok(reference_parse(text, &reference, &err));
	assert_string_equal(reference.name, name);
	if (tag)
		assert_string_equal(reference.tag, tag);
	else
		assert_null(reference.tag);
	assert_int_equal(reference.has_digest, digest);
}

static void test_good(void **state UNUSED)
{
	check("busybox", "busybox", NULL, false);
	check("busybox:1.36", "busybox", "1.36", false);
	check("team/app", "team/app", NULL, false);
	check("localhost/app:x", "localhost/app", "x", false);
	check("registry.local:5000/a/b/c:v1", "registry.local:5000/a/b/c", "v1", false);
	check("Registry.Local:65535/a", "Registry.Local:65535/a", NULL, false);
	check("[::1]:5000/app:latest", "[::1]:5000/app", "latest", false);
	check("127.0.0.1:5000/app", "127.0.0.1:5000/app", NULL, false);
	check("a/b@sha256:" HEX, "a/b", NULL, true);
	check("a/b:tag@sha256:" HEX, "a/b", "tag", true);
	check("a/b@sha512:" HEX HEX, "a/b", NULL, true);
	check("a__b/c.d-e---f", "a__b/c.d-e---f", NULL, false);
}

static const char *const bad[] = {
	"",
	":",
	":tag",
	"@",
	"a:",
	"a@",
	"a@sha256:" HEX "0",
	"UPPER",
	"a/B",
	"Foo/bar",
	"a//b",
	"/a",
	"a/",
	"a/../b",
	"../a",
	"a/./b",
	"a b",
	"a\nb",
	"a\tb",
	"\xc3\xa9",
	"a:b:c",
	"a:.t",
	"a:-t",
	"a:t/x",
	"x.y:99999/a",
	"x.y:0/a",
	"x.y:/a",
	"x.y:65536/a",
	"x.y:+1/a",
	"-x.y/a",
	"x-.y/a",
	"x..y/a",
	"[::1/a",
	"[zz]/a",
	"[::1]x/a",
	"a.",
	".a",
	"a-",
	"-a",
	"a..b",
	"a___b",
	"a._b",
	"a@sha256:../x",
	"a@md5:" HEX,
	"a@sha256:"
	"0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
	"a@sha512:" HEX,
	HEX,
	"https://x.y/a",
	"a@sha256:" HEX ":tag",
	"x.y/a?b",
	"x.y/a%2e",
	"_x.y/app",
};

static void test_bad(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CLEANUP(reference_done) struct reference reference = { 0 };
		struct err err = { 0 };

		if (reference_parse(bad[i], &reference, &err) == 0)
			fail_msg("\"%s\" was accepted", bad[i]);
		assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	}
}

/* The error quotes the reference: nothing in it may write to a terminal, or begin a line of a log. */
static void test_error_text(void **state UNUSED)
{
	static const char *const odd[] = { "a\x1b[31m", "a\nlevel=info", "a\x7f", "a:\xff" };

	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		struct reference reference;
		struct err err = { 0 };

		assert_fails(reference_parse(odd[i], &reference, &err), RPC_INVALID_ARGUMENT);
		assert_true(str_is_printable(err.text));
	}
}

static char *repeated(char c, size_t len)
{
	char *text = xmalloc(len + 1);

	memset(text, c, len);
	text[len] = '\0';
	return text;
}

static void test_lengths(void **state UNUSED)
{
	CLEANUP(freep) char *just = repeated('a', REFERENCE_NAME_MAX);
	CLEANUP(freep) char *over = repeated('a', REFERENCE_NAME_MAX + 1);
	CLEANUP(freep) char *huge = repeated('a', 10240);
	CLEANUP(freep) char *tag = repeated('t', REFERENCE_TAG_MAX);
	CLEANUP(freep) char *tagged = xasprintf("a:%s", tag);
	CLEANUP(freep) char *overtagged = xasprintf("a:%st", tag);
	struct reference reference;
	struct err err = { 0 };

	check(just, just, NULL, false);
	check(tagged, "a", tag, false);
	assert_fails(reference_parse(over, &reference, &err), RPC_INVALID_ARGUMENT);
	assert_fails(reference_parse(huge, &reference, &err), RPC_INVALID_ARGUMENT);
	assert_fails(reference_parse(overtagged, &reference, &err), RPC_INVALID_ARGUMENT);
}

static void check_normal(const char *name, const char *expected)
{
	CLEANUP(freep) char *normal = reference_normalise(name);

	assert_string_equal(normal, expected);
}

static void test_normalise(void **state UNUSED)
{
	check_normal("busybox", "docker.io/library/busybox");
	check_normal("team/app", "docker.io/team/app");
	check_normal("docker.io/busybox", "docker.io/library/busybox");
	check_normal("index.docker.io/team/app", "docker.io/team/app");
	check_normal("registry.local/app", "registry.local/app");
	check_normal("localhost/app", "localhost/app");
	check_normal("host:1/app", "host:1/app");
}

static void check_text(const char *text, const char *expected)
{
	CLEANUP(reference_done) struct reference reference = { 0 };
	CLEANUP(freep) char *full = NULL;
	struct err err = { 0 };

	assert_ok(reference_parse(text, &reference, &err));
	full = reference_text(&reference, "r.io/x");
	assert_string_equal(full, expected);
}

static void test_text(void **state UNUSED)
{
	check_text("x", "r.io/x:latest");
	check_text("x:1", "r.io/x:1");
	check_text("x:1@sha256:" HEX, "r.io/x@sha256:" HEX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),       cmocka_unit_test(test_bad),
		cmocka_unit_test(test_error_text), cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_normalise),  cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
