/*
 * While crispd starts: a server that is closed, and then open; and the porter, who stands at its door.
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
#include <sys/socket.h>
#include <sys/un.h>

#include "base/file.h"
#include "server/porter.h"
#include "test/server/fakes.h"

static atomic_int progress;

static char *why_closed(void *data UNUSED)
{
	return xasprintf("starting: %d of 7", atomic_load(&progress));
}

static int setup_closed(void **data)
{
	struct fixture_options options = usual;

	options.why_closed = why_closed;
	atomic_store(&progress, 0);
	return setup_with(data, &options);
}

/* No handler runs, whether it is fast, slow or streams; only what is `early` is answered. */
static void test_closed(void **data)
{
	struct state *state = *data;
	static const char *const methods[] = { RUNTIME("RemoveContainer"), RUNTIME("StartContainer"),
					       RUNTIME("StreamContainers"), IMAGE("PullImage"),
					       RUNTIME("Exec") };

	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		expect(state->client, &(struct client_request){ .path = methods[i] }, RPC_UNAVAILABLE,
		       "starting: 0 of 7");
	atomic_store(&progress, 6);
	expect(state->client, &(struct client_request){ .path = RUNTIME("ContainerStatus") }, RPC_UNAVAILABLE,
	       "starting: 6 of 7");
	expect(state->client, &(struct client_request){ .path = RUNTIME("Nothing") }, RPC_UNIMPLEMENTED,
	       NULL);
	assert_connected(state->client);
	rpc_server_open(fixture_server(state->fixture), NULL);
	expect(state->client, &(struct client_request){ .path = RUNTIME("RemoveContainer") },
	       RPC_FAILED_PRECONDITION, NULL);
	expect(state->client, &(struct client_request){ .path = RUNTIME("StreamContainers") }, RPC_OK, NULL);
	assert_connected(state->client);
}

/* A start that fails after somebody has called. */
static void test_never_open(void **data)
{
	struct state *state = *data;

	expect(state->client, &(struct client_request){ .path = RUNTIME("RemoveContainer") }, RPC_UNAVAILABLE,
	       "starting");
}

/* ---- the porter ---- */

struct place {
	char folder[64];
	char *path;
	atomic_int accepted;
	struct loop *loop;
};

static int setup_place(void **data)
{
	struct place *place = xnew(struct place);
	struct err err = { 0 };

	snprintf(place->folder, sizeof(place->folder), "/tmp/crisp-early-test-XXXXXX");
	assert_non_null(mkdtemp(place->folder));
	place->path = xasprintf("%s/crisp.sock", place->folder);
	place->loop = loop_new(&err);
	*data = place;
	return 0;
}

static int teardown_place(void **data)
{
	struct place *place = *data;

	loop_free(place->loop);
	rmdir(place->folder);
	free(place->path);
	free(place);
	return 0;
}

static void on_accepted(void *data, int fd)
{
	struct place *place = data;

	close(fd);
	if (atomic_fetch_add(&place->accepted, 1) == 1)
		loop_stop(place->loop);
}

static struct porter *stand(struct place *place)
{
	const struct porter_options options = {
		.listener = { .path = place->path, .mode = 0600, .accepted = on_accepted, .data = place },
		.progress = why_closed
	};
	struct err err = { 0 };
	struct porter *porter = porter_new(&options, &err);

	if (!porter)
		fail_msg("%s", err.text);
	return porter;
}

static int connect_to(const struct place *place)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(addr.sun_path, place->path, strlen(place->path) + 1);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void test_relieved(void **data)
{
	struct place *place = *data;
	struct porter *porter = stand(place);
	int first = connect_to(place), second;
	struct err err = { 0 };

	await(&place->accepted, 1);
	struct listener *listener = porter_relieve(porter, place->loop, &err);
	porter_free(porter);
	assert_non_null(listener);
	second = connect_to(place);
	assert_true(second >= 0);
	assert_int_equal(loop_run(place->loop, &err), 0);
	assert_int_equal(atomic_load(&place->accepted), 2);
	listener_free(listener);
	close(first);
	close(second);
}

/* A start that fails. */
static void test_not_relieved(void **data)
{
	struct place *place = *data;

	porter_free(stand(place));
	assert_int_equal(access(place->path, F_OK), -1);
	assert_int_equal(connect_to(place), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_relieved, setup_place, teardown_place),
		cmocka_unit_test_setup_teardown(test_not_relieved, setup_place, teardown_place),
		cmocka_unit_test_setup_teardown(test_closed, setup_closed, teardown),
		cmocka_unit_test_setup_teardown(test_never_open, setup_closed, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
