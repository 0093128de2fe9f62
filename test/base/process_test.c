/* Processes held by pidfd: waiting, signals, groups, and the guard against reused pids. */
#include "test/base/check.h"

#include <errno.h>
#include <pthread.h>
#include <sys/wait.h>

static struct err err;

static const char *const path_env[] = { "PATH=/usr/bin:/bin", NULL };

static void start_signal_wait(void **state)
{
	const char *argv[] = { "sleep", "1000", NULL };
	const struct command command = { .path = "sleep", .argv = argv };
	CLEANUP(process_done) struct process process = PROCESS_INIT;
	struct ctx ctx;
	int status = 0;

	(void)state;
	assert_ok(command_start(&command, &process, &err));
	assert_true(process.pid > 1 && process.pidfd >= 3 && process.start_time > 0);
	assert_true(fcntl(process.pidfd, F_GETFD) & FD_CLOEXEC);
	assert_true(process_alive(&process));
	ctx_init(&ctx, clock_deadline_in(20 * NS_PER_MS));
	assert_fails(process_wait(&process, &ctx, &status, &err), RPC_DEADLINE_EXCEEDED);
	assert_fails(process_wait_gone(&process, &ctx, &err), RPC_DEADLINE_EXCEEDED);
	ctx_done(&ctx);
	assert_ok(process_signal(&process, SIGTERM, &err));
	assert_ok(process_wait_gone(&process, NULL, &err));
	assert_false(process_alive(&process)); /* a zombie */
	assert_ok(process_wait(&process, NULL, &status, &err));
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGTERM);
	assert_ok(process_signal(&process, SIGTERM, &err)); /* gone is fine */
	assert_ok(process_wait_gone(&process, NULL, &err));
	assert_fails(process_wait(&process, NULL, &status, &err), RPC_INTERNAL); /* reaped already */
	assert_fails(process_signal(&(struct process){ .pidfd = 0 }, SIGTERM, &err), RPC_INTERNAL);
}

static void groups_are_killed(void **state)
{
	const char *argv[] = { "sh", "-c", "sleep 1000 & echo $! >&3; wait", NULL };
	CLEANUP(process_done) struct process process = PROCESS_INIT;
	char text[32] = "";
	int ends[2], status;

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	const struct command command = {
		.path = "sh", .argv = argv, .env = path_env, .fds = { { ends[1], 3 } }, .fds_len = 1
	};
	assert_ok(command_start(&command, &process, &err));
	assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
	uint64_t number = 0;
	text[strcspn(text, "\n")] = '\0';
	assert_true(parse_u64(text, INT32_MAX, &number));
	assert_true(pid_alive((int)number));
	process_kill_group(&process);
	assert_ok(process_wait(&process, NULL, &status, &err));
	assert_dies((int)number);
	close(ends[0]);
	close(ends[1]);
	process_kill_group(&(struct process)PROCESS_INIT); /* pid 0 must never mean our own group */
}

static void a_pid_is_guarded_by_its_start_time(void **state)
{
	const char *argv[] = { "sleep", "1000", NULL };
	const struct command command = { .path = "sleep", .argv = argv };
	CLEANUP(process_done) struct process process = PROCESS_INIT;
	CLEANUP(process_done) struct process opened = PROCESS_INIT;
	CLEANUP(process_done) struct process any = PROCESS_INIT;
	uint64_t start_time = 0;
	int status;

	(void)state;
	assert_ok(command_start(&command, &process, &err));
	assert_int_equal(process_start_time(process.pid, &start_time), 0);
	assert_true(start_time == process.start_time);
	assert_fails(process_open(process.pid, start_time + 1, &opened, &err), RPC_NOT_FOUND);
	assert_contains(err.text, "used by another");
	assert_int_equal(opened.pidfd, -1);
	assert_ok(process_open(process.pid, start_time, &opened, &err));
	assert_ok(process_open(process.pid, 0, &any, &err));
	assert_true(any.start_time == start_time);
	assert_ok(process_signal(&opened, SIGKILL, &err));
	assert_ok(process_wait(&process, NULL, &status, &err));
	assert_false(process_alive(&opened));
	CLEANUP(process_done) struct process gone = PROCESS_INIT;
	assert_fails(process_open(process.pid, start_time, &gone, &err), RPC_NOT_FOUND);
	assert_fails(process_open(0, 0, &gone, &err), RPC_INVALID_ARGUMENT);
	assert_fails(process_open(-1, 0, &gone, &err), RPC_INVALID_ARGUMENT);
	assert_int_equal(process_start_time(process.pid, &start_time), -1);
	assert_int_equal(errno, ENOENT);
	assert_false(process_alive(&gone));
}

/* The name in /proc/PID/stat may look like the fields behind it. */
static void start_time_of_a_hostile_name(void **state)
{
	struct scratch s;
	const char *argv[] = { "x", "1000", NULL };
	CLEANUP(process_done) struct process process = PROCESS_INIT;
	CLEANUP(process_done) struct process plain = PROCESS_INIT;
	int status;

	(void)state;
	scratch_init(&s);
	CLEANUP(freep) char *path = xasprintf("%s/a) R 1 2 3 (b", s.path);
	assert_int_equal(symlink("/bin/sleep", path), 0);
	const struct command command = { .path = path, .argv = argv };
	const struct command sleep_command = { .path = "sleep", .argv = argv };
	assert_ok(command_start(&sleep_command, &plain, &err));
	assert_ok(command_start(&command, &process, &err));
	assert_between((long long)(process.start_time - plain.start_time), 0, 1000);
	process_kill_group(&process);
	process_kill_group(&plain);
	assert_ok(process_wait(&process, NULL, &status, &err));
	assert_ok(process_wait(&plain, NULL, &status, &err));
	scratch_done(&s);
}

static void *start_with_parent_death(void *data)
{
	const char *argv[] = { "sleep", "1000", NULL };
	const struct command command = { .path = "sleep", .argv = argv, .kill_on_parent_death = SIGKILL };

	return command_start(&command, data, NULL) < 0 ? data : NULL;
}

static void dies_with_the_thread_that_started_it(void **state)
{
	CLEANUP(process_done) struct process process = PROCESS_INIT;
	pthread_t thread;
	void *failed;
	int status = 0;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, start_with_parent_death, &process), 0);
	pthread_join(thread, &failed);
	assert_null(failed);
	assert_ok(process_wait(&process, NULL, &status, &err));
	assert_int_equal(status, SIGKILL);
}

/* Of a zombie always; of a reaped process what the kernel still knows, which must be the same. */
static void how_it_ended(const char *script, int wanted)
{
	const char *argv[] = { "sh", "-c", script, NULL };
	const struct command command = { .path = "sh", .argv = argv, .env = path_env };
	CLEANUP(process_done) struct process process = PROCESS_INIT;
	int status = -1, reaped = -1;

	assert_ok(command_start(&command, &process, &err));
	assert_ok(process_wait_gone(&process, NULL, &err));
	assert_true(process_exit_status(&process, &status));
	assert_int_equal(status, wanted);
	assert_ok(process_wait(&process, NULL, &reaped, &err));
	assert_int_equal(reaped, wanted);
	status = wanted;
	if (!process_exit_status(&process, &status))
		print_message("this kernel forgets how a reaped process has ended\n");
	assert_int_equal(status, wanted);
}

static void the_end_is_told_of_any_process(void **state)
{
	const char *argv[] = { "sleep", "1000", NULL };
	const struct command command = { .path = "sleep", .argv = argv };
	CLEANUP(process_done) struct process process = PROCESS_INIT;
	int status;

	(void)state;
	how_it_ended("exit 0", 0);
	how_it_ended("exit 7", 7 << 8);
	how_it_ended("kill -9 $$", SIGKILL);
	assert_false(process_exit_status(&process, &status)); /* none */
	assert_ok(command_start(&command, &process, &err));
	assert_false(process_exit_status(&process, &status)); /* alive */
	assert_false(process_stopped(&process));
	assert_ok(process_signal(&process, SIGSTOP, &err));
	for (int i = 0; i < 10000 && !process_stopped(&process); i++)
		usleep(1000);
	assert_true(process_stopped(&process));
	assert_ok(process_signal(&process, SIGKILL, &err));
	assert_ok(process_wait(&process, NULL, &status, &err));
	assert_false(process_stopped(&process));
}

/* Right after its start a process is in its exec; once it is not, it has an environment. */
static void a_process_in_its_exec_is_told(void **state)
{
	const char *argv[] = { "sleep", "1000", NULL };
	const char *env[] = { "A=1", "B=2", "C=3", "D=4", "PATH=/usr/bin:/bin", NULL };
	const struct command command = { .path = "sleep", .argv = argv, .env = env };

	(void)state;
	for (int i = 0; i < 100; i++) {
		CLEANUP(process_done) struct process process = PROCESS_INIT;
		CLEANUP(freep) char *text = NULL;
		char path[64];
		size_t len;
		int status;

		assert_ok(command_start(&command, &process, &err));
		snprintf(path, sizeof(path), "/proc/%d/environ", (int)process.pid);
		while (process_in_exec(process.pid))
			;
		assert_ok(file_read(AT_FDCWD, path, 4096, &text, &len, &err));
		assert_true(len > 0);
		assert_ok(process_signal(&process, SIGKILL, &err));
		assert_ok(process_wait_gone(&process, NULL, &err));
		assert_false(process_in_exec(process.pid)); /* a zombie has no memory */
		assert_ok(process_wait(&process, NULL, &status, &err));
		assert_false(process_in_exec(process.pid));
	}
	assert_false(process_in_exec(getpid()));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(start_signal_wait),
		cmocka_unit_test(groups_are_killed),
		cmocka_unit_test(a_pid_is_guarded_by_its_start_time),
		cmocka_unit_test(start_time_of_a_hostile_name),
		cmocka_unit_test(a_process_in_its_exec_is_told),
		cmocka_unit_test(dies_with_the_thread_that_started_it),
		cmocka_unit_test(the_end_is_told_of_any_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
