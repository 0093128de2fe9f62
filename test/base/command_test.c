/*
 * command_run(): input, output and its limits, time, cancellation, what descendants may do to us, and many
 * threads at once.
 */
#include "test/base/check.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

static struct err err;

static const char *const path_env[] = { "PATH=/usr/bin:/bin", NULL };

/* Runs sh -c script with room for output; must have ended by itself. */
static struct command_result run_script(const char *script)
{
	const char *argv[] = { "sh", "-c", script, NULL };
	const struct command command = { .path = "sh",
					 .argv = argv,
					 .env = path_env,
					 .stdout_max = 65536,
					 .stderr_max = 65536,
					 .timeout = 20 * NS_PER_SEC };
	struct command_result result;

	assert_ok(command_run(&command, NULL, &result, &err));
	return result;
}

static void output_and_exit_code(void **state)
{
	char text[256];

	(void)state;
	CLEANUP(command_result_done)
	struct command_result result = run_script("echo out; echo first >&2; echo ' last '>&2; exit 3");
	assert_true(result.exited);
	assert_int_equal(result.status, 3);
	assert_false(result.timed_out || result.out_truncated || result.err_truncated);
	assert_string_equal(str_get(&result.out), "out\n");
	assert_string_equal(str_get(&result.err_out), "first\n last \n");
	command_result_text(&result, text, sizeof(text));
	assert_string_equal(text, "exit code 3:  last");
	command_result_text(&result, text, 8);
	assert_string_equal(text, "exit co");
}

static void death_by_signal(void **state)
{
	char text[256];

	(void)state;
	CLEANUP(command_result_done) struct command_result result = run_script("kill -9 $$");
	assert_false(result.exited);
	assert_int_equal(result.status, SIGKILL);
	assert_false(result.timed_out);
	command_result_text(&result, text, sizeof(text));
	assert_string_equal(text, "killed by signal 9 (Killed)");
}

static void result_text_is_one_clean_line(void **state)
{
	char text[256];

	(void)state;
	CLEANUP(command_result_done)
	struct command_result result = run_script("printf 'a\\033[2Jb\\tc\\n\\n' >&2; exit 1");
	command_result_text(&result, text, sizeof(text));
	assert_string_equal(text, "exit code 1: a?[2Jb?c");
	CLEANUP(command_result_done) struct command_result silent = run_script("exit 1");
	command_result_text(&silent, text, sizeof(text));
	assert_string_equal(text, "exit code 1");
}

static void a_megabyte_through_cat(void **state)
{
	const char *argv[] = { "cat", NULL };
	const size_t len = 1 << 20;
	CLEANUP(freep) char *input = xmalloc(len);
	struct command_result result;

	(void)state;
	for (size_t i = 0; i < len; i++)
		input[i] = (char)(i * 31 + i / 251);
	const struct command command = { .path = "cat",
					 .argv = argv,
					 .input = input,
					 .input_len = len,
					 .stdout_max = len,
					 .timeout = 60 * NS_PER_SEC };
	assert_ok(command_run(&command, NULL, &result, &err));
	assert_int_equal(result.out.len, len);
	assert_memory_equal(result.out.data, input, len);
	assert_false(result.out_truncated);
	command_result_done(&result);
}

static void a_child_that_does_not_read_its_input(void **state)
{
	const char *argv[] = { "true", NULL };
	const size_t len = 1 << 20;
	CLEANUP(freep) char *input = xcalloc(len, 1);
	const struct command command = { .path = "true", .argv = argv, .input = input, .input_len = len };
	const struct command empty = {
		.path = "cat", .argv = argv, .input = "", .stdout_max = 10, .timeout = 20 * NS_PER_SEC
	};
	struct command_result result;
	sigset_t pending;

	(void)state;
	assert_ok(command_run(&command, NULL, &result, &err)); /* no SIGPIPE kills us */
	assert_true(result.exited);
	command_result_done(&result);
	sigpending(&pending);
	assert_false(sigismember(&pending, SIGPIPE));
	assert_ok(command_run(&empty, NULL, &result, &err)); /* end of file at once */
	assert_int_equal(result.status, 0);
	command_result_done(&result);
}

/* Ten megabytes on either stream are drained; what is kept is exact. */
static void output_beyond_the_limit(void **state)
{
	const char *argv[] = {
		"sh", "-c",
		"head -c 10485760 /dev/zero | tr '\\0' x; head -c 10485760 /dev/zero >&2; echo end >&2", NULL
	};
	const struct command command = {
		.path = "sh", .argv = argv, .stdout_max = 100000, .stderr_max = 7, .timeout = 100 * NS_PER_SEC
	};
	struct command_result result;

	(void)state;
	assert_ok(command_run(&command, NULL, &result, &err));
	assert_true(result.exited);
	assert_int_equal(result.status, 0);
	assert_int_equal(result.out.len, 100000);
	assert_int_equal(strspn(result.out.data, "x"), 100000);
	assert_int_equal(result.err_out.len, 7);
	assert_true(result.out_truncated && result.err_truncated);
	command_result_done(&result);
}

static void too_many_descriptors(void **state)
{
	const char *argv[] = { "true", NULL };
	struct command command = { .path = "true", .argv = argv, .fds_len = COMMAND_FDS_MAX - 2 };
	struct command_result result;

	(void)state;
	for (size_t i = 0; i < command.fds_len; i++)
		command.fds[i] = (struct command_fd){ .fd = 0, .target = (int)(10 + i) };
	assert_fails(command_run(&command, NULL, &result, &err), RPC_INTERNAL);
	command_result_done(&result);
	command.fds_len = COMMAND_FDS_MAX - 3;
	assert_ok(command_run(&command, NULL, &result, &err));
	command_result_done(&result);
}

static void timeout_kills_grandchildren(void **state)
{
	const char *argv[] = { "sh", "-c", "sleep 1000 & echo $!; sleep 1000", NULL };
	const struct command command = {
		.path = "sh", .argv = argv, .env = path_env, .stdout_max = 100, .timeout = 200 * NS_PER_MS
	};
	struct command_result result;
	int64_t start = clock_mono();
	int grandchild = 0;

	(void)state;
	assert_fails(command_run(&command, NULL, &result, &err), RPC_DEADLINE_EXCEEDED);
	assert_between(clock_mono() - start, 200 * NS_PER_MS, 10 * NS_PER_SEC);
	assert_true(result.timed_out);
	assert_false(result.exited);
	assert_int_equal(result.status, SIGKILL);
	assert_int_equal(sscanf(str_get(&result.out), "%d", &grandchild), 1);
	assert_dies(grandchild);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	command_result_done(&result);
}

static void *cancel_soon(void *data)
{
	usleep(100000);
	ctx_cancel(data);
	return NULL;
}

static void contexts_end_commands(void **state)
{
	const char *argv[] = { "sh", "-c", "echo partial; sleep 1000", NULL };
	const struct command command = { .path = "sh", .argv = argv, .env = path_env, .stdout_max = 100 };
	struct command_result result;
	struct ctx ctx;
	pthread_t thread;

	(void)state;
	ctx_init(&ctx, NO_DEADLINE);
	assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &ctx), 0);
	assert_fails(command_run(&command, &ctx, &result, &err), RPC_CANCELLED);
	pthread_join(thread, NULL);
	assert_true(result.timed_out);
	assert_string_equal(str_get(&result.out), "partial\n");
	command_result_done(&result);
	assert_fails(command_run(&command, &ctx, &result, &err), RPC_CANCELLED); /* not even started */
	assert_string_equal(str_get(&result.out), "");
	command_result_done(&result);
	ctx_done(&ctx);
	ctx_init(&ctx, clock_deadline_in(100 * NS_PER_MS));
	assert_fails(command_run(&command, &ctx, &result, &err), RPC_DEADLINE_EXCEEDED);
	command_result_done(&result);
	ctx_done(&ctx);
}

/* A daemon left behind in a session of its own holds our pipes: reading ends after the drain, and it lives
 * on. */
static void drain_is_bounded(void **state)
{
	const char *argv[] = { "sh", "-c", "setsid sleep 1000 & echo $!; exit 4", NULL };
	const struct command command = { .path = "sh",
					 .argv = argv,
					 .env = path_env,
					 .stdout_max = 100,
					 .stderr_max = 100,
					 .drain = 150 * NS_PER_MS,
					 .timeout = 60 * NS_PER_SEC };
	struct command_result result;
	int64_t start = clock_mono();
	int daemon_pid = 0;

	(void)state;
	assert_ok(command_run(&command, NULL, &result, &err));
	assert_between(clock_mono() - start, 150 * NS_PER_MS, 20 * NS_PER_SEC);
	assert_true(result.exited);
	assert_int_equal(result.status, 4);
	assert_false(result.timed_out);
	assert_int_equal(sscanf(str_get(&result.out), "%d", &daemon_pid), 1);
	assert_true(pid_alive(daemon_pid));
	assert_int_equal(kill(daemon_pid, SIGKILL), 0);
	command_result_done(&result);
}

enum { STARTERS = 8, STARTS = 25 };

static atomic_int started;

static void *start_many(void *data)
{
	for (int i = 0; i < STARTS; i++) {
		char expected[32];
		snprintf(expected, sizeof(expected), "%d-%d", *(int *)data, i);
		const char *argv[] = { "sh", "-c", "read x; echo $x; echo $1 >&2", "sh", expected, NULL };
		const struct command command = { .path = "sh",
						 .argv = argv,
						 .env = path_env,
						 .input = expected,
						 .input_len = strlen(expected),
						 .stdout_max = 100,
						 .stderr_max = 100,
						 .timeout = 60 * NS_PER_SEC };
		struct command_result result;
		struct err own;
		bool fine = command_run(&command, NULL, &result, &own) == 0 && result.exited &&
			    result.status == 0 &&
			    strncmp(str_get(&result.out), expected, strlen(expected)) == 0 &&
			    strncmp(str_get(&result.err_out), expected, strlen(expected)) == 0;
		command_result_done(&result);
		atomic_fetch_add(&started, fine);
	}
	return NULL;
}

/* Threads that only allocate and lock: what a child in our memory must not trip over. */
static void *churn(void *data)
{
	while (!atomic_load((atomic_bool *)data)) {
		char *text = xasprintf("%p", data);
		free(text);
	}
	return NULL;
}

static int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void two_hundred_from_eight_threads(void **state)
{
	pthread_t threads[STARTERS], churners[2];
	int numbers[STARTERS], fds = open_fds();
	atomic_bool stop = false;

	(void)state;
	atomic_store(&started, 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&churners[i], NULL, churn, &stop), 0);
	for (int i = 0; i < STARTERS; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, start_many, &numbers[i]), 0);
	}
	for (int i = 0; i < STARTERS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(churners[i], NULL);
	assert_int_equal(atomic_load(&started), STARTERS * STARTS);
	assert_int_equal(open_fds(), fds);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_and_exit_code),
		cmocka_unit_test(death_by_signal),
		cmocka_unit_test(result_text_is_one_clean_line),
		cmocka_unit_test(a_megabyte_through_cat),
		cmocka_unit_test(a_child_that_does_not_read_its_input),
		cmocka_unit_test(output_beyond_the_limit),
		cmocka_unit_test(too_many_descriptors),
		cmocka_unit_test(timeout_kills_grandchildren),
		cmocka_unit_test(contexts_end_commands),
		cmocka_unit_test(drain_is_bounded),
		cmocka_unit_test(two_hundred_from_eight_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
