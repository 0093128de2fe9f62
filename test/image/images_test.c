/* The store of images: names, removal, what stays in use, accounting, and what a restart makes of damage. */
#include "test/image/store_scene.h"

#include <pthread.h>
#include <sys/stat.h>

static void test_names(void **state)
{
	struct scene *scene = *state;
	const char *id = scene->app.config_digest;
	CLEANUP(freep) char *by_digest = xasprintf("plain.test/team/app@%s", scene->app.manifest_digest);
	CLEANUP(freep) char *both = xasprintf("plain.test/team/app:any@%s", scene->app.manifest_digest);
	CLEANUP(freep) char *elsewhere = xasprintf("other.test/team/app@%s", scene->app.manifest_digest);
	CLEANUP(freep) char *prefix = xstrndup(id + 7, 12);
	CLEANUP(freep) char *long_prefix = xstrndup(id, 20);
	CLEANUP(freep) char *short_prefix = xstrndup(id + 7, 2);
	struct image *image = NULL;
	struct err err = { 0 };

	check_pull(scene, "plain.test/team/app:v1", id);
	assert_true(scene_has(scene, id) && scene_has(scene, id + 7) && scene_has(scene, prefix) &&
		    scene_has(scene, long_prefix));
	assert_true(scene_has(scene, by_digest) && scene_has(scene, both));
	assert_true(scene_has(scene, "team/app:v1")); /* short, by the search list */
	assert_false(scene_has(scene, elsewhere) || scene_has(scene, short_prefix));
	assert_false(scene_has(scene, "plain.test/team/app") || scene_has(scene, "other.test/team/app:v1"));
	assert_fails(images_find(scene->images, "", &image, &err), RPC_INVALID_ARGUMENT);
	assert_fails(images_find(scene->images, "BAD NAME", &image, &err), RPC_INVALID_ARGUMENT);
	assert_fails(images_find(scene->images, "../../etc", &image, &err), RPC_INVALID_ARGUMENT);
}

static void test_several_tags(void **state)
{
	struct scene *scene = *state;
	struct fake_image same;
	struct err err = { 0 };

	scene_build(scene, "other/app", "x", "{\"User\":\"1002\",\"Env\":[\"A=1\"]}", LAYERS, &same);
	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	check_pull(scene, "plain.test/other/app:x", scene->app.config_digest);
	check_pull(scene, "reg.test/team/app:v1", scene->app.config_digest);
	scene_reopen(scene);
	CLEANUP(image_unrefp) struct image *image = scene_find(scene, scene->app.config_digest);

	assert_int_equal(image->repo_tags.len, 3);
	assert_int_equal(image->repo_digests.len, 3);
	assert_ok(images_remove(scene->images, "plain.test/other/app:x", &err));
	assert_int_equal(count_images(scene), 0);
	assert_false(scene_has(scene, "plain.test/team/app:v1") ||
		     scene_has(scene, scene->app.config_digest));
	assert_int_equal(count_files(scene, "images") + count_files(scene, "blobs/sha256"), 0);
	fake_image_done(&same);
}

static void test_tag_moves(void **state)
{
	struct scene *scene = *state;
	struct fake_image next;

	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	scene_build(scene, "team/app", "v1", "{\"User\":\"new\"}", 2, &next);
	check_pull(scene, "plain.test/team/app:v1", next.config_digest);
	for (int round = 0; round < 2; round++) {
		CLEANUP(image_unrefp) struct image *old = scene_find(scene, scene->app.config_digest);
		CLEANUP(image_unrefp) struct image *now = scene_find(scene, "plain.test/team/app:v1");

		assert_int_equal(old->repo_tags.len, 0);
		assert_int_equal(old->repo_digests.len, 1);
		assert_string_equal(now->id, next.config_digest);
		assert_int_equal(count_images(scene), 2);
		scene_reopen(scene);
	}
	fake_image_done(&next);
}

static void test_remove_keeps_shared(void **state)
{
	struct scene *scene = *state;
	struct fake_image small;
	struct image_fs_usage before, after, none;
	struct err err = { 0 };

	assert_ok(images_usage(scene->images, &none, &err));
	scene_build(scene, "team/small", "v1", "{}", 1, &small);
	check_pull(scene, "plain.test/team/small:v1", small.config_digest);
	assert_ok(images_usage(scene->images, &before, &err));
	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	assert_int_equal(scene_asked(scene, small.layer_digests.items[0]), 1);
	assert_int_equal(count_files(scene, "layers"), LAYERS);
	assert_ok(images_remove(scene->images, scene->app.config_digest, &err));
	assert_int_equal(count_files(scene, "layers"), 1);
	assert_ok(images_usage(scene->images, &after, &err));
	assert_int_equal(after.used_bytes, before.used_bytes);
	assert_int_equal(after.inodes_used, before.inodes_used);
	assert_true(before.used_bytes > none.used_bytes);
	assert_true(scene_has(scene, "plain.test/team/small:v1"));
	assert_ok(images_remove(scene->images, "plain.test/team/small:v1", &err));
	free(after.mountpoint);
	assert_ok(images_usage(scene->images, &after, &err));
	assert_int_equal(after.used_bytes, none.used_bytes);
	assert_int_equal(count_files(scene, "layers"), 0);
	check_tmp_empties(scene);
	free(before.mountpoint);
	free(after.mountpoint);
	free(none.mountpoint);
	fake_image_done(&small);
}

static void test_remove_unknown(void **state)
{
	struct scene *scene = *state;
	CLEANUP(freep) char *zeros = xasprintf("%064d", 0);
	struct err err = { 0 };

	assert_ok(images_remove(scene->images, zeros, &err));
	assert_ok(images_remove(scene->images, "plain.test/nothing:x", &err));
	assert_ok(images_remove(scene->images, "sha256:abcdef", &err));
	assert_fails(images_remove(scene->images, "", &err), RPC_INVALID_ARGUMENT);
}

static void test_layer_in_use(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	CLEANUP(image_unrefp) struct image *image = scene_find(scene, scene->app.config_digest);

	snprintf(scene->in_use, sizeof(scene->in_use), "%s", image->layers.items[0]);
	image = image_unref(image);
	assert_ok(images_remove(scene->images, scene->app.config_digest, &err));
	assert_int_equal(count_files(scene, "layers"), 1);
	scene->in_use[0] = '\0';
	images_collect(scene->images);
	assert_int_equal(count_files(scene, "layers"), 0);
}

/* A container that is just being made holds a reference, and nothing else yet. */
static void test_referenced_image(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	struct image *image = scene_find(scene, scene->app.config_digest);

	assert_ok(images_remove(scene->images, scene->app.config_digest, &err));
	assert_false(scene_has(scene, scene->app.config_digest));
	assert_int_equal(count_files(scene, "layers"), LAYERS);
	image_unref(image);
	images_collect(scene->images);
	assert_int_equal(count_files(scene, "layers"), 0);
}

static void refuse_newer(struct scene *scene, const char *file)
{
	CLEANUP(freep) char *kept = NULL;
	struct err err = { 0 };

	assert_ok(file_read(scene->scratch.dir, file, 1024 * 1024, &kept, NULL, &err));
	images_free(scene->images);
	put_file(scene->scratch.dir, file, "{\"later\":[],\"version\":2}");
	assert_fails(scene_try_open(scene, &err), RPC_FAILED_PRECONDITION);
	assert_contains(err.text, "newer crisp");
	put_file(scene->scratch.dir, file, kept);
	scene_open(scene);
	assert_int_equal(images_warnings(scene->images)->len, 0);
	assert_int_equal(count_images(scene), 1);
	assert_int_equal(count_files(scene, "layers"), LAYERS);
}

static void test_newer(void **state)
{
	struct scene *scene = *state;
	CLEANUP(freep) char *record = xasprintf("root/images/%s.json", scene->app.config_digest + 7);

	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	struct image *image = scene_find(scene, scene->app.config_digest);
	CLEANUP(freep) char *layer = xasprintf("root/layers/%s/layer.json", image->layers.items[0] + 7);
	image_unref(image);
	refuse_newer(scene, record);
	refuse_newer(scene, layer);
}

static void test_quarantine(void **state)
{
	struct scene *scene = *state;
	CLEANUP(freep) char *record = xasprintf("root/images/%s.json", scene->app.config_digest + 7);
	CLEANUP(freep) char *blob = xasprintf("root/blobs/sha256/%s", scene->app.config_digest + 7);

	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	images_free(scene->images);
	put_file(scene->scratch.dir, record, "{\"version\":1,");
	scene_open(scene);
	assert_int_equal(count_images(scene), 0);
	assert_int_equal(images_warnings(scene->images)->len, 1);
	assert_int_equal(count_files(scene, "quarantine"), 1);
	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	images_free(scene->images);
	put_file(scene->scratch.dir, blob, "{}");
	scene_open(scene);
	assert_int_equal(images_warnings(scene->images)->len, 1);
	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	assert_int_equal(count_images(scene), 1);
	assert_int_equal(scene_asked(scene, scene->app.layer_digests.items[0]),
			 1); /* the layers were good all the time */
}

/* A layer that is gone makes the image vanish, and a pull brings only that layer. */
static void test_missing_layer(void **state)
{
	struct scene *scene = *state;
	CLEANUP(image_unrefp) struct image *image = NULL;
	CLEANUP(freep) char *layer = NULL;
	CLEANUP(fd_closep) int dir = -1;
	CLEANUP(strv_done) struct strv dirs = STRV_INIT;
	struct err err = { 0 };

	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	image = scene_find(scene, scene->app.config_digest);
	layer = xstrdup(image->layers.items[1] + 7);
	dir = openat(scene->scratch.dir, "root/layers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_ok(tree_remove(dir, layer, &err));
	assert_fails(images_layer_dirs(scene->images, image, &dirs, &err), RPC_DATA_LOSS);
	image = image_unref(image);
	scene_reopen(scene);
	assert_int_equal(count_images(scene), 0);
	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	assert_int_equal(scene_asked(scene, scene->app.layer_digests.items[0]), 1);
	assert_int_equal(scene_asked(scene, scene->app.layer_digests.items[1]), 2);
}

/* What a crash leaves behind. */
static void test_sweep(void **state)
{
	struct scene *scene = *state;
	CLEANUP(freep) char *hex = xasprintf("root/layers/%064d", 0);

	images_free(scene->images);
	assert_int_equal(mkdirat(scene->scratch.dir, "root/tmp/layer-x", 0700), 0);
	put_file(scene->scratch.dir, "root/tmp/layer-x/file", "x");
	put_file(scene->scratch.dir, "root/images/.x.json.new", "x");
	assert_int_equal(mkdirat(scene->scratch.dir, hex, 0700), 0);
	scene_open(scene);
	assert_int_equal(
		count_files(scene, "tmp") + count_files(scene, "layers") + count_files(scene, "images"), 0);
}

static void test_reload(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	put_file(scene->scratch.dir, "registries.conf",
		 "[[registry]]\nprefix = \"plain.test\"\nblocked = true\n");
	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	assert_ok(images_reload(scene->images, scene->config, &err));
	check_pull_fails(scene, "plain.test/team/app:v1", RPC_PERMISSION_DENIED, "");
	put_file(scene->scratch.dir, "registries.conf", "nonsense");
	assert_fails(images_reload(scene->images, scene->config, &err), RPC_INVALID_ARGUMENT);
	check_pull_fails(scene, "plain.test/team/app:v1", RPC_PERMISSION_DENIED, "");
}

static void *remove_all(void *data)
{
	struct scene *scene = data;
	struct err err = { 0 };

	for (int i = 0; i < 20; i++) {
		if (images_remove(scene->images, scene->app.config_digest, &err) < 0)
			return scene;
		images_collect(scene->images);
		usleep(2000);
	}
	return NULL;
}

/* Lessons, fault 37: an image that a pull has answered is whole, whatever is removed meanwhile. */
static void test_remove_against_pull(void **state)
{
	struct scene *scene = *state;
	pthread_t thread;
	void *failed;

	assert_int_equal(pthread_create(&thread, NULL, remove_all, scene), 0);
	for (int i = 0; i < 20; i++) {
		CLEANUP(image_unrefp) struct image *image = NULL;
		CLEANUP(strv_done) struct strv dirs = STRV_INIT;
		struct err err = { 0 };

		check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
		image = scene_find(scene, scene->app.config_digest);
		if (image)
			assert_ok(images_layer_dirs(scene->images, image, &dirs, &err));
	}
	pthread_join(thread, &failed);
	assert_null(failed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_names),
		TEST(test_several_tags),
		TEST(test_tag_moves),
		TEST(test_remove_keeps_shared),
		TEST(test_remove_unknown),
		TEST(test_layer_in_use),
		TEST(test_referenced_image),
		TEST(test_newer),
		TEST(test_quarantine),
		TEST(test_missing_layer),
		TEST(test_sweep),
		TEST(test_reload),
		TEST(test_remove_against_pull),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
