/* What the background puts right: an end that nobody was told of, names without a record, a mount in the
 * trash. */
#include "test/sandbox/state_dir.h"

#include "sandbox/store.h"

static char p1[ID_SIZE], stray[ID_SIZE], aside[ID_SIZE];
static struct process pause_process;

static int setup(void **data)
{
	struct state_dir *state = state_dir_new();

	state_dir_id(p1, "1", 'a');
	state_dir_id(stray, "5", 'e');
	state_dir_id(aside, "9", 'e');
	pause_process = state_dir_process();
	state_dir_add_pod(state, &(struct pod_on_disk){ .id = p1, .name = "web", .pause = &pause_process });
	*data = state;
	return 0;
}

static int teardown(void **data)
{
	struct state_dir *state = *data;

	state_dir_close(state);
	state_dir_end_process(&pause_process);
	state_dir_free(state);
	return 0;
}

/* All that is due so many seconds from now, to its end. */
static void look_in(struct state_dir *state, int64_t seconds)
{
	assert_true(pool_wait_quiet(state->pool, clock_deadline_in(60 * NS_PER_SEC)));
	reconciler_look(state->sandboxes->reconciler, clock_mono() + seconds * NS_PER_SEC);
	assert_true(pool_wait_quiet(state->pool, clock_deadline_in(60 * NS_PER_SEC)));
}

static void make(const struct state_dir *state, const char *folder, const char *id)
{
	CLEANUP(freep) char *name = xasprintf("%s/%s/below", folder, id);

	state_dir_mkdir(state, name);
}

static bool has(const struct state_dir *state, const char *folder, const char *id)
{
	CLEANUP(freep) char *name = xasprintf("%s/%s", folder, id);

	return state_dir_has(state, name);
}

static void mount_at(const struct state_dir *state, const char *folder, const char *id, const char *name)
{
	CLEANUP(freep) char *at = xasprintf("%s/%s/%s", folder, id, name);
	CLEANUP(freep) char *path = state_dir_path(state, at);

	state_dir_mkdir(state, at);
	assert_int_equal(mount("none", path, "tmpfs", 0, NULL), 0);
}

static const char *const folders[] = { "run/ns", "run/pods", "run/containers", "run/attach" };

static void test_strays_at_the_start(void **data)
{
	struct state_dir *state = *data;

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		make(state, folders[i], stray);
		make(state, folders[i], p1); /* has a record, as a pod */
		make(state, folders[i], "some-other-name");
	}
	mount_at(state, "run/pods", stray, "shm");
	make(state, "root/quarantine", "pod-none");
	state_dir_open(state);
	look_in(state, 0);
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		assert_false(has(state, folders[i], stray));
		assert_true(has(state, folders[i], "some-other-name"));
	}
	assert_true(has(state, "run/ns", p1));
	assert_true(has(state, "run/pods", p1));
	assert_false(has(state, "run/containers", p1)); /* no container of that id */
}

static void test_strays_later(void **data)
{
	struct state_dir *state = *data;
	CLEANUP(freep) char *kept = xasprintf("pod-%s", aside);

	state_dir_open(state);
	look_in(state, 0);
	make(state, "run/ns", stray);
	make(state, "run/ns", aside);
	make(state, "root/quarantine", kept);
	look_in(state, 30); /* not yet due */
	assert_true(has(state, "run/ns", stray));
	look_in(state, 61);
	assert_false(has(state, "run/ns", stray));
	assert_true(has(state, "run/ns", aside));
}

/* The loop does not run here: nobody is told of the end. */
static void test_unnoticed_end(void **data)
{
	struct state_dir *state = *data;

	state_dir_open(state);
	look_in(state, 0);
	assert_int_equal(pod_status_of(state, p1)->state, CRI__POD_SANDBOX_STATE__SANDBOX_READY);
	state_dir_end_process(&pause_process);
	look_in(state, 61);
	assert_int_equal(pod_status_of(state, p1)->state, CRI__POD_SANDBOX_STATE__SANDBOX_NOTREADY);
}

static bool saved_as_stopped(const struct state_dir *state, const char *id)
{
	CLEANUP(freep) char *name = xasprintf("root/pods/%s/state.json", id);
	CLEANUP(freep) char *text = NULL;
	struct err err = { 0 };

	assert_ok(file_read(state->scratch.dir, name, 65536, &text, NULL, &err));
	return strstr(text, "\"stopped\":true") != NULL;
}

/* A stop that failed before crispd went away is tried again by the next one, and nobody else is stopped. */
static void test_failed_stop_before_the_start(void **data)
{
	struct state_dir *state = *data;
	char ready[ID_SIZE];

	state_dir_id(ready, "2", 'a');
	state_dir_add_pod(state, &(struct pod_on_disk){ .id = stray, .name = "half", .not_ready = true });
	state_dir_add_pod(state, &(struct pod_on_disk){ .id = ready, .name = "died" }); /* its pause has */
	make(state, "run/pods", stray);
	state_dir_open(state);
	look_in(state, 0);
	assert_true(saved_as_stopped(state, stray));
	assert_false(has(state, "run/pods", stray));
	assert_false(saved_as_stopped(state, ready));
	assert_false(saved_as_stopped(state, p1));
	assert_int_equal(pod_status_of(state, ready)->state, CRI__POD_SANDBOX_STATE__SANDBOX_NOTREADY);
	assert_int_equal(pod_status_of(state, p1)->state, CRI__POD_SANDBOX_STATE__SANDBOX_READY);
}

static void test_trash(void **data)
{
	struct state_dir *state = *data;
	CLEANUP(freep) char *other = xasprintf("%s/root/trash/%s/elsewhere", state->scratch.path, stray);

	mount_at(state, "root/trash", stray, "rootfs");
	mount_at(state, "root/trash", stray, "elsewhere");
	state_dir_open(state);
	look_in(state, 0);
	look_in(state, 61);
	assert_true(has(state, "root/trash", stray));
	assert_int_equal(umount2(other, UMOUNT_NOFOLLOW), 0);
	look_in(state, 1); /* after a failure the next try has a distance of its own */
	assert_true(has(state, "root/trash", stray));
	look_in(state, 301);
	assert_false(has(state, "root/trash", stray));
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_strays_at_the_start),          TEST(test_strays_later), TEST(test_unnoticed_end),
		TEST(test_failed_stop_before_the_start), TEST(test_trash),
	};

	if (state_dir_isolate() < 0) {
		print_message("no namespaces of its own to be had here: skipped\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
