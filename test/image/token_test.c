/* Where credentials and tokens go: every way to authenticate, and redirects that must not get any. */
#include "test/image/registry_scene.h"

#include "image/token.h"

static void bearer(struct fake_request *request, void *data, bool *handled)
{
	CLEANUP(freep)
	char *challenge = xasprintf("WWW-Authenticate: Bearer realm=\"http://%s/token?x=1\",service=\"svc\","
				    "scope=\"repository:team/app:pull\"\r\n",
				    fake_server_host(request->server));

	(void)data;
	*handled = true;
	if (str_has_prefix(request->path, "/token"))
		fake_reply_text(request, 200, "", "{\"token\":\"t0k3n\",\"expires_in\":300}");
	else if (!str_eq(request->authorization, "Bearer t0k3n"))
		fake_reply_text(request, 401, challenge, "{}");
	else
		*handled = false;
}

static void test_bearer(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, bearer);
	assert_ok(get_manifest(scene, &err));
	assert_ok(get_blob(scene, &err));
	assert_int_equal(asked(scene, "/token?x=1&service=svc&scope=repository%3ateam%2fapp%3apull auth= "),
			 1);
	assert_int_equal(asked(scene, "auth=Bearer t0k3n"), 2);
}

static void test_bearer_with_password(void **state)
{
	const struct image_auth auth = { .username = "me", .password = "pw" };
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, bearer);
	connect_repo(scene, &auth, true);
	assert_ok(get_manifest(scene, &err));
	assert_int_equal(
		asked(scene,
		      "/token?x=1&service=svc&scope=repository%3ateam%2fapp%3apull auth=Basic bWU6cHc="),
		1);
	assert_int_equal(asked(scene, "/v2/team/app/manifests/v1 auth=Basic"), 0);
}

static void test_identity_token(void **state)
{
	const struct image_auth auth = { .identity_token = "refresh&me" };
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, bearer);
	connect_repo(scene, &auth, true);
	assert_ok(get_manifest(scene, &err));
	assert_int_equal(asked(scene, "POST /token?x=1 auth= "), 1);
	assert_int_equal(asked(scene, "grant_type=refresh_token"), 1);
	assert_int_equal(asked(scene, "refresh_token=refresh%26me"), 1);
}

static void test_registry_token(void **state)
{
	const struct image_auth auth = { .registry_token = "t0k3n" };
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, bearer);
	connect_repo(scene, &auth, true);
	assert_ok(get_manifest(scene, &err));
	assert_int_equal(asked(scene, "/token"), 0);
}

/* A token that has worked serves the next pull, with the same credentials, at once. */
static void test_kept_token(void **state)
{
	const struct image_auth me = { .username = "me", .password = "pw" };
	const struct image_auth you = { .username = "you", .password = "pw" };
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, bearer);
	connect_repo(scene, &me, true);
	assert_ok(get_manifest(scene, &err));
	assert_int_equal(asked(scene, "/v2/"), 2);
	connect_repo(scene, &me, true);
	assert_ok(get_manifest(scene, &err));
	assert_int_equal(asked(scene, "/v2/"), 3);
	assert_int_equal(asked(scene, "/token"), 1);
	connect_repo(scene, &you, true);
	assert_ok(get_manifest(scene, &err));
	assert_int_equal(asked(scene, "/token"), 2);
	connect_repo(scene, NULL, true);
	assert_ok(get_manifest(scene, &err));
	assert_int_equal(asked(scene, "/token"), 3);
}

/* A reload forgets them: the files with the credentials may have changed with the rest. */
static void test_reload_forgets_tokens(void **state)
{
	const struct registry_options options = { .retry_pause = NS_PER_MS };
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, bearer);
	assert_ok(get_manifest(scene, &err));
	registry_configure(scene->registry, &options);
	connect_repo(scene, NULL, true);
	assert_ok(get_manifest(scene, &err));
	assert_int_equal(asked(scene, "/token"), 2);
}

static void changing_bearer(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;
	CLEANUP(freep) char *wanted = xasprintf("Bearer t%d", scene->times);
	CLEANUP(freep)
	char *challenge = xasprintf("WWW-Authenticate: Bearer realm=\"http://%s/token\"\r\n",
				    fake_server_host(request->server));
	CLEANUP(freep)
	char *answer = xasprintf("{\"token\":\"t%d\",\"expires_in\":%d}", scene->times, scene->seen);

	*handled = true;
	if (str_has_prefix(request->path, "/token"))
		fake_reply_text(request, 200, "", answer);
	else if (!str_eq(request->authorization, wanted))
		fake_reply_text(request, 401, challenge, "{}");
	else
		*handled = false;
}

/* One that is about to expire is not kept, and one that is refused is replaced. */
static void test_expired_token(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, changing_bearer);
	scene->seen = 5;
	assert_ok(get_manifest(scene, &err));
	connect_repo(scene, NULL, true);
	assert_ok(get_manifest(scene, &err));
	assert_int_equal(asked(scene, "/token"), 2);
	scene->seen = 300;
	connect_repo(scene, NULL, true);
	assert_ok(get_manifest(scene, &err));
	scene->times = 1; /* the old one is worth nothing any more, in the middle of a pull too */
	assert_ok(get_manifest(scene, &err));
	connect_repo(scene, NULL, true);
	assert_ok(get_manifest(scene, &err));
	assert_int_equal(asked(scene, "/token"), 4);
}

static void basic(struct fake_request *request, void *data UNUSED, bool *handled)
{
	*handled = !str_eq(request->authorization, "Basic bWU6cHc=");
	if (*handled)
		fake_reply_text(request, 401, "WWW-Authenticate: Basic realm=\"r\"\r\n", "");
}

struct source {
	int calls;
	bool fails;
};

static int find_credentials(void *data, const struct ctx *ctx UNUSED, const char *host UNUSED,
			    const char *repository, struct credentials *ret, struct err *err)
{
	struct source *source = data;

	source->calls++;
	if (source->fails)
		return err_set(err, RPC_UNAUTHENTICATED, "the helper is broken");
	assert_string_equal(repository, "team/app");
	ret->username = xstrdup("me");
	ret->password = xstrdup("pw");
	return 0;
}

/* Credentials of the node are looked for only when they are asked for, once. */
static void test_source(void **state)
{
	struct source found = { 0 };
	const struct credentials_source source = { find_credentials, &found };
	struct scene *scene = *state;
	struct err err = { 0 };

	connect_with(scene, NULL, true, &source);
	assert_ok(get_manifest(scene, &err));
	assert_int_equal(found.calls, 0);
	fake_content_fault(&scene->content, basic);
	assert_ok(get_manifest(scene, &err));
	assert_ok(get_blob(scene, &err));
	assert_int_equal(found.calls, 1);
	found.fails = true;
	connect_with(scene, NULL, true, &source);
	assert_fails(get_manifest(scene, &err), RPC_UNAUTHENTICATED);
	assert_contains(err.text, "the helper is broken");
}

static void always_401(struct fake_request *request, void *data UNUSED, bool *handled)
{
	*handled = !str_has_prefix(request->path, "/token");
	if (*handled) {
		CLEANUP(freep)
		char *challenge = xasprintf("WWW-Authenticate: Bearer realm=\"http://%s/token\"\r\n",
					    fake_server_host(request->server));

		fake_reply_text(request, 401, challenge, "{}");
	} else {
		*handled = true;
		fake_reply_text(request, 200, "", "{\"access_token\":\"useless\"}");
	}
}

/* Fault 33. */
static void test_401_loop(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, always_401);
	assert_fails(get_manifest(scene, &err), RPC_UNAUTHENTICATED);
	assert_int_equal(asked(scene, "/v2/"), 2);
	assert_int_equal(asked(scene, "/token"), 1);
}

static void test_basic(void **state)
{
	const struct image_auth auth = { .username = "me", .password = "pw" };
	const struct image_auth wrong = { .username = "me", .password = "secretpart" };
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, basic);
	assert_fails(get_manifest(scene, &err), RPC_UNAUTHENTICATED);
	connect_repo(scene, &wrong, true);
	assert_fails(get_manifest(scene, &err), RPC_UNAUTHENTICATED);
	assert_null(strstr(err.text, "secretpart"));
	connect_repo(scene, &auth, true);
	assert_ok(get_manifest(scene, &err));
	assert_ok(get_blob(scene, &err));
}

static void bad_tokens(struct fake_request *request, void *data, bool *handled)
{
	static const char *const answers[] = { "{}", "{\"token\":\"a b\"}", "{\"token\":\"a\\nb\"}",
					       "nonsense", "[]" };
	struct scene *scene = data;

	if (str_has_prefix(request->path, "/token")) {
		*handled = true;
		fake_reply_text(request, 200, "", answers[scene->seen]);
		return;
	}
	always_401(request, data, handled);
}

static void test_bad_tokens(void **state)
{
	struct scene *scene = *state;

	fake_content_fault(&scene->content, bad_tokens);
	for (scene->seen = 0; scene->seen < 5; scene->seen++) {
		struct err err = { 0 };

		assert_true(get_manifest(scene, &err) < 0);
		assert_true(err.code == RPC_UNAUTHENTICATED || err.code == RPC_INVALID_ARGUMENT);
	}
	assert_int_equal(asked(scene, "auth=Bearer"), 0);
}

static void redirect(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;
	CLEANUP(freep)
	char *location = xasprintf("Location: http://%s/elsewhere\r\n", fake_server_host(scene->other));

	if (!str_has_prefix(request->path, "/v2/team/app/blobs/"))
		return;
	*handled = true;
	fake_reply_text(request, 307, location, "gone elsewhere");
}

static void both(struct fake_request *request, void *data, bool *handled)
{
	bearer(request, data, handled);
	if (!*handled)
		redirect(request, data, handled);
}

/* Fault 35, CVE-2020-15157 and kin: another port is another origin. */
static void test_redirect_without_credentials(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, both);
	assert_ok(get_blob(scene, &err));
	assert_int_equal(fake_server_count(scene->other, "/elsewhere"), 1);
	assert_int_equal(fake_server_count(scene->other, "auth=Bearer"), 0);
	assert_int_equal(asked(scene, "auth=Bearer t0k3n"), 1);
}

static void redirect_back(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;
	CLEANUP(freep)
	char *location = xasprintf("Location: http://%s/back\r\n", fake_server_host(scene->server));

	*handled = true;
	fake_reply_text(request, 307, location, "");
}

/* GHSA-rp3h-jf77-q9p4: what was dropped on the way stays dropped, also where it would be welcome. */
static void test_redirect_and_back(void **state)
{
	const struct image_auth auth = { .registry_token = "t0k3n" };
	struct scene *scene = *state;
	struct err err = { 0 };

	connect_repo(scene, &auth, true);
	fake_content_put(&scene->content, "/back", "x/y", scene->blob, BLOB_SIZE);
	fake_content_fault(&scene->content, redirect);
	fake_content_fault(&scene->other_content, redirect_back);
	assert_ok(get_blob(scene, &err));
	assert_int_equal(asked(scene, "auth=Bearer t0k3n"), 1);
	assert_int_equal(asked(scene, "GET /back auth= "), 1);
	assert_int_equal(fake_server_count(scene->other, "auth=Bearer"), 0);
}

static void redirect_token(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;
	CLEANUP(freep)
	char *location = xasprintf("Location: http://%s/token\r\n", fake_server_host(scene->other));

	if (str_has_prefix(request->path, "/token")) {
		*handled = true;
		fake_reply_text(request, 307, location, "");
		return;
	}
	bearer(request, data, handled);
}

/* An identity token is sent in a form, which goes to the realm and nowhere else. */
static void test_redirect_of_identity_token(void **state)
{
	const struct image_auth auth = { .identity_token = "refreshme" };
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, redirect_token);
	connect_repo(scene, &auth, true);
	assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE);
	assert_contains(err.text, "redirect");
	assert_true(asked(scene, "refresh_token=refreshme") > 0);
	assert_int_equal(fake_server_count(scene->other, "/token"), 0);
}

static void long_token(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;
	CLEANUP(str_done) struct str answer = STR_INIT;

	if (!str_has_prefix(request->path, "/token")) {
		always_401(request, data, handled);
		return;
	}
	*handled = true;
	str_addf(&answer, "{\"%s\":\"", scene->seen ? "token" : "token\":\"t0k3n\",\"x");
	size_t len = (scene->seen ? TOKEN_MAX : TOKEN_ANSWER_MAX) + 1;
	CLEANUP(freep) char *many = xcalloc(1, len);
	memset(many, 'a', len); /* at once: the client waits for 300 ms only */
	str_addn(&answer, many, len);
	str_add(&answer, "\"}");
	fake_reply(request, 200, "", str_get(&answer), answer.len);
}

/* CVE-2020-1702: neither a huge answer nor a huge token. */
static void test_long_tokens(void **state)
{
	struct scene *scene = *state;

	fake_content_fault(&scene->content, long_token);
	for (scene->seen = 0; scene->seen < 2; scene->seen++) {
		struct err err = { 0 };

		assert_true(get_manifest(scene, &err) < 0);
		if (err.code != (scene->seen ? RPC_UNAUTHENTICATED : RPC_RESOURCE_EXHAUSTED))
			fail_msg("%s", err.text);
	}
	assert_int_equal(asked(scene, "auth=Bearer"), 0);
}

static void wants_credentials(struct fake_request *request, void *data, bool *handled)
{
	always_401(request, data, handled);
}

/* Where we were sent to must not be able to ask for our password. */
static void test_redirect_that_asks(void **state)
{
	const struct image_auth auth = { .username = "me", .password = "pw" };
	struct scene *scene = *state;
	struct err err = { 0 };

	connect_repo(scene, &auth, true);
	fake_content_fault(&scene->content, redirect);
	fake_content_fault(&scene->other_content, wants_credentials);
	assert_fails(get_blob(scene, &err), RPC_UNAUTHENTICATED);
	assert_int_equal(fake_server_count(scene->other, "/token"), 0);
	assert_int_equal(fake_server_count(scene->other, "auth=Basic"), 0);
}

static void redirect_to_self(struct fake_request *request, void *data UNUSED, bool *handled)
{
	*handled = true;
	fake_reply_text(request, 302, "Location: /again\r\n", "");
}

/* Fault 35: at most five hops. */
static void test_redirect_loop(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, redirect_to_self);
	assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE);
	assert_contains(err.text, "too many redirects");
	assert_int_equal(asked(scene, "GET"), 6);
}

static void redirect_badly(struct fake_request *request, void *data, bool *handled)
{
	static const char *const locations[] = { "", "Location: file:///etc/passwd\r\n",
						 "Location: ftp://x/\r\n",
						 "Location: http://u:p@127.0.0.1/\r\n",
						 "Location: http://\r\n" };
	struct scene *scene = data;

	*handled = true;
	fake_reply_text(request, 301, locations[scene->seen], "");
}

static void test_bad_redirects(void **state)
{
	struct scene *scene = *state;

	fake_content_fault(&scene->content, redirect_badly);
	for (scene->seen = 0; scene->seen < 5; scene->seen++) {
		struct err err = { 0 };

		assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE);
		assert_contains(err.text, "redirect");
	}
	assert_int_equal(asked(scene, "GET"), 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, registry_setup, registry_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_bearer),
		TEST(test_bearer_with_password),
		TEST(test_identity_token),
		TEST(test_registry_token),
		TEST(test_kept_token),
		TEST(test_reload_forgets_tokens),
		TEST(test_expired_token),
		TEST(test_source),
		TEST(test_401_loop),
		TEST(test_basic),
		TEST(test_bad_tokens),
		TEST(test_redirect_without_credentials),
		TEST(test_redirect_that_asks),
		TEST(test_redirect_and_back),
		TEST(test_redirect_of_identity_token),
		TEST(test_long_tokens),
		TEST(test_redirect_loop),
		TEST(test_bad_redirects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
