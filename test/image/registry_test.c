/* The registry client against a server of faults: repetition, resumption, limits, what errors say.
 */
#include "test/image/registry_scene.h"

#include "base/clock.h"

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
	scene->repo = registry_repo_new(scene->registry, &endpoint, &none, NULL);
	scene->conn = registry_conn_new(scene->repo);
	assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE);
	assert_contains(err.text, "127.0.0.1:1");
	assert_true(clock_mono() - start < 5 * NS_PER_SEC);
}

static void too_busy(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;

	*handled = scene->times-- > 0;
	if (*handled)
		fake_reply_text(request, scene->times % 2 ? 429 : 503, "Retry-After: 0\r\n", "");
}

/* Fault 33: bursts of 429 and 5xx. */
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

/* A mirror has somebody behind it. */
static void test_mirror_is_left_soon(void **state)
{
	struct scene *scene = *state;
	const struct registry_endpoint mirror = { fake_server_host(scene->server), "team/app", true, true };
	struct credentials none = { 0 };
	struct err err = { 0 };

	registry_conn_free(scene->conn);
	registry_repo_free(scene->repo);
	scene->repo = registry_repo_new(scene->registry, &mirror, &none, NULL);
	scene->conn = registry_conn_new(scene->repo);
	fake_content_fault(&scene->content, too_busy);
	scene->times = 1000;
	assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE);
	assert_int_equal(asked(scene, "GET"), 2);
}

static void break_manifest(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;

	*handled = scene->times-- > 0;
	if (!*handled)
		return;
	fake_head(request, 200, "Content-Type: " FAKE_MANIFEST "\r\n", 7);
	fake_send(request, "{\"a\"", 4);
	if (scene->times % 2)
		fake_reset(request);
	request->close = true;
}

/* A manifest that breaks off is asked for again, as a whole. */
static void test_broken_manifest(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, break_manifest);
	scene->times = 4;
	assert_ok(get_manifest(scene, &err));
	assert_int_equal(asked(scene, "GET"), 5);
	scene->times = 1000;
	assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE);
	assert_int_equal(asked(scene, "GET"), 5 + 5);
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

/* Fault 32: a connection that ends, or is reset, at some byte: the rest is asked for. */
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

static void end_early(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;

	*handled = scene->times-- > 0;
	if (!*handled)
		return;
	fake_head(request, 200, "Connection: close\r\n", -1);
	fake_send(request, scene->blob, 50000);
	request->close = true;
}

/* Fault 32: an end that looks like one, but for the size that the manifest says. */
static void test_short_without_length(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, end_early);
	scene->times = 1;
	assert_ok(get_blob(scene, &err));
	assert_int_equal(asked(scene, "range=bytes=50000-"), 1);
}

/* A piece of a blob that is larger than the test's, then the end. */
static void give_piece(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;
	unsigned long long start = 0;
	char headers[128] = "";

	*handled = true;
	sscanf(request->range, "bytes=%llu-", &start);
	if (start > 0)
		snprintf(headers, sizeof(headers), "Content-Range: bytes %llu-%lld/%lld\r\n", start,
			 (long long)scene->descriptor.size - 1, (long long)scene->descriptor.size);
	fake_head(request, start ? 206 : 200, headers, scene->descriptor.size - (long long)start);
	fake_send(request, scene->blob, 20000);
	request->close = true;
}

/* To its end, whatever is in it. */
static int read_blob(struct scene *scene, struct err *err)
{
	const uint8_t *data;
	size_t len;

	if (registry_open_blob(scene->conn, &scene->ctx, &scene->descriptor, err) < 0)
		return -1;
	do {
		if (registry_read_blob(scene->conn, &scene->ctx, &data, &len, err) < 0)
			return -1;
	} while (len > 0);
	return 0;
}

/* Fault 32: it goes on and on, but not for ever. */
static void test_many_resumes(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, give_piece);
	scene->descriptor.size = 100 * 20000;
	assert_fails(read_blob(scene, &err), RPC_UNAVAILABLE);
	assert_between((long long)asked(scene, "GET"), 20, 60);
}

static void break_off_ignoring_range(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;

	*handled = true;
	fake_head(request, 200, "", BLOB_SIZE);
	fake_send(request, scene->blob, scene->times-- > 0 ? 70000 : BLOB_SIZE);
	request->close = true;
}

/* Fault 34. */
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

static void short_range(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;

	if (!request->range[0]) {
		scene->times = 1;
		break_off(request, data, handled);
		return;
	}
	*handled = true;
	fake_head(request, 206, "Content-Range: bytes 50000-60000/60001\r\n", BLOB_SIZE - 50000);
	fake_send(request, scene->blob + 50000, BLOB_SIZE - 50000);
}

/* The content has become another one meanwhile. */
static void test_changed_content(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, short_range);
	assert_fails(get_blob(scene, &err), RPC_UNAVAILABLE);
	assert_contains(err.text, "another range");
}

static void not_implemented(struct fake_request *request, void *data UNUSED, bool *handled)
{
	*handled = true;
	fake_reply_text(request, 501, "", "");
}

/* What will not get better is not asked again. */
static void test_not_repeated(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, not_implemented);
	assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE);
	assert_int_equal(asked(scene, "GET"), 1);
}

/* Fault 34: lengths that lie, from the first byte or beyond the last. */
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

static void malformed_digest(struct fake_request *request, void *data UNUSED, bool *handled)
{
	*handled = true;
	fake_reply_text(request, 200,
			"Docker-Content-Digest: sha256:../../etc\r\nContent-Type: " FAKE_MANIFEST "\r\n",
			"{\"a\":1}");
}

/* CVE-2024-3727 */
static void test_malformed_digest(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, malformed_digest);
	assert_fails(get_manifest(scene, &err), RPC_INVALID_ARGUMENT);
	assert_contains(err.text, "Docker-Content-Digest");
}

static void test_sha512(void **state)
{
	static const char document[] = "{\"a\":1}";
	struct scene *scene = *state;
	CLEANUP(registry_manifest_done) struct registry_manifest good = { 0 };
	CLEANUP(registry_manifest_done) struct registry_manifest bad = { 0 };
	char text[DIGEST_TEXT_SIZE];
	struct err err = { 0 };
	struct digest digest;

	digest_of(DIGEST_SHA512, document, strlen(document), &digest);
	digest_text(&digest, text);
	CLEANUP(freep) char *path = xasprintf("/v2/team/app/manifests/%s", text);

	fake_content_put(&scene->content, path, FAKE_MANIFEST, document, strlen(document));
	assert_ok(registry_get_manifest(scene->conn, &scene->ctx, NULL, &digest, &good, &err));
	fake_content_put(&scene->content, path, FAKE_MANIFEST, "{}", 2);
	assert_fails(registry_get_manifest(scene->conn, &scene->ctx, NULL, &digest, &bad, &err),
		     RPC_DATA_LOSS);
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
	assert_int_equal(asked(scene, "GET"), 1); /* what is forbidden stays so */
	assert_null(strchr(err.text, '\x1b'));
	assert_null(strchr(err.text, '\n'));
}

static void huge_error(struct fake_request *request, void *data UNUSED, bool *handled)
{
	CLEANUP(str_done) struct str body = STR_INIT;

	*handled = true;
	str_add(&body, "{\"errors\":[{\"code\":\"DENIED\"}],\"x\":\"");
	while (body.len <= 1024 * 1024)
		str_add(&body, "0123456789012345678901234567890123456789012345678901234567890123");
	str_add(&body, "\"}");
	fake_reply(request, 403, "", str_get(&body), body.len);
}

static void endless_error(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;

	*handled = true;
	fake_head(request, 403, "Connection: close\r\n", -1);
	while (!request->close && __atomic_load_n(&scene->seen, __ATOMIC_RELAXED) < 1000) { /* 300 MB */
		fake_send(request, scene->blob, BLOB_SIZE);
		__atomic_fetch_add(&scene->seen, 1, __ATOMIC_RELAXED);
	}
	request->close = true;
}

/* CVE-2020-1702: what an error goes on to say is not kept in memory, nor even read; the status is enough. */
static void test_huge_error(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, huge_error);
	assert_fails(get_manifest(scene, &err), RPC_PERMISSION_DENIED);
	assert_contains(err.text, "answered 403");
	assert_null(strstr(err.text, "DENIED"));
	fake_content_fault(&scene->content, endless_error);
	assert_fails(get_manifest(scene, &err), RPC_PERMISSION_DENIED);
	assert_true(__atomic_load_n(&scene->seen, __ATOMIC_RELAXED) < 500); /* there are buffers on the way */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, registry_setup, registry_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_good),
		TEST(test_absent),
		TEST(test_secure),
		TEST(test_unreachable),
		TEST(test_repeats),
		TEST(test_mirror_is_left_soon),
		TEST(test_broken_manifest),
		TEST(test_resume),
		TEST(test_reset),
		TEST(test_short_without_length),
		TEST(test_many_resumes),
		TEST(test_range_ignored),
		TEST(test_no_progress),
		TEST(test_wrong_range),
		TEST(test_wrong_size),
		TEST(test_endless),
		TEST(test_changed_content),
		TEST(test_not_repeated),
		TEST(test_huge_headers),
		TEST(test_manifest_digests),
		TEST(test_malformed_digest),
		TEST(test_sha512),
		TEST(test_redaction),
		TEST(test_huge_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
