/* What could not be undone of a creation: tried again with growing distances, and before its pod is removed.
 * A mount in the container's volatile folder is what keeps it from being undone here. */
#include "test/sandbox/state_dir.h"

#include "sandbox/store.h"

static char p1[ID_SIZE], c1[ID_SIZE];
static struct process pause_process;
static char *stuck, *folder;

static int setup(void **data)
{
	struct state_dir *state = state_dir_new();
	CLEANUP(freep) char *name = NULL;

	state_dir_id(p1, "1", 'a');
	state_dir_id(c1, "c1", '0');
	name = xasprintf("run/containers/%s/stuck", c1);
	stuck = state_dir_path(state, name);
	folder = xasprintf("root/containers/%s", c1);
	pause_process = state_dir_process();
	state_dir_add_pod(state, &(struct pod_on_disk){ .id = p1, .name = "web", .pause = &pause_process });
	state_dir_add_container(state,
				&(struct container_on_disk){ c1, p1, "one", "created", .no_state = true });
	state_dir_mkdir(state, name);
	assert_int_equal(mount("none", stuck, "tmpfs", 0, NULL), 0);
	state_dir_open(state);
	*data = state;
	return 0;
}

static int teardown(void **data)
{
	struct state_dir *state = *data;

	state_dir_close(state);
	state_dir_end_process(&pause_process);
	state_dir_free(state);
	freep(&stuck);
	freep(&folder);
	return 0;
}

/* All that is due so many seconds from now, to its end. */
static void retry_in(struct state_dir *state, int64_t seconds)
{
	leftovers_retry(state->sandboxes, clock_mono() + seconds * NS_PER_SEC);
	assert_true(pool_wait_quiet(state->pool, clock_deadline_in(60 * NS_PER_SEC)));
}

static void unstick(void)
{
	assert_int_equal(umount2(stuck, UMOUNT_NOFOLLOW), 0);
}

static void test_tried_again(void **data)
{
	struct state_dir *state = *data;

	/* The start has tried it once. */
	assert_true(pool_wait_quiet(state->pool, clock_deadline_in(60 * NS_PER_SEC)));
	assert_true(state_dir_has(state, folder));
	assert_int_equal(containers_count(state, NULL), 0);
	retry_in(state, 11); /* fails again: the next is due after 20 s */
	assert_true(state_dir_has(state, folder));
	unstick();
	retry_in(state, 11);
	assert_true(state_dir_has(state, folder));
	retry_in(state, 21);
	assert_false(state_dir_has(state, folder));
	assert_int_equal(map_len(&state->sandboxes->leftovers), 0);
}

static void test_distances_are_bounded(void **data)
{
	struct state_dir *state = *data;
	CLEANUP(freep) char *volatile_folder = xasprintf("run/containers/%s", c1);

	for (int i = 0; i < 12; i++)
		retry_in(state, 301);
	assert_true(state_dir_has(state, folder));
	unstick();
	retry_in(state, 301);
	assert_false(state_dir_has(state, folder));
	assert_false(state_dir_has(state, volatile_folder));
}

static void test_before_the_pod(void **data)
{
	struct state_dir *state = *data;
	struct err err = { 0 };

	assert_true(pool_wait_quiet(state->pool, clock_deadline_in(60 * NS_PER_SEC)));
	assert_int_equal(pod_remove(state->sandboxes, NULL, p1, &err), -1);
	assert_contains(err.text, "was not created");
	assert_int_equal(pods_count(state, NULL), 1);
	unstick();
	assert_ok(pod_remove(state->sandboxes, NULL, p1, &err));
	process_done(&pause_process); /* reaped */
	assert_int_equal(pods_count(state, NULL), 0);
	assert_false(state_dir_has(state, folder));
	assert_int_equal(map_len(&state->sandboxes->leftovers), 0);
}

/* crispd ends with it: the next one goes on. */
static void test_over_a_restart(void **data)
{
	struct state_dir *state = *data;

	state_dir_close(state);
	assert_true(state_dir_has(state, folder));
	unstick();
	state_dir_open(state);
	assert_true(pool_wait_quiet(state->pool, clock_deadline_in(60 * NS_PER_SEC)));
	assert_false(state_dir_has(state, folder));
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_tried_again),
		TEST(test_distances_are_bounded),
		TEST(test_before_the_pod),
		TEST(test_over_a_restart),
	};

	if (state_dir_isolate() < 0) {
		print_message("no namespaces of its own to be had here: skipped\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
