/* Removal of trees: deep, wide, without permissions, with links, and stopping at mounts. */
#include "test/base/check.h"

#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { DEEP = 10000 };

static bool exists(int dir, const char *name)
{
	return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void small_things(void **state)
{
	struct scratch s;
	struct err err = { 0 };

	(void)state;
	scratch_init(&s);
	assert_ok(tree_remove(s.dir, "absent", &err));
	put_file(s.dir, "file", "x");
	assert_ok(tree_remove(s.dir, "file", &err));
	assert_int_equal(mkfifoat(s.dir, "fifo", 0600), 0);
	assert_ok(tree_remove(s.dir, "fifo", &err));
	assert_int_equal(mkdirat(s.dir, "empty", 0700), 0);
	assert_ok(tree_remove(s.dir, "empty", &err));
	assert_false(exists(s.dir, "file") || exists(s.dir, "fifo") || exists(s.dir, "empty"));
	scratch_done(&s);
}

static void links_are_removed_not_followed(void **state)
{
	struct scratch s;
	struct err err = { 0 };

	(void)state;
	scratch_init(&s);
	CLEANUP(fd_closep) int kept = dir_make(s.dir, "kept", 0700, &err);
	CLEANUP(fd_closep) int tree = dir_make(s.dir, "tree", 0700, &err);
	put_file(kept, "precious", "x");
	assert_int_equal(symlinkat("../kept", tree, "dir-link"), 0);
	assert_int_equal(symlinkat("../kept/precious", tree, "file-link"), 0);
	assert_int_equal(symlinkat("kept", s.dir, "top-link"), 0);
	assert_ok(tree_remove(s.dir, "tree", &err));
	assert_ok(tree_remove(s.dir, "top-link", &err));
	assert_false(exists(s.dir, "tree") || exists(s.dir, "top-link"));
	assert_true(exists(kept, "precious"));
	scratch_done(&s);
}

static void make_deep(int dir, const char *top)
{
	CLEANUP(fd_closep) int at = fcntl(dir, F_DUPFD_CLOEXEC, 3);

	for (int i = 0; i < DEEP; i++) {
		const char *name = i ? "d" : top;
		assert_int_equal(mkdirat(at, name, 0700), 0);
		int next = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		if (i % 1000 == 0) {
			put_file(next, "a-file", "x");
			put_file(next, "z-file", "x");
		}
		close(at);
		at = next;
	}
}

/* With so few descriptors that one for each level would not do. */
static void ten_thousand_levels(void **state)
{
	struct scratch s;
	struct err err = { 0 };
	struct rlimit old;

	(void)state;
	scratch_init(&s);
	make_deep(s.dir, "deep");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	const struct rlimit few = { .rlim_cur = 64, .rlim_max = old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	int failed = tree_remove(s.dir, "deep", &err);
	setrlimit(RLIMIT_NOFILE, &old);
	if (failed)
		fail_msg("%s", err.text);
	assert_false(exists(s.dir, "deep"));
	scratch_done(&s);
}

static void wide_trees(void **state)
{
	struct scratch s;
	struct err err = { 0 };
	char name[32];

	(void)state;
	scratch_init(&s);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "wide/%d/x/y/z", i);
		CLEANUP(fd_closep) int sub = dir_make(s.dir, name, 0700, &err);
		for (int k = 0; k < 40; k++) {
			snprintf(name, sizeof(name), "file-with-a-name-%d", k);
			put_file(sub, name, "");
		}
	}
	CLEANUP(fd_closep) int wide = dir_open(s.dir, "wide", &err);
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		put_file(wide, name, "");
	}
	assert_ok(tree_remove(s.dir, "wide", &err));
	assert_false(exists(s.dir, "wide"));
	scratch_done(&s);
}

static void scenarios(void **state)
{
	CLEANUP(freep) char *unprivileged = run_self("unprivileged", 0);
	CLEANUP(freep) char *mounted = run_self("mounted", 0);

	(void)state;
	if (geteuid() == 0)
		assert_string_equal(unprivileged, "removed\n");
	if (strstr(mounted, "skipped"))
		skip();
	assert_contains(mounted, "something is mounted in it");
	assert_contains(mounted, "kept what is mounted");
	assert_contains(mounted, "removed after unmounting");
}

/* As a user whom permissions bind: directories without any are opened up and removed. */
static int remove_unprivileged(void)
{
	struct err err = { 0 };
	char path[] = "/tmp/crisp-test-XXXXXX";

	if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
		return 1;
	if (!mkdtemp(path))
		return 2;
	CLEANUP(fd_closep) int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(fd_closep) int sub = dir_make(dir, "t/a/b", 0700, &err);
	if (sub < 0)
		return 3;
	put_file(sub, "file", "x");
	if (fchmodat(dir, "t/a/b", 0, 0) < 0 || fchmodat(dir, "t/a", 0500, 0) < 0 ||
	    fchmodat(dir, "t", 0100, 0) < 0)
		return 4;
	if (tree_remove(dir, "t", &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 5;
	}
	fprintf(stderr, "removed\n");
	return rmdir(path) < 0 ? 6 : 0;
}

/* In a mount namespace of its own; nothing of it is seen outside. */
static int remove_mounted(void)
{
	struct err err = { 0 };
	struct scratch s;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		fprintf(stderr, "skipped: %s\n", strerror(errno));
		return 0;
	}
	scratch_init(&s);
	CLEANUP(fd_closep) int sub = dir_make(s.dir, "t/a/m", 0700, &err);
	CLEANUP(freep) char *target = xasprintf("%s/t/a/m", s.path);
	CLEANUP(freep) char *source = xasprintf("%s/kept", s.path);
	if (sub < 0 || mkdir(source, 0700) < 0 || mount(source, target, NULL, MS_BIND, NULL) < 0)
		return 2;
	CLEANUP(fd_closep) int kept = dir_open(s.dir, "kept", &err);
	put_file(kept, "precious", "x");
	if (tree_remove(s.dir, "t", &err) == 0 || err.code != RPC_FAILED_PRECONDITION)
		return 3;
	fprintf(stderr, "%s\n", err.text);
	CLEANUP(fd_closep) int above = dir_open(s.dir, "t/a", &err);
	if (tree_remove(above, "m", &err) == 0 || err.code != RPC_FAILED_PRECONDITION)
		return 4;
	if (exists(kept, "precious"))
		fprintf(stderr, "kept what is mounted\n");
	if (umount(target) < 0 || tree_remove(s.dir, "t", &err) < 0)
		return 5;
	fprintf(stderr, "removed after unmounting\n");
	scratch_done(&s);
	return 0;
}

static void check_misuse(const char *scratch, const char *name)
{
	CLEANUP(freep) char *argument = xasprintf("misuse:%s:%s", name, scratch);

	assert_aborts(argument, "tree_remove");
}

static void misuse_aborts(void **state)
{
	struct scratch s;

	(void)state;
	scratch_init(&s);
	check_misuse(s.path, "..");
	check_misuse(s.path, "absent-crisp/absent");
	scratch_done(&s);
}

/* "NAME:SCRATCH". Were the assertion ever lost, what is removed must be nobody's: the parent of a folder made
 * for this in the scratch of the test, which removes it: this process ends by abort(). */
static int misuse(const char *argument)
{
	const char *scratch = strchr(argument, ':');
	struct err err;

	if (!scratch)
		return 1;
	CLEANUP(freep) char *name = xstrndup(argument, (size_t)(scratch - argument));
	CLEANUP(freep) char *inner = xasprintf("%s/victim/inner", scratch + 1);
	CLEANUP(fd_closep) int dir = dir_make(AT_FDCWD, inner, 0700, &err);
	return dir < 0 ? 1 : tree_remove(dir, name, NULL);
}

static int scenario(const char *name)
{
	if (strcmp(name, "unprivileged") == 0)
		return remove_unprivileged();
	if (strcmp(name, "mounted") == 0)
		return remove_mounted();
	return str_has_prefix(name, "misuse:") ? misuse(name + strlen("misuse:")) : 1;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_things),        cmocka_unit_test(links_are_removed_not_followed),
		cmocka_unit_test(ten_thousand_levels), cmocka_unit_test(wide_trees),
		cmocka_unit_test(scenarios),           cmocka_unit_test(misuse_aborts),
	};

	if (argc > 1)
		return scenario(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
