/* The registry client against servers that take their time: pauses, stalls, bytes now and then, restarts; and
 * who ends the waiting. */
#include "test/image/registry_scene.h"

#include <pthread.h>

#include "base/clock.h"

static void wait_long(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;
	CLEANUP(freep) char *header = xasprintf("Retry-After: %d\r\n", scene->seen);

	*handled = true;
	fake_reply_text(request, 429, header, "");
}

/* Fault 33: who is told to come back much later leaves. */
static void test_long_retry_after(void **state)
{
	struct scene *scene = *state;
	int64_t start = clock_mono();
	struct err err = { 0 };

	fake_content_fault(&scene->content, wait_long);
	scene->seen = 3600;
	assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE);
	assert_contains(err.text, "answered 429");
	assert_contains(err.text, "again in 3600 s");
	assert_int_equal(asked(scene, "GET"), 1);
	assert_true(clock_mono() - start < 20 * NS_PER_SEC);
}

/* What we are told to wait is bounded by the deadline. */
static void test_retry_after_and_deadline(void **state)
{
	struct scene *scene = *state;
	int64_t start = clock_mono();
	struct err err = { 0 };

	fake_content_fault(&scene->content, wait_long);
	scene->seen = 20;
	ctx_done(&scene->ctx);
	ctx_init(&scene->ctx, clock_deadline_in(200 * NS_PER_MS));
	assert_fails(get_manifest(scene, &err), RPC_DEADLINE_EXCEEDED);
	assert_between((clock_mono() - start) / NS_PER_MS, 190, 5000);
	assert_int_equal(asked(scene, "GET"), 1);
}

static void *come_back(void *data)
{
	usleep(50000);
	fake_server_resume(data);
	return NULL;
}

/* A registry that has answered and goes away for a moment, as behind a restart. */
static void test_restart(void **state)
{
	static const struct registry_options options = { .connect_timeout = 5 * NS_PER_SEC,
							 .progress_timeout = 5 * NS_PER_SEC,
							 .retry_pause = 200 * NS_PER_MS };
	struct scene *scene = *state;
	struct err err = { 0 };
	pthread_t thread;

	registry_configure(scene->registry, &options);
	assert_ok(get_manifest(scene, &err));
	fake_server_pause(scene->server);
	registry_conn_free(scene->conn);
	scene->conn = registry_conn_new(scene->repo);
	assert_int_equal(pthread_create(&thread, NULL, come_back, scene->server), 0);
	assert_ok(get_blob(scene, &err));
	pthread_join(thread, NULL);
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

/* Fault 32. */
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

static void drip(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;

	*handled = true;
	fake_head(request, 200, "", BLOB_SIZE);
	for (int i = 0; !request->close && i < 2000; i++) {
		fake_send(request, scene->blob + i, 1);
		usleep(20000);
	}
	request->close = true;
}

/* Fault 32: a byte now and then is no progress: neither within a response, nor by going on where it stopped.
 */
static void test_drip(void **state)
{
	struct scene *scene = *state;
	int64_t start = clock_mono();
	struct err err = { 0 };

	fake_content_fault(&scene->content, drip);
	assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE);
	assert_between((clock_mono() - start) / NS_PER_MS, 290, 20000);
}

static void drip_blob(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;
	unsigned long long at = 0;
	char headers[128] = "";

	*handled = true;
	sscanf(request->range, "bytes=%llu-", &at);
	if (at > 0)
		snprintf(headers, sizeof(headers), "Content-Range: bytes %llu-%d/%d\r\n", at, BLOB_SIZE - 1,
			 BLOB_SIZE);
	fake_head(request, at ? 206 : 200, headers, (long long)(BLOB_SIZE - at));
	for (int i = 0; !request->close && i < 2000; i++) {
		fake_send(request, scene->blob + at + i, 1);
		usleep(20000);
	}
	request->close = true;
}

static void test_drip_blob(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, drip_blob);
	assert_fails(get_blob(scene, &err), RPC_UNAVAILABLE);
	assert_contains(err.text, "too little");
	assert_between((long long)asked(scene, "GET"), 2, 10);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, registry_setup, registry_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_long_retry_after),
		TEST(test_retry_after_and_deadline),
		TEST(test_restart),
		TEST(test_stall),
		TEST(test_drip),
		TEST(test_drip_blob),
		TEST(test_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
