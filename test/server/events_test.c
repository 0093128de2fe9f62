/*
 * The subscribers of GetContainerEvents: what sandboxes tell goes to all of them, in order and once; those
 * that leave are forgotten; their number is bounded.
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

#include "proto/cri.pb-c.h"
#include "proto/message.h"
#include "server/events.h"
#include "server/service.h"
#include "test/server/client.h"
#include "test/server/fixture.h"

struct state {
	struct service service;
	struct fixture *fixture;
	struct client *client;
	struct sandbox_listener listener;
};

static int set_up(void **data, bool on)
{
	struct state *state = xnew(struct state);
	struct rpc fakes[1];

	fakes[0] = rpc_get_container_events;
	if (on) {
		state->service.events = events_new();
		state->listener = events_listener(state->service.events);
	}
	state->fixture = fixture_new(&(struct fixture_options){
		.fakes = fakes, .fakes_len = 1, .threads_max = 2, .service = &state->service });
	state->client = client_new(fixture_socket(state->fixture), false);
	*data = state;
	return 0;
}

static int setup(void **data)
{
	return set_up(data, true);
}

static int setup_off(void **data)
{
	return set_up(data, false);
}

static int teardown(void **data)
{
	struct state *state = *data;

	client_free(state->client);
	fixture_free(state->fixture);
	events_free(state->service.events);
	free(state);
	return 0;
}

static void await_subscribers(struct state *state, size_t count)
{
	for (int i = 0; i < 30000 && events_subscribers(state->service.events) != count; i++)
		usleep(1000);
	assert_int_equal(events_subscribers(state->service.events), count);
	assert_int_equal(metric_get_at(&metric_events_subscribers, 0, 0), count);
}

static struct client_call *subscribe(struct state *state, struct client *client)
{
	size_t before = events_subscribers(state->service.events);
	struct client_call *call =
		client_start(client, &(struct client_request){ .path = RUNTIME("GetContainerEvents") });

	await_subscribers(state, before + 1);
	return call;
}

/* As sandboxes do it; without the locks. */
static void tell(struct state *state, int number)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	Cri__ContainerEventResponse *event = message_new(arena, &cri__container_event_response__descriptor);

	event->container_id = arena_fmt(arena, "%d", number);
	event->created_at = number;
	state->listener.event(state->listener.data, event, arena);
	state->listener.flush(state->listener.data);
}

static void all_hear_the_same(void **data)
{
	enum { LISTENERS = 20, EVENTS = 40 };
	struct state *state = *data;
	struct client_call *calls[LISTENERS];

	assert_false(state->listener.wanted(state->listener.data));
	tell(state, -1); /* to nobody */
	for (int i = 0; i < LISTENERS; i++)
		calls[i] = subscribe(state, state->client);
	assert_true(state->listener.wanted(state->listener.data));
	for (int i = 0; i < EVENTS; i++)
		tell(state, i);
	fixture_stop(state->fixture, 0, 30 * NS_PER_SEC);
	for (int i = 0; i < LISTENERS; i++) {
		struct client_answer answer;

		client_await(calls[i], &answer);
		assert_int_equal(answer.code, RPC_UNAVAILABLE);
		assert_true(answer.messages <= EVENTS);
		for (size_t j = 0; j < answer.messages; j++) {
			ProtobufCMessage *message =
				protobuf_c_message_unpack(&cri__container_event_response__descriptor, NULL,
							  answer.len[j], answer.data[j]);

			assert_non_null(message);
			assert_int_equal(((Cri__ContainerEventResponse *)message)->created_at, j);
			protobuf_c_message_free_unpacked(message, NULL);
		}
		client_answer_done(&answer);
	}
	await_subscribers(state, 0);
}

static void who_leaves_is_forgotten(void **data)
{
	struct state *state = *data;
	struct client *other = client_new(fixture_socket(state->fixture), false);
	struct client_call *first = subscribe(state, other), *second = subscribe(state, state->client);
	struct client_answer answer;

	client_cancel(first);
	await_subscribers(state, 1);
	tell(state, 1);
	client_cancel(second);
	await_subscribers(state, 0);
	tell(state, 2);
	client_await(first, &answer);
	client_answer_done(&answer);
	client_await(second, &answer);
	client_answer_done(&answer);
	client_free(other);
}

static void there_is_a_bound(void **data)
{
	struct state *state = *data;
	struct client_call *calls[EVENTS_SUBSCRIBERS_MAX];
	struct client_answer answer;

	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		calls[i] = subscribe(state, state->client);
	client_run(state->client, &(struct client_request){ .path = RUNTIME("GetContainerEvents") }, &answer);
	assert_int_equal(answer.code, RPC_RESOURCE_EXHAUSTED);
	assert_non_null(strstr(answer.text, "256 clients"));
	client_answer_done(&answer);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		client_cancel(calls[i]);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		client_await(calls[i], &answer);
		client_answer_done(&answer);
	}
	await_subscribers(state, 0);
}

static void it_can_be_off(void **data)
{
	struct state *state = *data;
	struct client_answer answer;

	client_run(state->client, &(struct client_request){ .path = RUNTIME("GetContainerEvents") }, &answer);
	assert_int_equal(answer.code, RPC_UNIMPLEMENTED);
	assert_non_null(strstr(answer.text, "enable_pod_events"));
	client_answer_done(&answer);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(all_hear_the_same),
		TEST(who_leaves_is_forgotten),
		TEST(there_is_a_bound),
		cmocka_unit_test_setup_teardown(it_can_be_off, setup_off, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
