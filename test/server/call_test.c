/*
 * The life of calls: deadlines, cancellation, streams, concurrency, limits, and the orderly end of a server.
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
#include "test/server/fakes.h"

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
	client_await(call, &answer);
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
	client_await(call, &answer);
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
	client_await(call, &answer);
	client_answer_done(&answer);
	await(&seen_code, RPC_CANCELLED);
	await(&running, 0);
}

static int setup_impatient(void **data)
{
	struct fixture_options impatient = usual;

	impatient.stall_max = 300 * NS_PER_MS;
	return setup_with(data, &impatient);
}

/* A client that stops reading is told so, and its worker is free again. */
static void test_stream_stalled(void **data)
{
	struct state *state = *data;
	struct client *idle = client_new(fixture_socket(state->fixture), false);
	struct client_call *call =
		client_start(idle, &(struct client_request){ .path = RUNTIME("StreamPodSandboxes") });
	struct client_answer answer;

	client_sent(call);
	await(&seen_code, RPC_RESOURCE_EXHAUSTED);
	await(&running, 0);
	client_await(call, &answer);
	assert_int_equal(answer.code, RPC_RESOURCE_EXHAUSTED);
	assert_non_null(strstr(answer.text, "took nothing"));
	assert_true(answer.messages > 0);
	client_answer_done(&answer);
	client_free(idle);
	assert_connected(state->client);
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

		client_await(calls[i], &answer);
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

		client_await(calls[i], &answer);
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
		client_await(calls[i], &answer);
		client_answer_done(&answer);
	}
	for (int i = 0; i < 1000 && rpc_server_calls(fixture_server(state->fixture)); i++)
		usleep(10 * 1000);
	assert_connected(state->client);
}

static int setup_few_calls_of_one(void **data)
{
	struct fixture_options few = usual;

	few.calls_max = 4;
	few.connection_calls_max = 2;
	return setup_with(data, &few);
}

static void test_too_many_calls_of_one(void **data)
{
	struct state *state = *data;
	struct client *greedy = client_new(fixture_socket(state->fixture), false);
	struct client_call *calls[2];
	struct client_answer answer;

	for (int i = 0; i < 2; i++) {
		calls[i] = client_start(greedy, &(struct client_request){ .path = RUNTIME("StopContainer") });
		await(&running, i + 1);
	}
	for (int i = 0; i < 10; i++)
		expect(greedy, &(struct client_request){ .path = RUNTIME("StopContainer") },
		       RPC_RESOURCE_EXHAUSTED, "more than 2 calls of one connection");
	assert_connected(state->client);
	for (size_t i = 0; i < 2; i++) {
		client_cancel(calls[i]);
		client_await(calls[i], &answer);
		client_answer_done(&answer);
	}
	for (int i = 0; i < 1000 && rpc_server_calls(fixture_server(state->fixture)); i++)
		usleep(10 * 1000);
	assert_connected(greedy);
	client_free(greedy);
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

		client_await(calls[i], &answer);
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
	client_await(call, &answer);
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
		WITH(test_deadline, setup),
		WITH(test_cancellation, setup),
		WITH(test_disconnect, setup),
		WITH(test_stream, setup),
		WITH(test_stream_cancelled, setup),
		WITH(test_stream_stalled, setup_impatient),
		WITH(test_concurrent, setup),
		WITH(test_connections, setup),
		WITH(test_busy_workers, setup_narrow),
		WITH(test_too_many_calls, setup_few_calls),
		WITH(test_too_many_calls_of_one, setup_few_calls_of_one),
		WITH(test_drain, setup),
		WITH(test_drain_cancels, setup),
		WITH(test_heartbeat, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
