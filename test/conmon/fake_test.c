/*
 * Runtimes that hang, fail and lie (faults 11 and 12), and monitors that do: a shell script plays the
 * runtime. Nothing of a failed call may be left, and nobody else's process may be touched.
 */
#include "box.h"

#include <signal.h>
#include <sys/wait.h>

#include "conmon/exec.h"

static struct box box;
static char *script, *mode_file;
static char nap[32]; /* how long the runtime sleeps: nobody else sleeps for just that */

/* Each verb looks up what it has to do in the mode file: "create-hang", "start-fail" and so on. */
static const char script_text[] =
	"#!/bin/sh\n"
	"case $1 in --version) echo 'fake version 1.0'; exit 0;; features) exit 1;; --root=*) shift;; esac\n"
	"verb=$1; shift\n"
	"mode=$(cat %s)\n"
	"pid=; bundle=; prev=\n"
	"for a in \"$@\"; do case $prev in --pid-file) pid=$a;; --bundle) bundle=$a;; esac; prev=$a; done\n"
	"case $mode in\n"
	"$verb-hang) sleep %s & sleep %s;;\n"
	"$verb-fail) echo warning: first >&2; echo 'time=\"x\" level=error msg=\"it went \\\"boom\\\"\"' >&2; exit 3;;\n"
	"$verb-crun) echo '2026-11-22T03:40:00.123456Z: cannot do it' >&2; exit 1;;\n"
	"$verb-absent) echo 'executable file `/bin/x` not found in $PATH: No such file or directory' >&2; exit 1;;\n"
	"$verb-silent) exit 4;;\n"
	"$verb-binary) printf 'bad \\377\\001 bytes\\n' >&2; exit 1;;\n"
	"$verb-flood) i=0; while [ $i -lt 3000 ]; do echo 01234567890123456789012345678901234567890123456789 >&2; i=$((i+1)); done; exit 1;;\n"
	"create-nopid) exit 0;;\n"
	"create-junk) echo garbage > $pid; exit 0;;\n"
	"create-init) echo 1 > $pid; exit 0;;\n"
	"create-other=*) echo ${mode#create-other=} > $pid; exit 0;;\n"
	"create-gone) (exit 0) & p=$!; wait $p; echo $p > $pid; exit 0;;\n"
	"*) [ $verb != create ] || { sleep %s & echo $! > $pid; exec >/dev/null 2>&1; };;\n"
	"esac\n"
	"exit 0\n";

static void set_mode(const char *mode)
{
	box_write(mode_file, mode);
}

/* How many processes run with this argument. */
static int count_of(const char *argument)
{
	CLEANUP(freep)
	char *text = xasprintf(
		"n=0; for p in /proc/[0-9]*; do [ \"$(tr '\\0' ' ' <$p/cmdline 2>/dev/null)\" != \"sleep %s \" ] || "
		"n=$((n+1)); done; exit $n",
		argument);
	const char *argv[] = { "sh", "-c", text, NULL };
	struct command command = { .path = "/bin/sh", .argv = argv, .timeout = 20 * NS_PER_SEC };
	struct command_result result CLEANUP(command_result_done) = { 0 };
	struct err err = { 0 };

	assert_int_equal(command_run(&command, NULL, &result, &err), 0);
	return result.status;
}

static void make(struct box_container *container)
{
	box_container(&box, "fake", "[]", NULL, container);
	container->spec.program = "/bin/x";
}

/* The link to a container's attach socket outlives its monitor; the owner of the folder removes it. */
static void remove_attach_link(const struct box_container *container)
{
	CLEANUP(freep) char *link = xasprintf("%s/%s", container->attach_dir, container->id);

	assert_int_equal(unlink(link), 0);
}

static void check_nothing_left(struct box_container *container)
{
	CLEANUP(freep) char *work = xasprintf("%s/%s.monitor", container->exit_dir, container->id);
	CLEANUP(freep) char *link = xasprintf("%s/%s", container->attach_dir, container->id);

	assert_int_equal(count_of(nap), 0);
	assert_int_not_equal(access(work, F_OK), 0);
	assert_int_not_equal(access(link, F_OK), 0);
	box_container_done(container);
}

static void refuse(const char *mode, enum rpc_code code, const char *part)
{
	struct box_container container;
	struct monitor_started started;
	struct err err = { 0 };
	int64_t before = clock_mono();

	set_mode(mode);
	make(&container);
	if (monitor_create(&container.spec, NULL, &started, &err) == 0)
		fail_msg("%s: created", mode);
	if (err.code != code || !strstr(err.text, part))
		fail_msg("%s: %s %s", mode, rpc_code_name(err.code), err.text);
	assert_true(clock_mono() - before < 20 * NS_PER_SEC);
	check_nothing_left(&container);
}

static void test_create_fails(void **state)
{
	(void)state;
	refuse("create-fail", RPC_INTERNAL, "it went \"boom\"");
	refuse("create-crun", RPC_INTERNAL, "create container: cannot do it");
	refuse("create-absent", RPC_INVALID_ARGUMENT,
	       "program \"/bin/x\" cannot be run: No such file or directory");
	refuse("create-silent", RPC_INTERNAL, "");
	refuse("create-binary", RPC_INTERNAL, "bad ?? bytes");
}

static void test_create_hangs(void **state)
{
	(void)state;
	refuse("create-hang", RPC_DEADLINE_EXCEEDED, "create container");
	/* More on stderr than a pipe holds, which the monitor does not read before the end. */
	refuse("create-flood", RPC_DEADLINE_EXCEEDED, "create container");
}

static void test_create_lies(void **state)
{
	const char *argv[] = { "sleep", "31339", NULL };
	struct command command = { .path = "sleep", .argv = argv };
	struct process victim = PROCESS_INIT;
	CLEANUP(freep) char *mode = NULL;
	struct err err = { 0 };
	int status;

	(void)state;
	refuse("create-nopid", RPC_INTERNAL, "without a pid");
	refuse("create-junk", RPC_INTERNAL, "");
	refuse("create-init", RPC_INTERNAL, "");
	refuse("create-gone", RPC_INTERNAL, "");
	/* Some other process of the host: it must survive. */
	assert_int_equal(command_start(&command, &victim, &err), 0);
	mode = xasprintf("create-other=%d", (int)victim.pid);
	refuse(mode, RPC_INTERNAL, "not its own");
	assert_true(process_alive(&victim));
	assert_int_equal(process_signal(&victim, SIGKILL, &err), 0);
	assert_int_equal(process_wait(&victim, NULL, &status, &err), 0);
	process_done(&victim);
}

static void test_caller_gives_up(void **state)
{
	struct box_container container;
	struct monitor_started started;
	struct err err = { 0 };
	struct ctx ctx;
	int64_t before = clock_mono();

	(void)state;
	set_mode("create-hang");
	make(&container);
	ctx_init(&ctx, clock_deadline_in(NS_PER_SEC / 5));
	assert_int_equal(monitor_create(&container.spec, &ctx, &started, &err), -1);
	assert_int_equal(err.code, RPC_DEADLINE_EXCEEDED);
	assert_true(clock_mono() - before < 5 * NS_PER_SEC);
	ctx_done(&ctx);
	check_nothing_left(&container);
}

static void test_bad_specs(void **state)
{
	struct box_container container;
	struct monitor_started started;
	struct err err = { 0 };

	(void)state;
	set_mode("none");
	make(&container);
	container.spec.log_path = "/tmp/a:b";
	assert_int_equal(monitor_create(&container.spec, NULL, &started, &err), -1);
	assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	container.spec.log_path = "/nowhere/at/all.log";
	assert_int_equal(monitor_create(&container.spec, NULL, &started, &err), -1);
	if (!strstr(err.text, "Failed to open log file"))
		fail_msg("%s", err.text);
	container.spec.handler = handlers_find(box.handlers, "absent");
	assert_int_equal(monitor_create(&container.spec, NULL, &started, &err), -1);
	assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	assert_non_null(strstr(err.text, "/nowhere/runtime"));
	check_nothing_left(&container);
}

/* A created container whose runtime then misbehaves in the later verbs. */
static void test_verbs(void **state)
{
	struct box_container container;
	struct monitor_started started;
	struct err err = { 0 };

	(void)state;
	set_mode("none");
	make(&container);
	if (monitor_create(&container.spec, NULL, &started, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(runtime_start(&container.target, NULL, &err), 0);
	set_mode("start-fail");
	assert_int_equal(runtime_start(&container.target, NULL, &err), -1);
	assert_int_equal(err.code, RPC_INTERNAL);
	assert_non_null(strstr(err.text, "fake start: it went \"boom\""));
	set_mode("start-silent");
	assert_int_equal(runtime_start(&container.target, NULL, &err), -1);
	assert_non_null(strstr(err.text, "4"));
	set_mode("start-hang");
	assert_int_equal(runtime_start(&container.target, NULL, &err), -1);
	assert_int_equal(err.code, RPC_DEADLINE_EXCEEDED);
	set_mode("start-flood");
	assert_int_equal(runtime_start(&container.target, NULL, &err), -1);
	assert_int_equal(err.code, RPC_INTERNAL);
	set_mode("delete-hang");
	assert_int_equal(runtime_delete(&container.target, NULL, &err), -1);
	assert_int_equal(err.code, RPC_DEADLINE_EXCEEDED);
	set_mode("kill-fail");
	assert_int_equal(runtime_kill(&container.target, &started.container, SIGTERM, true, NULL, &err), -1);
	set_mode("none");
	assert_int_equal(runtime_delete(&container.target, NULL, &err), 0);

	/* The monitor tells the end of what the script started. */
	struct exit_status status;
	assert_int_equal(runtime_kill(&container.target, &started.container, SIGKILL, false, NULL, &err), 0);
	box_wait_exit(&container, &status);
	assert_int_equal(status.code, 137);
	assert_int_equal(process_wait_gone(&started.monitor, NULL, &err), 0);
	monitor_started_done(&started);
	exit_status_remove(container.exit_dir, container.id);
	remove_attach_link(&container);
	check_nothing_left(&container);
}

static void test_exec(void **state)
{
	static const struct {
		const char *mode;
		enum rpc_code code;
	} cases[] = {
		{ "exec-fail", RPC_INTERNAL },
		{ "exec-silent", RPC_INTERNAL },
		{ "exec-hang", RPC_DEADLINE_EXCEEDED },
		{ "exec-flood", RPC_INTERNAL },
	};
	struct box_container container;
	struct monitor_started started;
	struct err err = { 0 };

	(void)state;
	set_mode("none");
	make(&container);
	assert_int_equal(monitor_create(&container.spec, NULL, &started, &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct exec_spec spec = { .target = container.target,
					  .init = &started.container,
					  .process_json = "{\"args\":[\"true\"]}",
					  .run_dir = container.run_dir,
					  .timeout = 2 * NS_PER_SEC,
					  .output_max = 1000 };
		struct exec_result result = { 0 };

		set_mode(cases[i].mode);
		if (exec_sync(&spec, NULL, &result, &err) == 0 || err.code != cases[i].code)
			fail_msg("%s: %s %s", cases[i].mode, rpc_code_name(err.code), err.text);
	}
	/* Nothing but the monitor's own two files is left behind. */
	struct strv names CLEANUP(strv_done) = STRV_INIT;
	assert_int_equal(dir_list(AT_FDCWD, container.run_dir, &names, &err), 0);
	for (size_t i = 0; i < names.len; i++)
		assert_false(str_has_prefix(names.items[i], "exec-"));
	set_mode("none");
	assert_int_equal(process_signal(&started.container, SIGKILL, &err), 0);
	assert_int_equal(process_wait_gone(&started.monitor, NULL, &err), 0);
	monitor_started_done(&started);
	exit_status_remove(container.exit_dir, container.id);
	remove_attach_link(&container);
	check_nothing_left(&container);
}

static int setup(void **state)
{
	(void)state;
	char template[] = "/tmp/crisp-fake-runtime.XXXXXX";

	snprintf(nap, sizeof(nap), "31337.%d", getpid());
	assert_non_null(mkdtemp(template));
	script = xasprintf("%s/fake", template);
	mode_file = xasprintf("%s/mode", template);
	CLEANUP(freep) char *text = xasprintf(script_text, mode_file, nap, nap, nap);
	CLEANUP(freep)
	char *toml = xasprintf(
		"[crisp.runtime]\nruntime_timeout = \"2s\"\n[crisp.runtime.runtimes.fake]\nruntime_path = \"%s\"\n"
		"[crisp.runtime.runtimes.absent]\nruntime_path = \"/nowhere/runtime\"\n",
		script);
	box_write(script, text);
	assert_int_equal(chmod(script, 0755), 0);
	set_mode("none");
	box_open(&box, false, toml);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	*strrchr(script, '/') = '\0';
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(tree_remove(tmp, strrchr(script, '/') + 1, NULL), 0);
	close(tmp);
	freep(&script);
	freep(&mode_file);
	box_close(&box);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create_fails), cmocka_unit_test(test_create_hangs),
		cmocka_unit_test(test_create_lies),  cmocka_unit_test(test_caller_gives_up),
		cmocka_unit_test(test_bad_specs),    cmocka_unit_test(test_verbs),
		cmocka_unit_test(test_exec),
	};

	if (!box_possible()) {
		puts("skipped: needs root, busybox and conmon");
		return 0;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
