/*
 * Lessons, fault 23: each file of the store is cut short, emptied, zeroed, has a bit flipped, becomes a
 * directory, a FIFO or a link, or appears once more under another name. crispd starts, at most the one image
 * is put aside, and a pull heals it.
 */
#include "test/image/store_scene.h"

#include <sys/stat.h>

#include "test/image/tar_stream.h"

enum damage { CUT, EMPTIED, ZEROED, FLIPPED, DIRECTORY, FIFO, LINK, GONE, DAMAGES };

static const char app[] = "plain.test/team/app:v1", other[] = "plain.test/other/app:x";

static void replace(int dir, const char *path, const char *data, size_t len)
{
	struct err err = { 0 };

	assert_ok(file_replace_volatile(dir, path, data, len, 0600, &err));
}

/* path is a file's name in dir. */
static void damage_file(int dir, const char *path, enum damage damage)
{
	CLEANUP(freep) char *content = NULL;
	struct err err = { 0 };
	size_t len;

	assert_ok(file_read(dir, path, 1 << 20, &content, &len, &err));
	switch (damage) {
	case CUT:
		replace(dir, path, content, len / 2);
		return;
	case EMPTIED:
		replace(dir, path, "", 0);
		return;
	case ZEROED:
		memset(content, 0, len);
		replace(dir, path, content, len);
		return;
	case FLIPPED:
		content[len / 3] ^= 0x80; /* of text, which it never is afterwards */
		replace(dir, path, content, len);
		return;
	default:
		break;
	}
	assert_int_equal(unlinkat(dir, path, 0), 0);
	if (damage == DIRECTORY)
		assert_int_equal(mkdirat(dir, path, 0700), 0);
	else if (damage == FIFO)
		assert_int_equal(mknodat(dir, path, S_IFIFO | 0600, 0), 0);
	else if (damage == LINK)
		assert_int_equal(symlinkat("/dev/zero", dir, path), 0);
}

static void check_healing(struct scene *scene, const char *file, enum damage damage)
{
	CLEANUP(freep) char *folder = xasprintf("root/%.*s", (int)(strrchr(file, '/') - file), file);
	CLEANUP(fd_closep)
	int dir = openat(scene->scratch.dir, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(image_unrefp) struct image *image = NULL;
	CLEANUP(strv_done) struct strv dirs = STRV_INIT;
	struct err err = { 0 };

	images_free(scene->images);
	damage_file(dir, strrchr(file, '/') + 1, damage);
	if (scene_try_open(scene, &err) < 0)
		fail_msg("%s, damage %d: %s", file, damage, err.text);
	images_collect(scene->images);
	assert_true(images_warnings(scene->images)->len <= 1);
	assert_true(scene_has(scene, other));
	check_pull(scene, app, scene->app.config_digest);
	scene_reopen(scene); /* all is well on disk, too */
	assert_int_equal(images_warnings(scene->images)->len, 0);
	image = scene_find(scene, app);
	assert_non_null(image);
	assert_ok(images_layer_dirs(scene->images, image, &dirs, &err));
	assert_int_equal(dirs.len, LAYERS);
	check_file(dirs.items[0], "top", "top");
	check_file(dirs.items[2], "etc/base", "base");
	assert_true(scene_has(scene, other));
}

static void test_damage(void **state)
{
	struct scene *scene = *state;
	CLEANUP(str_done) struct str tar = STR_INIT;
	CLEANUP(strv_done) struct strv files = STRV_INIT;
	struct fake_image image;

	tar_file(&tar, "other", "other");
	tar_end(&tar);
	const struct fake_layer layer = { &tar, FAKE_GZIP };

	fake_image_build(&scene->content, "other/app", "x", "{}", &layer, 1, &image);
	check_pull(scene, other, image.config_digest);
	check_pull(scene, app, scene->app.config_digest);
	strv_addf(&files, "images/%s.json", scene->app.config_digest + 7);
	strv_addf(&files, "blobs/sha256/%s", scene->app.config_digest + 7);
	CLEANUP(image_unrefp) struct image *found = scene_find(scene, app);

	for (size_t i = 0; i < LAYERS; i++)
		strv_addf(&files, "layers/%s/layer.json", found->layers.items[i] + 7);
	for (size_t i = 0; i < files.len; i++)
		for (enum damage damage = CUT; damage < DAMAGES; damage++)
			check_healing(scene, files.items[i], damage);
	fake_image_done(&image);
}

/* A record under a name that is not its image's, a layer under a chain ID that is not its own. */
static void test_duplicates(void **state)
{
	struct scene *scene = *state;
	CLEANUP(freep) char *record = xasprintf("root/images/%s.json", scene->app.config_digest + 7);
	CLEANUP(freep) char *second = xasprintf("root/images/%064d.json", 0);
	CLEANUP(freep) char *layer = xasprintf("root/layers/%064d", 0);
	CLEANUP(freep) char *content = NULL;
	struct err err = { 0 };
	size_t len;

	check_pull(scene, app, scene->app.config_digest);
	images_free(scene->images);
	assert_ok(file_read(scene->scratch.dir, record, 1 << 20, &content, &len, &err));
	put_file(scene->scratch.dir, second, content);
	assert_int_equal(mkdirat(scene->scratch.dir, layer, 0700), 0);
	CLEANUP(freep) char *diff = xasprintf("%s/diff", layer);
	CLEANUP(freep) char *json = xasprintf("%s/layer.json", layer);

	assert_int_equal(mkdirat(scene->scratch.dir, diff, 0755), 0);
	put_file(scene->scratch.dir, json,
		 "{\"version\":1,\"chainID\":\"sha256:"
		 "1111111111111111111111111111111111111111111111111111111111111111\","
		 "\"usedBytes\":4096,\"inodesUsed\":1}");
	scene_open(scene);
	assert_int_equal(images_warnings(scene->images)->len, 1);
	images_collect(scene->images);
	assert_int_equal(count_images(scene), 1);
	assert_int_equal(count_files(scene, "layers"), LAYERS);
	assert_int_equal(count_files(scene, "images"), 1);
	assert_true(scene_has(scene, app));
}

/* A container runs on a layer that is found damaged and pulled again: it keeps its files until it ends. */
static void test_damage_in_use(void **state)
{
	struct scene *scene = *state;
	CLEANUP(freep) char *record = NULL;
	CLEANUP(fd_closep) int diff = -1;
	struct image *image;

	check_pull(scene, app, scene->app.config_digest);
	image = scene_find(scene, app);
	snprintf(scene->in_use, sizeof(scene->in_use), "%s", image->layers.items[0]);
	image_unref(image);
	record = xasprintf("root/layers/%s/layer.json", scene->in_use + 7);
	CLEANUP(freep) char *path = xasprintf("root/layers/%s/diff", scene->in_use + 7);

	diff = openat(scene->scratch.dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* as overlayfs has it */
	images_free(scene->images);
	put_file(scene->scratch.dir, record, "");
	scene_open(scene);
	images_collect(scene->images);
	assert_int_equal(faccessat(diff, "etc/base", F_OK, 0), 0);
	check_pull(scene, app, scene->app.config_digest);
	scene_reopen(scene);
	images_collect(scene->images);
	assert_int_equal(faccessat(diff, "etc/base", F_OK, 0), 0);
	assert_int_equal(count_files(scene, "tmp"), 1);
	scene->in_use[0] = '\0';
	images_release(scene->images);
	check_tmp_empties(scene);
	assert_true(scene_has(scene, app));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_damage),
		TEST(test_duplicates),
		TEST(test_damage_in_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
