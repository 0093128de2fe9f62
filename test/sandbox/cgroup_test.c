/*
 * Control groups for real, in cgroups of the test's own that are removed at the end: the host's view, a v2
 * view mounted for the test, and where the host has v1 hierarchies a v1 view without the unified one. The
 * mounts are in a mount namespace of the test's own.
 */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/spawn.h"
#include "sandbox/cgroup.h"

static char root[] = "/tmp/crisp-cgroup-XXXXXX";
static char *top; /* "/crisp-test-<random>": all that is made is below */

struct view {
	const char *name;
	char *mount;
	struct cgroups *cgroups; /* NULL: this host does not have it */
};

static struct view views[] = { { .name = "host" }, { .name = "v2" }, { .name = "v1" } };

static char *below(const char *rest)
{
	return xasprintf("%s%s", top, rest);
}

/* The names of the hierarchies' folders. */
static void hierarchies(const struct view *view, struct strv *names)
{
	struct err err;

	if (cgroups_view(view->cgroups) == CGROUP_VIEW_V2)
		strv_add(names, ".");
	else
		assert_int_equal(dir_list(AT_FDCWD, view->mount, names, &err), 0);
}

static void make_leaf(const struct view *view, const char *path)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;

	hierarchies(view, &names);
	for (size_t i = 0; i < names.len; i++) {
		CLEANUP(freep) char *leaf = xasprintf("%s/%s%s/leaf", view->mount, names.items[i], path);
		CLEANUP(freep) char *memories = xasprintf("%s/cpuset.mems", leaf);
		CLEANUP(freep) char *cpus = xasprintf("%s/cpuset.cpus", leaf);
		struct err err;
		(void)!mkdir(leaf, 0755);
		if (str_eq(names.items[i], "cpuset") &&
		    (file_write_virtual(AT_FDCWD, memories, "0", &err) < 0 ||
		     file_write_virtual(AT_FDCWD, cpus, "0", &err) < 0))
			fail_msg("%s", err.text);
	}
}

static void write_pid(const struct view *view, const char *path, const struct process *process)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	char pid[16];
	struct err err;

	snprintf(pid, sizeof(pid), "%d", (int)process->pid);
	if (cgroups_view(view->cgroups) == CGROUP_VIEW_V2)
		strv_add(&names, ".");
	else
		assert_int_equal(dir_list(AT_FDCWD, view->mount, &names, &err), 0);
	for (size_t i = 0; i < names.len; i++) {
		CLEANUP(freep)
		char *procs = xasprintf("%s/%s%s/cgroup.procs", view->mount, names.items[i], path);
		if (access(procs, F_OK) == 0 && file_write_virtual(AT_FDCWD, procs, pid, &err) < 0)
			fail_msg("%s", err.text);
	}
}

/* In a leaf made below path, as the OCI runtime makes one: on v2 a cgroup that hands controllers down holds
 * no processes. */
static struct process start_in(const struct view *view, const char *path, const char *script)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	const struct command command = { .path = "sh", .argv = argv };
	struct process process = PROCESS_INIT;
	struct err err;

	assert_int_equal(command_start(&command, &process, &err), 0);
	make_leaf(view, path);
	CLEANUP(freep) char *leaf = xasprintf("%s/leaf", path);
	write_pid(view, leaf, &process);
	return process;
}

static void assert_killed(struct process *process)
{
	struct err err;
	int status;

	assert_int_equal(process_wait(process, NULL, &status, &err), 0);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	process_done(process);
}

/* Runs fn with each view that this host can have. */
static void in_views(void (*fn)(const struct view *view))
{
	for (size_t i = 0; i < ARRAY_LEN(views); i++) {
		struct err err = { 0 };
		if (!views[i].cgroups)
			continue;
		print_message("view %s (%s)\n", views[i].name,
			      cgroup_view_name(cgroups_view(views[i].cgroups)));
		fn(&views[i]);
		if (cgroup_remove(views[i].cgroups, top, NULL, &err) < 0)
			fail_msg("%s", err.text);
		assert_false(cgroup_exists(views[i].cgroups, top));
	}
}

static void test_paths(void **state)
{
	CLEANUP(freep) char *ours = cgroup_pod_path(CONFIG_CGROUPFS, "", "abc");
	CLEANUP(freep) char *given = cgroup_pod_path(CONFIG_CGROUPFS, "/kubepods/pod1", "abc");
	CLEANUP(freep) char *relative = cgroup_pod_path(CONFIG_CGROUPFS, "kubepods", "abc");
	CLEANUP(freep) char *whole = cgroup_pod_path(CONFIG_CGROUPFS, "/", "abc");
	CLEANUP(freep) char *container = cgroup_container_path(given, "def");

	(void)state;
	assert_string_equal(ours, "/crisp.pods/podabc");
	assert_true(cgroup_pod_path_is_ours(ours, "abc"));
	assert_string_equal(given, "/kubepods/pod1");
	assert_false(cgroup_pod_path_is_ours(given, "abc"));
	assert_string_equal(relative, "/kubepods");
	assert_string_equal(whole, "/podabc");
	assert_true(cgroup_pod_path_is_ours(whole, "abc"));
	assert_string_equal(container, "/kubepods/pod1/crisp-def");
}

static void test_slices(void **state)
{
	static const struct {
		const char *parent, *path; /* NULL: refused */
	} rows[] = {
		{ "kubepods-burstable-pod1_2.slice",
		  "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice" },
		{ "/kubepods.slice/kubepods-pod1.slice", "/kubepods.slice/kubepods-pod1.slice" },
		{ "system.slice", "/system.slice" },
		{ "", "/crisp.slice/crisp-pods.slice/crisp-pods-podabc.slice" },
		{ "/", "/crisp.slice/crisp-pods.slice/crisp-pods-podabc.slice" },
		{ "-.slice", "/crisp.slice/crisp-pods.slice/crisp-pods-podabc.slice" },
		{ "/kubepods/pod1", NULL },
		{ "kubepods-pod1.scope", NULL },
		{ "/other.slice/kubepods-pod1.slice", NULL },
		{ "-a.slice", NULL },
		{ "a-.slice", NULL },
		{ "a--b.slice", NULL },
		{ ".slice", NULL },
		{ "a b.slice", NULL },
		{ "../a.slice", NULL },
		{ "a.slice/", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		int got = cgroup_parent_check(CONFIG_SYSTEMD, rows[i].parent, &err);
		print_message("%s: %d %s\n", rows[i].parent, got, err.text);
		assert_int_equal(got, rows[i].path ? 0 : -1);
		if (!rows[i].path) {
			assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
			continue;
		}
		CLEANUP(freep) char *path = cgroup_pod_path(CONFIG_SYSTEMD, rows[i].parent, "abc");
		assert_string_equal(path, rows[i].path);
		assert_true(cgroup_path_is_slice(path));
		assert_true(cgroup_pod_path_is_ours(path, "abc") == (strstr(path, "/crisp.slice/") != NULL));
	}
	CLEANUP(freep) char *scope = cgroup_container_path("/a.slice/a-b.slice", "def");
	assert_string_equal(scope, "/a.slice/a-b.slice/crisp-def.scope");
	CLEANUP(freep) char *oci = cgroup_runtime_path("/a.slice/a-b.slice", "def");
	assert_string_equal(oci, "a-b.slice:crisp:def");
	CLEANUP(freep) char *plain = cgroup_runtime_path("/a", "def");
	assert_string_equal(plain, "/a/crisp-def");
	/* From before a change of the manager. */
	CLEANUP(freep) char *old = cgroup_pod_path(CONFIG_CGROUPFS, "a-b.slice", "abc");
	assert_string_equal(old, "/a.slice/a-b.slice");
}

static void test_parent_check(void **state)
{
	static const struct {
		const char *parent;
		bool good;
	} rows[] = {
		{ "", true },
		{ NULL, true },
		{ "/", true },
		{ "/kubepods/burstable/pod0f-1", true },
		{ "a", true },
		{ "a/b", true },
		{ "/a.slice/b", true },
		{ "../..", false },
		{ "/..", false },
		{ "/a/../b", false },
		{ "/a/./b", false },
		{ "//", false },
		{ "/a//b", false },
		{ "/a/", false },
		{ "/a\nb", false },
		{ "/kubepods-pod1.slice", false },
		{ "kubepods-besteffort.slice", false },
	};
	CLEANUP(freep) char *component = xcalloc(1, 400);
	CLEANUP(freep) char *path = xcalloc(1, 4096);
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int got = cgroup_parent_check(CONFIG_CGROUPFS, rows[i].parent, &err);
		print_message("%s: %d\n", rows[i].parent, got);
		assert_int_equal(got, rows[i].good ? 0 : -1);
		if (got < 0)
			assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	}
	memset(component, 'a', 256);
	assert_int_equal(cgroup_parent_check(CONFIG_CGROUPFS, component, &err), -1);
	component[255] = '\0';
	assert_int_equal(cgroup_parent_check(CONFIG_CGROUPFS, component, &err), 0);
	for (int i = 0; i < 2000; i++)
		memcpy(path + (size_t)2 * (size_t)i, "/a", 2);
	assert_int_equal(cgroup_parent_check(CONFIG_CGROUPFS, path, &err), -1);
}

static void test_open_elsewhere(void **state)
{
	struct err err;

	(void)state;
	assert_null(cgroups_open("/tmp/no/such", &err));
	assert_null(cgroups_open("/proc/self", &err));
	assert_int_equal(err.code, RPC_FAILED_PRECONDITION);
}

/* Whatever our umask is: containers in a user namespace go through it. */
static void assert_open_to_all(const struct view *view, const char *path)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;

	hierarchies(view, &names);
	for (size_t i = 0; i < names.len; i++) {
		CLEANUP(freep) char *dir = xasprintf("%s/%s%s", view->mount, names.items[i], path);
		struct stat st;
		assert_int_equal(stat(dir, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0755);
	}
}

static void make(const struct view *view)
{
	CLEANUP(freep) char *deep = below("/a/b");
	CLEANUP(freep) char *cpus = xasprintf("%s/cpuset%s/cpuset.cpus", view->mount, deep);
	struct err err;

	assert_false(cgroup_exists(view->cgroups, deep));
	mode_t ours = umask(077);
	if (cgroup_make(view->cgroups, deep, &err) < 0)
		fail_msg("%s", err.text);
	umask(ours);
	assert_open_to_all(view, deep);
	assert_int_equal(cgroup_make(view->cgroups, deep, &err), 0);
	assert_true(cgroup_exists(view->cgroups, deep));
	if (access(cpus, F_OK) == 0) {
		CLEANUP(freep) char *text = NULL;
		assert_int_equal(file_read_virtual(AT_FDCWD, cpus, 4096, &text, &err), 0);
		assert_true(strlen(text) > 1);
	}
	int fd = cgroup_open(view->cgroups, deep, &err);
	if (cgroups_view(view->cgroups) == CGROUP_VIEW_V2) {
		assert_true(fd >= 0);
		fd_close(fd);
	} else {
		assert_int_equal(fd, -1);
		assert_int_equal(err.code, RPC_FAILED_PRECONDITION);
	}
	uint64_t kills = 77;
	assert_int_equal(cgroup_oom_kills(view->cgroups, deep, &kills, &err), 0);
	assert_int_equal(kills, 0);
	assert_int_equal(cgroup_remove(view->cgroups, deep, NULL, &err), 0);
	assert_int_equal(cgroup_remove(view->cgroups, deep, NULL, &err), 0);
	assert_int_equal(cgroup_oom_kills(view->cgroups, deep, &kills, &err), -1);
	assert_int_equal(err.code, RPC_NOT_FOUND);
}

static void test_make(void **state)
{
	(void)state;
	in_views(make);
}

static void kill_all(const struct view *view)
{
	CLEANUP(freep) char *one = below("/one");
	CLEANUP(freep) char *two = below("/one/two");
	CLEANUP(cgroup_pids_done) struct cgroup_pids pids = { 0 };
	struct err err;

	assert_int_equal(cgroup_make(view->cgroups, two, &err), 0);
	struct process first = start_in(view, one, "trap '' TERM; while :; do sleep 1; done");
	struct process second = start_in(view, two, "sleep 1000");
	assert_int_equal(cgroup_pids(view->cgroups, one, &pids, &err), 0);
	assert_true(pids.len >= 2);
	bool seen = false;
	for (size_t i = 0; i < pids.len; i++)
		seen |= pids.items[i] == second.pid;
	assert_true(seen);
	/* second is in `two`, which is below `one`. */
	assert_int_equal(cgroup_check_process(view->cgroups, one, second.pid, &err), 0);
	assert_int_equal(cgroup_check_process(view->cgroups, two, second.pid, &err), 0);
	assert_int_equal(cgroup_check_process(view->cgroups, two, first.pid, &err), -1);
	assert_int_equal(err.code, RPC_INTERNAL);
	assert_non_null(strstr(err.text, one));
	assert_int_equal(cgroup_check_process(view->cgroups, two, 0x7ffffff0, &err), -1);
	assert_int_equal(err.code, RPC_UNAVAILABLE);
	/* With processes inside it is not removed, and nobody waits forever. */
	struct ctx ctx;
	ctx_init(&ctx, clock_deadline_in(20 * NS_PER_MS));
	assert_int_equal(cgroup_remove(view->cgroups, one, &ctx, &err), -1);
	assert_int_equal(err.code, RPC_FAILED_PRECONDITION);
	ctx_done(&ctx);
	if (cgroup_kill(view->cgroups, one, NULL, &err) < 0)
		fail_msg("%s", err.text);
	assert_killed(&first);
	assert_killed(&second);
	assert_int_equal(cgroup_remove(view->cgroups, one, NULL, &err), 0);
	assert_int_equal(cgroup_kill(view->cgroups, one, NULL, &err), 0);
	cgroup_pids_done(&pids);
	assert_int_equal(cgroup_pids(view->cgroups, one, &pids, &err), 0);
	assert_int_equal(pids.len, 0);
}

static void test_kill(void **state)
{
	(void)state;
	in_views(kill_all);
}

/* Something that forks faster than a list of pids can be read. */
static void kill_forks(const struct view *view)
{
	CLEANUP(freep) char *path = below("/forks");
	struct err err;

	assert_int_equal(cgroup_make(view->cgroups, path, &err), 0);
	struct process process = start_in(view, path,
					  "while :; do sleep 0.01 & (sleep 0.01 & sleep 0.01) & "
					  "sleep 0.002; done");
	assert_int_equal(cgroup_kill(view->cgroups, path, NULL, &err), 0);
	assert_killed(&process);
	if (cgroup_remove(view->cgroups, path, NULL, &err) < 0)
		fail_msg("%s", err.text);
}

static void test_kill_forks(void **state)
{
	(void)state;
	in_views(kill_forks);
}

static void remove_waits(const struct view *view)
{
	CLEANUP(freep) char *path = below("/ending");
	struct err err;
	int status;

	assert_int_equal(cgroup_make(view->cgroups, path, &err), 0);
	struct process process = start_in(view, path, "sleep 0.1");
	if (cgroup_remove(view->cgroups, path, NULL, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(process_wait(&process, NULL, &status, &err), 0);
	process_done(&process);
}

static void test_remove_waits_for_the_last_exit(void **state)
{
	(void)state;
	in_views(remove_waits);
}

static void too_deep(const struct view *view)
{
	CLEANUP(freep) char *path = xcalloc(1, 1024);
	struct err err;

	memcpy(path, top, strlen(top) + 1);
	for (int i = 0; i < 140; i++)
		memcpy(path + strlen(top) + (size_t)2 * (size_t)i, "/d", 3);
	assert_int_equal(cgroup_make(view->cgroups, path, &err), 0);
	assert_int_equal(cgroup_remove(view->cgroups, top, NULL, &err), -1);
	assert_int_equal(err.code, RPC_RESOURCE_EXHAUSTED);
	/* From where it is less deep it goes. */
	path[strlen(top) + 2 * 70] = '\0';
	assert_int_equal(cgroup_remove(view->cgroups, path, NULL, &err), 0);
}

static void test_too_deep(void **state)
{
	(void)state;
	in_views(too_deep);
}

static void test_never_kills_itself(void **state)
{
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(views); i++) {
		if (!views[i].cgroups)
			continue;
		assert_int_equal(cgroup_make(views[i].cgroups, top, &err), 0);
		struct process self = { .pid = getpid(), .pidfd = -1 };
		CLEANUP(freep) char *leaf = below("/leaf");
		make_leaf(&views[i], top);
		write_pid(&views[i], leaf, &self);
		assert_int_equal(cgroup_kill(views[i].cgroups, top, NULL, &err), -1);
		assert_int_equal(err.code, RPC_FAILED_PRECONDITION);
		write_pid(&views[i], "", &self);
		assert_int_equal(cgroup_remove(views[i].cgroups, top, NULL, &err), 0);
	}
}

static int bind_v1(const char *to)
{
	static const char *const wanted[] = { "memory", "pids", "freezer", "cpuset" };
	int bound = 0;

	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		CLEANUP(freep) char *from = xasprintf("/sys/fs/cgroup/%s", wanted[i]);
		CLEANUP(freep) char *target = xasprintf("%s/%s", to, wanted[i]);
		if (access(from, F_OK) < 0)
			continue;
		assert_int_equal(mkdir(target, 0700), 0);
		assert_int_equal(mount(from, target, NULL, MS_BIND, NULL), 0);
		bound++;
	}
	return bound;
}

static char *handed_down(void);
static char *handed_down_before;

static int set_up(void **state)
{
	char random[9];
	unsigned char bytes[4];
	struct err err;

	(void)state;
	random_bytes(bytes, sizeof(bytes));
	hex_encode(bytes, sizeof(bytes), random);
	top = xasprintf("/crisp-test-%s", random);
	views[0].mount = xstrdup("/sys/fs/cgroup");
	views[0].cgroups = cgroups_open(NULL, &err);
	assert_non_null(views[0].cgroups);
	views[1].mount = xasprintf("%s/v2", root);
	assert_int_equal(mkdir(views[1].mount, 0700), 0);
	if (mount("none", views[1].mount, "cgroup2", 0, NULL) == 0) {
		views[1].cgroups = cgroups_open(views[1].mount, &err);
		assert_non_null(views[1].cgroups);
		assert_int_equal(cgroups_view(views[1].cgroups), CGROUP_VIEW_V2);
	}
	handed_down_before = handed_down();
	views[2].mount = xasprintf("%s/v1", root);
	assert_int_equal(mkdir(views[2].mount, 0700), 0);
	if (cgroups_view(views[0].cgroups) != CGROUP_VIEW_V2 && bind_v1(views[2].mount) > 0) {
		views[2].cgroups = cgroups_open(views[2].mount, &err);
		assert_non_null(views[2].cgroups);
		assert_int_equal(cgroups_view(views[2].cgroups), CGROUP_VIEW_V1);
	}
	return 0;
}

/* What the root of the v2 view handed down before; tests are to leave no trace. */
static char *handed_down(void)
{
	CLEANUP(freep) char *path = xasprintf("%s/cgroup.subtree_control", views[1].mount);
	char *text = NULL;
	struct err err;

	return file_read_virtual(AT_FDCWD, path, 4096, &text, &err) < 0 ? xstrdup("") : text;
}

static void restore_handed_down(void)
{
	CLEANUP(freep) char *path = xasprintf("%s/cgroup.subtree_control", views[1].mount);
	CLEANUP(freep) char *now = handed_down();
	struct err err;

	for (char *rest = now, *word; (word = strtok_r(rest, " \n", &rest));) {
		CLEANUP(freep) char *take_back = xasprintf("-%s", word);
		if (!strstr(handed_down_before, word))
			(void)!file_write_virtual(AT_FDCWD, path, take_back, &err);
	}
}

static int tear_down(void **state)
{
	(void)state;
	restore_handed_down();
	free(handed_down_before);
	for (size_t i = 0; i < ARRAY_LEN(views); i++) {
		cgroups_free(views[i].cgroups);
		free(views[i].mount);
	}
	free(top);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),      cmocka_unit_test(test_parent_check),
		cmocka_unit_test(test_slices),     cmocka_unit_test(test_open_elsewhere),
		cmocka_unit_test(test_make),       cmocka_unit_test(test_kill),
		cmocka_unit_test(test_kill_forks), cmocka_unit_test(test_remove_waits_for_the_last_exit),
		cmocka_unit_test(test_too_deep),   cmocka_unit_test(test_never_kills_itself),
	};

	if (geteuid() != 0) {
		print_message("needs root\n");
		return 0;
	}
	/* A tmpfs of its own: what is mounted below goes with the namespace. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    !mkdtemp(root) || mount("none", root, "tmpfs", 0, NULL) < 0) {
		perror("set up");
		return 1;
	}
	int failed = cmocka_run_group_tests(tests, set_up, tear_down);
	umount2(root, MNT_DETACH);
	return rmdir(root) < 0 || failed;
}
