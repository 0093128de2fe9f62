/* Containers from create to delete with the real conmon, crun and runc, in both cgroup views. */
#include "box.h"

#include <signal.h>

#include "conmon/exec.h"

static const char *const runtimes[] = { "crun", "runc" };
static struct box box;

#define OK(call)                                                                         \
	do {                                                                             \
		struct err ok_ = { 0 };                                                  \
		if ((call) < 0)                                                          \
			fail_msg("%s: %s %s", #call, rpc_code_name(ok_.code), ok_.text); \
	} while (0)

static void create(struct box_container *container, struct monitor_started *started)
{
	OK(monitor_create(&container->spec, NULL, started, &ok_));
	assert_true(process_alive(&started->monitor));
	assert_true(process_alive(&started->container));
}

/* A container that runs and does nothing. */
static void start_sleeper(const char *runtime, struct box_container *container,
			  struct monitor_started *started)
{
	box_container(&box, runtime, "[\"/bin/sleep\",\"1000\"]", NULL, container);
	create(container, started);
	OK(runtime_start(&container->target, NULL, &ok_));
}

static void destroy(struct box_container *container, struct monitor_started *started)
{
	OK(runtime_delete(&container->target, NULL, &ok_));
	OK(runtime_delete(&container->target, NULL, &ok_)); /* absent is success */
	OK(process_wait_gone(&started->monitor, NULL, &ok_));
	exit_status_remove(container->exit_dir, container->id);
	monitor_started_done(started);
	CLEANUP(freep) char *state = xasprintf("%s/%s", container->target.handler->root, container->id);
	assert_int_not_equal(access(state, F_OK), 0);
	box_container_done(container);
}

static void test_output_exit_code_and_log(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(runtimes); i++) {
		struct box_container container;
		struct monitor_started started;
		struct exit_status status;

		box_container(&box, runtimes[i], "[\"/bin/sh\",\"-c\",\"echo out; echo err >&2; exit 7\"]",
			      NULL, &container);
		create(&container, &started);
		assert_int_equal(exit_status_read(container.exit_dir, container.id, &status, NULL), -1);
		OK(runtime_start(&container.target, NULL, &ok_));
		box_wait_exit(&container, &status);
		assert_int_equal(status.code, 7);
		assert_false(status.oom_killed);
		assert_true(llabs(clock_real() - status.finished_at) < 10 * NS_PER_SEC);
		CLEANUP(freep) char *log = box_read(container.log);
		assert_non_null(strstr(log, " stdout F out\n"));
		assert_non_null(strstr(log, " stderr F err\n"));
		destroy(&container, &started);
	}
}

static void poke_fifo(const struct box_container *container, bool is_crun)
{
	CLEANUP(freep)
	char *fifo = xasprintf("%s/%s/exec.fifo", container->target.handler->root, container->id);
	CLEANUP(fd_closep) int fd = open(fifo, (is_crun ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
	char byte = 0;

	assert_true(fd >= 0);
	assert_int_equal(is_crun ? write(fd, &byte, 1) : read(fd, &byte, 1), 1);
}

/* Whoever started it was killed before the FIFO was taken away: it is found as started, and starting
 * succeeds. */
static void test_start_cut_short(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(runtimes); i++) {
		struct box_container container;
		struct monitor_started started;
		int64_t when = 0, end = clock_mono() + 20 * NS_PER_SEC;

		box_container(&box, runtimes[i], "[\"/bin/sleep\",\"1000\"]", NULL, &container);
		create(&container, &started);
		assert_false(runtime_has_started(&container.target, &started.container, &when));
		poke_fifo(&container, i == 0);
		while (!runtime_has_started(&container.target, &started.container, &when))
			assert_true(clock_mono() < end);
		assert_true(llabs(clock_real() - when) < 60 * NS_PER_SEC);
		OK(runtime_start(&container.target, NULL, &ok_));
		assert_true(runtime_has_started(&container.target, &started.container, &when));
		assert_true(process_alive(&started.container));
		destroy(&container, &started);
	}
}

static void test_kill_and_delete_of_running(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(runtimes); i++) {
		struct box_container container;
		struct monitor_started started;
		struct exit_status status;

		start_sleeper(runtimes[i], &container, &started);
		OK(runtime_kill(&container.target, &started.container, SIGKILL, false, NULL, &ok_));
		box_wait_exit(&container, &status);
		assert_int_equal(status.code, 137);
		OK(runtime_kill(&container.target, &started.container, SIGKILL, false, NULL,
				&ok_)); /* gone: 0 */
		destroy(&container, &started);

		/* Deleted while it runs, and while it has not been started. */
		for (int run = 0; run < 2; run++) {
			box_container(&box, runtimes[i], "[\"/bin/sleep\",\"1000\"]", NULL, &container);
			create(&container, &started);
			if (run)
				OK(runtime_start(&container.target, NULL, &ok_));
			destroy(&container, &started);
		}
		/* All processes, by the runtime. */
		box_container(&box, runtimes[i], "[\"/bin/sh\",\"-c\",\"sleep 1000 & sleep 1000\"]", NULL,
			      &container);
		create(&container, &started);
		OK(runtime_start(&container.target, NULL, &ok_));
		OK(runtime_kill(&container.target, &started.container, SIGKILL, true, NULL, &ok_));
		box_wait_exit(&container, &status);
		destroy(&container, &started);
	}
}

static void test_create_failure_tells_why(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(runtimes); i++) {
		struct box_container container;
		struct monitor_started started;
		struct err err = { 0 };

		box_container(&box, runtimes[i], "[\"/bin/no-such-program\"]", ",\"hostname\":\"x\"",
			      &container);
		container.spec.program = "/bin/no-such-program";
		assert_int_equal(monitor_create(&container.spec, NULL, &started, &err), -1);
		if (err.code != RPC_INVALID_ARGUMENT ||
		    !strstr(err.text, "\"/bin/no-such-program\" cannot be run"))
			fail_msg("%s %s", rpc_code_name(err.code), err.text);
		CLEANUP(freep) char *left = xasprintf("%s/%s", container.target.handler->root, container.id);
		assert_int_not_equal(access(left, F_OK), 0);
		CLEANUP(freep) char *work = xasprintf("%s/%s.monitor", container.exit_dir, container.id);
		assert_int_not_equal(access(work, F_OK), 0);
		box_container_done(&container);
	}
}

static void test_reopen_log(void **state)
{
	(void)state;
	struct box_container container;
	struct monitor_started started;
	struct err err = { 0 };

	box_container(
		&box, "crun",
		"[\"/bin/sh\",\"-c\",\"echo one; while [ ! -e /tmp/go ]; do sleep 0.02; done; echo two; sleep 1000\"]",
		NULL, &container);
	create(&container, &started);
	OK(runtime_start(&container.target, NULL, &ok_));
	for (int i = 0; i < 1000; i++) {
		CLEANUP(freep) char *log = box_read(container.log);
		if (strstr(log, "one"))
			break;
		usleep(5000);
	}
	CLEANUP(freep) char *old = xasprintf("%s.1", container.log);
	assert_int_equal(rename(container.log, old), 0);
	OK(monitor_reopen_log(&container.spec, NULL, &ok_));
	assert_int_equal(access(container.log, F_OK), 0);
	CLEANUP(freep) char *go = xasprintf("%s/rootfs/tmp/go", box.dir);
	box_write(go, "");
	for (int i = 0; i < 1000; i++) {
		CLEANUP(freep) char *log = box_read(container.log);
		if (strstr(log, " stdout F two\n") && !strstr(log, "one"))
			break;
		if (i == 999)
			fail_msg("nothing in the new log: %s", log);
		usleep(5000);
	}
	/* Told twice, it keeps what it has written meanwhile. */
	OK(monitor_reopen_log(&container.spec, NULL, &ok_));
	CLEANUP(freep) char *second = box_read(container.log);
	assert_non_null(strstr(second, " stdout F two\n"));
	CLEANUP(freep) char *first = box_read(old);
	assert_non_null(strstr(first, " stdout F one\n"));
	assert_null(strstr(first, "two"));
	unlink(go);

	/* A monitor that is gone makes no file. */
	OK(process_signal(&started.monitor, SIGKILL, &ok_));
	OK(process_wait_gone(&started.monitor, NULL, &ok_));
	assert_int_equal(unlink(container.log), 0);
	assert_int_equal(monitor_reopen_log(&container.spec, NULL, &err), -1);
	assert_int_equal(err.code, RPC_FAILED_PRECONDITION);
	assert_int_not_equal(access(container.log, F_OK), 0);
	destroy(&container, &started);
}

static void run_exec(struct box_container *container, const struct process *init, const char *args,
		     int64_t timeout, struct exec_result *ret, struct err *err, int *ret_failed)
{
	CLEANUP(freep)
	char *process = xasprintf(
		"{\"user\":{\"uid\":0,\"gid\":0},\"cwd\":\"/\",\"args\":%s,\"env\":[\"PATH=/bin\"]}", args);
	struct exec_spec spec = { .target = container->target,
				  .init = init,
				  .process_json = process,
				  .run_dir = container->run_dir,
				  .timeout = timeout,
				  .output_max = 1024 * 1024 };

	*ret_failed = exec_sync(&spec, NULL, ret, err);
}

static void test_exec(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(runtimes); i++) {
		struct box_container container;
		struct monitor_started started;
		struct exec_result result = { 0 };
		struct err err = { 0 };
		int failed;

		start_sleeper(runtimes[i], &container, &started);

		run_exec(&container, &started.container,
			 "[\"/bin/sh\",\"-c\",\"echo out; echo err >&2; exit 3\"]", 0, &result, &err,
			 &failed);
		if (failed)
			fail_msg("%s", err.text);
		assert_int_equal(result.exit_code, 3);
		assert_string_equal(str_get(&result.out), "out\n");
		assert_string_equal(str_get(&result.err_out), "err\n");
		exec_result_done(&result);

		/* Output past the limit is read and dropped. */
		run_exec(&container, &started.container,
			 "[\"/bin/sh\",\"-c\",\"yes | head -c 3000000; kill -9 $$\"]", 0, &result, &err,
			 &failed);
		assert_int_equal(failed, 0);
		assert_int_equal(result.out.len, 1024 * 1024);
		assert_true(result.out_truncated);
		assert_int_equal(result.exit_code, 137);
		exec_result_done(&result);

		run_exec(&container, &started.container, "[\"/bin/no-such\"]", 0, &result, &err, &failed);
		assert_int_equal(failed, -1);
		assert_int_equal(err.code, RPC_FAILED_PRECONDITION);
		if (!strstr(err.text, "no-such"))
			fail_msg("%s", err.text);
		destroy(&container, &started);
	}
}

/* CVE-2026-53495: a child in the background that keeps stdout does not hold the answer. */
static void test_exec_with_child_left_behind(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(runtimes); i++) {
		struct box_container container;
		struct monitor_started started;
		struct exec_result result = { 0 };
		struct err err = { 0 };
		int64_t before;
		int failed;

		start_sleeper(runtimes[i], &container, &started);
		before = clock_mono();
		run_exec(&container, &started.container, "[\"/bin/sh\",\"-c\",\"echo out; sleep 555 &\"]", 0,
			 &result, &err, &failed);
		assert_int_equal(failed, 0);
		assert_string_equal(str_get(&result.out), "out\n");
		assert_true(clock_mono() - before < 3 * NS_PER_SEC);
		exec_result_done(&result);
		destroy(&container, &started);
	}
}

/* Timeout: everything is gone when the call is answered, also what made itself a daemon. */
static void test_exec_timeout_kills_all(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(runtimes); i++) {
		struct box_container container;
		struct monitor_started started;
		struct exec_result result = { 0 };
		struct err err = { 0 };
		int failed;

		start_sleeper(runtimes[i], &container, &started);
		run_exec(
			&container, &started.container,
			"[\"/bin/sh\",\"-c\",\"sleep 4321 & (setsid sleep 4322 >/dev/null 2>&1 &); sleep 4323\"]",
			NS_PER_SEC / 2, &result, &err, &failed);
		assert_int_equal(failed, -1);
		assert_int_equal(err.code, RPC_DEADLINE_EXCEEDED);
		run_exec(&container, &started.container, "[\"/bin/sh\",\"-c\",\"ps\"]", 0, &result, &err,
			 &failed);
		assert_int_equal(failed, 0);
		if (strstr(str_get(&result.out), "432"))
			fail_msg("still there:\n%s", str_get(&result.out));
		exec_result_done(&result);
		destroy(&container, &started);
	}
}

static int setup(bool cgroup2)
{
	box_open(&box, cgroup2, "[crisp.runtime]\nruntime_timeout = \"30s\"\n");
	box_make_rootfs(box.dir);
	return 0;
}

static int setup_v1(void **state)
{
	(void)state;
	box_isolate(false);
	return setup(false);
}

static int setup_v2(void **state)
{
	(void)state;
	box_isolate(true);
	return setup(true);
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
		cmocka_unit_test(test_output_exit_code_and_log),
		cmocka_unit_test(test_start_cut_short),
		cmocka_unit_test(test_kill_and_delete_of_running),
		cmocka_unit_test(test_create_failure_tells_why),
		cmocka_unit_test(test_reopen_log),
		cmocka_unit_test(test_exec),
		cmocka_unit_test(test_exec_with_child_left_behind),
		cmocka_unit_test(test_exec_timeout_kills_all),
	};

	if (!box_possible()) {
		puts("skipped: needs root, busybox and conmon");
		return 0;
	}
	return cmocka_run_group_tests_name("cgroup v1", tests, setup_v1, teardown) +
	       cmocka_run_group_tests_name("cgroup v2", tests, setup_v2, teardown);
}
