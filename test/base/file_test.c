/* Atomic replacement with faults at each step and kill -9, hostile paths, and what reading refuses. */
#include "test/base/check.h"

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>

static mode_t mode_of(int dir, const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_mode & 07777;
}

static bool exists(int dir, const char *name)
{
	return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void assert_content(int dir, const char *name, const char *expected)
{
	CLEANUP(freep) char *text = NULL;
	struct err err = { 0 };

	assert_ok(file_read(dir, name, 1 << 20, &text, NULL, &err));
	assert_string_equal(text, expected);
}

static void descriptors(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), copy = fd;

	(void)state;
	errno = EXDEV;
	fd_closep(&fd);
	assert_int_equal(fd, -1);
	assert_int_equal(errno, EXDEV);
	fd_closep(&fd);
	assert_int_equal(fcntl(copy, F_GETFD), -1);
	assert_int_equal(fd_close(-1), -1);
	assert_int_equal(write_all(copy, "x", 1), -1);
	assert_int_equal(errno, EBADF);
}

static void directories(void **state)
{
	struct scratch s;
	struct err err = { 0 };
	mode_t old = umask(077);

	(void)state;
	scratch_init(&s);
	CLEANUP(fd_closep) int deep = dir_make(s.dir, "a//b/c/", 0755, &err);
	assert_true(deep >= 0);
	assert_int_equal(mode_of(s.dir, "a"), 0755);
	assert_int_equal(mode_of(s.dir, "a/b/c"), 0755);
	CLEANUP(fd_closep) int again = dir_make(s.dir, "a/b", 0700, &err);
	assert_true(again >= 0);
	assert_int_equal(mode_of(s.dir, "a/b"), 0755);
	CLEANUP(fd_closep) int sticky = dir_make(s.dir, "tmp", 01777, &err);
	assert_true(sticky >= 0);
	assert_int_equal(mode_of(s.dir, "tmp"), 01777);
	assert_int_equal(symlinkat("a/b", s.dir, "link"), 0);
	CLEANUP(freep) char *absolute = xasprintf("%s/link/d", s.path);
	CLEANUP(fd_closep) int linked = dir_make(AT_FDCWD, absolute, 0711, &err);
	assert_true(linked >= 0);
	assert_int_equal(mode_of(s.dir, "a/b/d"), 0711);
	put_file(s.dir, "file", "x");
	assert_fails(dir_make(s.dir, "file/x", 0700, &err), RPC_INTERNAL);
	assert_int_equal(symlinkat("nowhere", s.dir, "dangling"), 0);
	assert_fails(dir_make(s.dir, "dangling/x", 0700, &err), RPC_INTERNAL);
	assert_fails(dir_open(s.dir, "absent", &err), RPC_NOT_FOUND);
	assert_fails(dir_open(s.dir, "file", &err), RPC_NOT_FOUND);
	CLEANUP(fd_closep) int opened = dir_open(s.dir, "a", &err);
	assert_true(opened >= 0);
	assert_true(fcntl(opened, F_GETFD) & FD_CLOEXEC);
	umask(old);
	scratch_done(&s);
}

static void *make_many(void *data)
{
	char path[64];

	for (int i = 0; i < 200; i++) {
		snprintf(path, sizeof(path), "x%d/y/z", i);
		int fd = dir_make(*(int *)data, path, 0700, NULL);
		if (fd < 0)
			return data;
		close(fd);
	}
	return NULL;
}

static void threads_make_the_same_directories(void **state)
{
	struct scratch s;
	pthread_t threads[6];
	void *failed;

	(void)state;
	scratch_init(&s);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, make_many, &s.dir), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	scratch_done(&s);
}

static void listing(void **state)
{
	struct scratch s;
	struct err err = { 0 };
	CLEANUP(strv_done) struct strv names = STRV_INIT;

	(void)state;
	scratch_init(&s);
	put_file(s.dir, "b", "");
	put_file(s.dir, ".a", "");
	put_file(s.dir, "a", "");
	assert_ok(dir_list(s.dir, ".", &names, &err));
	CLEANUP(freep) char *joined = strv_join(&names, " ");
	assert_string_equal(joined, ".a a b");
	assert_fails(dir_list(s.dir, "absent", &names, &err), RPC_NOT_FOUND);
	assert_int_equal(names.len, 3);
	scratch_done(&s);
}

/* root/ with links that point out of it, and outside/secret beside it. */
static int hostile_root(struct scratch *s)
{
	struct err err = { 0 };
	int outside = dir_make(s->dir, "outside", 0755, &err);
	int root = dir_make(s->dir, "root/etc", 0755, &err);

	put_file(outside, "secret", "outside");
	put_file(root, "passwd", "inside");
	close(root);
	close(outside);
	root = dir_open(s->dir, "root", &err);
	assert_int_equal(symlinkat("../outside/secret", root, "up"), 0);
	assert_int_equal(symlinkat("/etc/passwd", root, "absolute"), 0);
	assert_int_equal(symlinkat("/proc/self/cwd", root, "magic"), 0);
	assert_int_equal(symlinkat("../../../../../../../etc/passwd", root, "far"), 0);
	assert_int_equal(symlinkat("loop", root, "loop"), 0);
	return root;
}

static void beneath_refuses_every_way_out(void **state)
{
	static const char *const paths[] = { "..",  "../outside/secret", "up",          "absolute",
					     "far", "/etc/passwd",       "etc/../../x", "loop" };
	struct scratch s;

	(void)state;
	scratch_init(&s);
	CLEANUP(fd_closep) int root = hostile_root(&s);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		int fd = open_beneath(root, paths[i], O_RDONLY, 0);
		if (fd >= 0)
			fail_msg("%s was opened", paths[i]);
		assert_int_equal(errno, strcmp(paths[i], "loop") == 0 ? ELOOP : EXDEV);
	}
	CLEANUP(fd_closep) int fine = open_beneath(root, "etc/../etc/passwd", O_RDONLY, 0);
	assert_true(fine >= 0);
	assert_true(fcntl(fine, F_GETFD) & FD_CLOEXEC);
	CLEANUP(fd_closep) int made = open_beneath(root, "etc/new", O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(made >= 0);
	scratch_done(&s);
}

static void paths_within_folders(void **state)
{
	static const struct {
		const char *path, *folder;
		bool within;
	} cases[] = {
		{ "/a", "/", true },        { "/", "/", true },      { "/a", "/a", true },
		{ "/a/b/c", "/a/b", true }, { "/", "/a", false },    { "/ab", "/a", false },
		{ "/a", "/a/b", false },    { "/b/a", "/a", false }, { "/a/bc", "/a/b", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (path_is_within(cases[i].path, cases[i].folder) != cases[i].within)
			fail_msg("%s in %s", cases[i].path, cases[i].folder);
}

static void in_root_stays_in_root(void **state)
{
	static const char *const paths[] = { "/etc/passwd", "../../etc/passwd", "absolute", "far",
					     "etc/../../../etc/passwd" };
	struct scratch s;
	char text[16] = "";

	(void)state;
	scratch_init(&s);
	CLEANUP(fd_closep) int root = hostile_root(&s);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		CLEANUP(fd_closep) int fd = open_in_root(root, paths[i], O_RDONLY, 0);
		if (fd < 0)
			fail_msg("%s: %s", paths[i], strerror(errno));
		assert_int_equal(read(fd, text, sizeof(text)), 6);
		assert_memory_equal(text, "inside", 6);
	}
	assert_int_equal(open_in_root(root, "up", O_RDONLY, 0), -1);
	assert_int_equal(errno, ENOENT);
	CLEANUP(fd_closep) int proc = open("/proc/self", O_PATH | O_CLOEXEC);
	assert_int_equal(open_in_root(proc, "root/etc", O_PATH, 0), -1);
	assert_int_equal(errno, ELOOP);
	scratch_done(&s);
}

static void makes_directories_in_a_root(void **state)
{
	struct scratch s;
	struct err err = { 0 };
	mode_t old = umask(077);

	(void)state;
	scratch_init(&s);
	CLEANUP(fd_closep) int root = hostile_root(&s);
	assert_int_equal(mkdirat(root, "var", 0755), 0);
	assert_int_equal(symlinkat("/run", root, "var/run"), 0);
	assert_int_equal(symlinkat("../../../../tmp/x", root, "var/tmp"), 0);
	CLEANUP(fd_closep) int run = make_in_root(root, "/var/run/secrets//k8s", 0755, &err);
	if (run < 0)
		fail_msg("%s", err.text);
	assert_int_equal(mode_of(root, "run/secrets/k8s"), 0755);
	assert_true(fcntl(run, F_GETFL) & O_PATH);
	CLEANUP(fd_closep) int tmp = make_in_root(root, "var/tmp/y", 0700, &err);
	assert_true(tmp >= 0);
	assert_int_equal(mode_of(root, "tmp/x/y"), 0700);
	CLEANUP(fd_closep) int dots = make_in_root(root, "../../a/../b", 0700, &err);
	assert_true(dots >= 0);
	assert_true(exists(root, "a") && exists(root, "b"));
	assert_false(exists(s.dir, "a") || exists(s.dir, "b"));
	CLEANUP(fd_closep) int top = make_in_root(root, "/", 0700, &err);
	assert_true(top >= 0);
	assert_fails(make_in_root(root, "loop/x", 0700, &err), RPC_INTERNAL);
	assert_fails(make_in_root(root, "etc/passwd/x", 0700, &err), RPC_INTERNAL);
	umask(old);
	scratch_done(&s);
}

static void reads_only_what_it_should(void **state)
{
	struct scratch s;
	struct err err = { 0 };
	char *text = NULL;
	size_t len = 99;

	(void)state;
	scratch_init(&s);
	put_file(s.dir, "ten", "0123456789");
	put_file(s.dir, "empty", "");
	assert_int_equal(mkfifoat(s.dir, "fifo", 0600), 0);
	assert_int_equal(symlinkat("ten", s.dir, "link"), 0);
	assert_int_equal(mkdirat(s.dir, "dir", 0700), 0);
	assert_ok(file_read(s.dir, "ten", 10, &text, &len, &err));
	assert_int_equal(len, 10);
	assert_string_equal(text, "0123456789");
	free(TAKE(text));
	assert_ok(file_read(s.dir, "empty", 0, &text, &len, &err));
	assert_int_equal(len, 0);
	assert_string_equal(text, "");
	free(TAKE(text));
	assert_fails(file_read(s.dir, "ten", 9, &text, &len, &err), RPC_RESOURCE_EXHAUSTED);
	assert_fails(file_read(s.dir, "absent", 9, &text, &len, &err), RPC_NOT_FOUND);
	assert_fails(file_read(s.dir, "ten/x", 9, &text, &len, &err), RPC_NOT_FOUND);
	assert_fails(file_read(s.dir, "fifo", 9, &text, &len, &err), RPC_FAILED_PRECONDITION);
	assert_fails(file_read(s.dir, "link", 10, &text, &len, &err), RPC_FAILED_PRECONDITION);
	assert_fails(file_read(s.dir, "dir", 9, &text, &len, &err), RPC_FAILED_PRECONDITION);
	assert_fails(file_read(AT_FDCWD, "/dev/zero", 9, &text, &len, &err), RPC_FAILED_PRECONDITION);
	assert_null(text);
	scratch_done(&s);
}

static void virtual_files(void **state)
{
	struct scratch s;
	struct err err = { 0 };
	char *text = NULL;

	(void)state;
	scratch_init(&s);
	assert_ok(file_read_virtual(AT_FDCWD, "/proc/self/status", 65536, &text, &err));
	assert_contains(text, "Pid:");
	free(TAKE(text));
	assert_fails(file_read_virtual(AT_FDCWD, "/proc/self/status", 100, &text, &err),
		     RPC_RESOURCE_EXHAUSTED);
	assert_fails(file_read_virtual(AT_FDCWD, "/proc/self/absent", 100, &text, &err), RPC_NOT_FOUND);
	put_file(s.dir, "value", "old-value");
	assert_ok(file_write_virtual(s.dir, "value", "new", &err));
	assert_content(s.dir, "value", "new-value");
	assert_fails(file_write_virtual(s.dir, "absent", "new", &err), RPC_INTERNAL);
	assert_int_equal(errno, ENOENT);
	assert_false(exists(s.dir, "absent"));
	assert_fails(file_write_virtual(AT_FDCWD, "/proc/self/oom_score_adj", "5000", &err), RPC_INTERNAL);
	assert_contains(err.text, "5000");
	scratch_done(&s);
}

static void replaces(void **state)
{
	struct scratch s;
	struct err err = { 0 };

	(void)state;
	scratch_init(&s);
	assert_ok(file_replace(s.dir, "state.json", "one", 3, 0640, &err));
	assert_content(s.dir, "state.json", "one");
	assert_int_equal(mode_of(s.dir, "state.json"), 0640);
	put_file(s.dir, ".state.json.new", "a leftover that is longer");
	assert_ok(file_replace(s.dir, "state.json", "two", 3, 0600, &err));
	assert_content(s.dir, "state.json", "two");
	assert_int_equal(mode_of(s.dir, "state.json"), 0600);
	assert_false(exists(s.dir, ".state.json.new"));
	assert_ok(file_replace_volatile(s.dir, "state.json", "", 0, 0600, &err));
	assert_content(s.dir, "state.json", "");
	CLEANUP(fd_closep) int path_fd = open(s.path, O_PATH | O_CLOEXEC);
	assert_ok(file_replace(path_fd, "state.json", "three", 5, 0600, &err));
	assert_content(s.dir, "state.json", "three");
	assert_int_equal(symlinkat("/etc/passwd", s.dir, ".x.new"), 0);
	assert_fails(file_replace(s.dir, "x", "y", 1, 0600, &err),
		     RPC_INTERNAL); /* the leftover is not followed */
	scratch_done(&s);
}

static void a_fault_at_any_step_leaves_old_or_new(void **state)
{
	struct scratch s;
	struct err err = { 0 };

	(void)state;
	scratch_init(&s);
	for (int step = FILE_STEP_WRITE; step <= FILE_STEP_FSYNC_DIR; step++) {
		assert_ok(file_replace(s.dir, "state", "old", 3, 0600, &err));
		file_fault_step = step;
		assert_fails(file_replace(s.dir, "state", "new", 3, 0600, &err), RPC_INTERNAL);
		assert_contains(err.text, "Input/output error");
		assert_int_equal(file_fault_step, -1);
		assert_content(s.dir, "state", step == FILE_STEP_FSYNC_DIR ? "new" : "old");
		assert_false(exists(s.dir, ".state.new"));
	}
	file_fault_step = FILE_STEP_FSYNC;
	assert_ok(file_replace_volatile(s.dir, "state", "volatile", 8, 0600, &err)); /* has no such step */
	file_fault_step = -1;
	scratch_done(&s);
}

static void a_move_is_synced_and_can_be_tried_again(void **state)
{
	struct scratch s;
	struct err err = { 0 };

	(void)state;
	scratch_init(&s);
	assert_int_equal(mkdirat(s.dir, "to", 0700), 0);
	CLEANUP(fd_closep) int to = openat(s.dir, "to", O_PATH | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(fd_closep) int from = openat(s.dir, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	put_file(s.dir, "x", "content");
	file_fault_step = FILE_STEP_RENAME;
	assert_fails(file_move(from, "x", to, &err), RPC_INTERNAL);
	assert_true(exists(s.dir, "x"));
	file_fault_step = FILE_STEP_FSYNC_DIR;
	assert_fails(file_move(from, "x", to, &err), RPC_INTERNAL);
	assert_int_equal(file_fault_step, -1);
	file_fault_step = FILE_STEP_FSYNC_DIR; /* not skipped because the entry has gone meanwhile */
	assert_fails(file_move(from, "x", to, &err), RPC_INTERNAL);
	assert_ok(file_move(from, "x", to, &err));
	assert_false(exists(s.dir, "x"));
	assert_content(to, "x", "content");
	scratch_done(&s);
}

static void sweep_takes_leftovers_only(void **state)
{
	static const char *const kept[] = { "a.new", ".new-not", ".a.new.x", "state" };
	struct scratch s;

	(void)state;
	scratch_init(&s);
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		put_file(s.dir, kept[i], "");
	put_file(s.dir, ".state.new", "");
	put_file(s.dir, ".b.new", "");
	assert_int_equal(mkdirat(s.dir, ".dir.new", 0700), 0);
	file_sweep(s.dir);
	assert_false(exists(s.dir, ".state.new") || exists(s.dir, ".b.new"));
	assert_true(exists(s.dir, ".dir.new"));
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		assert_true(exists(s.dir, kept[i]));
	scratch_done(&s);
}

enum { WHOLE_LEN = 20000 };

/* A whole file is WHOLE_LEN times one letter. */
static void assert_whole(int dir, const char *name)
{
	CLEANUP(freep) char *text = NULL;
	struct err err = { 0 };
	size_t len = 0;

	assert_ok(file_read(dir, name, 1 << 20, &text, &len, &err));
	assert_int_equal(len, WHOLE_LEN);
	assert_int_equal(strspn(text, (char[2]){ text[0], '\0' }), WHOLE_LEN);
}

struct writer {
	int dir;
	char letter;
	int rounds;
	struct err err;
};

static void *write_whole(void *data)
{
	struct writer *writer = data;
	char content[WHOLE_LEN];

	memset(content, writer->letter, sizeof(content));
	for (int i = 0; i < writer->rounds; i++)
		if (file_replace_volatile(writer->dir, "f", content, sizeof(content), 0600, &writer->err) < 0)
			return data;
	return NULL;
}

static void writers_of_one_name_do_not_mix(void **state)
{
	struct scratch s;
	pthread_t threads[6];
	struct writer writers[6];
	void *failed;

	(void)state;
	scratch_init(&s);
	for (int i = 0; i < 6; i++) {
		writers[i] = (struct writer){ .dir = s.dir, .letter = (char)('a' + i), .rounds = 100 };
		if (i == 0)
			assert_null(write_whole(&writers[0]));
		assert_int_equal(pthread_create(&threads[i], NULL, write_whole, &writers[i]), 0);
	}
	for (int i = 0; i < 300; i++)
		assert_whole(s.dir, "f");
	for (int i = 0; i < 6; i++) {
		pthread_join(threads[i], &failed);
		if (failed)
			fail_msg("%s", writers[i].err.text);
	}
	assert_whole(s.dir, "f");
	assert_false(exists(s.dir, ".f.new"));
	scratch_done(&s);
}

/* This program once more, writing until it is killed. */
static void kill_at_any_instant_leaves_a_whole_file(void **state)
{
	const char *argv[] = { "test", "write-for-ever", NULL };
	struct scratch s;
	struct err err = { 0 };
	int status, seen = 0;

	(void)state;
	scratch_init(&s);
	for (int i = 0; i < 30; i++) {
		CLEANUP(process_done) struct process process = PROCESS_INIT;
		const struct command command = { .path = "/proc/self/exe", .argv = argv, .cwd = s.dir };
		assert_ok(command_start(&command, &process, &err));
		for (int k = 0; k < 2000 && !exists(s.dir, "f"); k++)
			usleep(1000);
		usleep((unsigned int)(i * 137 % 2000));
		assert_ok(process_signal(&process, SIGKILL, &err));
		assert_ok(process_wait(&process, NULL, &status, &err));
		assert_whole(s.dir, "f");
		seen += exists(s.dir, ".f.new");
		file_sweep(s.dir);
		assert_false(exists(s.dir, ".f.new"));
	}
	print_message("leftovers seen: %d of 30\n", seen);
	scratch_done(&s);
}

static int write_for_ever(void)
{
	for (char letter = 'a';; letter = letter == 'z' ? 'a' : (char)(letter + 1)) {
		struct err err = { 0 };
		char content[WHOLE_LEN];
		memset(content, letter, sizeof(content));
		if (file_replace(AT_FDCWD, "f", content, sizeof(content), 0600, &err) < 0)
			return 1;
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors),
		cmocka_unit_test(directories),
		cmocka_unit_test(threads_make_the_same_directories),
		cmocka_unit_test(listing),
		cmocka_unit_test(beneath_refuses_every_way_out),
		cmocka_unit_test(paths_within_folders),
		cmocka_unit_test(in_root_stays_in_root),
		cmocka_unit_test(makes_directories_in_a_root),
		cmocka_unit_test(reads_only_what_it_should),
		cmocka_unit_test(virtual_files),
		cmocka_unit_test(replaces),
		cmocka_unit_test(a_fault_at_any_step_leaves_old_or_new),
		cmocka_unit_test(a_move_is_synced_and_can_be_tried_again),
		cmocka_unit_test(sweep_takes_leftovers_only),
		cmocka_unit_test(writers_of_one_name_do_not_mix),
		cmocka_unit_test(kill_at_any_instant_leaves_a_whole_file),
	};

	(void)argv;
	if (argc > 1)
		return write_for_ever();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
