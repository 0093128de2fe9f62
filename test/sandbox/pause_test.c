/* crisp-pause for real, in a mount namespace of the test's own: what it sets up, what it gives up, how it
 * ends. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "sandbox/pause.h"

static char root[] = "/tmp/crisp-pause-XXXXXX";
static char *program;
static char *ns_dir;

static const unsigned int POD = NAMESPACE_NET | NAMESPACE_IPC | NAMESPACE_UTS;

static struct pause_spec spec_of(unsigned int namespaces)
{
	return (struct pause_spec){
		.path = program,
		.id = "0123abcd",
		.ns_dir = ns_dir,
		.namespaces = namespaces,
		.oom_score_adj = 1000,
	};
}

static char *proc_read(const struct process *process, const char *name)
{
	CLEANUP(freep) char *path = xasprintf("/proc/%d/%s", (int)process->pid, name);
	char *text = NULL;
	struct err err;

	if (file_read_virtual(AT_FDCWD, path, 65536, &text, &err) < 0)
		fail_msg("%s", err.text);
	return text;
}

static ino_t namespace_of(const struct process *process, const char *name)
{
	CLEANUP(freep) char *path = xasprintf("/proc/%d/ns/%s", (int)process->pid, name);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_ino;
}

static void assert_status(const struct process *process, const char *line)
{
	CLEANUP(freep) char *status = proc_read(process, "status");

	if (!strstr(status, line))
		fail_msg("no \"%s\" in:\n%s", line, status);
}

static void run(const struct pause_spec *spec, struct pause_started *started)
{
	struct err err;

	if (pause_start(spec, NULL, started, &err) < 0 || pause_keep(started, &err) < 0)
		fail_msg("%s", err.text);
}

static void stop(struct pause_started *started)
{
	struct err err;

	assert_int_equal(pause_stop(&started->process, NULL, &err), 0);
	assert_int_equal(waitpid(started->process.pid, NULL, WNOHANG), -1); /* reaped already */
	pause_started_done(started);
	assert_int_equal(namespaces_unpin(ns_dir, &err), 0);
}

/* Reads a file as somebody inside the pinned network, ipc and uts namespaces sees it. */
static char *read_inside(const char *path)
{
	CLEANUP(freep) char *net = xasprintf("--net=%s/net", ns_dir);
	CLEANUP(freep) char *ipc = xasprintf("--ipc=%s/ipc", ns_dir);
	CLEANUP(freep) char *uts = xasprintf("--uts=%s/uts", ns_dir);
	const char *const argv[] = { "nsenter", net, ipc, uts, "cat", path, NULL };
	const struct command command = {
		.path = "nsenter", .argv = argv, .stdout_max = 4096, .stderr_max = 4096
	};
	CLEANUP(command_result_done) struct command_result result = { 0 };
	struct err err;

	assert_int_equal(command_run(&command, NULL, &result, &err), 0);
	if (!result.exited || result.status)
		fail_msg("nsenter: %s", str_get(&result.err_out));
	return str_take(&result.out);
}

static void test_sets_up(void **state)
{
	const struct pause_sysctl sysctls[] = {
		{ "net.ipv4.ip_unprivileged_port_start", "7" },
		{ "net/ipv4/ping_group_range", "0 2147483647" },
		{ "net.ipv4.ip_local_reserved_ports", "" },
		{ "kernel.shm_rmid_forced", "1" },
	};
	struct pause_spec spec = spec_of(POD);
	struct pause_started started;

	(void)state;
	spec.hostname = "web-0";
	spec.sysctls = sysctls;
	spec.sysctls_len = ARRAY_LEN(sysctls);
	run(&spec, &started);
	assert_true(process_alive(&started.process));
	assert_true(started.process.start_time > 0);
	CLEANUP(freep) char *hostname = read_inside("/proc/sys/kernel/hostname");
	assert_string_equal(hostname, "web-0\n");
	CLEANUP(freep) char *port = read_inside("/proc/sys/net/ipv4/ip_unprivileged_port_start");
	assert_string_equal(port, "7\n");
	CLEANUP(freep) char *range = read_inside("/proc/sys/net/ipv4/ping_group_range");
	assert_string_equal(range, "0\t2147483647\n");
	CLEANUP(freep) char *shm = read_inside("/proc/sys/kernel/shm_rmid_forced");
	assert_string_equal(shm, "1\n");
	assert_true(namespace_pinned(ns_dir, NAMESPACE_NET));
	assert_true(namespace_of(&started.process, "net") !=
		    namespace_of(&(struct process){ .pid = getpid() }, "net"));
	assert_true(namespace_of(&started.process, "mnt") ==
		    namespace_of(&(struct process){ .pid = getpid() }, "mnt"));
	stop(&started);
}

static void test_lo_is_up(void **state)
{
	const struct pause_spec spec = spec_of(POD);
	struct pause_started started;

	(void)state;
	run(&spec, &started);
	CLEANUP(freep) char *routes = proc_read(&started.process, "net/fib_trie");
	assert_non_null(strstr(routes, "127.0.0.1"));
	stop(&started);
}

static void test_gives_everything_up(void **state)
{
	const struct pause_spec spec = spec_of(POD);
	struct pause_started started;

	(void)state;
	run(&spec, &started);
	/* The word "keep" is read a moment later. */
	for (int i = 0; i < 1000; i++) {
		CLEANUP(freep) char *fds = xasprintf("/proc/%d/fd", (int)started.process.pid);
		CLEANUP(strv_done) struct strv names = STRV_INIT;
		struct err err;
		assert_int_equal(dir_list(AT_FDCWD, fds, &names, &err), 0);
		if (names.len == 0)
			break;
		assert_true(i < 999);
		poll(NULL, 0, 1);
	}
	assert_status(&started.process, "CapPrm:\t0000000000000000");
	assert_status(&started.process, "CapEff:\t0000000000000000");
	assert_status(&started.process, "CapBnd:\t0000000000000000");
	assert_status(&started.process, "CapInh:\t0000000000000000");
	assert_status(&started.process, "NoNewPrivs:\t1");
	assert_status(&started.process, "Seccomp:\t2");
	assert_status(&started.process, "Name:\tcrisp-pause");
	CLEANUP(freep) char *title = proc_read(&started.process, "cmdline");
	assert_string_equal(title, "crisp-pause 0123abcd");
	CLEANUP(freep) char *score = proc_read(&started.process, "oom_score_adj");
	assert_string_equal(score, "1000\n");
	stop(&started);
}

static void test_pid_namespace(void **state)
{
	struct pause_spec spec = spec_of(POD | NAMESPACE_PID);
	struct pause_started started;
	char link[256];

	(void)state;
	spec.hostname = "init";
	run(&spec, &started);
	assert_status(&started.process, "\t1\n"); /* NSpid */
	assert_true(namespace_pinned(ns_dir, NAMESPACE_PID));
	/* Nothing of the host behind /proc/1/root, and the program is not the file on the host. */
	CLEANUP(freep) char *inner = xasprintf("/proc/%d/root", (int)started.process.pid);
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	struct err err;
	assert_int_equal(dir_list(AT_FDCWD, inner, &names, &err), 0);
	assert_int_equal(names.len, 0);
	CLEANUP(freep) char *file = xasprintf("%s/x", inner);
	assert_int_equal(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600), -1);
	CLEANUP(freep) char *exe = xasprintf("/proc/%d/exe", (int)started.process.pid);
	ssize_t len = readlink(exe, link, sizeof(link) - 1);
	assert_true(len > 0);
	link[len] = '\0';
	assert_non_null(strstr(link, "memfd:"));
	CLEANUP(freep) char *title = proc_read(&started.process, "cmdline");
	assert_string_equal(title, "crisp-pause 0123abcd");
	stop(&started);
}

/* The user namespace that a namespace belongs to (ioctl_ns(2)). */
static ino_t owner_of(const char *name)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", ns_dir, name);
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	CLEANUP(fd_closep) int owner = ioctl(fd, NS_GET_USERNS);
	struct stat st;

	assert_true(owner >= 0);
	assert_int_equal(fstat(owner, &st), 0);
	return st.st_ino;
}

/* Its user namespace owns all the others, and what is set up in these works from inside. */
static void test_user_namespace(void **state)
{
	static const unsigned int sets[] = { POD | NAMESPACE_USER, POD | NAMESPACE_PID | NAMESPACE_USER };
	static const char *const names[] = { "net", "ipc", "uts" };
	const struct pause_sysctl sysctls[] = {
		{ "net.ipv4.ip_unprivileged_port_start", "7" },
		{ "kernel.shm_rmid_forced", "1" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		struct pause_spec spec = spec_of(sets[i]);
		struct pause_started started;
		spec.userns = (struct userns){ { 0, 100000, 65536 }, { 0, 200000, 65536 } };
		spec.hostname = "mapped";
		spec.sysctls = sysctls;
		spec.sysctls_len = ARRAY_LEN(sysctls);
		run(&spec, &started);
		assert_true(namespace_pinned(ns_dir, NAMESPACE_USER));
		ino_t user = namespace_of(&started.process, "user");
		assert_true(user != namespace_of(&(struct process){ .pid = getpid() }, "user"));
		for (size_t n = 0; n < ARRAY_LEN(names); n++)
			assert_int_equal(owner_of(names[n]), user);
		if (sets[i] & NAMESPACE_PID)
			assert_int_equal(owner_of("pid"), user);
		assert_status(&started.process, "Uid:\t100000\t100000\t100000\t100000");
		assert_status(&started.process, "Gid:\t200000\t200000\t200000\t200000");
		assert_status(&started.process, "Groups:\t \n");
		CLEANUP(freep) char *hostname = read_inside("/proc/sys/kernel/hostname");
		assert_string_equal(hostname, "mapped\n");
		CLEANUP(freep) char *port = read_inside("/proc/sys/net/ipv4/ip_unprivileged_port_start");
		assert_string_equal(port, "7\n");
		CLEANUP(freep) char *routes = proc_read(&started.process, "net/fib_trie");
		assert_non_null(strstr(routes, "127.0.0.1"));
		stop(&started);
	}
}

/* An orphan inside the namespace is reaped by pause. */
static void test_reaps_orphans(void **state)
{
	const struct pause_spec spec = spec_of(NAMESPACE_PID);
	struct pause_started started;
	CLEANUP(freep) char *pid = xasprintf("--pid=%s/pid", ns_dir);
	const char *const argv[] = { "nsenter", pid, "sh", "-c", "sleep 0.3 >/dev/null 2>&1 &", NULL };
	const struct command command = { .path = "nsenter", .argv = argv, .stderr_max = 4096 };
	CLEANUP(command_result_done) struct command_result result = { 0 };
	struct err err;

	(void)state;
	run(&spec, &started);
	assert_int_equal(command_run(&command, NULL, &result, &err), 0);
	assert_true(result.exited && result.status == 0);
	CLEANUP(freep) char *name = xasprintf("task/%d/children", (int)started.process.pid);
	bool seen = false;
	for (int i = 0; i < 2000; i++) {
		CLEANUP(freep) char *children = proc_read(&started.process, name);
		seen |= *children != '\0';
		if (seen && !*children)
			break;
		assert_true(i < 1999);
		poll(NULL, 0, 1);
	}
	stop(&started);
}

static void test_host_namespaces_only(void **state)
{
	const struct pause_spec spec = spec_of(0);
	struct pause_started started;

	(void)state;
	run(&spec, &started);
	assert_true(namespace_of(&started.process, "net") ==
		    namespace_of(&(struct process){ .pid = getpid() }, "net"));
	assert_true(namespace_of(&started.process, "ipc") ==
		    namespace_of(&(struct process){ .pid = getpid() }, "ipc"));
	stop(&started);
}

/* crispd dies before the pid is on disk: closing the socket is what its death does. */
static void test_ends_when_not_kept(void **state)
{
	static const unsigned int sets[] = { POD, POD | NAMESPACE_PID, POD | NAMESPACE_PID | NAMESPACE_USER };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		struct pause_spec spec = spec_of(sets[i]);
		struct pause_started started;
		struct ctx ctx;
		struct err err;
		spec.userns = (struct userns){ { 0, 100000, 65536 }, { 0, 200000, 65536 } };
		assert_int_equal(pause_start(&spec, NULL, &started, &err), 0);
		started.hold = fd_close(started.hold);
		ctx_init(&ctx, clock_deadline_in(10 * NS_PER_SEC));
		assert_int_equal(process_wait_gone(&started.process, &ctx, &err), 0);
		ctx_done(&ctx);
		pause_reap(&started.process);
		assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
		pause_started_done(&started);
		assert_true(namespace_pinned(ns_dir, NAMESPACE_NET)); /* pins live without it */
		assert_int_equal(namespaces_unpin(ns_dir, &err), 0);
	}
}

static void test_keep_after_death(void **state)
{
	const struct pause_spec spec = spec_of(NAMESPACE_NET);
	struct pause_started started;
	struct err err;

	(void)state;
	assert_int_equal(pause_start(&spec, NULL, &started, &err), 0);
	assert_int_equal(process_signal(&started.process, SIGKILL, &err), 0);
	assert_int_equal(process_wait_gone(&started.process, NULL, &err), 0);
	assert_int_equal(pause_keep(&started, &err), -1);
	assert_int_equal(err.code, RPC_UNAVAILABLE);
	stop(&started);
}

static void assert_fails(const struct pause_spec *spec, const struct ctx *ctx, enum rpc_code code,
			 const char *text)
{
	struct pause_started started;
	struct err err = { 0 };

	assert_int_equal(pause_start(spec, ctx, &started, &err), -1);
	if (err.code != code || !strstr(err.text, text))
		fail_msg("%s: %s, wanted %s: %s", rpc_code_name(err.code), err.text, rpc_code_name(code),
			 text);
	assert_int_equal(access(ns_dir, F_OK), -1);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child left, not even a zombie */
}

static void test_failures_leave_nothing(void **state)
{
	const struct pause_sysctl missing = { "net.ipv4.no_such", "1" },
				  bad = { "net.ipv4.ip_forward", "abc" };
	static const unsigned int sets[] = { POD, POD | NAMESPACE_PID };
	CLEANUP(freep) char *other = xasprintf("%s/other", root);
	struct ctx ctx;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		struct pause_spec spec = spec_of(sets[i]);
		spec.sysctls = &missing;
		spec.sysctls_len = 1;
		assert_fails(&spec, NULL, RPC_INVALID_ARGUMENT, "sysctl net/ipv4/no_such: No such file");
		spec.sysctls = &bad;
		assert_fails(&spec, NULL, RPC_INVALID_ARGUMENT,
			     "sysctl net/ipv4/ip_forward: Invalid argument");
		spec.sysctls_len = 0;
		ctx_init(&ctx, NO_DEADLINE);
		ctx_cancel(&ctx);
		/* Cancelled before it could be ready, or ready in spite of it: never half. */
		struct pause_started started;
		struct err err;
		if (pause_start(&spec, &ctx, &started, &err) == 0) {
			stop(&started);
		} else {
			assert_int_equal(err.code, RPC_CANCELLED);
			assert_int_equal(access(ns_dir, F_OK), -1);
			assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
		}
		ctx_done(&ctx);
		spec.hostname = "0123456789012345678901234567890123456789012345678901234567890123456789";
		assert_fails(&spec, NULL, RPC_INVALID_ARGUMENT, "hostname 0123");
	}
	struct pause_spec spec = spec_of(POD);
	spec.path = other;
	assert_fails(&spec, NULL, RPC_FAILED_PRECONDITION, "No such file");
	spec.path = "/bin/true";
	assert_fails(&spec, NULL, RPC_UNAVAILABLE, "before it was ready");
}

/* A program that talks nonsense, and one that says nothing and does not even end by itself. */
static void test_broken_program(void **state)
{
	CLEANUP(freep) char *path = xasprintf("%s/broken", root);
	struct pause_spec spec = spec_of(NAMESPACE_NET);
	static const struct {
		const char *script;
		enum rpc_code code;
		const char *text;
	} rows[] = {
		{ "#!/bin/sh\necho hello >&3\n", RPC_INTERNAL, "protocol" },
		{ "#!/bin/sh\necho error x y >&3\n", RPC_INTERNAL, "protocol" },
		{ "#!/bin/sh\necho error 1 not allowed >&3\n", RPC_INTERNAL,
		  "not allowed: Operation not permitted" },
		{ "#!/bin/sh\nwhile :; do echo pid 1; done >&3\n", RPC_INTERNAL, "protocol" },
		{ "#!/bin/sh\nwhile :; do printf aaaaaaaa; done >&3\n", RPC_INTERNAL, "protocol" },
		{ "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n", RPC_DEADLINE_EXCEEDED,
		  "crisp-pause" },
	};

	(void)state;
	CLEANUP(fd_closep) int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	spec.path = path;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ctx ctx;
		struct err err;
		assert_int_equal(
			file_replace(dir, "broken", rows[i].script, strlen(rows[i].script), 0755, &err), 0);
		ctx_init(&ctx,
			 clock_deadline_in(rows[i].code == RPC_INTERNAL ? 60 * NS_PER_SEC : 50 * NS_PER_MS));
		assert_fails(&spec, &ctx, rows[i].code, rows[i].text);
		ctx_done(&ctx);
	}
}

/*
 * This program again, as a crisp-pause with a PID namespace (by argv[0]): the first process makes the second
 * and tells its pid, the second tells that it is ready. Which of them comes first is nobody's promise; the
 * host name says it here.
 */
enum { SOCKET = 3 };

static int be_second(void)
{
	char byte;

	if (read(SOCKET, &byte, 1) == 1) /* kept */
		for (;;)
			pause();
	return 0;
}

static int be_first(const char *order)
{
	const char *const argv[] = { "crisp-pause", "second", NULL };
	const struct command command = {
		.path = "/proc/self/exe", .argv = argv, .fds = { { SOCKET, SOCKET } }, .fds_len = 1
	};
	struct process second = PROCESS_INIT;
	struct err err;
	char line[32];

	if (command_start(&command, &second, &err) < 0)
		return 1;
	int len = snprintf(line, sizeof(line), "pid %d\n", (int)second.pid);
	if (strcmp(order, "pid-first") == 0)
		return write_all(SOCKET, line, (size_t)len) < 0 || write_all(SOCKET, "ready\n", 6) < 0;
	if (write_all(SOCKET, "ready\n", 6) < 0)
		return 1;
	usleep(50000); /* so that they arrive one by one, most likely */
	return write_all(SOCKET, line, (size_t)len) < 0;
}

static int play_pause(int argc, char **argv)
{
	return strcmp(argv[1], "second") == 0 ? be_second() : be_first(argv[argc - 1]);
}

static void test_order_of_reports(void **state)
{
	static const char *const orders[] = { "ready-first", "pid-first" };
	char exe[4096];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	struct pause_spec spec = spec_of(NAMESPACE_PID | NAMESPACE_UTS);

	(void)state;
	assert_true(len > 0);
	exe[len] = '\0';
	spec.path = exe;
	for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
		struct pause_started started;

		spec.hostname = orders[i];
		run(&spec, &started);
		/* The second, not the first, which has ended. */
		assert_true(process_alive(&started.process));
		stop(&started);
	}
}

static void test_find(void **state)
{
	CLEANUP(freep) char *found = NULL;
	char *none = NULL;
	struct err err;

	(void)state;
	assert_int_equal(setenv("CRISP_PAUSE", program, 1), 0);
	assert_int_equal(pause_find(&found, &err), 0);
	assert_string_equal(found, program);
	assert_int_equal(setenv("CRISP_PAUSE", root, 1), 0);
	assert_int_equal(pause_find(&none, &err), -1);
	assert_int_equal(err.code, RPC_NOT_FOUND);
	assert_non_null(strstr(err.text, root));
	unsetenv("CRISP_PAUSE");
}

static void test_start_time_goal(void **state)
{
	const struct pause_spec spec = spec_of(POD);
	int64_t best = INT64_MAX;

	(void)state;
	for (int i = 0; i < 20; i++) {
		struct pause_started started;
		int64_t begin = clock_mono();
		run(&spec, &started);
		int64_t took = clock_mono() - begin;
		best = took < best ? took : best;
		stop(&started);
	}
	print_message("pause_start, best of 20: %.3f ms\n", (double)best / NS_PER_MS);
	/* The goal is 1.5 ms in a release build; here only what no sanitizer and no busy machine explains. */
	assert_true(best < 100 * NS_PER_MS);
}

static char *find_program(void)
{
	char exe[4096];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	assert_true(len > 0);
	exe[len] = '\0';
	*strrchr(exe, '/') = '\0'; /* <build>/test/sandbox */
	return xasprintf("%s/../../server/crisp-pause", exe);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sets_up),
		cmocka_unit_test(test_lo_is_up),
		cmocka_unit_test(test_gives_everything_up),
		cmocka_unit_test(test_pid_namespace),
		cmocka_unit_test(test_user_namespace),
		cmocka_unit_test(test_reaps_orphans),
		cmocka_unit_test(test_host_namespaces_only),
		cmocka_unit_test(test_ends_when_not_kept),
		cmocka_unit_test(test_keep_after_death),
		cmocka_unit_test(test_failures_leave_nothing),
		cmocka_unit_test(test_broken_program),
		cmocka_unit_test(test_order_of_reports),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_start_time_goal),
	};

	if (argc > 1 && strcmp(argv[0], "crisp-pause") == 0)
		return play_pause(argc, argv);
	if (geteuid() != 0) {
		print_message("needs root\n");
		return 0;
	}
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    !mkdtemp(root)) {
		perror("set up");
		return 1;
	}
	program = find_program();
	ns_dir = xasprintf("%s/ns/0123abcd", root);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(program);
	free(ns_dir);
	CLEANUP(fd_closep) int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err err;
	return tree_remove(tmp, root + strlen("/tmp/"), &err) < 0 || failed;
}
