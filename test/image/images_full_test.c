/*
 * Lessons, faults 16 and 17: the store's disk is full, or has no inodes left. The store is on a small tmpfs,
 * in a mount namespace that the program makes before the first test, while it has one thread.
 */
#include "test/image/store_scene.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "test/image/tar_stream.h"

static int setup(void **state)
{
	struct scene *scene;
	CLEANUP(freep) char *root = NULL;

	scene_setup(state);
	scene = *state;
	images_free(scene->images);
	root = xasprintf("%s/root", scene->scratch.path);
	assert_int_equal(mount("none", root, "tmpfs", 0, "size=2m,nr_inodes=150"), 0);
	scene_open(scene);
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;
	CLEANUP(freep) char *root = xasprintf("%s/root", scene->scratch.path);

	images_free(scene->images);
	scene->images = NULL;
	assert_int_equal(umount2(root, MNT_DETACH), 0);
	return scene_teardown(state);
}

/* The base of team/app, and one layer that does not fit. */
static void build(struct scene *scene, const struct str *tar, struct fake_image *ret)
{
	const struct fake_layer layers[] = { { &scene->tars[0], FAKE_GZIP }, { tar, FAKE_GZIP } };

	fake_image_build(&scene->content, "team/large", "v1", "{}", layers, ARRAY_LEN(layers), ret);
}

static void check_full(struct scene *scene, const struct str *tar)
{
	struct fake_image large;
	struct image_fs_usage before, after;
	struct err err = { 0 };

	build(scene, tar, &large);
	assert_ok(images_usage(scene->images, &before, &err));
	free(before.mountpoint);
	for (int i = 0; i < 3; i++) {
		check_pull_fails(scene, "plain.test/team/large:v1", RPC_RESOURCE_EXHAUSTED, "No space left");
		assert_int_equal(count_images(scene) + count_files(scene, "layers"), 0);
		check_tmp_empties(scene);
	}
	assert_ok(images_usage(scene->images, &after, &err));
	free(after.mountpoint);
	assert_int_equal(after.used_bytes, before.used_bytes);
	assert_int_equal(after.inodes_used, before.inodes_used);

	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest); /* there is room again */
	check_pull_fails(scene, "plain.test/team/large:v1", RPC_RESOURCE_EXHAUSTED, "No space left");
	assert_ok(images_remove(scene->images, "plain.test/team/app:v1", &err));
	check_tmp_empties(scene);
	assert_int_equal(count_files(scene, "layers"), 0);
	scene_reopen(scene);
	assert_int_equal(count_images(scene), 0);
	fake_image_done(&large);
}

static void test_no_space(void **state)
{
	CLEANUP(str_done) struct str tar = STR_INIT;
	char *zeros = xcalloc(1, 4 << 20);

	tar_add(&tar, &(struct tar_member){ .name = "zeros", .data = zeros, .size = 4 << 20 });
	tar_end(&tar);
	free(zeros);
	check_full(*state, &tar);
}

static void test_no_inodes(void **state)
{
	CLEANUP(str_done) struct str tar = STR_INIT;

	for (int i = 0; i < 300; i++) {
		CLEANUP(freep) char *name = xasprintf("d%d/", i);

		tar_dir(&tar, name);
	}
	tar_end(&tar);
	check_full(*state, &tar);
}

/* Nothing can be written at all: what is there is served, and can be removed. */
static void test_removal_on_a_full_disk(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };
	CLEANUP(fd_closep) int fd = -1;
	char block[4096] = { 0 };

	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	fd = openat(scene->scratch.dir, "root/filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while (write(fd, block, sizeof(block)) > 0)
		;
	for (int i = 0; i < 150; i++) {
		CLEANUP(freep) char *name = xasprintf("root/filler%d", i);

		(void)!mknodat(scene->scratch.dir, name, S_IFIFO | 0600, 0);
	}
	assert_true(scene_has(scene, "plain.test/team/app:v1"));
	check_pull(scene, "plain.test/team/app:v1",
		   scene->app.config_digest); /* of the same: nothing to write */
	check_pull_fails(scene, "reg.test/team/app:v1", RPC_RESOURCE_EXHAUSTED, "No space left");
	assert_true(scene_has(scene, "plain.test/team/app:v1"));
	assert_ok(images_remove(scene->images, "plain.test/team/app:v1", &err));
	assert_int_equal(count_images(scene) + count_files(scene, "layers") + count_files(scene, "images"),
			 0);
	check_tmp_empties(scene);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_no_space),
		TEST(test_no_inodes),
		TEST(test_removal_on_a_full_disk),
	};

	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		fprintf(stderr, "this test needs root and its own mount namespace\n");
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
