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

static int open_slim(const char *path)
{
	const char *const paths[] = { path, "/no/such/folder/at/all", NULL };
	struct err err = { 0 };
	int fd = slim_mounts_open(paths, &err);

	if (fd < 0)
		fail_msg("%s", err.text);
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

static void *look(void *data)
{
	const int *fd = data;
	CLEANUP(freep) char *text = NULL;
	size_t lines = 0;
	struct stat st;

	if (unshare(CLONE_FS) < 0 || setns(*fd, CLONE_NEWNS) < 0)
		return (char *)"cannot enter it";
	text = mounts_seen();
	for (const char *c = text; *c; c++)
		lines += *c == '\n';
	if (lines < 2 || lines > FEW)
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
	const int *fd = data;

	if (unshare(CLONE_FS) < 0 || setns(*fd, CLONE_NEWNS) < 0)
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
	struct err err = { 0 };

	(void)data;
	if (unshare(CLONE_FS) < 0 || chroot(plain) < 0)
		return (char *)"cannot change the root";
	if (slim_mounts_open(none, &err) >= 0)
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
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
