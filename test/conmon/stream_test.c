/*
 * Commands that somebody talks to, and connections to a container's own stdio, with the real conmon, crun and
 * runc: pipes, terminals, their sizes, ends of input, what is killed and when.
 */
#include "box.h"

#include <poll.h>
#include <sys/socket.h>

#include "conmon/attach.h"
#include "conmon/exec.h"
#include "conmon/exec_leftovers.h"
#include "conmon/exec_stream.h"

enum { PATIENCE = 30000 /* ms */ };

static const char *const runtimes[] = { "crun", "runc" };
static struct box box;

#define OK(call)                                                                         \
	do {                                                                             \
		struct err ok_ = { 0 };                                                  \
		if ((call) < 0)                                                          \
			fail_msg("%s: %s %s", #call, rpc_code_name(ok_.code), ok_.text); \
	} while (0)

struct scene {
	struct box_container container;
	struct monitor_started started;
};

static void begin(const char *runtime, const char *args, const char *extra,
		  void (*change)(struct monitor_spec *), struct scene *ret)
{
	box_container(&box, runtime, args, extra, &ret->container);
	if (change)
		change(&ret->container.spec);
	OK(monitor_create(&ret->container.spec, NULL, &ret->started, &ok_));
	OK(runtime_start(&ret->container.target, NULL, &ok_));
}

static void finish(struct scene *scene)
{
	OK(runtime_delete(&scene->container.target, NULL, &ok_));
	OK(process_wait_gone(&scene->started.monitor, NULL, &ok_));
	exit_status_remove(scene->container.exit_dir, scene->container.id);
	monitor_started_done(&scene->started);
	box_container_done(&scene->container);
}

static struct exec_stream *start(struct scene *scene, const char *command, bool tty)
{
	CLEANUP(freep)
	char *process = xasprintf(
		"{\"user\":{\"uid\":0,\"gid\":0},\"cwd\":\"/\",\"args\":[\"/bin/sh\",\"-c\",\"%s\"],"
		"\"env\":[\"PATH=/bin\"],\"terminal\":%s}",
		command, tty ? "true" : "false");
	struct exec_stream_spec spec = { .target = scene->container.target,
					 .init = &scene->started.container,
					 .process_json = process,
					 .run_dir = scene->container.run_dir,
					 .tty = tty,
					 .in = true,
					 .out = true,
					 .width = 100,
					 .height = 30 };
	struct exec_stream *stream;

	OK(exec_stream_start(&spec, NULL, &stream, &ok_));
	return stream;
}

/* The next bytes of a non-blocking descriptor, put behind what is there; false at its end. */
static bool read_more(int fd, struct str *text)
{
	struct pollfd poll_fd = { fd, POLLIN, 0 };
	char bytes[4096];
	ssize_t got;

	if (poll(&poll_fd, 1, PATIENCE) != 1)
		fail_msg("nothing comes behind: %s", str_get(text));
	got = read(fd, bytes, sizeof(bytes));
	if (got > 0)
		str_addn(text, bytes, (size_t)got);
	return got > 0;
}

static void read_until(int fd, struct str *text, const char *want)
{
	while (!strstr(str_get(text), want))
		if (!read_more(fd, text))
			fail_msg("the end came before \"%s\": %s", want, str_get(text));
}

static void say(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void wait_end(const struct exec_stream *stream)
{
	struct pollfd end = { exec_stream_end(stream), POLLIN, 0 };

	assert_int_equal(poll(&end, 1, PATIENCE), 1);
}

/* What `ps` tells inside. */
static void list_processes(struct scene *scene, struct exec_result *ret)
{
	struct exec_spec spec = { .target = scene->container.target,
				  .init = &scene->started.container,
				  .process_json = "{\"user\":{\"uid\":0,\"gid\":0},\"cwd\":\"/\","
						  "\"args\":[\"/bin/ps\"],\"env\":[\"PATH=/bin\"]}",
				  .run_dir = scene->container.run_dir,
				  .output_max = 1024 * 1024 };

	OK(exec_sync(&spec, NULL, ret, &ok_));
}

static void wait_for_process(struct scene *scene, const char *words)
{
	int64_t deadline = clock_mono() + PATIENCE * NS_PER_MS;
	bool found = false;

	while (!found) {
		struct exec_result result = { 0 };

		list_processes(scene, &result);
		found = strstr(str_get(&result.out), words);
		exec_result_done(&result);
		assert_true(clock_mono() < deadline);
	}
}

static void assert_no_process(struct scene *scene, const char *words)
{
	struct exec_result result = { 0 };

	list_processes(scene, &result);
	if (strstr(str_get(&result.out), words))
		fail_msg("still there:\n%s", str_get(&result.out));
	exec_result_done(&result);
}

static void assert_no_files(const struct scene *scene)
{
	struct strv names CLEANUP(strv_done) = STRV_INIT;

	OK(dir_list(AT_FDCWD, scene->container.run_dir, &names, &ok_));
	for (size_t i = 0; i < names.len; i++)
		if (str_has_prefix(names.items[i], "exec-"))
			fail_msg("%s is left", names.items[i]);
}

static const char sleeper[] = "[\"/bin/sleep\",\"1000\"]";

static void test_pipes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(runtimes); i++) {
		struct str out CLEANUP(str_done) = STR_INIT, errors CLEANUP(str_done) = STR_INIT;
		struct exec_stream *stream;
		struct scene scene;
		int code = -1;

		begin(runtimes[i], sleeper, NULL, NULL, &scene);
		stream = start(&scene, "cat; echo oops >&2; exit 3", false);
		say(exec_stream_in(stream), "hello\n");
		read_until(exec_stream_out(stream), &out, "hello");
		exec_stream_end_input(stream);
		assert_int_equal(exec_stream_in(stream), -1);
		while (read_more(exec_stream_out(stream), &out))
			;
		while (read_more(exec_stream_err(stream), &errors))
			;
		wait_end(stream);
		OK(exec_stream_conclude(stream, &code, &ok_));
		assert_int_equal(code, 3);
		assert_string_equal(str_get(&errors), "oops\n");
		exec_stream_free(stream);
		assert_no_files(&scene);
		finish(&scene);
	}
}

static void test_terminal(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(runtimes); i++) {
		struct str out CLEANUP(str_done) = STR_INIT;
		struct exec_stream *stream;
		struct scene scene;
		int code = -1;

		begin(runtimes[i], sleeper, NULL, NULL, &scene);
		stream = start(
			&scene,
			"size() { busybox stty size; }; until [ \\\"$(size)\\\" = '30 100' ]; do sleep 0.05; done;"
			" echo first; until [ \\\"$(size)\\\" = '40 120' ]; do sleep 0.05; done; echo second;"
			" cat >/dev/null; exit 4",
			true);
		read_until(exec_stream_out(stream), &out, "first");
		exec_stream_resize(stream, 120, 40);
		read_until(exec_stream_out(stream), &out, "second");
		exec_stream_end_input(stream); /* a terminal stays; its line discipline is sent the end */
		assert_true(exec_stream_in(stream) >= 0);
		while (read_more(exec_stream_out(stream), &out))
			;
		wait_end(stream);
		OK(exec_stream_conclude(stream, &code, &ok_));
		assert_int_equal(code, 4);
		exec_stream_free(stream);
		assert_no_files(&scene);
		finish(&scene);
	}
}

static void test_command_that_cannot_be_run(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(runtimes); i++) {
		struct str errors CLEANUP(str_done) = STR_INIT;
		struct exec_stream *stream;
		struct err err = { 0 };
		struct scene scene;
		int code = -1;

		begin(runtimes[i], sleeper, NULL, NULL, &scene);
		struct exec_stream_spec spec = {
			.target = scene.container.target,
			.init = &scene.started.container,
			.process_json = "{\"user\":{\"uid\":0,\"gid\":0},\"cwd\":\"/\","
					"\"args\":[\"/bin/no-such\"],\"env\":[\"PATH=/bin\"]}",
			.run_dir = scene.container.run_dir,
			.out = true
		};

		OK(exec_stream_start(&spec, NULL, &stream, &ok_));
		assert_int_equal(exec_stream_in(stream), -1);
		while (read_more(exec_stream_err(stream), &errors))
			;
		exec_stream_note(stream, errors.data, errors.len);
		wait_end(stream);
		assert_int_equal(exec_stream_conclude(stream, &code, &err), -1);
		assert_int_equal(err.code, RPC_FAILED_PRECONDITION);
		if (!strstr(err.text, "no-such"))
			fail_msg("%s", err.text);
		exec_stream_free(stream);
		finish(&scene);
	}
}

/* Given up while it runs: the command goes, with its children and what made itself a daemon. */
static void test_given_up(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(runtimes); i++)
		for (int tty = 0; tty < 2; tty++) {
			struct exec_stream *stream;
			struct scene scene;

			begin(runtimes[i], sleeper, NULL, NULL, &scene);
			stream = start(&scene,
				       "sleep 4331 & (setsid sleep 4332 >/dev/null 2>&1 &); sleep 4333", tty);
			wait_for_process(&scene, "sleep 4333");
			wait_for_process(&scene, "sleep 4332");
			exec_stream_free(stream);
			assert_no_process(&scene, "sleep 433");
			assert_no_files(&scene);
			finish(&scene);
		}
}

/* What a killed crispd leaves: documents, and nobody who holds the processes. */
static void test_left_by_another(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(runtimes); i++)
		for (int tty = 0; tty < 2; tty++) {
			struct strv names CLEANUP(strv_done) = STRV_INIT;
			struct exec_stream *stream;
			struct scene scene;
			struct ctx ctx;

			begin(runtimes[i], sleeper, NULL, NULL, &scene);
			exec_leftovers_find(scene.container.run_dir, &names);
			assert_int_equal(names.len, 0);
			stream = start(&scene,
				       "sleep 4341 & (setsid sleep 4342 >/dev/null 2>&1 &); sleep 4343", tty);
			wait_for_process(&scene, "sleep 4343");
			wait_for_process(&scene, "sleep 4342");
			exec_leftovers_find(scene.container.run_dir, &names);
			assert_true(names.len > 0);
			ctx_init(&ctx, clock_deadline_in(PATIENCE * NS_PER_MS));
			OK(exec_leftovers_end(scene.container.run_dir, &names, &ctx, &ok_));
			ctx_done(&ctx);
			assert_no_process(&scene, "sleep 434");
			assert_no_files(&scene);
			wait_end(stream); /* the runtime has ended, too */
			exec_stream_free(stream);
			assert_true(process_alive(&scene.started.container));
			finish(&scene);
		}
}

/* ---- attach ---- */

static void with_stdin(struct monitor_spec *spec)
{
	spec->stdin = true;
}

static void once(struct monitor_spec *spec)
{
	spec->stdin = spec->stdin_once = true;
}

static void read_attached(int fd, struct str *text, const char *want, bool want_err)
{
	while (!strstr(str_get(text), want)) {
		struct pollfd poll_fd = { fd, POLLIN, 0 };
		uint8_t bytes[4096];
		bool is_err = !want_err;
		ssize_t got;

		if (poll(&poll_fd, 1, PATIENCE) != 1)
			fail_msg("nothing comes behind: %s", str_get(text));
		got = attach_read(fd, bytes, sizeof(bytes), &is_err);
		if (got <= 0)
			fail_msg("the end came before \"%s\": %s", want, str_get(text));
		assert_int_equal(is_err, want_err);
		str_addn(text, (const char *)bytes, (size_t)got);
	}
}

static void test_attach(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(runtimes); i++) {
		struct str out CLEANUP(str_done) = STR_INIT, errors CLEANUP(str_done) = STR_INIT;
		struct err err = { 0 };
		struct scene scene;
		int fd;

		begin(runtimes[i],
		      "[\"/bin/sh\",\"-c\",\"read -r x; echo got $x; read -r x; echo oops $x >&2; exec sleep 1000\"]",
		      NULL, with_stdin, &scene);
		for (int round = 0; round < 2; round++) { /* who leaves does no harm */
			fd = attach_connect(&scene.container.spec, &err);
			assert_true(fd >= 0);
			say(fd, "line\n");
			if (round)
				read_attached(fd, &errors, "oops line\n", true);
			else
				read_attached(fd, &out, "got line\n", false);
			close(fd);
		}
		assert_true(process_alive(&scene.started.container));
		OK(process_signal(&scene.started.monitor, SIGKILL, &ok_));
		OK(process_wait_gone(&scene.started.monitor, NULL, &ok_));
		assert_int_equal(attach_connect(&scene.container.spec, &err), -1);
		assert_int_equal(err.code, RPC_FAILED_PRECONDITION);
		finish(&scene);
	}
}

static void test_attach_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(runtimes); i++) {
		struct str out CLEANUP(str_done) = STR_INIT;
		struct exit_status status;
		struct err err = { 0 };
		struct scene scene;
		int fd;

		begin(runtimes[i], "[\"/bin/sh\",\"-c\",\"cat; echo over; exit 5\"]", NULL, once, &scene);
		fd = attach_connect(&scene.container.spec, &err);
		assert_true(fd >= 0);
		say(fd, "line\n");
		read_attached(fd, &out, "line\n", false);
		assert_int_equal(shutdown(fd, SHUT_WR), 0);
		read_attached(fd, &out, "over\n", false);
		box_wait_exit(&scene.container, &status);
		assert_int_equal(status.code, 5);
		close(fd);
		finish(&scene);
	}
}

static int setup(void **state)
{
	(void)state;
	box_isolate(false);
	box_open(&box, false, "[crisp.runtime]\nruntime_timeout = \"30s\"\n");
	box_make_rootfs(box.dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	box_close(&box);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pipes),
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_command_that_cannot_be_run),
		cmocka_unit_test(test_given_up),
		cmocka_unit_test(test_left_by_another),
		cmocka_unit_test(test_attach),
		cmocka_unit_test(test_attach_once),
	};

	if (!box_possible()) {
		puts("skipped: needs root, busybox and conmon");
		return 0;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
