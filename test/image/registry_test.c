/* The registry client against a server of faults: authentication, redirects, repetition, resumption, limits,
 * deadlines. */
#include "test/base/check.h"

#include "base/clock.h"
#include "base/map.h"
#include "image/registry.h"
#include "test/image/fake_image.h"

enum { BLOB_SIZE = 300000 };

struct scene {
	struct fake_content content, other_content;
	struct fake_server *server, *other; /* the other: where redirects lead */
	struct registry *registry;
	struct registry_repo *repo;
	struct registry_conn *conn;
	struct ctx ctx;
	char *blob;
	struct descriptor descriptor;
	char digest[DIGEST_TEXT_SIZE];
	int times; /* how often a fault still happens */
	int seen;
};

static void make_blob(struct scene *scene)
{
	CLEANUP(freep) char *path = NULL;

	scene->blob = xmalloc(BLOB_SIZE);
	for (size_t i = 0; i < BLOB_SIZE; i++)
		scene->blob[i] = (char)(i * 2654435761u >> 13);
	fake_digest(scene->blob, BLOB_SIZE, scene->digest);
	path = xasprintf("/v2/team/app/blobs/%s", scene->digest);
	fake_content_put(&scene->content, path, "application/octet-stream", scene->blob, BLOB_SIZE);
	fake_content_put(&scene->other_content, "/elsewhere", "application/octet-stream", scene->blob,
			 BLOB_SIZE);
	digest_of(DIGEST_SHA256, scene->blob, BLOB_SIZE, &scene->descriptor.digest);
	scene->descriptor.size = BLOB_SIZE;
	scene->descriptor.media_type = "";
}

static void connect_repo(struct scene *scene, const struct image_auth *auth, bool insecure)
{
	const struct registry_endpoint endpoint = { fake_server_host(scene->server), "team/app", insecure,
						    false };
	struct credentials credentials = { 0 };
	struct err err = { 0 };

	registry_conn_free(scene->conn);
	registry_repo_free(scene->repo);
	assert_ok(credentials_from_cri(auth, endpoint.host, &credentials, &err));
	scene->repo = registry_repo_new(scene->registry, &endpoint, &credentials);
	scene->conn = registry_conn_new(scene->repo);
}

static int setup(void **state)
{
	const struct registry_options options = { .connect_timeout = 5 * NS_PER_SEC,
						  .progress_timeout = 300 * NS_PER_MS,
						  .retry_pause = NS_PER_MS };
	struct scene *scene = xnew(struct scene);

	fake_content_init(&scene->content);
	fake_content_init(&scene->other_content);
	make_blob(scene);
	fake_content_put(&scene->content, "/v2/team/app/manifests/v1", FAKE_MANIFEST, "{\"a\":1}", 7);
	scene->server = fake_server_new(fake_content_handle, &scene->content);
	scene->other = fake_server_new(fake_content_handle, &scene->other_content);
	scene->content.data = scene->other_content.data = scene;
	scene->registry = registry_new(&options);
	ctx_init(&scene->ctx, NO_DEADLINE);
	connect_repo(scene, NULL, true);
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	registry_conn_free(scene->conn);
	registry_repo_free(scene->repo);
	registry_free(scene->registry);
	fake_server_free(scene->server);
	fake_server_free(scene->other);
	fake_content_done(&scene->content);
	fake_content_done(&scene->other_content);
	ctx_done(&scene->ctx);
	free(scene->blob);
	free(scene);
	return 0;
}

static int get_manifest(struct scene *scene, struct err *err)
{
	CLEANUP(registry_manifest_done) struct registry_manifest manifest = { 0 };

	if (registry_get_manifest(scene->conn, &scene->ctx, "v1", NULL, &manifest, err) < 0)
		return -1;
	assert_string_equal(manifest.data, "{\"a\":1}");
	assert_string_equal(manifest.content_type, FAKE_MANIFEST);
	return 0;
}

/* Reads the whole blob and compares it. */
static int get_blob(struct scene *scene, struct err *err)
{
	size_t at = 0, len;
	const uint8_t *data;

	if (registry_open_blob(scene->conn, &scene->ctx, &scene->descriptor, err) < 0)
		return -1;
	do {
		if (registry_read_blob(scene->conn, &scene->ctx, &data, &len, err) < 0)
			return -1;
		assert_true(at + len <= BLOB_SIZE);
		assert_memory_equal(data, scene->blob + at, len);
		at += len;
	} while (len > 0);
	assert_int_equal(at, BLOB_SIZE);
	return 0;
}

static size_t asked(struct scene *scene, const char *part)
{
	return fake_server_count(scene->server, part);
}

static void test_good(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	assert_ok(get_manifest(scene, &err));
	assert_ok(get_blob(scene, &err));
	assert_ok(get_blob(scene, &err));
	assert_int_equal(asked(scene, "GET"), 3);
}

static void test_absent(void **state)
{
	struct scene *scene = *state;
	CLEANUP(registry_manifest_done) struct registry_manifest manifest = { 0 };
	struct err err = { 0 };

	assert_fails(registry_get_manifest(scene->conn, &scene->ctx, "v2", NULL, &manifest, &err),
		     RPC_NOT_FOUND);
	assert_contains(err.text, "answered 404");
	assert_contains(err.text, "NAME_UNKNOWN: no such thing");
	assert_contains(err.text, fake_server_host(scene->server));
	assert_int_equal(asked(scene, "GET"), 1);
}

/* An endpoint that is not insecure is never spoken to in plain HTTP. */
static void test_secure(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	connect_repo(scene, NULL, false);
	assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE);
	assert_int_equal(asked(scene, "GET"), 0);
}

static void test_unreachable(void **state)
{
	struct scene *scene = *state;
	const struct registry_endpoint endpoint = { "127.0.0.1:1", "team/app", true, false };
	struct credentials none = { 0 };
	int64_t start = clock_mono();
	struct err err = { 0 };

	registry_conn_free(scene->conn);
	registry_repo_free(scene->repo);
	scene->repo = registry_repo_new(scene->registry, &endpoint, &none);
	scene->conn = registry_conn_new(scene->repo);
	assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE);
	assert_contains(err.text, "127.0.0.1:1");
	assert_true(clock_mono() - start < 5 * NS_PER_SEC);
}

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

static void test_401_loop(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, always_401);
	assert_fails(get_manifest(scene, &err), RPC_UNAUTHENTICATED);
	assert_int_equal(asked(scene, "/v2/"), 2);
	assert_int_equal(asked(scene, "/token"), 1);
}

static void basic(struct fake_request *request, void *data UNUSED, bool *handled)
{
	*handled = !str_eq(request->authorization, "Basic bWU6cHc=");
	if (*handled)
		fake_reply_text(request, 401, "WWW-Authenticate: Basic realm=\"r\"\r\n", "");
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

/* CVE-2020-15157 and kin: another port is another origin. */
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

static void too_busy(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;

	*handled = scene->times-- > 0;
	if (*handled)
		fake_reply_text(request, scene->times % 2 ? 429 : 503, "Retry-After: 0\r\n", "");
}

static void test_repeats(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, too_busy);
	scene->times = 4;
	assert_ok(get_manifest(scene, &err));
	scene->times = 1000;
	assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE);
	assert_int_equal(asked(scene, "GET"), 5 + 5);
}

static void wait_long(struct fake_request *request, void *data UNUSED, bool *handled)
{
	*handled = true;
	fake_reply_text(request, 429, "Retry-After: 3600\r\n", "");
}

/* What we are told to wait is bounded by us, and by the deadline. */
static void test_retry_after_and_deadline(void **state)
{
	struct scene *scene = *state;
	int64_t start = clock_mono();
	struct err err = { 0 };

	fake_content_fault(&scene->content, wait_long);
	ctx_done(&scene->ctx);
	ctx_init(&scene->ctx, clock_deadline_in(200 * NS_PER_MS));
	assert_fails(get_manifest(scene, &err), RPC_DEADLINE_EXCEEDED);
	assert_between((clock_mono() - start) / NS_PER_MS, 190, 5000);
}

static void break_off(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;
	unsigned long long start = 0;
	char headers[128] = "";

	if (!strstr(request->path, "/blobs/") || scene->times-- <= 0)
		return;
	*handled = true;
	sscanf(request->range, "bytes=%llu-", &start);
	if (start > 0)
		snprintf(headers, sizeof(headers), "Content-Range: bytes %llu-%d/%d\r\n", start,
			 BLOB_SIZE - 1, BLOB_SIZE);
	fake_head(request, start ? 206 : 200, headers, (long long)(BLOB_SIZE - start));
	fake_send(request, scene->blob + start, 50000);
	if (scene->seen)
		fake_reset(request);
	request->close = true;
}

static void test_resume(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, break_off);
	scene->times = 4;
	assert_ok(get_blob(scene, &err));
	assert_int_equal(asked(scene, "range=bytes=50000-"), 1);
	assert_int_equal(asked(scene, "range=bytes=200000-"), 1);
	assert_int_equal(asked(scene, "GET"), 5);
}

static void test_reset(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, break_off);
	scene->seen = 1;
	scene->times = 2;
	assert_ok(get_blob(scene, &err));
}

static void break_off_ignoring_range(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;

	*handled = true;
	fake_head(request, 200, "", BLOB_SIZE);
	fake_send(request, scene->blob, scene->times-- > 0 ? 70000 : BLOB_SIZE);
	request->close = true;
}

static void test_range_ignored(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, break_off_ignoring_range);
	scene->times = 2;
	assert_ok(get_blob(scene, &err));
}

static void send_nothing(struct fake_request *request, void *data UNUSED, bool *handled)
{
	*handled = true;
	fake_head(request, 200, "", BLOB_SIZE);
	request->close = true;
}

static void test_no_progress(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, send_nothing);
	assert_fails(get_blob(scene, &err), RPC_UNAVAILABLE);
	assert_between((long long)asked(scene, "GET"), 3, 10);
}

static void wrong_range(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;

	if (!request->range[0]) {
		scene->times = 1;
		break_off(request, data, handled);
		return;
	}
	*handled = true;
	fake_head(request, 206, "Content-Range: bytes 10-299999/300000\r\n", BLOB_SIZE - 10);
	fake_send(request, scene->blob + 10, BLOB_SIZE - 10);
}

static void test_wrong_range(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, wrong_range);
	assert_fails(get_blob(scene, &err), RPC_UNAVAILABLE);
	assert_contains(err.text, "another range");
}

static void test_wrong_size(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	scene->descriptor.size = BLOB_SIZE - 1;
	assert_fails(get_blob(scene, &err), RPC_DATA_LOSS);
	assert_contains(err.text, "longer");
	scene->descriptor.size = BLOB_SIZE + 1;
	assert_fails(get_blob(scene, &err), RPC_DATA_LOSS);
	assert_contains(err.text, "shorter");
}

static void endless(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;

	*handled = true;
	fake_head(request, 200, "Connection: close\r\n", -1);
	while (!request->close)
		fake_send(request, scene->blob, BLOB_SIZE);
}

static void test_endless(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, endless);
	assert_fails(get_manifest(scene, &err), RPC_RESOURCE_EXHAUSTED);
	assert_fails(get_blob(scene, &err), RPC_DATA_LOSS);
}

static void stall(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;

	*handled = scene->times-- > 0;
	if (!*handled)
		return;
	fake_head(request, 200, "", BLOB_SIZE);
	fake_send(request, scene->blob, 1000);
	fake_stall(request);
}

static void test_stall(void **state)
{
	struct scene *scene = *state;
	int64_t start = clock_mono();
	struct err err = { 0 };

	fake_content_fault(&scene->content, stall);
	scene->times = 1;
	assert_ok(get_blob(scene, &err)); /* taken up again */
	assert_between((clock_mono() - start) / NS_PER_MS, 290, 10000);
}

static void *cancel_soon(void *data)
{
	usleep(100000);
	ctx_cancel(data);
	return NULL;
}

static void test_cancel(void **state)
{
	struct scene *scene = *state;
	int64_t start = clock_mono();
	struct err err = { 0 };
	pthread_t thread;

	fake_content_fault(&scene->content, stall);
	scene->times = 1000;
	assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &scene->ctx), 0);
	assert_fails(get_blob(scene, &err), RPC_CANCELLED);
	assert_true(clock_mono() - start < 280 * NS_PER_MS + 5 * NS_PER_SEC);
	pthread_join(thread, NULL);
}

static void huge_headers(struct fake_request *request, void *data UNUSED, bool *handled)
{
	CLEANUP(str_done) struct str headers = STR_INIT;

	while (headers.len < 100000)
		str_add(&headers,
			"X-Filler: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n");
	*handled = true;
	fake_reply_text(request, 200, str_get(&headers), "{}");
}

static void test_huge_headers(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, huge_headers);
	assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE);
	assert_int_equal(asked(scene, "GET"), 1);
}

static void other_manifest(struct fake_request *request, void *data UNUSED, bool *handled)
{
	CLEANUP(freep)
	char *header =
		xasprintf("Docker-Content-Digest: sha256:%064d\r\nContent-Type: " FAKE_MANIFEST "\r\n", 0);

	*handled = true;
	fake_reply_text(request, 200, header, "{\"a\":1}");
}

static void test_manifest_digests(void **state)
{
	struct scene *scene = *state;
	CLEANUP(registry_manifest_done) struct registry_manifest manifest = { 0 };
	CLEANUP(freep) char *path = xasprintf("/v2/team/app/manifests/%s", scene->digest);
	struct err err = { 0 };

	fake_content_put(&scene->content, path, FAKE_MANIFEST, "{}", 2);
	assert_fails(registry_get_manifest(scene->conn, &scene->ctx, NULL, &scene->descriptor.digest,
					   &manifest, &err),
		     RPC_DATA_LOSS);
	fake_content_fault(&scene->content, other_manifest);
	assert_fails(get_manifest(scene, &err), RPC_DATA_LOSS);
}

static void secret_error(struct fake_request *request, void *data UNUSED, bool *handled)
{
	*handled = true;
	fake_reply_text(
		request, 403, "",
		"{\"errors\":[{\"code\":\"DENIED\",\"message\":\"see https://me:secretpart@x.io/a?sig=secretpart "
		"\\u001b[31m for\\nmore\"}]}");
}

/* Kubelet CVE-2020-8564: an error's text may hold a signed URL. */
static void test_redaction(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, secret_error);
	assert_fails(get_manifest(scene, &err), RPC_PERMISSION_DENIED);
	assert_null(strstr(err.text, "secretpart"));
	assert_contains(err.text, "DENIED: see https://x.io/a?...");
	assert_null(strchr(err.text, '\x1b'));
	assert_null(strchr(err.text, '\n'));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_good),
		TEST(test_absent),
		TEST(test_secure),
		TEST(test_unreachable),
		TEST(test_bearer),
		TEST(test_bearer_with_password),
		TEST(test_identity_token),
		TEST(test_registry_token),
		TEST(test_401_loop),
		TEST(test_basic),
		TEST(test_bad_tokens),
		TEST(test_redirect_without_credentials),
		TEST(test_redirect_that_asks),
		TEST(test_redirect_loop),
		TEST(test_bad_redirects),
		TEST(test_repeats),
		TEST(test_retry_after_and_deadline),
		TEST(test_resume),
		TEST(test_reset),
		TEST(test_range_ignored),
		TEST(test_no_progress),
		TEST(test_wrong_range),
		TEST(test_wrong_size),
		TEST(test_endless),
		TEST(test_stall),
		TEST(test_cancel),
		TEST(test_huge_headers),
		TEST(test_manifest_digests),
		TEST(test_redaction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
