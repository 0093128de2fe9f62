/* Mount namespaces for execs: what is in them, what is not, and that neither side sees the other's. */
#include "test/base/check.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "base/str.h"
#include "config/program.h"
#include "conmon/exec/crisp_exec.h"
#include "conmon/slim_mounts.h"

enum { TEXT_MAX = 1 << 20, FEW = 40 };
static struct scratch scratch;
static char *listed, *unlisted;     /* each has a tmpfs and a file in it */
static char *plain, *linked, *seen; /* a folder, a link to listed */

static bool there(const char *folder)
{
	CLEANUP(freep) char *path = xasprintf("%s/file", folder);

	return access(path, F_OK) == 0;
}

static char *mounts_seen(void)
{
	struct err err = { 0 };
	char *text = NULL;

	if (file_read_virtual(AT_FDCWD, "/proc/thread-self/mountinfo", TEXT_MAX, &text, &err) < 0)
		fail_msg("%s", err.text);
	return text;
}

static struct slim_mounts open_base(const char *path)
{
	const char *const paths[] = { path, "/no/such/folder/at/all", NULL };
	struct slim_mounts mounts;
	struct err err = { 0 };

	if (slim_mounts_open(paths, &mounts, &err) < 0)
		fail_msg("%s", err.text);
	return mounts;
}

static int open_slim(const char *path)
{
	struct slim_mounts mounts = open_base(path);
	int fd = mounts.namespace;

	mounts.namespace = -1;
	slim_mounts_close(&mounts);
	return fd;
}

/* A thread of its own in the namespace; what it returns is NULL when all was well. */
static void inside(int fd, void *(*fn)(void *data))
{
	pthread_t thread;
	void *problem;

	assert_int_equal(pthread_create(&thread, NULL, fn, &fd), 0);
	assert_int_equal(pthread_join(thread, &problem), 0);
	if (problem)
		fail_msg("%s", (char *)problem);
}

static bool enter(void *data)
{
	const int *fd = data;

	return unshare(CLONE_FS) == 0 && setns(*fd, CLONE_NEWNS) == 0;
}

static size_t mounts_count(void)
{
	CLEANUP(freep) char *text = mounts_seen();
	size_t lines = 0;

	for (const char *c = text; *c; c++)
		lines += *c == '\n';
	return lines;
}

static void *look(void *data)
{
	struct stat st;

	if (!enter(data))
		return (char *)"cannot enter it";
	if (mounts_count() < 2 || mounts_count() > FEW)
		return (char *)"not a few mounts";
	if (!there(listed) || there(unlisted) || access(plain, F_OK) < 0)
		return (char *)"other mounts than asked for";
	if (access("/proc/thread-self/ns/mnt", F_OK) < 0 || stat("/dev/null", &st) < 0 ||
	    !S_ISCHR(st.st_mode) || access("/bin/sh", X_OK) < 0)
		return (char *)"not what a runtime needs";
	if (mount("tmpfs", plain, "tmpfs", 0, NULL) < 0 || mknod(seen, S_IFREG | 0600, 0) < 0)
		return (char *)"cannot mount and write";
	return NULL;
}

static void test_few_mounts(void **state)
{
	CLEANUP(freep) char *before = mounts_seen(), *after = NULL;
	CLEANUP(fd_closep) int fd = open_slim(listed), linked_fd = open_slim(linked);

	(void)state;
	inside(fd, look);
	assert_int_equal(unlink(seen), 0); /* the same file systems */
	inside(linked_fd, look);
	assert_int_equal(unlink(seen), 0);
	after = mounts_seen();
	assert_string_equal(before, after);
	assert_true(there(listed) && there(unlisted));
}

static void *look_for_later(void *data)
{
	if (!enter(data))
		return (char *)"cannot enter it";
	return there(plain) ? (char *)"what was mounted later is there" : NULL;
}

/* Also where the host's mounts are shared, as systemd makes them. */
static void test_later_mounts(void **state)
{
	CLEANUP(freep) char *file = xasprintf("%s/file", plain);

	(void)state;
	assert_int_equal(mount(scratch.path, scratch.path, NULL, MS_BIND | MS_REC, NULL), 0);
	assert_int_equal(mount(NULL, scratch.path, NULL, MS_SHARED | MS_REC, NULL), 0);
	{
		CLEANUP(fd_closep) int fd = open_slim(scratch.path);

		assert_int_equal(mount("tmpfs", plain, "tmpfs", 0, NULL), 0);
		assert_int_equal(mknod(file, S_IFREG | 0600, 0), 0);
		inside(fd, look_for_later);
		assert_int_equal(umount2(plain, 0), 0);
		CLEANUP(freep) char *before = mounts_seen(), *after = NULL;
		CLEANUP(fd_closep) int second = open_slim(scratch.path);
		after = mounts_seen();
		assert_true(second >= 0);
		assert_string_equal(before, after);
	}
	assert_int_equal(umount2(scratch.path, MNT_DETACH), 0);
}

static void *open_below_a_folder(void *data)
{
	const char *const none[] = { NULL };
	struct slim_mounts mounts;
	struct err err = { 0 };

	(void)data;
	if (unshare(CLONE_FS) < 0 || chroot(plain) < 0)
		return (char *)"cannot change the root";
	if (slim_mounts_open(none, &mounts, &err) >= 0)
		return (char *)"made from no mount";
	return err.code == RPC_FAILED_PRECONDITION ? NULL : (char *)"another error";
}

static void test_root_that_is_no_mount(void **state)
{
	(void)state;
	inside(-1, open_below_a_folder);
}

static void assert_keeper_runs(int mounts, const char *expected)
{
	CLEANUP(freep) char *keeper = NULL;
	struct command_result result CLEANUP(command_result_done) = { 0 };
	struct err err = { 0 };

	if (program_find_own("crisp-exec", "CRISP_EXEC", &keeper, &err) < 0)
		fail_msg("%s", err.text);
	CLEANUP(fd_closep) int cwd = dir_open(AT_FDCWD, listed, &err);
	const char *argv[] = {
		keeper,
		"/no/pid/file",
		"-m",
		"/bin/sh",
		"-c",
		"test -e $0/file && echo seen || echo unseen; /bin/pwd; ls /proc/self/fd | wc -l; exit 5",
		unlisted,
		NULL
	};
	struct command command = { .path = keeper,
				   .argv = argv,
				   .cwd = cwd,
				   .fds = { { mounts, CRISP_EXEC_MOUNTS_FD } },
				   .fds_len = 1,
				   .stdout_max = 4096,
				   .stderr_max = 4096,
				   .timeout = 60 * NS_PER_SEC };
	assert_true(cwd >= 0);
	if (command_run(&command, NULL, &result, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(result.exited);
	assert_int_equal(result.status, 5);
	assert_string_equal(str_get(&result.out), expected);
}

/* crisp-exec runs its runtime there, in the same folder and without the descriptor; and without it, where it
 * is none. */
static void test_runtime_in_it(void **state)
{
	CLEANUP(freep) char *slim = xasprintf("unseen\n%s\n4\n", listed);
	CLEANUP(freep) char *whole = xasprintf("seen\n%s\n4\n", listed);
	CLEANUP(fd_closep) int fd = open_slim(listed), none = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_keeper_runs(fd, slim);
	assert_keeper_runs(none, whole);
}

/* ---- extended ---- */

static char *folder(const char *name, bool mounted)
{
	char *path = xasprintf("%s/%s", scratch.path, name);
	CLEANUP(freep) char *file = xasprintf("%s/file", path);

	assert_int_equal(mkdir(path, 0700), 0);
	if (mounted) {
		assert_int_equal(mount("tmpfs", path, "tmpfs", 0, NULL), 0);
		assert_int_equal(mknod(file, S_IFREG | 0600, 0), 0);
	}
	return path;
}

static void *look_at_sources(void *data)
{
	CLEANUP(freep) char *sub = xasprintf("%s/sub", unlisted);
	CLEANUP(freep) char *inner = xasprintf("%s/inner", unlisted);
	CLEANUP(freep) char *file = xasprintf("%s/inner/file", unlisted);

	if (!enter(data))
		return (char *)"cannot enter it";
	if (mounts_count() > FEW)
		return (char *)"not a few mounts";
	if (!there(unlisted) || !there(sub))
		return (char *)"a source, or what is below it, is missing";
	if (mount("tmpfs", inner, "tmpfs", 0, NULL) < 0 || mknod(file, S_IFREG | 0600, 0) < 0 ||
	    mount("tmpfs", plain, "tmpfs", 0, NULL) < 0)
		return (char *)"cannot mount";
	return NULL;
}

static void *look_for_a_mount_on_the_host(void *data)
{
	CLEANUP(freep) char *later = xasprintf("%s/later", unlisted);

	if (!enter(data))
		return (char *)"cannot enter it";
	return there(later) ? NULL : (char *)"what was mounted on the host later is not there";
}

static int extend(const struct slim_mounts *base, const char *source, const char *other, struct err *err)
{
	const char *const paths[] = { listed, "/no/such/folder", NULL };
	const char *const sources[] = { source, other, other ? source : NULL, NULL };

	return slim_mounts_extend(base, paths, sources, err);
}

static char *mounted_below(const char *name)
{
	CLEANUP(freep) char *path = xasprintf("unlisted/%s", name);

	return folder(path, true);
}

/* A source comes with what is mounted below it; what is mounted on it is seen on the host, and the other way
 * round, if the host's mount is shared, and only then. */
static void test_sources(void **state)
{
	CLEANUP(slim_mounts_close) struct slim_mounts base = open_base(plain);
	CLEANUP(freep) char *sub = mounted_below("sub");
	CLEANUP(freep) char *inner = folder("unlisted/inner", false);
	CLEANUP(freep) char *file = xasprintf("%s/file", listed);
	struct err err = { 0 };

	(void)state;
	for (int shared = 0; shared <= 1; shared++) {
		assert_int_equal(mount(NULL, unlisted, NULL, shared ? MS_SHARED : MS_PRIVATE, NULL), 0);
		CLEANUP(freep) char *before = mounts_seen(), *after = NULL;
		CLEANUP(fd_closep) int fd = extend(&base, unlisted, file, &err);
		if (fd < 0)
			fail_msg("%s", err.text);
		after = mounts_seen();
		assert_string_equal(before, after);
		inside(fd, look_at_sources);
		assert_int_equal(there(inner), shared);
		assert_false(there(plain));
		if (shared) {
			assert_int_equal(umount2(inner, 0), 0);
			CLEANUP(freep) char *later = mounted_below("later");
			inside(fd, look_for_a_mount_on_the_host);
			assert_int_equal(umount2(later, 0), 0);
			assert_int_equal(rmdir(later), 0);
		}
		fd = fd_close(fd);
		freep(&after);
		after = mounts_seen();
		assert_string_equal(before, after);
	}
	assert_int_equal(umount2(sub, 0), 0);
	assert_int_equal(rmdir(sub), 0);
	assert_int_equal(rmdir(inner), 0);
}

/* Nothing may be mounted on a source: that would be on the host. */
static void test_sources_that_cannot_be(void **state)
{
	CLEANUP(slim_mounts_close) struct slim_mounts base = open_base(plain);
	CLEANUP(freep) char *absent = xasprintf("%s/absent", scratch.path);
	CLEANUP(freep) char *before = mounts_seen(), *after = NULL;
	CLEANUP(strv_done) struct strv many = STRV_INIT;
	const char *const none[] = { NULL };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(extend(&base, scratch.path, unlisted, &err), -1);
	assert_non_null(strstr(err.text, unlisted));
	/* Nor what is on the way to a path: listed is a mount in scratch. */
	assert_int_equal(extend(&base, scratch.path, NULL, &err), -1);
	assert_int_equal(extend(&base, "/", NULL, &err), -1);
	assert_int_equal(extend(&base, absent, NULL, &err), -1);
	for (int i = 0; i < 65; i++) {
		strv_addf(&many, "%s/%d", plain, i);
		assert_int_equal(mknod(many.items[i], S_IFREG | 0600, 0), 0);
	}
	assert_int_equal(slim_mounts_extend(&base, none, (const char *const *)many.items, &err), -1);
	for (size_t i = 0; i < many.len; i++)
		assert_int_equal(unlink(many.items[i]), 0);
	after = mounts_seen();
	assert_string_equal(before, after);
}

/* The form for conmon: in the same process; where there is no such namespace, in its own. */
static void test_runtime_in_place(void **state)
{
	CLEANUP(freep) char *keeper = NULL;
	CLEANUP(slim_mounts_close) struct slim_mounts base = open_base(plain);
	CLEANUP(freep)
	char *script = xasprintf("test -e %s/file && echo seen || echo unseen; pwd; exit 5", unlisted);
	struct err err = { 0 };

	(void)state;
	assert_int_equal(program_find_own("crisp-exec", "CRISP_EXEC", &keeper, &err), 0);
	for (int i = 0; i <= 1; i++) {
		CLEANUP(freep)
		char *namespace = i ? xasprintf("/no/such/namespace")
				    : xasprintf("/proc/%d/fd/%d", (int)getpid(), base.namespace);
		CLEANUP(freep) char *expected = xasprintf("%s\n%s\n", i ? "seen" : "unseen", listed);
		const char *const argv[] = { "crisp-exec", "-n", namespace, "/bin/sh", "-c", script, NULL };
		CLEANUP(fd_closep) int cwd = dir_open(AT_FDCWD, listed, &err);
		const struct command command = {
			.path = keeper, .argv = argv, .cwd = cwd, .stdout_max = 4096, .stderr_max = 4096
		};
		CLEANUP(command_result_done) struct command_result result = { 0 };

		assert_int_equal(command_run(&command, NULL, &result, &err), 0);
		assert_true(result.exited);
		assert_int_equal(result.status, 5);
		assert_string_equal(str_get(&result.out), expected);
	}
}

static int setup(void **state)
{
	(void)state;
	scratch_init(&scratch);
	listed = folder("listed", true);
	unlisted = folder("unlisted", true);
	plain = folder("plain", false);
	linked = xasprintf("%s/link", scratch.path);
	seen = xasprintf("%s/seen", scratch.path);
	return symlink(listed, linked);
}

static int teardown(void **state)
{
	(void)state;
	umount2(listed, MNT_DETACH);
	umount2(unlisted, MNT_DETACH);
	freep(&listed);
	freep(&unlisted);
	freep(&plain);
	freep(&linked);
	freep(&seen);
	scratch_done(&scratch);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_few_mounts),
		cmocka_unit_test(test_later_mounts),
		cmocka_unit_test(test_root_that_is_no_mount),
		cmocka_unit_test(test_runtime_in_it),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_sources_that_cannot_be),
		cmocka_unit_test(test_runtime_in_place),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
