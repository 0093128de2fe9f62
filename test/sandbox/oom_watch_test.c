/* Files that change as memory.events does; the real one is in integration/tests/40-container.bats. */
#include "sandbox/oom_watch.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test/base/check.h"

static struct fixture {
	struct loop *loop;
	struct oom_watch *watch;
	pthread_t thread;
	char dir[64];
} f;

static void *run(void *data)
{
	struct err err = { 0 };

	assert_ok(loop_run(data, &err));
	return NULL;
}

static int setup(void **state)
{
	struct err err = { 0 };

	(void)state;
	snprintf(f.dir, sizeof(f.dir), "/tmp/crisp-oom.XXXXXX");
	assert_non_null(mkdtemp(f.dir));
	assert_non_null(f.loop = loop_new(&err));
	assert_non_null(f.watch = oom_watch_new(f.loop, &err));
	assert_int_equal(pthread_create(&f.thread, NULL, run, f.loop), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	loop_stop(f.loop);
	pthread_join(f.thread, NULL);
	oom_watch_free(f.watch);
	loop_free(f.loop);
	rmdir(f.dir);
	return 0;
}

static char *events_file(const char *name, unsigned kills)
{
	char *path = xasprintf("%s/%s", f.dir, name);
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fprintf(file, "low 0\nhigh 3\nmax 7\noom 1\noom_kill %u\noom_group_kill 0\n", kills);
	fclose(file);
	return path;
}

static void sleep_ms(int ms)
{
	usleep((useconds_t)ms * 1000);
}

static void test_seen_before_the_file_goes(void **state)
{
	CLEANUP(freep) char *one = events_file("one", 0);
	CLEANUP(freep) char *two = events_file("two", 0);
	struct oom_watched *first = oom_watch_add(f.watch, one);
	struct oom_watched *second = oom_watch_add(f.watch, two);

	(void)state;
	assert_non_null(first);
	assert_non_null(second);
	assert_false(oom_watch_killed(first, false));
	free(events_file("one", 2));
	sleep_ms(1000); /* the loop reads it */
	unlink(one);
	assert_true(oom_watch_killed(first, false));
	assert_false(oom_watch_killed(second, false));
	unlink(two);
	assert_false(oom_watch_killed(second, false));
	assert_null(oom_watch_drop(first));
	assert_null(oom_watch_drop(second));
}

/* The one above counts for both; a kill that one of them is known for is not the other's. */
static void test_told_by_the_one_above(void **state)
{
	CLEANUP(freep) char *above = events_file("memory.events", 3);
	CLEANUP(freep)
	char *one_dir = xasprintf("%s/one.scope", f.dir), *two_dir = xasprintf("%s/two.scope", f.dir);

	(void)state;
	assert_int_equal(mkdir(one_dir, 0700) + mkdir(two_dir, 0700), 0);
	CLEANUP(freep) char *one = events_file("one.scope/memory.events", 0);
	CLEANUP(freep) char *two = events_file("two.scope/memory.events", 0);
	struct oom_watched *first = oom_watch_add(f.watch, one), *second = oom_watch_add(f.watch, two);

	free(events_file("memory.events", 4));
	assert_false(oom_watch_killed(first, true)); /* it is there, and says no */
	unlink(one);
	unlink(two);
	assert_false(oom_watch_killed(first, false));
	assert_true(oom_watch_killed(first, true));
	assert_false(oom_watch_killed(second, true));
	free(events_file("memory.events", 5));
	assert_true(oom_watch_killed(second, true));
	oom_watch_drop(first);
	oom_watch_drop(second);
	unlink(above);
	rmdir(one_dir);
	rmdir(two_dir);
}

static void test_what_happened_before(void **state)
{
	CLEANUP(freep) char *path = events_file("old", 1);
	struct oom_watched *watched = oom_watch_add(f.watch, path);

	(void)state;
	assert_true(oom_watch_killed(watched, false));
	oom_watch_drop(watched);
	unlink(path);
}

static void test_nothing_to_watch(void **state)
{
	CLEANUP(freep) char *path = xasprintf("%s/no-such/memory.events", f.dir);

	(void)state;
	assert_null(oom_watch_add(f.watch, NULL));
	assert_null(oom_watch_add(f.watch, path));
	assert_null(oom_watch_drop(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_seen_before_the_file_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_told_by_the_one_above, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_happened_before, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_to_watch, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
