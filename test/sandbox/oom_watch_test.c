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

/* A file of a cgroup that is gone cannot be read any more, as this one, which is empty. */
static void goes(const char *path)
{
	assert_int_equal(truncate(path, 0), 0);
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
	goes(one);
	assert_true(oom_watch_killed(first, false));
	assert_false(oom_watch_killed(second, false));
	goes(two);
	assert_false(oom_watch_killed(second, false));
	unlink(one);
	unlink(two);
	assert_null(oom_watch_drop(first));
	assert_null(oom_watch_drop(second));
}

enum { SCOPES = 3 };

/* A slice with scopes in it, all watched; the slice has counted three kills before. */
static struct slice {
	char *events;
	char *dirs[SCOPES], *files[SCOPES];
	struct oom_watched *watched[SCOPES];
} slice;

static int slice_setup(void **state)
{
	setup(state);
	slice.events = events_file("memory.events", 3);
	for (int i = 0; i < SCOPES; i++) {
		CLEANUP(freep) char *name = xasprintf("%d.scope/memory.events", i);

		slice.dirs[i] = xasprintf("%s/%d.scope", f.dir, i);
		assert_int_equal(mkdir(slice.dirs[i], 0700), 0);
		slice.files[i] = events_file(name, 0);
		assert_non_null(slice.watched[i] = oom_watch_add(f.watch, slice.files[i]));
	}
	return 0;
}

static int slice_teardown(void **state)
{
	for (int i = 0; i < SCOPES; i++) {
		oom_watch_drop(slice.watched[i]);
		unlink(slice.files[i]);
		rmdir(slice.dirs[i]);
		free(slice.files[i]);
		free(slice.dirs[i]);
	}
	unlink(slice.events);
	free(slice.events);
	return teardown(state);
}

static void slice_counts(unsigned kills)
{
	free(events_file("memory.events", kills));
}

/* The slice counts for all; a kill that one of them is known for is not another's. */
static void test_told_by_the_one_above(void **state)
{
	(void)state;
	slice_counts(4);
	goes(slice.files[0]);
	goes(slice.files[1]);
	assert_false(oom_watch_killed(slice.watched[0], false)); /* somebody else's SIGKILL */
	assert_true(oom_watch_killed(slice.watched[0], true));
	assert_true(oom_watch_killed(slice.watched[0], true));
	assert_false(oom_watch_killed(slice.watched[1], true));
	slice_counts(5);
	assert_true(oom_watch_killed(slice.watched[1], true));
	assert_false(oom_watch_killed(slice.watched[2], true)); /* it is there, and says no */
	goes(slice.files[2]);
	assert_false(oom_watch_killed(slice.watched[2], true));
}

/* Two at once, of which the slice tells before anybody has looked. */
static void test_two_at_once(void **state)
{
	(void)state;
	slice_counts(5);
	for (int i = 0; i < SCOPES; i++)
		goes(slice.files[i]);
	assert_true(oom_watch_killed(slice.watched[0], true));
	assert_true(oom_watch_killed(slice.watched[1], true));
	assert_false(oom_watch_killed(slice.watched[2], true));
}

/* Kills that a sibling survives, again and again, are its own. */
static void test_a_sibling_lives_on(void **state)
{
	(void)state;
	for (unsigned kills = 1; kills <= 3; kills++) {
		slice_counts(3 + kills);
		free(events_file("0.scope/memory.events", kills));
		sleep_ms(300); /* the loop reads it */
	}
	goes(slice.files[1]);
	assert_false(oom_watch_killed(slice.watched[1], true));
	assert_true(oom_watch_killed(slice.watched[0], true));
}

/* A child of a sibling was killed, and the sibling has ended by itself. */
static void test_a_sibling_ends_by_itself(void **state)
{
	(void)state;
	slice_counts(4);
	goes(slice.files[0]);
	assert_false(oom_watch_killed(slice.watched[0], false));
	goes(slice.files[1]);
	assert_false(oom_watch_killed(slice.watched[1], true));
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
	assert_null(oom_watch_add(NULL, path));
	assert_null(oom_watch_add(f.watch, path));
	assert_null(oom_watch_drop(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_seen_before_the_file_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_told_by_the_one_above, slice_setup, slice_teardown),
		cmocka_unit_test_setup_teardown(test_two_at_once, slice_setup, slice_teardown),
		cmocka_unit_test_setup_teardown(test_a_sibling_lives_on, slice_setup, slice_teardown),
		cmocka_unit_test_setup_teardown(test_a_sibling_ends_by_itself, slice_setup, slice_teardown),
		cmocka_unit_test_setup_teardown(test_what_happened_before, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_to_watch, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
