/* State that cannot be read: that one object is moved away with a warning, and what it may still run on is
 * kept. */
#include "test/sandbox/state_dir.h"

static char p1[ID_SIZE], p2[ID_SIZE], c1[ID_SIZE], c2[ID_SIZE], c3[ID_SIZE], c4[ID_SIZE];

static int setup(void **state)
{
	state_dir_id(p1, "1", 'a');
	state_dir_id(p2, "2", 'a');
	state_dir_id(c1, "c1", '0');
	state_dir_id(c2, "c2", '0');
	state_dir_id(c3, "c3", '0');
	state_dir_id(c4, "c4", '0');
	*state = state_dir_new();
	return 0;
}

static int teardown(void **state)
{
	state_dir_free(*state);
	return 0;
}

static void assert_quarantined(const struct state_dir *state, const char *kind, const char *id)
{
	CLEANUP(freep) char *place = xasprintf("root/%ss/%s", kind, id);
	CLEANUP(freep) char *name = xasprintf("root/quarantine/%s-%s", kind, id);

	if (!state_dir_warned(state, id))
		fail_msg("no warning of %s %s", kind, id);
	if (state_dir_has(state, place) || !state_dir_has(state, name))
		fail_msg("%s %s was not moved away", kind, id);
}

static void test_damaged_pods(void **data)
{
	static const struct {
		const char *file, *content, *why;
	} damages[] = {
		{ "config.json", "{\"version\":1,\"createdAt\":5,\"reque", "" },
		{ "config.json", "", "" },
		{ "config.json", "{\"version\":1,\"createdAt\":5,\"request\":{}}", "metadata" },
		{ "config.json", "{\"version\":1,\"createdAt\":5,\"request\":{\"config\":7}}", "" },
		{ "state.json", "{\"version\":1,\"bootId\":\"b\",\"ready\":tru", "" },
		{ "state.json", "[]", "" },
	};
	struct state_dir *state = *data;
	char ids[ARRAY_LEN(damages)][ID_SIZE];

	state_dir_add_pod(state, &(struct pod_on_disk){ .id = p2, .name = "fine" });
	for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
		state_dir_id(ids[i], "b", (char)('0' + i));
		state_dir_add_pod(state, &(struct pod_on_disk){ .id = ids[i], .name = "bad" });
		state_dir_damage(state, "pods", ids[i], damages[i].file, damages[i].content);
	}
	state_dir_open(state);
	assert_int_equal(pods_count(state, NULL), 1);
	assert_int_equal(sandboxes_warnings(state->sandboxes)->len, ARRAY_LEN(damages));
	for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
		assert_quarantined(state, "pod", ids[i]);
		assert_true(state_dir_warned(state, damages[i].why));
	}
	state_dir_close(state);
	state_dir_open(state); /* once is enough */
	state_dir_assert_no_warnings(state);
	assert_int_equal(pods_count(state, NULL), 1);
	state_dir_close(state);
}

static void test_zeroed(void **data)
{
	struct state_dir *state = *data;
	CLEANUP(freep) char *name = xasprintf("root/pods/%s/state.json", p1);
	struct stat st;

	state_dir_add_pod(state, &(struct pod_on_disk){ .id = p1, .name = "web" });
	int fd = openat(state->scratch.dir, name, O_RDWR | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(ftruncate(fd, 0), 0); /* the same length of zeros, as some file systems leave it */
	assert_int_equal(ftruncate(fd, st.st_size), 0);
	close(fd);
	state_dir_open(state);
	assert_int_equal(pods_count(state, NULL), 0);
	assert_quarantined(state, "pod", p1);
	state_dir_close(state);
}

static void test_damaged_containers(void **data)
{
	struct state_dir *state = *data;

	state_dir_add_pod(state, &(struct pod_on_disk){ .id = p1, .name = "web" });
	state_dir_add_container(state, &(struct container_on_disk){ c1, p1, "one", "exited" });
	state_dir_add_container(state, &(struct container_on_disk){ c2, p1, "two", "exited" });
	state_dir_add_container(state, &(struct container_on_disk){ c3, p1, "three", "exited" });
	state_dir_add_container(state, &(struct container_on_disk){ c4, p2, "four", "exited" });
	state_dir_damage(state, "containers", c2, "config.json", "{\"version\":1");
	state_dir_damage(state, "containers", c3, "state.json",
			 "{\"version\":1,\"bootId\":7,\"state\":\"x\"}");
	state_dir_open(state);
	assert_int_equal(containers_count(state, NULL), 1);
	assert_int_equal(container_status_of(state, c1)->exit_code, 42);
	assert_int_equal(sandboxes_warnings(state->sandboxes)->len, 3);
	assert_quarantined(state, "container", c2);
	assert_quarantined(state, "container", c3);
	assert_quarantined(state, "container", c4); /* nobody's */
	assert_true(state_dir_warned(state, "pod sandbox is not there"));
	state_dir_close(state);
}

static void test_junk(void **data)
{
	struct state_dir *state = *data;
	CLEANUP(freep) char *file = xasprintf("root/pods/%s", p1);

	state_dir_mkdir(state, "root/pods/lost+found");
	state_dir_mkdir(state, "root/containers/ABCDEF");
	state_dir_put(state, "root/pods/.note", "junk");
	state_dir_put(state, file, "a file where a directory should be");
	state_dir_add_container(state, &(struct container_on_disk){ c1, p2, "one", "exited" });
	CLEANUP(freep) char *lost = xasprintf("root/containers/%s/config.json", c1);
	assert_int_equal(unlinkat(state->scratch.dir, lost, 0), 0); /* a state, so it was whole once */
	state_dir_add_pod(state, &(struct pod_on_disk){ .id = p2, .name = "fine" });
	state_dir_open(state);
	assert_int_equal(pods_count(state, NULL), 1);
	assert_quarantined(state, "pod", "lost+found");
	assert_quarantined(state, "pod", ".note");
	assert_quarantined(state, "pod", p1);
	assert_quarantined(state, "container", "ABCDEF");
	assert_quarantined(state, "container", c1);
	state_dir_close(state);
}

static void test_advice(void **data)
{
	struct state_dir *state = *data;
	CLEANUP(freep) char *delete = xasprintf("delete --force %s`", c1);
	CLEANUP(freep) char *unmount = xasprintf("/root/quarantine/container-%s/rootfs`", c1);
	CLEANUP(freep) char *remove = xasprintf("/root/quarantine/pod-%s`", p1);

	state_dir_add_pod(state, &(struct pod_on_disk){ .id = p1, .name = "web" });
	state_dir_add_container(state, &(struct container_on_disk){ c1, p1, "one", "running" });
	state_dir_damage(state, "pods", p1, "state.json", "{");
	state_dir_damage(state, "containers", c1, "state.json", "{");
	state_dir_open(state);
	assert_true(state_dir_warned(state, delete));
	assert_true(state_dir_warned(state, unmount));
	assert_true(state_dir_warned(state, remove));
	state_dir_close(state);
}

static bool in_use(struct state_dir *state, const char *layer)
{
	return sandboxes_layer_in_use(&state->sandboxes, layer);
}

static void remove_from_quarantine(const struct state_dir *state, const char *id)
{
	CLEANUP(freep) char *name = xasprintf("container-%s", id);
	CLEANUP(fd_closep)
	int dir = openat(state->scratch.dir, "root/quarantine", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct err err = { 0 };

	assert_ok(tree_remove(dir, name, &err));
}

static void test_layers_stay_while_in_quarantine(void **data)
{
	struct state_dir *state = *data;

	state_dir_add_pod(state, &(struct pod_on_disk){ .id = p1, .name = "web" });
	state_dir_add_container(state, &(struct container_on_disk){ c1, p1, "one", "running" });
	state_dir_damage(state, "containers", c1, "state.json", "{");
	state_dir_open(state);
	assert_int_equal(containers_count(state, NULL), 0);
	assert_true(in_use(state, "sha256:layer"));
	assert_false(in_use(state, "sha256:other"));
	state_dir_close(state);
	state_dir_open(state); /* also for the next crispd */
	assert_true(in_use(state, "sha256:layer"));
	remove_from_quarantine(state, c1);
	assert_false(in_use(state, "sha256:layer")); /* without a restart */
	state_dir_close(state);
}

/* config.json, where its layers are named, is what cannot be read. */
static void test_all_layers_stay_for_a_mounted_unknown(void **data)
{
	struct state_dir *state = *data;
	CLEANUP(freep) char *name = xasprintf("root/containers/%s/rootfs", c1);
	CLEANUP(freep) char *rootfs = state_dir_path(state, name);
	CLEANUP(freep)
	char *moved = xasprintf("%s/root/quarantine/container-%s/rootfs", state->scratch.path, c1);

	state_dir_add_pod(state, &(struct pod_on_disk){ .id = p1, .name = "web" });
	state_dir_add_container(state, &(struct container_on_disk){ c1, p1, "one", "running" });
	state_dir_mkdir(state, name);
	assert_int_equal(mount("none", rootfs, "tmpfs", 0, NULL), 0);
	state_dir_damage(state, "containers", c1, "config.json", "{");
	state_dir_open(state);
	assert_true(in_use(state, "sha256:layer"));
	assert_true(in_use(state, "sha256:other"));
	assert_int_equal(umount2(moved, UMOUNT_NOFOLLOW), 0);
	assert_false(in_use(state, "sha256:layer"));
	state_dir_close(state);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_damaged_pods),
		TEST(test_zeroed),
		TEST(test_damaged_containers),
		TEST(test_junk),
		TEST(test_advice),
		TEST(test_layers_stay_while_in_quarantine),
		TEST(test_all_layers_stay_for_a_mounted_unknown),
	};

	if (state_dir_isolate() < 0) {
		print_message("no namespaces of its own to be had here: skipped\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
