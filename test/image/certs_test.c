/* Under which names certs.d is asked for a registry, and which of them decides. */
#include "test/base/check.h"

#include <sys/stat.h>

#include "image/certs.h"

static struct scratch scratch;
static struct strv dirs;

static int setup(void **state UNUSED)
{
	scratch_init(&scratch);
	strv_addf(&dirs, "%s/first", scratch.path);
	strv_addf(&dirs, "%s/second", scratch.path);
	mkdirat(scratch.dir, "first", 0755);
	mkdirat(scratch.dir, "second", 0755);
	return 0;
}

static int teardown(void **state UNUSED)
{
	strv_done(&dirs);
	scratch_done(&scratch);
	return 0;
}

/* A client certificate, which is only named, not read. */
static void put(const char *folder, const char *name)
{
	CLEANUP(freep) char *dir = xasprintf("%s/%s", folder, name);
	CLEANUP(freep) char *cert = xasprintf("%s/a.cert", dir);
	CLEANUP(freep) char *key = xasprintf("%s/a.key", dir);

	assert_int_equal(mkdirat(scratch.dir, dir, 0755), 0);
	put_file(scratch.dir, cert, "x");
	put_file(scratch.dir, key, "x");
}

/* expected: the directory whose certificate is shown; NULL: none. */
static void check(const char *url, const char *expected)
{
	CLEANUP(origin_done) struct origin origin = { 0 };
	CLEANUP(certs_done) struct certs certs = { 0 };
	CLEANUP(freep)
	char *path = expected ? xasprintf("%s/%s/a.cert", scratch.path, expected) : NULL;
	struct err err = { 0 };

	assert_true(origin_of(url, &origin));
	assert_ok(certs_find(&dirs, &origin, &certs, &err));
	if (expected)
		assert_string_equal(certs.cert, path);
	else
		assert_null(certs.cert);
}

static void test_ports(void **state UNUSED)
{
	put("second", "reg.test");
	check("https://reg.test/", "second/reg.test");
	check("https://reg.test:8443/", NULL);
	put("second", "reg.test:443");
	check("https://reg.test/", "second/reg.test:443");
	put("first", "reg.test");
	check("https://reg.test/", "first/reg.test");
	check("https://other.test/", NULL);
}

/* Users write docker.io, as in references; who has written the API host's name meant it, too. */
static void test_docker_hub(void **state UNUSED)
{
	check("https://registry-1.docker.io/v2/", NULL);
	put("second", "registry-1.docker.io");
	check("https://registry-1.docker.io/v2/", "second/registry-1.docker.io");
	put("second", "docker.io");
	check("https://registry-1.docker.io/v2/", "second/docker.io");
	put("first", "registry-1.docker.io");
	check("https://registry-1.docker.io/v2/", "first/registry-1.docker.io");
	put("first", "docker.io:443");
	check("https://registry-1.docker.io/v2/", "first/docker.io:443");
	check("https://registry-1.docker.io:5000/v2/", NULL);
	check("https://auth.docker.io/token", NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ports),
		TEST(test_docker_hub),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
