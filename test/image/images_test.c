/* The store of images: names, removal, what stays in use, accounting, and what a restart makes of damage. */
#include "test/image/store_scene.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "image/pinned.h"
#include "test/image/fake_sync.h"

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
	scene_reopen(scene);
	images_collect(scene->images);
	images_release(scene->images); /* of some other container */
	assert_true(pool_wait_quiet(scene->pool, NO_DEADLINE));
	assert_int_equal(count_files(scene, "layers"), 1);
	scene->in_use[0] = '\0';
	images_release(scene->images);
	for (int i = 0; i < 10000 && count_files(scene, "layers") > 0; i++)
		usleep(1000);
	assert_int_equal(count_files(scene, "layers"), 0);
	images_release(scene->images);
	images_release(NULL);
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
	images_release(scene->images);
	for (int i = 0; i < 10000 && count_files(scene, "layers") > 0; i++)
		usleep(1000);
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
	images_collect(scene->images);
	assert_int_equal(count_files(scene, "layers") + count_files(scene, "images"), 0);
	check_tmp_empties(scene);
}

/* The same damage, found by a container: the image is not listed any more, so the kubelet pulls it. */
static void test_missing_layer_in_use(void **state)
{
	struct scene *scene = *state;
	CLEANUP(image_unrefp) struct image *image = NULL;
	CLEANUP(fd_closep)
	int dir = openat(scene->scratch.dir, "root/layers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(strv_done) struct strv dirs = STRV_INIT;
	struct err err = { 0 };

	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	image = scene_find(scene, scene->app.config_digest);
	assert_ok(tree_remove(dir, image->layers.items[1] + 7, &err));
	assert_fails(images_layer_dirs(scene->images, image, &dirs, &err), RPC_DATA_LOSS);
	assert_int_equal(count_images(scene), 0);
	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	assert_int_equal(scene_asked(scene, scene->app.layer_digests.items[0]), 1);
	assert_int_equal(scene_asked(scene, scene->app.layer_digests.items[1]), 2);
	image = image_unref(image);
	image = scene_find(scene, "plain.test/team/app:v1");
	assert_ok(images_layer_dirs(scene->images, image, &dirs, &err));
	assert_int_equal(dirs.len, LAYERS);
}

static struct stat record_of(struct scene *scene)
{
	CLEANUP(freep) char *record = xasprintf("root/images/%s.json", scene->app.config_digest + 7);
	struct stat st;

	assert_int_equal(fstatat(scene->scratch.dir, record, &st, 0), 0);
	return st;
}

/* imagePullPolicy Always: nothing new, nothing written, and above all no sync of the whole disk. */
static void test_pull_of_the_same(void **state)
{
	struct scene *scene = *state;
	struct stat first, second;

	syncs = 0;
	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	assert_int_equal(syncs, 1);
	first = record_of(scene);
	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	second = record_of(scene);
	assert_int_equal(syncs, 1);
	assert_int_equal(first.st_ino, second.st_ino);
	check_pull(scene, "reg.test/team/app:v1", scene->app.config_digest); /* a name more */
	second = record_of(scene);
	assert_int_equal(syncs, 1);
	assert_int_not_equal(first.st_ino, second.st_ino);
	scene_reopen(scene);
	assert_true(scene_has(scene, "reg.test/team/app:v1"));
}

/* Lessons, fault 21: what was not synced is fetched again, not synced again. */
static void test_sync_fails(void **state)
{
	struct scene *scene = *state;

	sync_fails = true;
	check_pull_fails(scene, "plain.test/team/app:v1", RPC_DATA_LOSS, "sync");
	sync_fails = false;
	assert_int_equal(count_images(scene) + count_files(scene, "images") + count_files(scene, "layers"),
			 0);
	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	for (size_t i = 0; i < LAYERS; i++)
		assert_int_equal(scene_asked(scene, scene->app.layer_digests.items[i]), 2);
}

static void test_pinned_patterns(void **state UNUSED)
{
	static const struct {
		const char *pattern, *name;
		bool matches;
	} cases[] = {
		{ "a.test/b:1", "a.test/b:1", true },
		{ "a.test/b:1", "a.test/b:12", false },
		{ "a.test/b:1", "xa.test/b:1", false },
		{ "a.test/b", "a.test/b:latest", true },
		{ "a.test/b", "a.test/b:1", false },
		{ "a.test/b", "a.test/b@sha256:12", false },
		{ "a.test:5/b", "a.test:5/b:latest", true },
		{ "a.test/*", "a.test/b/c:1", true },
		{ "a.test/*", "b.test/a.test/b", false },
		{ "*b*", "a.test/b:1", true },
		{ "*:1", "a.test/b:1", true },
		{ "*:1", "a.test/b:11", false },
		{ "*a*a*b", "aaab", true },
		{ "*a*a*b", "ab", false },
		{ "**", "x", true },
		{ "*", "", true },
		{ "a*", "a", true },
		{ "a.test/b@sha256:*", "a.test/b@sha256:12", true },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (pinned_matches(cases[i].pattern, cases[i].name) != cases[i].matches)
			fail_msg("%s, %s", cases[i].pattern, cases[i].name);
}

static void check_pinned(struct scene *scene, const char *name, bool expected)
{
	CLEANUP(image_unrefp) struct image *image = scene_find(scene, name);

	assert_non_null(image);
	assert_int_equal(image->pinned, expected);
}

static void reload_pinned(struct scene *scene, const char *patterns)
{
	CLEANUP(freep) char *overrides = xasprintf("[crisp.image]\npinned_images = [%s]\n", patterns);
	CLEANUP(freep) char *file = xasprintf("%s/crisp.toml", scene->scratch.path);
	const struct config_paths paths = { .file = file, .dropins = "/nonexistent", .overrides = overrides };
	struct err err = { 0 };

	config_unref(scene->config);
	assert_ok(config_load(&paths, &scene->config, &err));
	assert_ok(images_reload(scene->images, scene->config, &err));
}

static void test_pinned(void **state)
{
	struct scene *scene = *state;
	struct fake_image other;
	struct err err = { 0 };

	scene_build(scene, "other/app", "x", "{\"User\":\"7\"}", 1, &other);
	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	check_pinned(scene, "plain.test/team/app:v1", false);
	reload_pinned(scene, "\"*/team/app:*\", \"plain.test/other/app:y\"");
	check_pinned(scene, "plain.test/team/app:v1", true);
	check_pull(scene, "plain.test/other/app:x", other.config_digest);
	check_pinned(scene, "plain.test/other/app:x", false);
	scene_reopen(scene);
	check_pinned(scene, "plain.test/team/app:v1", true);
	check_pull(scene, "reg.test/team/app:v1", scene->app.config_digest);
	check_pinned(scene, scene->app.config_digest, true);
	reload_pinned(scene, "\"plain.test/other/*\"");
	check_pinned(scene, "plain.test/team/app:v1", false);
	check_pinned(scene, "plain.test/other/app:x", true);
	assert_ok(images_remove(scene->images, "plain.test/other/app:x", &err));
	assert_int_equal(count_images(scene), 1);
	fake_image_done(&other);
}

/* Pulls images until two ids begin with the same three digits. */
static void test_ambiguous_prefix(void **state)
{
	struct scene *scene = *state;
	struct fake_image images[600];
	size_t count = 0, same = 0;
	struct image *image = NULL;
	struct err err = { 0 };
	char prefix[5];

	for (bool found = false; !found; count++) {
		CLEANUP(freep) char *run = xasprintf("{\"User\":\"%zu\"}", count);
		CLEANUP(freep) char *tag = xasprintf("t%zu", count);

		assert_true(count < ARRAY_LEN(images));
		scene_build(scene, "team/many", tag, run, 1, &images[count]);
		for (same = 0; same < count && !found; same++)
			found = strncmp(images[same].config_digest + 7, images[count].config_digest + 7, 3) ==
				0;
	}
	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	for (size_t i = 0; i < 2; i++) {
		size_t at = i ? count - 1 : same - 1;
		CLEANUP(freep) char *reference = xasprintf("plain.test/team/many:t%zu", at);

		check_pull(scene, reference, images[at].config_digest);
	}
	snprintf(prefix, sizeof(prefix), "%.3s", images[count - 1].config_digest + 7);
	CLEANUP(freep) char *with_scheme = xasprintf("sha256:%s", prefix);

	assert_fails(images_find(scene->images, with_scheme, &image, &err), RPC_INVALID_ARGUMENT);
	assert_fails(images_remove(scene->images, with_scheme, &err), RPC_INVALID_ARGUMENT);
	assert_int_equal(count_images(scene), 3);
	for (size_t i = 0; i < count; i++)
		fake_image_done(&images[i]);
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

static void check_private(struct scene *scene, const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(scene->scratch.dir, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	if ((st.st_mode & 077) != 0)
		fail_msg("%s has mode %o", path, st.st_mode);
}

/* CVE-2021-41103, CVE-2024-25621: setuid programs of images are out of the reach of the node's users. */
static void test_private(void **state)
{
	static const char *const places[] = { "root", "root/layers", "root/images", "root/blobs",
					      "root/tmp" };
	struct scene *scene = *state;
	mode_t mask = umask(0);

	scene_reopen(scene);
	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	umask(mask);
	CLEANUP(image_unrefp) struct image *image = scene_find(scene, scene->app.config_digest);
	CLEANUP(freep) char *record = xasprintf("root/images/%s.json", scene->app.config_digest + 7);
	CLEANUP(freep) char *layer = xasprintf("root/layers/%s", image->layers.items[0] + 7);

	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		check_private(scene, places[i]);
	check_private(scene, record);
	check_private(scene, layer);
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
		TEST(test_missing_layer_in_use),
		TEST(test_pull_of_the_same),
		TEST(test_sync_fails),
		cmocka_unit_test(test_pinned_patterns),
		TEST(test_pinned),
		TEST(test_ambiguous_prefix),
		TEST(test_sweep),
		TEST(test_reload),
		TEST(test_private),
		TEST(test_remove_against_pull),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
