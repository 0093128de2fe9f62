/* Sets of processes found in /proc and killed whole. */
#include "box.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "conmon/procs.h"

/* A shell that starts what the script says and tells "ready" on its stdout. */
static void start(const char *text, struct process *ret)
{
	const char *argv[] = { "sh", "-c", text, NULL };
	int fds[2];
	char byte;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	struct command command = { .path = "/bin/sh", .argv = argv, .fds = { { fds[1], 1 } }, .fds_len = 1 };
	struct err err = { 0 };
	if (command_start(&command, ret, &err) < 0)
		fail_msg("%s", err.text);
	close(fds[1]);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	close(fds[0]);
}

static void reap(struct process *process)
{
	struct err err = { 0 };
	int status;

	assert_int_equal(process_wait(process, NULL, &status, &err), 0);
	process_done(process);
}

static void test_descendants(void **state)
{
	struct process root = PROCESS_INIT;
	struct err err = { 0 };
	uint64_t start_time;
	int status;

	(void)state;
	start("sh -c 'sleep 31401 & sleep 31402' & echo ready; wait; exec sleep 31403", &root);
	assert_true(procs_is_descendant(root.pid, getpid()));
	assert_false(procs_is_descendant(getpid(), root.pid));
	assert_false(procs_is_descendant(root.pid, root.pid));
	assert_int_equal(procs_kill_descendants(root.pid, NULL, &err), 0);
	assert_true(process_alive(&root));
	assert_int_equal(process_start_time(root.pid, &start_time), 0);
	assert_int_equal(procs_kill_descendants(root.pid, NULL, &err), 0); /* nobody: fine */
	assert_int_equal(process_signal(&root, SIGKILL, &err), 0);
	assert_int_equal(process_wait(&root, NULL, &status, &err), 0);
	process_done(&root);
}

static void test_marked(void **state)
{
	uint64_t mark = procs_new_mark();
	const struct rlimit marked = { .rlim_cur = mark, .rlim_max = mark };
	struct process root = PROCESS_INIT, other = PROCESS_INIT;
	struct err err = { 0 };

	(void)state;
	assert_int_not_equal(mark, procs_new_mark());
	start("echo ready; exec sleep 31404", &other);
	start("sleep 31408 & echo ready; exec sleep 31409", &root);
	assert_int_equal(prlimit(root.pid, RLIMIT_LOCKS, &marked, NULL), 0);
	assert_true(procs_is_marked(root.pid, mark));
	assert_false(procs_is_marked(other.pid, mark));
	assert_false(procs_is_marked(root.pid, mark + 1));
	assert_int_equal(procs_kill_marked(mark, root.pid, NULL, &err), 0);
	assert_true(process_alive(&root)); /* spared */
	assert_int_equal(procs_kill_descendants(root.pid, NULL, &err), 0);
	assert_int_equal(procs_kill_marked(mark, 0, NULL, &err), 0);
	reap(&root);
	assert_true(process_alive(&other));
	assert_int_equal(process_signal(&other, SIGKILL, &err), 0);
	reap(&other);
}

/* What is started after the mark was set carries it, whatever it does to get away. */
static void test_marked_daemons(void **state)
{
	uint64_t mark = procs_new_mark();
	struct process root = PROCESS_INIT;
	struct err err = { 0 };
	CLEANUP(freep)
	char *text = xasprintf(
		"ulimit -x %llu; (setsid sh -c 'sleep 31410.%d & sleep 31411.%d' &) ; (sleep 31412.%d &); echo ready; exec sleep 31413.%d",
		(unsigned long long)mark, getpid(), getpid(), getpid(), getpid());

	(void)state;
	const char *argv[] = { "bash", "-c", text, NULL };
	struct command command = { .path = "/bin/bash", .argv = argv };
	if (access("/bin/bash", X_OK) < 0)
		return;
	assert_int_equal(command_start(&command, &root, &err), 0);
	for (int i = 0; i < 1000 && !procs_is_marked(root.pid, mark); i++)
		usleep(5000);
	usleep(200000); /* time for the daemons; too little only makes the test weaker */
	assert_int_equal(procs_kill_marked(mark, 0, NULL, &err), 0);
	reap(&root);
	CLEANUP(freep)
	char *count = xasprintf("for p in /proc/[0-9]*; do case $(tr '\\0' ' ' <$p/cmdline 2>/dev/null) in"
				" 'sleep 3141'[0-3]'.%d ') exit 1;; esac; done",
				getpid());
	box_run(count);
}

/* A daemon that was made by a process that has ended, and what it has started; look-alikes are spared. */
static void test_words(void **state)
{
	CLEANUP(freep) char *id = xasprintf("id-%d", getpid());
	CLEANUP(freep)
	char *daemon = xasprintf("(setsid sh -c 'sleep 31416.%d & echo ready; wait; :' daemon "
				 "-b '/tmp/of a test/bundle' -c %s &); exit 0",
				 getpid(), id);
	CLEANUP(freep)
	char *alike =
		xasprintf("sh -c 'echo ready; sleep 31417; :' other -b '/tmp/of a test/bundle' -c %s5", id);
	CLEANUP(freep)
	char *count = xasprintf("for p in /proc/[0-9]*; do case $(tr '\\0' ' ' <$p/cmdline 2>/dev/null) in"
				" 'sleep 31416.%d ' | *' -c %s ') exit 1;; esac; done",
				getpid(), id);
	const char *const words[] = { "-b", "/tmp/of a test/bundle", "-c", id };
	struct process root = PROCESS_INIT, other = PROCESS_INIT;
	struct err err = { 0 };

	(void)state;
	start(alike, &other);
	start(daemon, &root);
	reap(&root);
	assert_int_equal(procs_kill_words(words, ARRAY_LEN(words), NULL, &err), 0);
	box_run(count);
	assert_true(process_alive(&other));
	assert_int_equal(procs_kill_descendants(other.pid, NULL, &err), 0);
	reap(&other);
	assert_int_equal(procs_kill_words(words, ARRAY_LEN(words), NULL, &err), 0); /* nobody: fine */
}

static void test_bounded(void **state)
{
	struct process root = PROCESS_INIT;
	struct err err = { 0 };
	struct ctx ctx;

	(void)state;
	start("sleep 31414 & echo ready; wait", &root);
	ctx_init(&ctx, clock_mono() - 1);
	assert_int_equal(procs_kill_descendants(root.pid, &ctx, &err), -1);
	assert_int_equal(err.code, RPC_DEADLINE_EXCEEDED);
	ctx_done(&ctx);
	assert_int_equal(procs_kill_descendants(root.pid, NULL, &err), 0);
	reap(&root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_descendants),    cmocka_unit_test(test_marked),
		cmocka_unit_test(test_marked_daemons), cmocka_unit_test(test_words),
		cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
