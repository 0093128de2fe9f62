/* What failed pulls leave: it waits for a retry, but not for ever, and nothing goes that is needed. */
#include "test/image/store_scene.h"

#include "base/clock.h"

static const char app[] = "plain.test/team/app:v1", base[] = "plain.test/team/base:v1";

static size_t count_entries(const struct scene *scene, const char *path)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	struct err ignored;

	return dir_list(scene->scratch.dir, path, &names, &ignored) < 0 ? 0 : names.len;
}

/* Says that there is no top layer, once the two below it are in the store. */
static void no_top(struct fake_request *request, void *data, bool *handled)
{
	const struct scene *scene = data;

	*handled = strstr(request->path, scene->app.layer_digests.items[2]) != NULL;
	if (!*handled)
		return;
	for (int i = 0; i < 30000 && count_entries(scene, "root/layers") < 2; i++)
		usleep(1000);
	fake_reply_text(request, 404, "", "");
}

static void fail_pull(struct scene *scene)
{
	fake_content_fault(&scene->content, no_top);
	check_pull_fails(scene, app, RPC_NOT_FOUND, "404");
	fake_content_fault(&scene->content, NULL);
}

static void open_with(struct scene *scene, int64_t leftover_time)
{
	scene->leftover_time = leftover_time;
	scene_reopen(scene);
}

static void check_layers(struct scene *scene, size_t expected)
{
	for (int i = 0; i < 30000 && count_files(scene, "layers") != expected; i++)
		usleep(1000);
	assert_int_equal(count_files(scene, "layers"), expected);
}

static void test_collected(void **state)
{
	struct scene *scene = *state;
	struct image_fs_usage usage = { 0 };
	int64_t start;
	struct err err = { 0 };

	open_with(scene, 300 * NS_PER_MS);
	start = clock_mono();
	fail_pull(scene);
	check_layers(scene, 0);
	assert_true(clock_mono() - start >= 300 * NS_PER_MS);
	check_tmp_empties(scene);
	assert_ok(images_usage(scene->images, &usage, &err));
	assert_int_equal(usage.used_bytes, 0);
	free(usage.mountpoint);
	check_pull(scene, app, scene->app.config_digest);
}

/* In time. */
static void test_retry(void **state)
{
	struct scene *scene = *state;

	open_with(scene, 0);
	fail_pull(scene);
	assert_int_equal(count_files(scene, "layers"), 2);
	check_pull(scene, app, scene->app.config_digest);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(scene_asked(scene, scene->app.layer_digests.items[i]), 1);
}

/* The lower layer is another image's by now. */
static void test_shared(void **state)
{
	struct scene *scene = *state;
	CLEANUP(strv_done) struct strv dirs = STRV_INIT;
	struct fake_image image;
	struct err err = { 0 };

	scene_build(scene, "team/base", "v1", "{}", 1, &image);
	open_with(scene, 500 * NS_PER_MS);
	fail_pull(scene);
	check_pull(scene, base, image.config_digest);
	check_layers(scene, 1);
	CLEANUP(image_unrefp) struct image *pulled = scene_find(scene, base);

	assert_ok(images_layer_dirs(scene->images, pulled, &dirs, &err));
	check_file(dirs.items[0], "etc/base", "base");
	fake_image_done(&image);
}

/* A container runs on the lower layer. */
static void test_in_use(void **state)
{
	struct scene *scene = *state;
	struct fake_image image;
	struct err err = { 0 };

	scene_build(scene, "team/base", "v1", "{}", 1, &image);
	open_with(scene, 300 * NS_PER_MS);
	check_pull(scene, base, image.config_digest);
	CLEANUP(image_unrefp) struct image *pulled = scene_find(scene, base);

	snprintf(scene->in_use, sizeof(scene->in_use), "%s", pulled->layers.items[0]);
	assert_ok(images_remove(scene->images, base, &err));
	fail_pull(scene);
	check_layers(scene, 1);
	fake_image_done(&image);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_collected),
		TEST(test_retry),
		TEST(test_shared),
		TEST(test_in_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
