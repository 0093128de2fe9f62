/* See the header; configuration files are written to the scratch directory and read back as the daemon would.
 */
#include "test/image/store_scene.h"

#include <pthread.h>

#include "test/image/tar_stream.h"

static bool layer_in_use(void *data, const char *chain)
{
	struct scene *scene = data;

	return str_eq(scene->in_use, chain);
}

int scene_try_open(struct scene *scene, struct err *err)
{
	const struct images_options options = {
		.config = scene->config,
		.pool = scene->pool,
		.layer_in_use = layer_in_use,
		.data = scene,
		.leftover_time = scene->leftover_time,
	};

	scene->images = images_open(&options, err);
	return scene->images ? 0 : -1;
}

void scene_open(struct scene *scene)
{
	struct err err = { 0 };

	if (scene_try_open(scene, &err) < 0)
		fail_msg("%s", err.text);
}

void scene_reopen(struct scene *scene)
{
	images_free(scene->images);
	scene_open(scene);
}

/* The mirror stands before reg.test/; plain.test/ is served by the server alone. */
static void configure(struct scene *scene)
{
	CLEANUP(freep)
	char *registries =
		xasprintf("unqualified-search-registries = [\"plain.test\"]\nshort-name-mode = \"disabled\"\n"
			  "[[registry]]\nprefix = \"plain.test\"\nlocation = \"%s\"\ninsecure = true\n"
			  "[[registry]]\nprefix = \"reg.test\"\nlocation = \"%s\"\ninsecure = true\n"
			  "[[registry.mirror]]\nlocation = \"%s\"\ninsecure = true\n"
			  "[[registry]]\nlocation = \"%s\"\ninsecure = true\n"
			  "[[registry.mirror]]\nlocation = \"%s\"\ninsecure = true\n"
			  "[[registry]]\nprefix = \"blocked.test\"\nblocked = true\n",
			  fake_server_host(scene->server), fake_server_host(scene->server),
			  fake_server_host(scene->mirror), fake_server_host(scene->server),
			  fake_server_host(scene->mirror));
	CLEANUP(freep)
	char *toml = xasprintf("[crisp]\nroot = \"%s/root\"\nrunroot = \"%s/run\"\n[crisp.image]\n"
			       "registries_conf = \"%s/registries.conf\"\n"
			       "signature_policy = \"%s/policy.json\"\nglobal_auth_file = \"%s/auth.json\"\n",
			       scene->scratch.path, scene->scratch.path, scene->scratch.path,
			       scene->scratch.path, scene->scratch.path);
	CLEANUP(freep) char *file = xasprintf("%s/crisp.toml", scene->scratch.path);
	const struct config_paths paths = { .file = file, .dropins = "/nonexistent", .file_needed = true };
	struct err err = { 0 };

	put_file(scene->scratch.dir, "registries.conf", registries);
	put_file(scene->scratch.dir, "policy.json", "{\"default\":[{\"type\":\"insecureAcceptAnything\"}]}");
	put_file(scene->scratch.dir, "crisp.toml", toml);
	assert_ok(config_load(&paths, &scene->config, &err));
}

static void make_layers(struct scene *scene)
{
	tar_add(&scene->tars[0],
		&(struct tar_member){ .name = "tmp/", .type = '5', .mode = 01777, .uid = 3, .mtime = 77 });
	tar_file(&scene->tars[0], "etc/base", "base");
	tar_file(&scene->tars[0], "etc/gone", "base");
	tar_end(&scene->tars[0]);
	tar_file(&scene->tars[1], "etc/.wh.gone", "");
	tar_file(&scene->tars[1], "tmp/middle", "middle"); /* tmp/ is implied */
	tar_end(&scene->tars[1]);
	tar_file(&scene->tars[2], "top", "top");
	tar_end(&scene->tars[2]);
}

void scene_build(struct scene *scene, const char *repository, const char *tag, const char *run, size_t layers,
		 struct fake_image *ret)
{
	const struct fake_layer all[LAYERS] = { { &scene->tars[0], FAKE_GZIP },
						{ &scene->tars[1], FAKE_PLAIN },
						{ &scene->tars[2], FAKE_ZSTD } };

	fake_image_build(&scene->content, repository, tag, run, all, layers, ret);
}

int scene_setup(void **state)
{
	const struct pool_options pool = {
		.name = "image", .threads_max = 16, .queue_max = 100, .idle_ns = NS_PER_SEC
	};
	struct scene *scene = xnew(struct scene);

	scratch_init(&scene->scratch);
	fake_content_init(&scene->content);
	fake_content_init(&scene->mirror_content);
	scene->content.data = scene->mirror_content.data = scene;
	make_layers(scene);
	scene_build(scene, "team/app", "v1", "{\"User\":\"1002\",\"Env\":[\"A=1\"]}", LAYERS, &scene->app);
	scene->server = fake_server_new(fake_content_handle, &scene->content);
	scene->mirror = fake_server_new(fake_content_handle, &scene->mirror_content);
	scene->pool = pool_new(&pool);
	ctx_init(&scene->ctx, NO_DEADLINE);
	configure(scene);
	scene_open(scene);
	*state = scene;
	return 0;
}

int scene_teardown(void **state)
{
	struct scene *scene = *state;

	images_free(scene->images);
	pool_free(scene->pool);
	config_unref(scene->config);
	fake_server_free(scene->server);
	fake_server_free(scene->mirror);
	fake_content_done(&scene->content);
	fake_content_done(&scene->mirror_content);
	fake_image_done(&scene->app);
	for (size_t i = 0; i < LAYERS; i++)
		str_done(&scene->tars[i]);
	ctx_done(&scene->ctx);
	scratch_done(&scene->scratch);
	free(scene);
	return 0;
}

int scene_pull(struct scene *scene, const char *reference, const struct image_auth *auth, char **id,
	       struct err *err)
{
	const struct image_pull pull = { reference, auth };

	return images_pull(scene->images, &scene->ctx, &pull, id, err);
}

void check_pull(struct scene *scene, const char *reference, const char *expected)
{
	CLEANUP(freep) char *id = NULL;
	struct err err = { 0 };

	assert_ok(scene_pull(scene, reference, NULL, &id, &err));
	assert_string_equal(id, expected);
}

void check_pull_fails(struct scene *scene, const char *reference, enum rpc_code code, const char *why)
{
	CLEANUP(freep) char *id = NULL;
	struct err err = { 0 };

	assert_fails(scene_pull(scene, reference, NULL, &id, &err), code);
	assert_contains(err.text, why);
}

size_t count_images(struct scene *scene)
{
	struct image **list = images_list(scene->images);
	size_t count = 0;

	while (list[count])
		count++;
	images_list_free(list);
	return count;
}

/* NULL when there is none; a reference. */
struct image *scene_find(struct scene *scene, const char *name)
{
	struct image *image = NULL;
	struct err err = { 0 };

	if (images_find(scene->images, name, &image, &err) < 0)
		assert_int_equal(err.code, RPC_NOT_FOUND);
	return image;
}

bool scene_has(struct scene *scene, const char *name)
{
	CLEANUP(image_unrefp) struct image *image = scene_find(scene, name);

	return image != NULL;
}

size_t count_files(struct scene *scene, const char *dir)
{
	CLEANUP(freep) char *path = xasprintf("root/%s", dir);
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	struct err err = { 0 };

	assert_ok(dir_list(scene->scratch.dir, path, &names, &err));
	return names.len;
}

/* Deletions run in the background. */
void check_tmp_empties(struct scene *scene)
{
	for (int i = 0; i < 5000 && count_files(scene, "tmp") > 0; i++)
		usleep(1000);
	assert_int_equal(count_files(scene, "tmp"), 0);
}

size_t scene_asked(struct scene *scene, const char *part)
{
	return fake_server_count(scene->server, part);
}

void check_file(const char *dir, const char *name, const char *expected)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", dir, name);
	CLEANUP(freep) char *content = NULL;
	struct err err = { 0 };

	assert_ok(file_read(AT_FDCWD, path, 100, &content, NULL, &err));
	assert_string_equal(content, expected);
}
