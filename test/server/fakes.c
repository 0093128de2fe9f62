/*
 * Each fake does one thing that a real RPC might: answer, wait, fail, stream, or be too large.
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

#include "base/clock.h"
#include "proto/cri.pb-c.h"
#include "test/server/fakes.h"

atomic_int seen_code, running, running_max;
atomic_llong seen_left_ms;

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
	{ .service = "RuntimeService",
	  .method = "Version",
	  .speed = RPC_FAST,
	  .early = true,
	  .handle = fake_version },
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

const struct fixture_options usual = { .fakes = fakes, .fakes_len = sizeof(fakes) / sizeof(fakes[0]) };

int setup_with(void **data, const struct fixture_options *options)
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

int setup(void **data)
{
	return setup_with(data, &usual);
}

int teardown(void **data)
{
	struct state *state = *data;

	client_free(state->client);
	fixture_free(state->fixture);
	free(state);
	return 0;
}

void await(atomic_int *value, int wanted)
{
	for (int i = 0; i < 1000 && atomic_load(value) != wanted; i++)
		usleep(10 * 1000);
	assert_int_equal(atomic_load(value), wanted);
}

void assert_connected(struct client *client)
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

bool answers(struct client *client)
{
	Cri__VersionRequest request = CRI__VERSION_REQUEST__INIT;

	return client_ask(client, RUNTIME("Version"), &request.base, NULL, NULL) == RPC_OK;
}

void expect(struct client *client, const struct client_request *request, int code, const char *text)
{
	struct client_answer answer;

	client_run(client, request, &answer);
	if (answer.code != code || (text && !strstr(answer.text, text)))
		fail_msg("%s: code %d \"%s\", expected %d \"%s\"", request->path, answer.code, answer.text,
			 code, text ? text : "");
	client_answer_done(&answer);
}
