/* Exit files and the watch on their folder. */
#include "box.h"

static char *dir;
static char ids[3][ID_SIZE];

static char *path_of(const char *name)
{
	return xasprintf("%s/%s", dir, name);
}

static void put(const char *name, const char *text)
{
	CLEANUP(freep) char *path = path_of(name);

	box_write(path, text);
}

static void test_read(void **state)
{
	struct exit_status status;
	struct err err = { 0 };
	struct stat st;

	(void)state;
	assert_int_equal(exit_status_read(dir, ids[0], &status, &err), -1);
	assert_int_equal(err.code, RPC_NOT_FOUND);
	put(ids[0], "137");
	assert_int_equal(exit_status_read(dir, ids[0], &status, &err), 0);
	assert_int_equal(status.code, 137);
	assert_false(status.oom_killed);
	CLEANUP(freep) char *file = path_of(ids[0]);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(status.finished_at, st.st_mtim.tv_sec * NS_PER_SEC + st.st_mtim.tv_nsec);

	CLEANUP(freep) char *monitor = xasprintf("%s/%s.monitor", dir, ids[0]);
	CLEANUP(freep) char *oom = xasprintf("%s/oom", monitor);
	assert_int_equal(mkdir(monitor, 0700), 0);
	box_write(oom, "");
	assert_int_equal(exit_status_read(dir, ids[0], &status, &err), 0);
	assert_true(status.oom_killed);
	exit_status_remove(dir, ids[0]);
	exit_status_remove(dir, ids[0]);
	assert_int_equal(access(file, F_OK), -1);
	assert_int_equal(access(monitor, F_OK), -1);
}

static void test_damaged(void **state)
{
	static const char *const bad[] = { "", "x", "256", "-2", "1 2", "99999999999999999999" };
	struct exit_status status;
	struct err err = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		put(ids[0], bad[i]);
		assert_int_equal(exit_status_read(dir, ids[0], &status, &err), -1);
		assert_int_equal(err.code, RPC_DATA_LOSS);
	}
	put(ids[0], "-1"); /* conmon does not know */
	assert_int_equal(exit_status_read(dir, ids[0], &status, &err), 0);
	assert_int_equal(status.code, 255);
	exit_status_remove(dir, ids[0]);
	CLEANUP(freep) char *link = path_of(ids[0]);
	assert_int_equal(symlink("/dev/zero", link), 0);
	assert_int_equal(exit_status_read(dir, ids[0], &status, &err), -1);
	exit_status_remove(dir, ids[0]);
	assert_int_equal(exit_status_read("/nowhere", ids[0], &status, &err), -1);
	assert_int_not_equal(err.code,
			     RPC_NOT_FOUND); /* a missing folder does not mean that a container runs */
}

struct seen {
	struct loop *loop;
	struct strv ids;
	size_t wanted;
};

static void on_exit_file(void *data, const char *id)
{
	struct seen *seen = data;

	strv_add(&seen->ids, id);
	if (seen->ids.len == seen->wanted)
		loop_stop(seen->loop);
}

static void on_timeout(struct source *source, void *data)
{
	struct seen *seen = data;

	(void)source;
	loop_stop(seen->loop);
}

static void test_watch(void **state)
{
	struct seen seen = { .wanted = 2 };
	struct err err = { 0 };

	(void)state;
	seen.loop = loop_new(&err);
	struct exit_watch *watch = exit_watch_new(seen.loop, dir, on_exit_file, &seen, &err);
	struct source *timer = loop_add_timer(seen.loop, 5 * NS_PER_SEC, 0, on_timeout, &seen, &err);
	assert_non_null(watch);
	/* As conmon does it: written beside, renamed in place. The temporary name is not told. */
	CLEANUP(freep) char *temporary = xasprintf("%s.AB12CD", ids[0]);
	CLEANUP(freep) char *from = path_of(temporary);
	CLEANUP(freep) char *to = path_of(ids[0]);
	put(temporary, "0");
	assert_int_equal(rename(from, to), 0);
	put("unrelated", "0");
	put(ids[1], "1");
	assert_int_equal(loop_run(seen.loop, &err), 0);
	assert_int_equal(seen.ids.len, 2);
	assert_string_equal(seen.ids.items[0], ids[0]);
	assert_string_equal(seen.ids.items[1], ids[1]);
	source_free(timer);
	assert_null(exit_watch_free(watch));
	assert_null(exit_watch_free(NULL));
	strv_done(&seen.ids);
	assert_null(exit_watch_new(seen.loop, "/nowhere", on_exit_file, &seen, &err));
	loop_free(seen.loop);
	exit_status_remove(dir, ids[0]);
	exit_status_remove(dir, ids[1]);
}

static int setup(void **state)
{
	char template[] = "/tmp/crisp-exit-test.XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(template));
	dir = xstrdup(template);
	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		id_new(ids[i]);
	return 0;
}

static int teardown(void **state)
{
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_int_equal(tree_remove(tmp, strrchr(dir, '/') + 1, NULL), 0);
	close(tmp);
	freep(&dir);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_watch),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
