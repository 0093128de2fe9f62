/* Pulls of a layer that is fetched in parts: the setting, a wrong digest, the end of the last caller. */
#include "test/image/store_scene.h"

#include <pthread.h>

#include "base/clock.h"
#include "image/split.h"
#include "test/image/tar_stream.h"

enum { LARGE = 13 << 20, PART = SPLIT_AHEAD / 4 };

static const char name[] = "plain.test/team/large:v1";
static struct fake_image large;
static struct str tar;

static char *make_content(void)
{
	char *data = xmalloc(LARGE);
	uint32_t random = 1;

	for (size_t i = 0; i < LARGE; i++) {
		random = random * 1664525 + 1013904223;
		data[i] = (char)(random >> 24);
	}
	return data;
}

static void build(struct scene *scene)
{
	CLEANUP(freep) char *data = make_content();
	const struct fake_layer layer = { &tar, FAKE_PLAIN };

	tar_add(&tar, &(struct tar_member){ .name = "large", .data = data, .size = LARGE });
	tar_end(&tar);
	fake_image_build(&scene->content, "team/large", "v1", "{}", &layer, 1, &large);
}

/* A reload with this setting. */
static void split_above(struct scene *scene, const char *above)
{
	CLEANUP(freep) char *file = xasprintf("%s/crisp.toml", scene->scratch.path);
	CLEANUP(freep)
	char *more = xasprintf("[crisp.image]\nsplit_layers_above = \"%s\"\nsplit_layers_parts = 4\n", above);
	const struct config_paths paths = {
		.file = file, .dropins = "/nonexistent", .file_needed = true, .overrides = more
	};
	CLEANUP(config_unrefp) struct config *config = NULL;
	struct err err = { 0 };

	assert_ok(config_load(&paths, &config, &err));
	assert_ok(images_reload(scene->images, config, &err));
}

static int setup(void **state)
{
	scene_setup(state);
	build(*state);
	split_above(*state, "1MiB");
	return 0;
}

static int teardown(void **state)
{
	str_done(&tar);
	fake_image_done(&large);
	return scene_teardown(state);
}

static void check_content(struct scene *scene)
{
	CLEANUP(image_unrefp) struct image *image = scene_find(scene, name);
	CLEANUP(strv_done) struct strv dirs = STRV_INIT;
	CLEANUP(freep) char *expected = make_content();
	CLEANUP(freep) char *content = NULL;
	CLEANUP(freep) char *path = NULL;
	struct err err = { 0 };
	size_t len;

	assert_non_null(image);
	assert_ok(images_layer_dirs(scene->images, image, &dirs, &err));
	path = xasprintf("%s/large", dirs.items[0]);
	assert_ok(file_read(AT_FDCWD, path, LARGE, &content, &len, &err));
	assert_int_equal(len, LARGE);
	assert_memory_equal(content, expected, LARGE);
}

static void test_pull(void **state)
{
	struct scene *scene = *state;

	check_pull(scene, name, large.config_digest);
	check_content(scene);
	assert_int_equal(scene_asked(scene, "range=bytes=0-3145727 "), 1);
	assert_int_equal(scene_asked(scene, "range=bytes="), 5);
	check_tmp_empties(scene);
}

/* Live; and small layers stay whole. */
static void test_setting(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	split_above(scene, "0");
	check_pull(scene, name, large.config_digest);
	assert_int_equal(scene_asked(scene, "range=bytes="), 0);
	assert_ok(images_remove(scene->images, name, &err));
	split_above(scene, "13MiB");
	check_pull(scene, name, large.config_digest);
	assert_true(scene_asked(scene, "range=bytes=") > 0);
}

/* A byte of the third part is another one. */
static void test_wrong_digest(void **state)
{
	struct scene *scene = *state;
	CLEANUP(freep) char *path = xasprintf("/v2/team/large/blobs/%s", large.layer_digests.items[0]);

	tar.data[2 * PART + 7] ^= 1;
	fake_content_put(&scene->content, path, "application/octet-stream", tar.data, tar.len);
	check_pull_fails(scene, name, RPC_DATA_LOSS, "blob");
	check_tmp_empties(scene);
	tar.data[2 * PART + 7] ^= 1;
	fake_content_put(&scene->content, path, "application/octet-stream", tar.data, tar.len);
	check_pull(scene, name, large.config_digest);
	check_content(scene);
}

static void stall_third(struct fake_request *request, void *data UNUSED, bool *handled)
{
	if (!strstr(request->range, "bytes=6291456-"))
		return;
	*handled = true;
	fake_stall(request);
}

static void *cancel_when_asked(void *data)
{
	struct scene *scene = data;

	while (scene_asked(scene, "range=bytes=6291456-") == 0)
		usleep(1000);
	ctx_cancel(&scene->ctx);
	return NULL;
}

static void test_cancel(void **state)
{
	struct scene *scene = *state;
	int64_t start = clock_mono();
	pthread_t thread;

	fake_content_fault(&scene->content, stall_third);
	assert_int_equal(pthread_create(&thread, NULL, cancel_when_asked, scene), 0);
	check_pull_fails(scene, name, RPC_CANCELLED, "");
	pthread_join(thread, NULL);
	check_tmp_empties(scene); /* soon: the progress timeout is a minute */
	assert_true(clock_mono() - start < 40 * NS_PER_SEC);
	fake_content_fault(&scene->content, NULL);
	ctx_done(&scene->ctx);
	ctx_init(&scene->ctx, NO_DEADLINE);
	check_pull(scene, name, large.config_digest);
	check_content(scene);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pull),
		TEST(test_setting),
		TEST(test_wrong_digest),
		TEST(test_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
