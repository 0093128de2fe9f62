/* This node's own credentials: auth files and credential helpers, which of them wins, and what a helper that
 * fails, hangs or floods costs. */
#include "test/base/check.h"

#include <sys/stat.h>

#include "base/clock.h"
#include "image/cred_helper.h"
#include "image/keyring.h"

struct place {
	struct scratch scratch;
	struct strv files;
	struct ctx ctx;
	struct keyring keyring;
};

static int setup(void **state)
{
	struct place *place = xnew(struct place);

	scratch_init(&place->scratch);
	strv_addf(&place->files, "%s/absent", place->scratch.path);
	strv_addf(&place->files, "%s/first", place->scratch.path);
	strv_addf(&place->files, "%s/second", place->scratch.path);
	ctx_init(&place->ctx, NO_DEADLINE);
	place->keyring = (struct keyring){ .files = &place->files,
					   .helper_path = place->scratch.path,
					   .helper_timeout = 20 * NS_PER_SEC };
	*state = place;
	return 0;
}

static int teardown(void **state)
{
	struct place *place = *state;

	strv_done(&place->files);
	ctx_done(&place->ctx);
	scratch_done(&place->scratch);
	free(place);
	return 0;
}

/* A program docker-credential-NAME; scripts find no tools in PATH, which is the scratch directory. */
static void put_helper(struct place *place, const char *name, const char *script)
{
	CLEANUP(freep) char *file = xasprintf("docker-credential-%s", name);
	CLEANUP(freep) char *text = xasprintf("#!/bin/sh\nread -r server\n%s\n", script);

	put_file(place->scratch.dir, file, text);
	assert_int_equal(fchmodat(place->scratch.dir, file, 0755, 0), 0);
}

static int find(struct place *place, const char *host, const char *repository, struct credentials *ret,
		struct err *err)
{
	return keyring_find(&place->keyring, &place->ctx, host, repository, ret, err);
}

static void check(struct place *place, const char *host, const char *repository, const char *user)
{
	CLEANUP(credentials_done) struct credentials credentials = { 0 };
	struct err err = { 0 };

	assert_ok(find(place, host, repository, &credentials, &err));
	if (user)
		assert_string_equal(credentials.username ? credentials.username : "(none)", user);
	else
		assert_true(credentials_empty(&credentials));
}

static void check_fails(struct place *place, const char *host, enum rpc_code code, const char *why)
{
	CLEANUP(credentials_done) struct credentials credentials = { 0 };
	struct err err = { 0 };

	assert_fails(find(place, host, "x", &credentials, &err), code);
	assert_contains(err.text, why);
	assert_null(strstr(err.text, "secretpart"));
	assert_true(credentials_empty(&credentials));
}

static void test_files(void **state)
{
	struct place *place = *state;

	put_file(place->scratch.dir, "first",
		 "{\"auths\":{\"r.io\":{\"auth\":\"aG9zdDpw\"},\"r.io/team\":{\"auth\":\"dGVhbTpw\"},"
		 "\"r.io/team/empty\":{},\"r.io/team/app\":{\"username\":\"app\",\"password\":\"p\"},"
		 "\"https://index.docker.io/v1/\":{\"auth\":\"aHViOnA=\"}}}");
	put_file(place->scratch.dir, "second",
		 "{\"auths\":{\"r.io\":{\"auth\":\"bGF0ZTpw\"},\"s.io\":{\"auth\":\"bGF0ZTpw\"}}}");
	check(place, "r.io", "other", "host");
	check(place, "r.io", "team/x", "team");
	check(place, "r.io", "team/empty", "team");
	check(place, "r.io", "team/app", "app");
	check(place, "r.io", "team/app/sub", "app");
	check(place, "r.io", "teamwork", "host");
	check(place, "r.io:5000", "team", NULL);
	check(place, "xr.io", "team", NULL);
	check(place, "s.io", "x", "late");
	check(place, "docker.io", "library/x", "hub");
	check(place, "registry-1.docker.io", "library/x", "hub");
}

/* A broken file is told of, but does not hide a good one. */
static void test_broken_file(void **state)
{
	struct place *place = *state;

	put_file(place->scratch.dir, "first", "{\"auths\":{\"r.io\":{\"auth\":\"secretpart\"}}}");
	check_fails(place, "r.io", RPC_FAILED_PRECONDITION, "/first: ");
	check(place, "s.io", "x", NULL);
	put_file(place->scratch.dir, "first", "{\"auths\":");
	check_fails(place, "r.io", RPC_FAILED_PRECONDITION, "/first: ");
	put_file(place->scratch.dir, "first", "{\"auths\":[]}");
	check_fails(place, "r.io", RPC_FAILED_PRECONDITION, "/first: ");
	put_file(place->scratch.dir, "second", "{\"auths\":{\"r.io\":{\"auth\":\"bGF0ZTpw\"}}}");
	check(place, "r.io", "x", "late");
}

static void test_linked_file(void **state)
{
	struct place *place = *state;

	put_file(place->scratch.dir, "real", "{\"auths\":{\"r.io\":{\"auth\":\"aG9zdDpw\"}}}");
	assert_int_equal(symlinkat("real", place->scratch.dir, "first"), 0);
	assert_int_equal(symlinkat("nowhere", place->scratch.dir, "second"), 0);
	check(place, "r.io", "x", "host");
	check(place, "s.io", "x", NULL);
}

static void test_helpers(void **state)
{
	struct place *place = *state;

	put_file(place->scratch.dir, "first",
		 "{\"credHelpers\":{\"r.io\":\"good\",\"t.io\":\"token\",\"n.io\":\"unsure\"},"
		 "\"auths\":{\"r.io\":{\"auth\":\"aG9zdDpw\"},\"n.io\":{\"auth\":\"aG9zdDpw\"},\"c.io\":{}},"
		 "\"credsStore\":\"store\"}");
	put_helper(place, "good",
		   "echo \"{\\\"ServerURL\\\":\\\"$server\\\",\\\"Username\\\":\\\"u-$server-$1\\\","
		   "\\\"Secret\\\":\\\"s\\\"}\"");
	put_helper(place, "token", "echo '{\"Username\":\"<token>\",\"Secret\":\"refresh\"}'");
	put_helper(place, "unsure", "echo 'credentials not found in native keychain'; exit 1");
	put_helper(place, "store",
		   "[ $server = https://index.docker.io/v1/ ] && server=hub\n"
		   "echo \"{\\\"Username\\\":\\\"$server\\\",\\\"Secret\\\":\\\"s\\\"}\"");
	check(place, "r.io", "x", "u-r.io-get");
	check(place, "n.io", "x", "host");
	check(place, "c.io", "x", "c.io");
	check(place, "docker.io", "library/x", "hub");

	CLEANUP(credentials_done) struct credentials credentials = { 0 };
	struct err err = { 0 };

	assert_ok(find(place, "t.io", "x", &credentials, &err));
	assert_null(credentials.username);
	assert_string_equal(credentials.identity_token, "refresh");
}

/* registries.conf's order decides between helpers and files. */
static void test_order(void **state)
{
	static const char *const first[] = { "good", "containers-auth.json", NULL };
	static const char *const last[] = { "containers-auth.json", "good", NULL };
	static const char *const alone[] = { "good", NULL };
	struct place *place = *state;

	put_file(place->scratch.dir, "first", "{\"auths\":{\"r.io\":{\"auth\":\"aG9zdDpw\"}}}");
	put_helper(place, "good",
		   "[ $server = none.io ] && echo credentials not found && exit 1\n"
		   "echo '{\"Username\":\"helped\",\"Secret\":\"s\"}'");
	place->keyring.helpers = first;
	check(place, "r.io", "x", "helped");
	place->keyring.helpers = last;
	check(place, "r.io", "x", "host");
	check(place, "s.io", "x", "helped");
	check(place, "none.io", "x", NULL);
	place->keyring.helpers = alone;
	check(place, "r.io", "x", "helped");
}

static void test_bad_helpers(void **state)
{
	static const struct {
		const char *name, *script, *why;
	} bad[] = {
		{ "fails", "echo 'see https://u:secretpart@x.io/?t=secretpart'; exit 3",
		  "credential helper fails: exit code 3: see https://x.io/?..." },
		{ "dies", "kill -9 $$", "credential helper dies: killed by signal 9" },
		{ "mumbles", "echo hello", "not the JSON of a credential helper" },
		{ "lacks", "echo '{\"Username\":\"u\"}'", "not the JSON of a credential helper" },
		{ "smuggles", "echo '{\"Username\":\"u\",\"Secret\":\"secretpart\\\\r\\\\nX: y\"}'",
		  "password has control characters" },
		{ "floods",
		  "while :; do echo 0123456789012345678901234567890123456789012345678901234567890; "
		  "[ $((i += 1)) -gt 9000 ] && exit 0; done",
		  "longer than 262144 bytes" },
	};
	struct place *place = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *const helpers[] = { bad[i].name, NULL };

		put_helper(place, bad[i].name, bad[i].script);
		place->keyring.helpers = helpers;
		check_fails(place, "r.io", RPC_UNAUTHENTICATED, bad[i].why);
	}
	static const char *const absent[] = { "absent", NULL };
	static const char *const climbing[] = { "../absent", NULL };

	place->keyring.helpers = absent;
	check_fails(place, "r.io", RPC_UNAUTHENTICATED, "docker-credential-absent");
	place->keyring.helpers = climbing;
	check_fails(place, "r.io", RPC_UNAUTHENTICATED, "not a credential helper's name");
}

/* Its own deadline ends a helper, children and all; and so does the pull's. */
static void test_hanging_helper(void **state)
{
	static const char *const helpers[] = { "hangs", NULL };
	struct place *place = *state;
	int64_t start = clock_mono();

	put_helper(place, "hangs", "/bin/sleep 100");
	place->keyring.helpers = helpers;
	place->keyring.helper_timeout = 100 * NS_PER_MS;
	check_fails(place, "r.io", RPC_UNAUTHENTICATED, "no answer within");
	place->keyring.helper_timeout = 0;
	ctx_done(&place->ctx);
	ctx_init(&place->ctx, clock_deadline_in(100 * NS_PER_MS));
	check_fails(place, "r.io", RPC_DEADLINE_EXCEEDED, "deadline");
	assert_true(clock_mono() - start < 20 * NS_PER_SEC);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_files), TEST(test_broken_file), TEST(test_linked_file),    TEST(test_helpers),
		TEST(test_order), TEST(test_bad_helpers), TEST(test_hanging_helper),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
