/* Processes with a plugin's environment are found, and waited for; those that do not end are killed. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/spawn.h"
#include "cni/orphans.h"

static struct process start(const char *seconds, const char *const *env)
{
	const char *const argv[] = { "sleep", seconds, NULL };
	const struct command command = { .path = "/bin/sleep", .argv = argv, .env = env };
	struct process process = PROCESS_INIT;
	struct err err = { 0 };

	if (command_start(&command, &process, &err) < 0)
		fail_msg("%s", err.text);
	return process;
}

static void end(struct process *process)
{
	struct err err = { 0 };
	int status;

	assert_int_equal(process_signal(process, SIGKILL, &err), 0);
	assert_int_equal(process_wait(process, NULL, &status, &err), 0);
	process_done(process);
}

static void wait_for_name(const struct process *process, const char *name)
{
	const struct timespec moment = { .tv_nsec = NS_PER_MS };
	CLEANUP(freep) char *path = xasprintf("/proc/%d/comm", (int)process->pid);
	CLEANUP(freep) char *line = xasprintf("%s\n", name);
	bool there = false;

	while (!there && process_alive(process)) {
		CLEANUP(freep) char *text = NULL;
		struct err err = { 0 };
		size_t len = 0;

		there = file_read(AT_FDCWD, path, 64, &text, &len, &err) == 0 && strcmp(text, line) == 0;
		nanosleep(&moment, NULL);
	}
	assert_true(there);
}

static void test_others(void **data)
{
	const char *const bare[] = { "CNI_COMMAND=GC", "CNI_PATH=/x", NULL };
	const char *const half[] = { "A=CNI_COMMAND=ADD", "CNI_CONTAINERID=orphans-test-0", NULL };
	struct process of_no_pod = start("100", bare), stranger = start("100", half);
	struct orphans *orphans = orphans_find();
	struct err err = { 0 };

	(void)data;
	assert_int_equal(orphans_wait(orphans, "orphans-test-0", 0, NULL, &err), 0);
	assert_true(process_alive(&of_no_pod));
	assert_true(process_alive(&stranger));
	orphans_free(orphans);
	end(&of_no_pod);
	end(&stranger);
}

static void test_waits(void **data)
{
	const char *const env[] = { "CNI_COMMAND=ADD", "CNI_PATH=/x", "CNI_CONTAINERID=orphans-test-1",
				    "CNI_ARGS=", NULL };
	struct process plugin = start("1", env);
	struct orphans *orphans = orphans_find();
	struct err err = { 0 };

	(void)data;
	assert_int_equal(orphans_wait(orphans, "orphans-test-9", 0, NULL, &err), 0);
	assert_int_equal(orphans_wait(orphans, "orphans-test-1", 60 * NS_PER_SEC, NULL, &err), 0);
	assert_false(process_alive(&plugin));
	assert_int_equal(orphans_wait(orphans, "orphans-test-1", 60 * NS_PER_SEC, NULL, &err), 0);
	orphans_free(orphans);
	end(&plugin);
}

/* As a plugin that is a shell script: the program that it becomes has the variables in another order, behind
 * its own. */
static void test_becomes_another_program(void **data)
{
	const char *const argv[] = { "sh", "-c",
				     "exec env -i A=B \"CNI_CONTAINERID=$CNI_CONTAINERID\" "
				     "\"CNI_COMMAND=$CNI_COMMAND\" sleep 1",
				     NULL };
	const char *const env[] = { "CNI_COMMAND=ADD", "CNI_CONTAINERID=orphans-test-3", "PATH=/usr/bin:/bin",
				    NULL };
	const struct command command = { .path = "/bin/sh", .argv = argv, .env = env };
	struct process plugin = PROCESS_INIT;
	struct err err = { 0 };

	(void)data;
	if (command_start(&command, &plugin, &err) < 0)
		fail_msg("%s", err.text);
	wait_for_name(&plugin, "sleep");
	struct orphans *orphans = orphans_find();
	assert_int_equal(orphans_wait(orphans, "orphans-test-3", 60 * NS_PER_SEC, NULL, &err), 0);
	assert_false(process_alive(&plugin));
	orphans_free(orphans);
	end(&plugin);
}

static void test_loses_patience(void **data)
{
	const char *const env[] = { "CNI_COMMAND=DEL", "CNI_CONTAINERID=orphans-test-2", NULL };
	struct process plugin = start("100", env);
	struct orphans *orphans = orphans_find();
	struct err err = { 0 };
	struct ctx ctx;

	(void)data;
	ctx_init(&ctx, clock_deadline_in(NS_PER_SEC / 10));
	assert_int_equal(orphans_wait(orphans, "orphans-test-2", 60 * NS_PER_SEC, &ctx, &err), -1);
	ctx_done(&ctx);
	assert_int_equal(err.code, RPC_DEADLINE_EXCEEDED);
	assert_true(process_alive(&plugin));
	assert_int_equal(orphans_wait(orphans, "orphans-test-2", NS_PER_SEC / 10, NULL, &err), 0);
	assert_false(process_alive(&plugin));
	orphans_free(orphans);
	end(&plugin);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_becomes_another_program),
		cmocka_unit_test(test_loses_patience),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
