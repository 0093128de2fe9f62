/*
 * The dispatcher over a real connection: what clients send wrongly, how errors come out, deadlines,
 * cancellation, streams, concurrency, limits, and the orderly end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <zlib.h>

#include "base/clock.h"
#include "proto/cri.pb-c.h"
#include "proto/message.h"
#include "test/server/client.h"
#include "test/server/fixture.h"

/* What the fakes saw. */
static atomic_int seen_code, running, running_max;
static atomic_llong seen_left_ms;

static int fake_version(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__VersionRequest *request = message;
	Cri__VersionResponse *response = answer;

	(void)call;
	(void)err;
	response->version = request->version;
	response->runtime_name = (char *)"fake\xff"; /* not UTF-8: must not spoil the message */
	return 0;
}

/* Waits until its context ends, and remembers how. */
static int fake_wait(struct call *call, const void *message, void *answer, struct err *err)
{
	const struct ctx *ctx = call_ctx(call);
	int64_t deadline = ctx_deadline(ctx);
	struct pollfd fd = { .fd = ctx_fd(ctx), .events = POLLIN };

	(void)message;
	(void)answer;
	atomic_store(&seen_left_ms, deadline == NO_DEADLINE ? -1 : (deadline - clock_mono()) / NS_PER_MS);
	atomic_fetch_add(&running, 1);
	poll(&fd, 1, ctx_poll_timeout(ctx));
	atomic_fetch_sub(&running, 1);
	if (ctx_check(ctx, "waiting", err) == 0)
		err_set(err, RPC_INTERNAL, "woke for nothing");
	atomic_store(&seen_code, (int)err->code);
	return -1;
}

static int fake_short_wait(struct call *call, const void *message, void *answer, struct err *err)
{
	int now = atomic_fetch_add(&running, 1) + 1, max = atomic_load(&running_max);

	(void)call;
	(void)message;
	(void)answer;
	(void)err;
	while (now > max && !atomic_compare_exchange_weak(&running_max, &max, now))
		;
	usleep(100 * 1000);
	atomic_fetch_sub(&running, 1);
	return 0;
}

static int fake_large(struct call *call, const void *message, void *answer, struct err *err)
{
	Cri__PullImageResponse *response = answer;
	size_t len = 17 * 1024 * 1024;

	(void)message;
	(void)err;
	response->image_ref = arena_alloc(call_arena(call), len + 1);
	memset(response->image_ref, 'x', len);
	return 0;
}

static int fake_bad_text(struct call *call, const void *message, void *answer, struct err *err)
{
	(void)call;
	(void)message;
	(void)answer;
	return err_set(err, RPC_FAILED_PRECONDITION, "100%% of \xc3\xa4 \xff\x01 two\nlines");
}

static int fake_silent_failure(struct call *call, const void *message, void *answer, struct err *err)
{
	(void)call;
	(void)message;
	(void)answer;
	(void)err;
	return -1;
}

static int fake_stream(struct call *call, const void *message, void *answer, struct err *err)
{
	Cri__StreamContainersResponse *part = answer;
	Cri__Container container = CRI__CONTAINER__INIT, *items[] = { &container };

	(void)message;
	part->containers = items;
	part->n_containers = 1;
	for (int i = 0; i < 3; i++) {
		container.id = arena_fmt(call_arena(call), "c%d", i);
		if (call_send(call, &part->base, err) < 0)
			return -1;
	}
	return 0;
}

static int fake_endless_stream(struct call *call, const void *message, void *answer, struct err *err)
{
	Cri__StreamPodSandboxesResponse *part = answer;
	Cri__PodSandbox pod = CRI__POD_SANDBOX__INIT, *items[] = { &pod };

	(void)message;
	pod.id = arena_alloc(call_arena(call), 64 * 1024);
	memset(pod.id, 'p', 64 * 1024 - 1);
	part->pod_sandboxes = items;
	part->n_pod_sandboxes = 1;
	atomic_fetch_add(&running, 1);
	while (call_send(call, &part->base, err) == 0)
		;
	atomic_fetch_sub(&running, 1);
	atomic_store(&seen_code, (int)err->code);
	return -1;
}

#define FAKE(svc, name, how, fn)                                           \
	{                                                                  \
		.service = svc, .method = name, .speed = how, .handle = fn \
	}

static const struct rpc fakes[] = {
	FAKE("RuntimeService", "Version", RPC_FAST, fake_version),
	FAKE("RuntimeService", "StopContainer", RPC_SLOW, fake_wait),
	FAKE("RuntimeService", "StartContainer", RPC_SLOW, fake_short_wait),
	FAKE("RuntimeService", "RemoveContainer", RPC_FAST, fake_bad_text),
	FAKE("RuntimeService", "ContainerStatus", RPC_FAST, fake_silent_failure),
	FAKE("ImageService", "PullImage", RPC_SLOW, fake_large),
	{ .service = "RuntimeService",
	  .method = "StreamContainers",
	  .speed = RPC_SLOW,
	  .streaming = true,
	  .handle = fake_stream },
	{ .service = "RuntimeService",
	  .method = "StreamPodSandboxes",
	  .speed = RPC_SLOW,
	  .streaming = true,
	  .handle = fake_endless_stream },
};

static const struct fixture_options usual = { .fakes = fakes, .fakes_len = sizeof(fakes) / sizeof(fakes[0]) };

struct state {
	struct fixture *fixture;
	struct client *client;
};

static int setup_with(void **data, const struct fixture_options *options)
{
	struct state *state = xnew(struct state);

	atomic_store(&seen_code, -1);
	atomic_store(&running, 0);
	atomic_store(&running_max, 0);
	state->fixture = fixture_new(options);
	state->client = client_new(fixture_socket(state->fixture), false);
	*data = state;
	return 0;
}

static int setup(void **data)
{
	return setup_with(data, &usual);
}

static int teardown(void **data)
{
	struct state *state = *data;

	client_free(state->client);
	fixture_free(state->fixture);
	free(state);
	return 0;
}

/* Waits for what another thread is about to do. */
static void await(atomic_int *value, int wanted)
{
	for (int i = 0; i < 1000 && atomic_load(value) != wanted; i++)
		usleep(10 * 1000);
	assert_int_equal(atomic_load(value), wanted);
}

/* The connection still works: a call on the same client succeeds. */
static void assert_connected(struct client *client)
{
	Cri__VersionRequest request = CRI__VERSION_REQUEST__INIT;
	ProtobufCMessage *answer;

	request.version = (char *)"0.1.0";
	assert_int_equal(client_ask(client, RUNTIME("Version"), &request.base,
				    &cri__version_response__descriptor, &answer),
			 RPC_OK);
	assert_non_null(answer);
	assert_string_equal(((Cri__VersionResponse *)answer)->version, "0.1.0");
	assert_string_equal(((Cri__VersionResponse *)answer)->runtime_name, "fake\xef\xbf\xbd");
	protobuf_c_message_free_unpacked(answer, NULL);
}

static bool answers(struct client *client)
{
	Cri__VersionRequest request = CRI__VERSION_REQUEST__INIT;

	return client_ask(client, RUNTIME("Version"), &request.base, NULL, NULL) == RPC_OK;
}

static void expect(struct client *client, const struct client_request *request, int code, const char *text)
{
	struct client_answer answer;

	client_run(client, request, &answer);
	if (answer.code != code || (text && !strstr(answer.text, text)))
		fail_msg("%s: code %d \"%s\", expected %d \"%s\"", request->path, answer.code, answer.text,
			 code, text ? text : "");
	client_answer_done(&answer);
}

static void test_unary(void **data)
{
	struct state *state = *data;

	assert_connected(state->client);
}

static void test_unknown_methods(void **data)
{
	struct state *state = *data;
	static const char *const paths[] = {
		"/runtime.v1.RuntimeService/Nothing",    "/runtime.v1.OtherService/Version",
		"/runtime.v1.RuntimeService/version",    "/runtime.v1.RuntimeService/Version/",
		"//runtime.v1.RuntimeService/Version",   "/runtime.v1alpha2.RuntimeService/Version",
		"/runtime.v1.RuntimeService/../Version", "/",
	};
	char *endless = xcalloc(1, 4001);

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		expect(state->client, &(struct client_request){ .path = paths[i] }, RPC_UNIMPLEMENTED,
		       paths[i]);
	memset(endless, '/', 4000);
	expect(state->client, &(struct client_request){ .path = endless }, RPC_UNIMPLEMENTED,
	       "unknown method");
	free(endless);
	expect(state->client, &(struct client_request){ .path = RUNTIME("Exec") }, RPC_UNIMPLEMENTED, "Exec");
	assert_connected(state->client);
}

static void test_large_request(void **data)
{
	struct state *state = *data;
	size_t len = 17 * 1024 * 1024;
	char *bytes = xcalloc(1, len);

	expect(state->client,
	       &(struct client_request){ .path = RUNTIME("Version"), .data = bytes, .len = len },
	       RPC_RESOURCE_EXHAUSTED, NULL);
	free(bytes);
	assert_connected(state->client);
}

/* Just below the limit a request is read, whatever it says. */
static void test_large_valid_request(void **data)
{
	struct state *state = *data;
	size_t len = 16 * 1024 * 1024 - 64;
	Cri__VersionRequest request = CRI__VERSION_REQUEST__INIT;
	ProtobufCMessage *answer;
	char *text = xcalloc(1, len + 1);

	memset(text, 'v', len);
	request.version = text;
	assert_int_equal(client_ask(state->client, RUNTIME("Version"), &request.base,
				    &cri__version_response__descriptor, &answer),
			 RPC_OK);
	assert_int_equal(strlen(((Cri__VersionResponse *)answer)->version), len);
	protobuf_c_message_free_unpacked(answer, NULL);
	free(text);
}

static void test_large_answer(void **data)
{
	struct state *state = *data;

	expect(state->client, &(struct client_request){ .path = IMAGE("PullImage") }, RPC_RESOURCE_EXHAUSTED,
	       "the answer has");
	assert_connected(state->client);
}

static void test_broken_requests(void **data)
{
	struct state *state = *data;
	static const struct {
		const char *bytes;
		size_t len;
		int code;
	} cases[] = {
		{ "\xff\xff\xff", 3, RPC_INTERNAL },
		{ "\x0a\x05"
		  "ab",
		  4, RPC_INTERNAL },                     /* shorter than it says */
		{ "\x0a\x02\xc3\x28", 4, RPC_INTERNAL }, /* not UTF-8 */
		{ "\x0a\x03"
		  "a\0b",
		  5, RPC_INVALID_ARGUMENT },     /* NUL in a string */
		{ "\x08\x01", 2, RPC_INTERNAL }, /* a number where text belongs */
		{ "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, RPC_INTERNAL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		expect(state->client,
		       &(struct client_request){
			       .path = RUNTIME("Version"), .data = cases[i].bytes, .len = cases[i].len },
		       cases[i].code, NULL);
		assert_connected(state->client);
	}
	expect(state->client, &(struct client_request){ .path = RUNTIME("Version"), .no_message = true },
	       RPC_INTERNAL, "without a whole request");
	assert_connected(state->client);
}

static size_t gzip(const void *bytes, size_t len, uint8_t *out, size_t max)
{
	z_stream zlib = { 0 };

	assert_int_equal(
		deflateInit2(&zlib, Z_BEST_COMPRESSION, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY),
		Z_OK);
	zlib.next_in = (Bytef *)bytes;
	zlib.avail_in = (uInt)len;
	zlib.next_out = out;
	zlib.avail_out = (uInt)max;
	assert_int_equal(deflate(&zlib, Z_FINISH), Z_STREAM_END);
	deflateEnd(&zlib);
	return max - zlib.avail_out;
}

static void test_compressed(void **data)
{
	struct state *state = *data;
	struct client *client = client_new(fixture_socket(state->fixture), true);
	size_t bomb_len = 64 * 1024 * 1024, len;
	uint8_t *bomb = xcalloc(1, bomb_len), *packed = xmalloc(1024 * 1024);
	struct client_request request = { .path = RUNTIME("Version"), .data = packed, .compressed = true };

	request.len = gzip("\x0a\x05"
			   "0.1.0",
			   7, packed, 1024 * 1024);
	expect(client, &request, RPC_OK, NULL);
	request.len -= 9; /* cut short */
	expect(client, &request, RPC_INTERNAL, "cut short");
	len = gzip("\x0a\x05"
		   "0.1.0",
		   7, packed, 1024 * 1024);
	packed[len] = 'x';
	request.len = len + 1;
	expect(client, &request, RPC_INTERNAL, "bytes follow");
	packed[12] ^= 0xff;
	request.len = len;
	expect(client, &request, RPC_INTERNAL, "broken");
	request.len = gzip(bomb, bomb_len, packed, 1024 * 1024);
	expect(client, &request, RPC_RESOURCE_EXHAUSTED, "decompressed");
	assert_connected(client);
	/* gRPC itself compresses what is worth it: a long text. */
	memset(bomb, 'a', 4 + 99997);
	memcpy(bomb, "\x0a\x9d\x8d\x06", 4);
	expect(client, &(struct client_request){ .path = RUNTIME("Version"), .data = bomb, .len = 4 + 99997 },
	       RPC_OK, NULL);
	free(bomb);
	free(packed);
	client_free(client);
}

/* The flag says compressed, no encoding is named: the bytes are no message then. */
static void test_compression_lie(void **data)
{
	struct state *state = *data;
	struct client_answer answer;
	struct client_request request = {
		.path = RUNTIME("Version"), .data = "\x1f\x8b\x08", .len = 3, .lie = true
	};

	client_run(state->client, &request, &answer);
	assert_int_not_equal(answer.code, RPC_OK);
	client_answer_done(&answer);
	assert_connected(state->client);
}

/* Headers past the limit cost the call, perhaps the connection, but never the server. */
static void test_large_headers(void **data)
{
	struct state *state = *data;
	char *value = xcalloc(1, 1000001);
	struct client *other = client_new(fixture_socket(state->fixture), false);
	struct client_answer answer;

	memset(value, 'h', 1000000);
	client_run(other, &(struct client_request){ .path = RUNTIME("Version"), .big_header = value },
		   &answer);
	assert_int_not_equal(answer.code, RPC_OK);
	client_answer_done(&answer);
	client_free(other);
	value[20000] = '\0';
	expect(state->client, &(struct client_request){ .path = RUNTIME("Version"), .big_header = value },
	       RPC_RESOURCE_EXHAUSTED, NULL);
	free(value);
	for (int i = 0; i < 100 && !answers(state->client);
	     i++) /* gRPC may have dropped the connection, too */
		usleep(20 * 1000);
	assert_connected(state->client);
}

static void test_error_texts(void **data)
{
	struct state *state = *data;

	expect(state->client, &(struct client_request){ .path = RUNTIME("RemoveContainer") },
	       RPC_FAILED_PRECONDITION, "100% of \xc3\xa4 \xef\xbf\xbd  two\nlines");
	expect(state->client, &(struct client_request){ .path = RUNTIME("ContainerStatus") }, RPC_INTERNAL,
	       "ContainerStatus failed without a reason");
}

static void test_deadline(void **data)
{
	struct state *state = *data;

	expect(state->client, &(struct client_request){ .path = RUNTIME("StopContainer"), .timeout_ms = 300 },
	       RPC_DEADLINE_EXCEEDED, NULL);
	await(&running, 0);
	for (int i = 0; i < 500 && atomic_load(&seen_code) < 0; i++)
		usleep(10 * 1000);
	/* By whichever came first: the clock, or gRPC's cancellation for the same reason. */
	assert_true(atomic_load(&seen_code) == RPC_DEADLINE_EXCEEDED ||
		    atomic_load(&seen_code) == RPC_CANCELLED);
	assert_in_range(atomic_load(&seen_left_ms), 1, 300);
	assert_connected(state->client);
}

static void test_cancellation(void **data)
{
	struct state *state = *data;
	struct client_call *call =
		client_start(state->client, &(struct client_request){ .path = RUNTIME("StopContainer") });
	struct client_answer answer;

	await(&running, 1);
	assert_int_equal(atomic_load(&seen_left_ms), -1);
	client_cancel(call);
	client_finish(call, &answer);
	assert_int_equal(answer.code, RPC_CANCELLED);
	client_answer_done(&answer);
	await(&seen_code, RPC_CANCELLED);
	assert_connected(state->client);
}

/* A client that is gone with its connection counts as having cancelled. */
static void test_disconnect(void **data)
{
	struct state *state = *data;
	struct client *client = client_new(fixture_socket(state->fixture), false);
	struct client_call *call =
		client_start(client, &(struct client_request){ .path = RUNTIME("StopContainer") });
	struct client_answer answer;

	await(&running, 1);
	client_cancel(call);
	client_free(client);
	client_finish(call, &answer);
	client_answer_done(&answer);
	await(&seen_code, RPC_CANCELLED);
}

static void test_stream(void **data)
{
	struct state *state = *data;
	struct client_answer answer;

	client_run(state->client, &(struct client_request){ .path = RUNTIME("StreamContainers") }, &answer);
	assert_int_equal(answer.code, RPC_OK);
	assert_int_equal(answer.messages, 3);
	for (size_t i = 0; i < 3; i++) {
		ProtobufCMessage *part = protobuf_c_message_unpack(
			&cri__stream_containers_response__descriptor, NULL, answer.len[i], answer.data[i]);
		char id[8];

		snprintf(id, sizeof(id), "c%zu", i);
		assert_non_null(part);
		assert_string_equal(((Cri__StreamContainersResponse *)part)->containers[0]->id, id);
		protobuf_c_message_free_unpacked(part, NULL);
	}
	client_answer_done(&answer);
}

/* Flow control holds the sender; the client's going away frees it. */
static void test_stream_cancelled(void **data)
{
	struct state *state = *data;
	struct client_call *call = client_start(
		state->client, &(struct client_request){ .path = RUNTIME("StreamPodSandboxes") });
	struct client_answer answer;

	await(&running, 1);
	usleep(50 * 1000);
	client_cancel(call);
	client_finish(call, &answer);
	client_answer_done(&answer);
	await(&seen_code, RPC_CANCELLED);
	await(&running, 0);
}

static void test_concurrent(void **data)
{
	enum { CALLS = 200 };
	struct state *state = *data;
	struct client_call *calls[CALLS];
	int64_t began = clock_mono();

	for (size_t i = 0; i < CALLS; i++)
		calls[i] = client_start(state->client,
					&(struct client_request){ .path = RUNTIME("StartContainer") });
	for (size_t i = 0; i < CALLS; i++) {
		struct client_answer answer;

		client_finish(calls[i], &answer);
		assert_int_equal(answer.code, RPC_OK);
		client_answer_done(&answer);
	}
	/* One after another they would take 20 s. */
	assert_true(atomic_load(&running_max) > 20);
	assert_true(clock_mono() - began < 15 * NS_PER_SEC);
}

static void test_connections(void **data)
{
	enum { CLIENTS = 100 };
	struct state *state = *data;
	struct client *clients[CLIENTS];

	for (size_t i = 0; i < CLIENTS; i++) {
		clients[i] = client_new(fixture_socket(state->fixture), false);
		assert_connected(clients[i]);
	}
	for (size_t i = 0; i < CLIENTS; i++)
		assert_connected(clients[i]);
	for (size_t i = 0; i < CLIENTS; i++)
		client_free(clients[i]);
	assert_connected(state->client);
}

static int setup_narrow(void **data)
{
	struct fixture_options narrow = usual;

	narrow.threads_max = 2;
	narrow.queue_max = 3;
	return setup_with(data, &narrow);
}

static void test_busy_workers(void **data)
{
	enum { CALLS = 20 };
	struct state *state = *data;
	struct client_call *calls[CALLS];
	size_t refused = 0, done = 0;

	for (size_t i = 0; i < CALLS; i++)
		calls[i] = client_start(state->client,
					&(struct client_request){ .path = RUNTIME("StartContainer") });
	assert_connected(state->client); /* fast ones don't queue behind slow ones */
	for (size_t i = 0; i < CALLS; i++) {
		struct client_answer answer;

		client_finish(calls[i], &answer);
		done += answer.code == RPC_OK;
		refused += answer.code == RPC_RESOURCE_EXHAUSTED;
		client_answer_done(&answer);
	}
	assert_int_equal(done + refused, CALLS);
	assert_true(refused > 0 && done >= 5);
}

static int setup_few_calls(void **data)
{
	struct fixture_options few = usual;

	few.calls_max = 4;
	return setup_with(data, &few);
}

static void test_too_many_calls(void **data)
{
	struct state *state = *data;
	struct client_call *calls[4];
	struct client_answer answer;

	for (int i = 0; i < 4; i++) {
		calls[i] = client_start(state->client,
					&(struct client_request){ .path = RUNTIME("StopContainer") });
		await(&running, i + 1);
	}
	expect(state->client, &(struct client_request){ .path = RUNTIME("StopContainer") },
	       RPC_RESOURCE_EXHAUSTED, "more than 4 calls");
	for (size_t i = 0; i < 4; i++) {
		client_cancel(calls[i]);
		client_finish(calls[i], &answer);
		client_answer_done(&answer);
	}
	for (int i = 0; i < 1000 && rpc_server_calls(fixture_server(state->fixture)); i++)
		usleep(10 * 1000);
	assert_connected(state->client);
}

/* Calls that end in time get their answers, whatever else is shut down around them. */
static void test_drain(void **data)
{
	enum { CALLS = 20 };
	struct state *state = *data;
	struct client_call *calls[CALLS];

	for (size_t i = 0; i < CALLS; i++)
		calls[i] = client_start(state->client,
					&(struct client_request){ .path = RUNTIME("StartContainer") });
	for (int i = 0; i < 1000 && rpc_server_calls(fixture_server(state->fixture)) < CALLS; i++)
		usleep(1000);
	assert_true(fixture_stop(state->fixture, 20 * NS_PER_SEC, 30 * NS_PER_SEC));
	for (size_t i = 0; i < CALLS; i++) {
		struct client_answer answer;

		client_finish(calls[i], &answer);
		if (answer.code != RPC_OK)
			fail_msg("call %zu: %d %s", i, answer.code, answer.text);
		client_answer_done(&answer);
	}
}

static void test_drain_cancels(void **data)
{
	struct state *state = *data;
	struct client_call *call =
		client_start(state->client, &(struct client_request){ .path = RUNTIME("StopContainer") });
	struct client_answer answer;
	int64_t began = clock_mono();

	await(&running, 1);
	assert_true(fixture_stop(state->fixture, 200 * NS_PER_MS, 30 * NS_PER_SEC));
	assert_in_range(clock_mono() - began, 200 * NS_PER_MS, 10 * NS_PER_SEC);
	client_finish(call, &answer);
	assert_int_equal(answer.code, RPC_UNAVAILABLE);
	assert_non_null(strstr(answer.text, "shutting down"));
	client_answer_done(&answer);
	/* Nobody serves any more. */
	client_run(state->client, &(struct client_request){ .path = RUNTIME("Version"), .timeout_ms = 2000 },
		   &answer);
	assert_true(answer.code == RPC_UNAVAILABLE || answer.code == RPC_DEADLINE_EXCEEDED);
	client_answer_done(&answer);
}

static void test_heartbeat(void **data)
{
	struct state *state = *data;

	usleep(200 * 1000);
	assert_true(rpc_server_alive(fixture_server(state->fixture), clock_mono() - NS_PER_SEC));
	assert_false(rpc_server_alive(fixture_server(state->fixture), clock_mono() + NS_PER_SEC));
}

#define WITH(test, how) cmocka_unit_test_setup_teardown(test, how, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_unary, setup),
		WITH(test_unknown_methods, setup),
		WITH(test_large_request, setup),
		WITH(test_large_valid_request, setup),
		WITH(test_large_answer, setup),
		WITH(test_broken_requests, setup),
		WITH(test_compressed, setup),
		WITH(test_compression_lie, setup),
		WITH(test_large_headers, setup),
		WITH(test_error_texts, setup),
		WITH(test_deadline, setup),
		WITH(test_cancellation, setup),
		WITH(test_disconnect, setup),
		WITH(test_stream, setup),
		WITH(test_stream_cancelled, setup),
		WITH(test_concurrent, setup),
		WITH(test_connections, setup),
		WITH(test_busy_workers, setup_narrow),
		WITH(test_too_many_calls, setup_few_calls),
		WITH(test_drain, setup),
		WITH(test_drain_cancels, setup),
		WITH(test_heartbeat, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
