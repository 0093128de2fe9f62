/* crisp-exec alone, below runtimes that are shell scripts: whose exit code it takes, and what it leaves. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "base/str.h"
#include "config/program.h"

enum { NOT_RUN = 125 };
static char dir[] = "/tmp/crisp-keeper-test.XXXXXX";
static char *keeper, *pid_file;

static void run(const char *program, const char *script, struct command_result *ret)
{
	const char *argv[] = { keeper, pid_file, program, "-c", script, pid_file, NULL };
	struct command command = { .path = keeper,
				   .argv = argv,
				   .stdout_max = 4096,
				   .stderr_max = 4096,
				   .timeout = 60 * NS_PER_SEC };
	struct err err = { 0 };

	unlink(pid_file);
	if (command_run(&command, NULL, ret, &err) < 0)
		fail_msg("%s: %s", script, err.text);
	assert_true(ret->exited);
}

static void assert_runs(const char *script, int code, const char *out, bool started)
{
	struct command_result result CLEANUP(command_result_done) = { 0 };

	run("/bin/sh", script, &result);
	if (result.status != code || strcmp(str_get(&result.out), out) != 0 ||
	    (access(pid_file, F_OK) == 0) != started)
		fail_msg("%s: %d, \"%s\", \"%s\"", script, result.status, str_get(&result.out),
			 str_get(&result.err_out));
}

/* $0 is the pid file. A shell reaps what ends while it is there. */
#define ONCE_DETACHED "while kill -0 $$ 2>/dev/null; do sleep 0.05; done; "

static void test_detached_command(void **state)
{
	(void)state;
	assert_runs("(" ONCE_DETACHED "echo late; exit 7) & echo $! >$0", 7, "late\n", true);
	assert_runs("(" ONCE_DETACHED "exit 0) & printf %s $! >$0", 0, "", true);
	assert_runs("(" ONCE_DETACHED "exec sh -c 'kill -9 $$') & echo $! >$0", 137, "", true);
	/* It ends before the runtime, which does not look. */
	assert_runs(
		"(until grep -q sleep /proc/$$/comm; do sleep 0.05; done; exit 255) & echo $! >$0; exec sleep 0.5",
		255, "", true);
	/* Another orphan ends first, and one goes on. */
	assert_runs("sleep 1000 >/dev/null 2>&1 & echo $! >$0.other; (" ONCE_DETACHED "exit 3) &"
		    "(" ONCE_DETACHED "sleep 0.2; exit 4) & echo $! >$0",
		    4, "", true);
}

static void test_runtime_that_fails(void **state)
{
	struct command_result result CLEANUP(command_result_done) = { 0 };

	(void)state;
	assert_runs("exit 9", 9, "", false);
	assert_runs("kill -9 $$", 137, "", false);
	/* It has told of a command before: that goes. */
	assert_runs("sleep 1000 & echo $! >$0; exit 1", 1, "", false);
	assert_runs("exit 0", NOT_RUN, "", false);
	assert_runs("echo nothing >$0", NOT_RUN, "", true);
	assert_runs("echo 1 >$0", NOT_RUN, "", false); /* not its child */
	run("/no/such/runtime", "", &result);
	assert_int_equal(result.status, NOT_RUN);
	assert_non_null(strstr(str_get(&result.err_out), "the runtime cannot be run"));
}

/* Who writes to a command that has closed its input, or waits for the end of its output, sees that at once.
 */
static void test_stdio_is_the_commands_alone(void **state)
{
	static const char script[] =
		"(exec <&- >&-; while [ ! -e $0.go ]; do sleep 0.05; done; exit 6) & echo $! >$0; exec <&- >&-";
	CLEANUP(freep) char *go = xasprintf("%s.go", pid_file);
	const char *argv[] = { keeper, pid_file, "/bin/sh", "-c", script, pid_file, NULL };
	struct process process = PROCESS_INIT;
	struct err err = { 0 };
	int in[2], out[2], status, fd;
	char byte;

	(void)state;
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	struct command command = {
		.path = keeper, .argv = argv, .fds = { { in[0], 0 }, { out[1], 1 } }, .fds_len = 2
	};
	if (command_start(&command, &process, &err) < 0)
		fail_msg("%s", err.text);
	close(in[0]);
	close(out[1]);
	assert_int_equal(read(out[0], &byte, 1), 0);
	for (int64_t end = clock_deadline_in(60 * NS_PER_SEC); write(in[1], "x", 1) == 1;)
		assert_true(clock_mono() < end);
	assert_true(process_alive(&process));
	fd = open(go, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(process_wait(&process, NULL, &status, &err), 0);
	assert_int_equal(WEXITSTATUS(status), 6);
	process_done(&process);
	close(in[1]);
	close(out[0]);
}

static int setup(void **state)
{
	struct err err = { 0 };

	(void)state;
	if (!mkdtemp(dir) || program_find_own("crisp-exec", "CRISP_EXEC", &keeper, &err) < 0)
		fail_msg("%s", err.text);
	pid_file = xasprintf("%s/pid", dir);
	(void)signal(SIGPIPE, SIG_IGN);
	return 0;
}

static int teardown(void **state)
{
	const char *argv[] = { "sh", "-c", "kill $(cat $0/pid.other); rm -f $0/pid*; rmdir $0", dir, NULL };
	struct command_result result CLEANUP(command_result_done) = { 0 };
	struct command command = { .path = "/bin/sh", .argv = argv, .timeout = 60 * NS_PER_SEC };
	struct err err = { 0 };

	(void)state;
	free(keeper);
	free(pid_file);
	return command_run(&command, NULL, &result, &err) < 0 || result.status != 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_detached_command),
		cmocka_unit_test(test_runtime_that_fails),
		cmocka_unit_test(test_stdio_is_the_commands_alone),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
