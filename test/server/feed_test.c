/*
 * Streams without a thread: what is put in arrives in order, slow clients are cut off and hold up nobody, and
 * every way in which a stream ends is told to its source, once.
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

#include "base/clock.h"
#include "proto/cri.pb-c.h"
#include "server/grpc/feed.h"
#include "test/server/fakes.h"

enum { FEEDS_MAX = 128, COUNT_MAX = 20, LARGE = 64 * 1024 };

/* What the fakes subscribed; all under lock. */
static struct {
	struct lock lock;
	struct feed *feeds[FEEDS_MAX];
	size_t len;
} source;
static atomic_int opened, closed_count;

static void on_closed(void *data)
{
	(void)data;
	atomic_fetch_add(&closed_count, 1);
}

static void subscribe(struct feed *feed)
{
	lock_take(&source.lock);
	assert(source.len < FEEDS_MAX);
	source.feeds[source.len++] = feed_ref(feed);
	lock_drop(&source.lock);
	atomic_fetch_add(&opened, 1);
}

static grpc_byte_buffer *message_new_of(const struct feed *feed, const char *id)
{
	Cri__ContainerEventResponse event = CRI__CONTAINER_EVENT_RESPONSE__INIT;
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	grpc_byte_buffer *buffer;
	struct err err = { 0 };

	event.container_id = (char *)id;
	assert_int_equal(feed_pack(feed, &event.base, arena, &buffer, &err), 0);
	return buffer;
}

static int start_feed(struct call *call, struct err *err)
{
	CLEANUP(feed_unrefp)
	struct feed *feed = feed_new(call, &(struct feed_options){ .count_max = COUNT_MAX,
								   .bytes_max = COUNT_MAX * 2 * LARGE,
								   .closed = on_closed });

	subscribe(feed);
	return feed_start(feed, err);
}

static int fake_events(struct call *call, const void *message, void *answer, struct err *err)
{
	(void)message;
	(void)answer;
	return start_feed(call, err);
}

/* Fails when its feed has started already. */
static int fake_failure(struct call *call, const void *message, void *answer, struct err *err)
{
	(void)message;
	(void)answer;
	if (start_feed(call, err) < 0)
		return -1;
	return err_set(err, RPC_ABORTED, "not any more");
}

/* Starts only when the client has gone. */
static int fake_late(struct call *call, const void *message, void *answer, struct err *err)
{
	(void)message;
	(void)answer;
	atomic_fetch_add(&running, 1);
	for (int i = 0; i < 2000 && !ctx_cancelled(call_ctx(call)); i++)
		usleep(5 * 1000);
	atomic_store(&seen_code, start_feed(call, err) < 0 ? (int)err->code : RPC_OK);
	return -1;
}

static int fake_version(struct call *call, const void *message, void *answer, struct err *err)
{
	Cri__VersionResponse *response = answer;

	(void)call;
	(void)message;
	(void)err;
	response->version = (char *)"fake";
	return 0;
}

#define STREAM(name, fn)                                                                           \
	{                                                                                          \
		.service = "RuntimeService", .method = name, .speed = RPC_SLOW, .streaming = true, \
		.handle = fn                                                                       \
	}

static const struct rpc fakes[] = {
	{ .service = "RuntimeService", .method = "Version", .handle = fake_version },
	STREAM("GetContainerEvents", fake_events),
	STREAM("StreamContainers", fake_failure),
	STREAM("StreamPodSandboxes", fake_late),
};

static int setup_feeds(void **data)
{
	const struct fixture_options options = {
		.fakes = fakes,
		.fakes_len = ARRAY_LEN(fakes),
		.threads_max = 4, /* far fewer than subscribers */
	};

	lock_init(&source.lock, "source", LOCK_EVENTS);
	source.len = 0;
	atomic_store(&opened, 0);
	atomic_store(&closed_count, 0);
	return setup_with(data, &options);
}

static int teardown_feeds(void **data)
{
	int result = teardown(data);

	assert(atomic_load(&closed_count) <= atomic_load(&opened));
	for (size_t i = 0; i < source.len; i++)
		feed_unref(source.feeds[i]);
	lock_done(&source.lock);
	return result;
}

/* To all; the puts are under the source's lock, as an event source would do it. */
static void publish(const char *id)
{
	grpc_byte_buffer *message = message_new_of(source.feeds[0], id);

	lock_take(&source.lock);
	for (size_t i = 0; i < source.len; i++)
		feed_put(source.feeds[i], message);
	lock_drop(&source.lock);
	for (size_t i = 0; i < source.len; i++)
		feed_flush(source.feeds[i]);
	grpc_byte_buffer_destroy(message);
}

static char *large_id(int number)
{
	char *id = xcalloc(1, LARGE + 1);

	memset(id, 'e', LARGE);
	id[snprintf(id, LARGE, "%d", number)] = ' ';
	return id;
}

static struct client_call *listen_on(struct client *client, const char *path)
{
	int before = atomic_load(&opened);
	struct client_call *call = client_start(client, &(struct client_request){ .path = path });

	client_sent(call);
	await(&opened, before + 1);
	return call;
}

/* The events with the numbers 0 to count - 1, in order. */
static void assert_events(const struct client_answer *answer, size_t count)
{
	assert_int_equal(answer->messages, count);
	for (size_t i = 0; i < count; i++) {
		ProtobufCMessage *event = protobuf_c_message_unpack(
			&cri__container_event_response__descriptor, NULL, answer->len[i], answer->data[i]);

		assert_non_null(event);
		assert_int_equal(strtol(((Cri__ContainerEventResponse *)event)->container_id, NULL, 10), i);
		protobuf_c_message_free_unpacked(event, NULL);
	}
}

static void end_all(const struct err *err)
{
	for (size_t i = 0; i < source.len; i++)
		feed_end(source.feeds[i], err);
}

/* What is put before the end arrives before it. */
static void test_order(void **data)
{
	enum { LISTENERS = 100 };
	struct state *state = *data;
	struct client_call *calls[LISTENERS];

	for (int i = 0; i < LISTENERS; i++)
		calls[i] = listen_on(state->client, RUNTIME("GetContainerEvents"));
	for (int i = 0; i < COUNT_MAX; i++) {
		char id[16];

		snprintf(id, sizeof(id), "%d", i);
		publish(id);
	}
	end_all(NULL);
	for (int i = 0; i < LISTENERS; i++) {
		struct client_answer answer;

		client_await(calls[i], &answer);
		assert_int_equal(answer.code, RPC_OK);
		assert_events(&answer, COUNT_MAX);
		client_answer_done(&answer);
	}
	await(&closed_count, LISTENERS);
}

/* One reads, one does not and is cut off; what comes after is not for it any more. */
static void test_stalled(void **data)
{
	enum { EVENTS = CLIENT_MESSAGES_MAX };
	struct state *state = *data;
	struct client *stalled = client_new(fixture_socket(state->fixture), false);
	struct client_call *idle = listen_on(stalled, RUNTIME("GetContainerEvents"));
	struct client_answer answer;
	grpc_byte_buffer *probe;

	for (int i = 0; i < EVENTS && !atomic_load(&closed_count); i++) {
		CLEANUP(freep) char *id = large_id(i);

		publish(id);
	}
	await(&closed_count, 1);
	probe = message_new_of(source.feeds[0], "late");
	assert_false(feed_put(source.feeds[0], probe));
	feed_flush(source.feeds[0]);
	grpc_byte_buffer_destroy(probe);
	assert_true(answers(state->client));
	client_await(idle, &answer);
	assert_int_equal(answer.code, RPC_RESOURCE_EXHAUSTED);
	assert_non_null(strstr(answer.text, "reads too slowly: more than 20 messages"));
	assert_true(answer.messages < EVENTS);
	client_answer_done(&answer);
	client_free(stalled);
	assert_int_equal(atomic_load(&closed_count), 1);
}

/* Cut off, it still has a message that it does not take: it does not hold up the end of crispd. */
static void test_stalled_at_the_end(void **data)
{
	struct state *state = *data;
	struct client *stalled = client_new(fixture_socket(state->fixture), false);
	struct client_call *idle = listen_on(stalled, RUNTIME("GetContainerEvents"));
	struct client_answer answer;

	for (int i = 0; i < CLIENT_MESSAGES_MAX && !atomic_load(&closed_count); i++) {
		CLEANUP(freep) char *id = large_id(i);

		publish(id);
	}
	await(&closed_count, 1);
	assert_true(answers(stalled)); /* reads the socket, but not that stream */
	assert_true(fixture_stop(state->fixture, 0, 60 * NS_PER_SEC));
	client_await(idle, &answer);
	assert_int_not_equal(answer.code, RPC_OK);
	client_answer_done(&answer);
	client_free(stalled);
}

/* The same flood, read: nothing is lost, because the puts wait for their reader. */
static void test_back_pressure(void **data)
{
	struct state *state = *data;
	struct client_call *call = listen_on(state->client, RUNTIME("GetContainerEvents"));
	struct client_answer answer;

	for (int i = 0; i < COUNT_MAX; i++) {
		CLEANUP(freep) char *id = large_id(i);

		publish(id);
	}
	end_all(NULL);
	client_await(call, &answer);
	assert_int_equal(answer.code, RPC_OK);
	assert_events(&answer, COUNT_MAX);
	client_answer_done(&answer);
}

static void test_client_goes(void **data)
{
	struct state *state = *data;
	struct client_call *call = listen_on(state->client, RUNTIME("GetContainerEvents"));
	struct client_answer answer;

	publish("0");
	client_cancel(call);
	client_await(call, &answer);
	assert_int_equal(answer.code, RPC_CANCELLED);
	client_answer_done(&answer);
	await(&closed_count, 1);
	assert_true(answers(state->client));
}

static void test_deadline(void **data)
{
	struct state *state = *data;

	expect(state->client,
	       &(struct client_request){ .path = RUNTIME("GetContainerEvents"), .timeout_ms = 300 },
	       RPC_DEADLINE_EXCEEDED, NULL);
	await(&closed_count, 1);
}

static void test_error(void **data)
{
	struct state *state = *data;
	struct client_call *call = listen_on(state->client, RUNTIME("GetContainerEvents"));
	struct client_answer answer;
	struct err err = { 0 };

	publish("0");
	err_set(&err, RPC_ABORTED, "enough");
	end_all(&err);
	client_await(call, &answer);
	assert_int_equal(answer.code, RPC_ABORTED);
	assert_string_equal(answer.text, "enough");
	assert_events(&answer, 1);
	client_answer_done(&answer);
	await(&closed_count, 1);
}

static void test_handler_fails(void **data)
{
	struct state *state = *data;

	expect(state->client, &(struct client_request){ .path = RUNTIME("StreamContainers") }, RPC_ABORTED,
	       "not any more");
	await(&closed_count, 1);
}

/* A feed that could not start is never closed. */
static void test_late_start(void **data)
{
	struct state *state = *data;
	struct client_call *call = client_start(
		state->client, &(struct client_request){ .path = RUNTIME("StreamPodSandboxes") });
	struct client_answer answer;

	await(&running, 1);
	client_cancel(call);
	client_await(call, &answer);
	client_answer_done(&answer);
	await(&seen_code, RPC_CANCELLED);
	assert_true(answers(state->client));
	assert_int_equal(atomic_load(&closed_count), 0);
}

/* Feeds do not hold up the end: they are told at once, whether they read or not. */
static void test_shutdown(void **data)
{
	struct state *state = *data;
	struct client *stalled = client_new(fixture_socket(state->fixture), false);
	struct client_call *calls[] = {
		listen_on(state->client, RUNTIME("GetContainerEvents")),
		listen_on(stalled, RUNTIME("GetContainerEvents")),
	};
	int64_t began = clock_mono();

	for (int i = 0; i < COUNT_MAX; i++) {
		CLEANUP(freep) char *id = large_id(i);

		publish(id);
	}
	assert_true(fixture_stop(state->fixture, 60 * NS_PER_SEC, 120 * NS_PER_SEC));
	assert_true(clock_mono() - began < 50 * NS_PER_SEC);
	assert_int_equal(atomic_load(&closed_count), 2);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		struct client_answer answer;

		client_await(calls[i], &answer);
		assert_int_equal(answer.code, RPC_UNAVAILABLE);
		/* The text may be behind what was not read before the connection was cut. */
		client_answer_done(&answer);
	}
	client_free(stalled);
}

#define FEEDS(test) cmocka_unit_test_setup_teardown(test, setup_feeds, teardown_feeds)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FEEDS(test_order),         FEEDS(test_stalled),       FEEDS(test_stalled_at_the_end),
		FEEDS(test_back_pressure), FEEDS(test_client_goes),   FEEDS(test_deadline),
		FEEDS(test_error),         FEEDS(test_handler_fails), FEEDS(test_late_start),
		FEEDS(test_shutdown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
