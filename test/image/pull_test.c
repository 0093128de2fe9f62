/* Pulls: where they ask, what they refuse, how they join, share layers and end. */
#include "test/image/store_scene.h"

#include <pthread.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "image/platform.h"
#include "test/image/tar_stream.h"

static void test_pull(void **state)
{
	struct scene *scene = *state;
	CLEANUP(image_unrefp) struct image *image = NULL;
	CLEANUP(strv_done) struct strv dirs = STRV_INIT;
	CLEANUP(freep) char *digest_name = xasprintf("plain.test/team/app@%s", scene->app.manifest_digest);
	struct err err = { 0 };
	struct stat st;

	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	image = scene_find(scene, "plain.test/team/app:v1");
	assert_string_equal(image->id, scene->app.config_digest);
	assert_string_equal(image->digest, scene->app.manifest_digest);
	assert_int_equal(image->repo_tags.len, 1);
	assert_string_equal(image->repo_tags.items[0], "plain.test/team/app:v1");
	assert_int_equal(image->repo_digests.len, 1);
	assert_string_equal(image->repo_digests.items[0], digest_name);
	assert_string_equal(image->config.user, "1002");
	assert_string_equal(image->config_json, scene->app.config.data);
	assert_true(image->size > scene->app.config.len);
	assert_ok(images_layer_dirs(scene->images, image, &dirs, &err));
	assert_int_equal(dirs.len, LAYERS);
	check_file(dirs.items[0], "top", "top");
	check_file(dirs.items[1], "tmp/middle", "middle");
	check_file(dirs.items[2], "etc/base", "base");
	/* The implied tmp/ of the middle layer is that of the base. */
	CLEANUP(freep) char *tmp = xasprintf("%s/tmp", dirs.items[1]);
	assert_int_equal(stat(tmp, &st), 0);
	assert_int_equal(st.st_mode & 07777, 01777);
	assert_int_equal(st.st_uid, 3);
	assert_int_equal(st.st_mtime, 77);
	assert_int_equal(count_files(scene, "tmp"), 0);
}

static void test_pull_by_digest(void **state)
{
	struct scene *scene = *state;
	CLEANUP(freep)
	char *reference = xasprintf("plain.test/team/app:ignored@%s", scene->app.manifest_digest);
	CLEANUP(freep) char *name = xasprintf("plain.test/team/app@%s", scene->app.manifest_digest);
	CLEANUP(image_unrefp) struct image *image = NULL;

	check_pull(scene, reference, scene->app.config_digest);
	image = scene_find(scene, name);
	assert_int_equal(image->repo_tags.len, 0);
	assert_int_equal(image->repo_digests.len, 1);
	assert_string_equal(image->repo_digests.items[0], name);
}

static void test_pull_again(void **state)
{
	struct scene *scene = *state;

	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	assert_int_equal(scene_asked(scene, "/blobs/"), LAYERS + 1);
	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	scene_reopen(scene);
	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	assert_int_equal(scene_asked(scene, "/blobs/"), LAYERS + 1);
	assert_int_equal(scene_asked(scene, "/manifests/"), 3);
	assert_int_equal(count_images(scene), 1);
}

static void test_mirror(void **state)
{
	struct scene *scene = *state;

	/* An empty mirror: everything comes from the registry. */
	check_pull(scene, "reg.test/team/app:v1", scene->app.config_digest);
	assert_int_equal(fake_server_count(scene->mirror, "GET"), 1);
	assert_int_equal(scene_asked(scene, "/blobs/"), LAYERS + 1);
}

/* The mirror has the documents, but no layers. */
static void test_half_mirror(void **state)
{
	struct scene *scene = *state;
	CLEANUP(freep) char *config = xasprintf("/v2/team/app/blobs/%s", scene->app.config_digest);

	fake_content_put(&scene->mirror_content, "/v2/team/app/manifests/v1", FAKE_MANIFEST,
			 scene->app.manifest.data, scene->app.manifest.len);
	fake_content_put(&scene->mirror_content, config, "x/y", scene->app.config.data,
			 scene->app.config.len);
	check_pull(scene, "reg.test/team/app:v1", scene->app.config_digest);
	assert_int_equal(fake_server_count(scene->mirror, "/blobs/"), LAYERS + 1);
	assert_int_equal(scene_asked(scene, "/blobs/"), LAYERS);
	assert_int_equal(scene_asked(scene, "/manifests/"), 0);
}

static void wants_password(struct fake_request *request, void *data UNUSED, bool *handled)
{
	*handled = true;
	fake_reply_text(request, 401, "WWW-Authenticate: Basic realm=\"x\"\r\n", "");
}

/* What the kubelet gives for a registry is neither for its mirror nor for who stands in for it. */
static void test_credentials_and_mirror(void **state)
{
	const struct image_auth auth = { .username = "me", .password = "pw" };
	struct scene *scene = *state;
	CLEANUP(freep) char *named = xasprintf("%s/team/app:v1", fake_server_host(scene->server));
	CLEANUP(freep) char *id = NULL;
	struct err err = { 0 };

	fake_content_fault(&scene->mirror_content, wants_password);
	fake_content_fault(&scene->content, wants_password);
	assert_fails(scene_pull(scene, "reg.test/team/app:v1", &auth, &id, &err), RPC_UNAUTHENTICATED);
	assert_int_equal(scene_asked(scene, "auth=Basic"), 0);
	assert_fails(scene_pull(scene, named, &auth, &id, &err), RPC_UNAUTHENTICATED);
	assert_int_equal(fake_server_count(scene->mirror, "GET"), 2);
	assert_int_equal(fake_server_count(scene->mirror, "auth=Basic"), 0);
	assert_int_equal(scene_asked(scene, "auth=Basic bWU6cHc="), 1);
}

static void test_refusals(void **state)
{
	struct scene *scene = *state;
	const struct image_auth bad = { .auth = "no base64" };
	CLEANUP(freep) char *id = NULL;
	struct err err = { 0 };

	check_pull_fails(scene, "", RPC_INVALID_ARGUMENT, "empty");
	check_pull_fails(scene, "UPPER", RPC_INVALID_ARGUMENT, "UPPER");
	check_pull_fails(scene, "plain.test:99999/a", RPC_INVALID_ARGUMENT, "malformed");
	check_pull_fails(scene, "plain.test/a@sha256:abc", RPC_INVALID_ARGUMENT, "digest");
	check_pull_fails(scene, "blocked.test/a", RPC_PERMISSION_DENIED, "");
	check_pull_fails(scene, "plain.test/team/app:v9", RPC_NOT_FOUND, "404");
	check_pull_fails(scene, "127.0.0.1:1/a", RPC_UNKNOWN, "RegistryUnavailable: ");
	assert_fails(scene_pull(scene, "plain.test/team/app:v1", &bad, &id, &err), RPC_INVALID_ARGUMENT);
	assert_int_equal(count_images(scene), 0);
	assert_int_equal(count_files(scene, "layers") + count_files(scene, "tmp"), 0);
}

static void put_index(struct scene *scene, const char *path, const char *type, const char *entries)
{
	CLEANUP(freep)
	char *index = xasprintf("{\"schemaVersion\":2,\"mediaType\":\"" FAKE_INDEX "\",\"manifests\":[%s]}",
				entries);

	fake_content_put(&scene->content, path, type, index, strlen(index));
}

#define OTHERS                                                                                       \
	"{\"mediaType\":\"" FAKE_MANIFEST                                                            \
	"\",\"digest\":\"sha256:0000000000000000000000000000000000000000000000000000000000000000\"," \
	"\"size\":1,\"platform\":{\"os\":\"linux\",\"architecture\":\"mips\"}}"

static void test_index(void **state)
{
	struct scene *scene = *state;
	CLEANUP(freep)
	char *entries = xasprintf(
		OTHERS
		",{\"mediaType\":\"" FAKE_MANIFEST
		"\",\"digest\":\"%s\",\"size\":%zu,\"platform\":{\"os\":\"linux\",\"architecture\":\"%s\"}}",
		scene->app.manifest_digest, scene->app.manifest.len, platform_host()->architecture);
	CLEANUP(image_unrefp) struct image *image = NULL;

	put_index(scene, "/v2/team/app/manifests/multi", FAKE_INDEX, entries);
	check_pull(scene, "plain.test/team/app:multi", scene->app.config_digest);
	image = scene_find(scene, "plain.test/team/app:multi");
	assert_string_equal(image->digest, scene->app.manifest_digest);
	assert_null(strstr(image->repo_digests.items[0], scene->app.manifest_digest)); /* it is the index's */
	assert_true(scene_has(scene, image->repo_digests.items[0]));
	put_index(scene, "/v2/team/app/manifests/foreign", FAKE_INDEX, OTHERS);
	check_pull_fails(scene, "plain.test/team/app:foreign", RPC_NOT_FOUND, "linux/mips");
	put_index(scene, "/v2/team/app/manifests/lying", FAKE_MANIFEST, entries);
	check_pull_fails(scene, "plain.test/team/app:lying", RPC_INVALID_ARGUMENT, "Content-Type");
}

/* One digest must not be read in two ways: what an index calls an image is one. */
static void test_index_lies(void **state)
{
	struct scene *scene = *state;
	CLEANUP(str_done) struct str inner = STR_INIT;
	char digest[DIGEST_TEXT_SIZE];

	str_add(&inner, "{\"schemaVersion\":2,\"manifests\":[]}");
	fake_digest(inner.data, inner.len, digest);
	CLEANUP(freep) char *path = xasprintf("/v2/team/app/manifests/%s", digest);
	CLEANUP(freep)
	char *entry = xasprintf("{\"mediaType\":\"" FAKE_MANIFEST "\",\"digest\":\"%s\",\"size\":%zu}",
				digest, inner.len);
	CLEANUP(freep)
	char *huge = xasprintf("{\"mediaType\":\"" FAKE_MANIFEST "\",\"digest\":\"%s\",\"size\":99999999}",
			       digest);

	fake_content_put(&scene->content, path, "application/octet-stream", inner.data, inner.len);
	put_index(scene, "/v2/team/app/manifests/lies", FAKE_INDEX, entry);
	check_pull_fails(scene, "plain.test/team/app:lies", RPC_INVALID_ARGUMENT, "kind that its index says");
	assert_int_equal(scene_asked(scene, digest), 1);
	put_index(scene, "/v2/team/app/manifests/huge", FAKE_INDEX, huge);
	check_pull_fails(scene, "plain.test/team/app:huge", RPC_INVALID_ARGUMENT, "more than 4194304 bytes");
	assert_int_equal(scene_asked(scene, digest), 1);
}

/* CVE-2020-15157: a layer's urls are nobody we ask. */
static void test_foreign_layer(void **state)
{
	struct scene *scene = *state;
	CLEANUP(freep)
	char *manifest = xasprintf(
		"{\"schemaVersion\":2,\"mediaType\":\"" FAKE_MANIFEST
		"\",\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\","
		"\"digest\":\"%s\",\"size\":%zu},\"layers\":["
		"{\"mediaType\":\"application/vnd.oci.image.layer.nondistributable.v1.tar\",\"digest\":\"sha256:%064d\","
		"\"size\":7,\"urls\":[\"http://%s/foreign\"]},"
		"{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"sha256:%064d\",\"size\":7},"
		"{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"sha256:%064d\",\"size\":7}]}",
		scene->app.config_digest, scene->app.config.len, 1, fake_server_host(scene->mirror), 2, 3);

	fake_content_put(&scene->mirror_content, "/foreign", "x/y", "foreign", 7);
	fake_content_put(&scene->content, "/v2/team/app/manifests/foreign", FAKE_MANIFEST, manifest,
			 strlen(manifest));
	check_pull_fails(scene, "plain.test/team/app:foreign", RPC_NOT_FOUND, "layer ");
	assert_int_equal(fake_server_count(scene->mirror, "GET"), 0);
}

/* A short name that two registries may mean: both are asked, in order, and both are heard. */
static void test_search_list(void **state)
{
	struct scene *scene = *state;
	CLEANUP(freep)
	char *registries =
		xasprintf("unqualified-search-registries = [\"one.test\", \"two.test\"]\n"
			  "[[registry]]\nprefix = \"one.test\"\nlocation = \"%s\"\ninsecure = true\n"
			  "[[registry]]\nprefix = \"two.test\"\nlocation = \"%s\"\ninsecure = true\n",
			  fake_server_host(scene->mirror), fake_server_host(scene->server));
	CLEANUP(image_unrefp) struct image *image = NULL;
	struct err err = { 0 };

	put_file(scene->scratch.dir, "registries.conf", registries);
	assert_ok(images_reload(scene->images, scene->config, &err));
	check_pull(scene, "team/app:v1", scene->app.config_digest);
	image = scene_find(scene, "two.test/team/app:v1");
	assert_non_null(image);
	assert_int_equal(fake_server_count(scene->mirror, "GET"), 1);
	check_pull_fails(scene, "team/app:v9", RPC_NOT_FOUND, fake_server_host(scene->mirror));
	check_pull_fails(scene, "team/app:v9", RPC_NOT_FOUND, fake_server_host(scene->server));
}

/* What policy.json refuses is not even asked for. */
static void test_policy(void **state)
{
	struct scene *scene = *state;

	put_file(scene->scratch.dir, "policy.json",
		 "{\"default\":[{\"type\":\"insecureAcceptAnything\"}],\"transports\":{\"docker\":{"
		 "\"plain.test/team/app:v2\":[{\"type\":\"reject\"}],"
		 "\"reg.test\":[{\"type\":\"signedBy\",\"keyType\":\"GPGKeys\",\"keyPath\":\"/k\"}]}}}");
	check_pull_fails(scene, "plain.test/team/app:v2", RPC_UNKNOWN,
			 "SignatureValidationFailed: plain.test/team/app is rejected");
	check_pull_fails(scene, "reg.test/team/app:v1", RPC_UNKNOWN, "SignatureValidationFailed: ");
	assert_int_equal(scene_asked(scene, "GET") + fake_server_count(scene->mirror, "GET"), 0);
	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	put_file(scene->scratch.dir, "policy.json", "{\"default\":[");
	check_pull_fails(scene, "plain.test/team/app:v1", RPC_UNKNOWN, "SignatureValidationFailed: ");
}

static void wants_basic(struct fake_request *request, void *data UNUSED, bool *handled)
{
	*handled = !str_eq(request->authorization, "Basic bWU6cHc=");
	if (*handled)
		fake_reply_text(request, 401, "WWW-Authenticate: Basic realm=\"x\"\r\n", "");
}

/* The node's own credentials serve registry and mirror; a broken file harms only who needs it. */
static void test_auth_file(void **state)
{
	struct scene *scene = *state;
	CLEANUP(freep)
	char *auths =
		xasprintf("{\"auths\":{\"%s\":{\"auth\":\"bWU6cHc=\"},\"%s/team\":{\"auth\":\"bWU6cHc=\"}}}",
			  fake_server_host(scene->server), fake_server_host(scene->mirror));

	put_file(scene->scratch.dir, "auth.json", "{\"auths\":");
	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	fake_content_fault(&scene->content, wants_basic);
	fake_content_fault(&scene->mirror_content, wants_basic);
	check_pull_fails(scene, "plain.test/team/app:v1", RPC_FAILED_PRECONDITION, "auth.json");
	put_file(scene->scratch.dir, "auth.json", auths);
	check_pull(scene, "reg.test/team/app:v1", scene->app.config_digest);
	assert_true(fake_server_count(scene->mirror, "auth=Basic bWU6cHc=") > 0);
	assert_true(scene_asked(scene, "auth=Basic bWU6cHc=") > 0);
}

/* Serves a layer whose bytes are others. */
static void corrupt(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;
	CLEANUP(str_done) struct str blob = STR_INIT;

	if (!strstr(request->path, scene->app.layer_digests.items[0]))
		return;
	*handled = true;
	compress_gzip(scene->tars[0].data, scene->tars[0].len, &blob);
	blob.data[9] ^= 1; /* the OS field of the header: decodes all the same */
	fake_reply(request, 200, "", blob.data, blob.len);
}

/* Fault 34. */
static void test_corrupt_layer(void **state)
{
	struct scene *scene = *state;

	fake_content_fault(&scene->content, corrupt);
	check_pull_fails(scene, "plain.test/team/app:v1", RPC_DATA_LOSS, "blob: expected sha256:");
	assert_int_equal(count_images(scene), 0);
	assert_int_equal(count_files(scene, "layers") + count_files(scene, "images"), 0);
	check_tmp_empties(scene);
	fake_content_fault(&scene->content, NULL);
	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
}

static void test_wrong_diff_ids(void **state)
{
	struct scene *scene = *state;
	struct fake_image bad;
	CLEANUP(str_done) struct str config = STR_INIT;
	CLEANUP(str_done) struct str manifest = STR_INIT;
	char digest[DIGEST_TEXT_SIZE];
	char *found;

	scene_build(scene, "team/bad", "v1", "{}", 2, &bad);
	str_addn(&config, bad.config.data, bad.config.len);
	found = strstr(config.data, "sha256:");
	found[10] = found[10] == 'a' ? 'b' : 'a';
	fake_digest(config.data, config.len, digest);
	CLEANUP(freep) char *path = xasprintf("/v2/team/bad/blobs/%s", digest);

	fake_content_put(&scene->content, path, "x/y", config.data, config.len);
	str_addn(&manifest, bad.manifest.data, bad.manifest.len);
	memcpy(strstr(manifest.data, bad.config_digest), digest, strlen(digest));
	fake_content_put(&scene->content, "/v2/team/bad/manifests/v1", FAKE_MANIFEST, manifest.data,
			 manifest.len);
	check_pull_fails(scene, "plain.test/team/bad:v1", RPC_DATA_LOSS, "diff_id");
	assert_int_equal(count_files(scene, "layers"), 0);
	fake_image_done(&bad);
}

static void slow(struct fake_request *request UNUSED, void *data UNUSED, bool *handled UNUSED)
{
	usleep(50000);
}

struct puller {
	struct scene *scene;
	const char *reference;
	pthread_t thread;
	int result;
	char *id;
	struct err err;
};

static void *run_puller(void *data)
{
	struct puller *puller = data;

	puller->result = scene_pull(puller->scene, puller->reference, NULL, &puller->id, &puller->err);
	return NULL;
}

static void run_pullers(struct scene *scene, const char *const *references, size_t len, const char *expected)
{
	struct puller *pullers = xcalloc(len, sizeof(*pullers));

	for (size_t i = 0; i < len; i++) {
		pullers[i].scene = scene;
		pullers[i].reference = references[i];
		assert_int_equal(pthread_create(&pullers[i].thread, NULL, run_puller, &pullers[i]), 0);
	}
	for (size_t i = 0; i < len; i++) {
		pthread_join(pullers[i].thread, NULL);
		if (pullers[i].result < 0)
			fail_msg("%s", pullers[i].err.text);
		assert_string_equal(pullers[i].id, expected);
		free(pullers[i].id);
	}
	free(pullers);
}

static void test_joined(void **state)
{
	static const char *const same[] = { "plain.test/team/app:v1", "plain.test/team/app:v1",
					    "plain.test/team/app:v1", "plain.test/team/app:v1",
					    "plain.test/team/app:v1" };
	struct scene *scene = *state;

	fake_content_fault(&scene->content, slow);
	run_pullers(scene, same, ARRAY_LEN(same), scene->app.config_digest);
	assert_int_equal(scene_asked(scene, "/manifests/"), 1);
	assert_int_equal(scene_asked(scene, "/blobs/"), LAYERS + 1);
}

/* Different pulls, same layers: each is fetched once. */
static void test_shared_layers(void **state)
{
	struct scene *scene = *state;
	CLEANUP(strv_done) struct strv names = STRV_INIT;

	for (int i = 0; i < 12; i++) {
		CLEANUP(freep) char *path = xasprintf("/v2/team/app/manifests/t%d", i);

		strv_addf(&names, "plain.test/team/app:t%d", i);
		fake_content_put(&scene->content, path, FAKE_MANIFEST, scene->app.manifest.data,
				 scene->app.manifest.len);
	}
	fake_content_fault(&scene->content, slow);
	run_pullers(scene, (const char *const *)names.items, names.len, scene->app.config_digest);
	for (size_t i = 0; i < LAYERS; i++)
		assert_int_equal(scene_asked(scene, scene->app.layer_digests.items[i]), 1);
	CLEANUP(image_unrefp) struct image *image = scene_find(scene, scene->app.config_digest);

	assert_int_equal(image->repo_tags.len, 12);
	assert_int_equal(count_images(scene), 1);
}

static void stall_layers(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;

	if (!strstr(request->path, scene->app.layer_digests.items[0]))
		return;
	*handled = true;
	fake_head(request, 200, "", -1);
	fake_stall(request);
}

static void wait_for(struct scene *scene, const char *part)
{
	for (int i = 0; i < 5000 && scene_asked(scene, part) == 0; i++)
		usleep(1000);
	assert_true(scene_asked(scene, part) > 0);
}

/* The last caller leaves: the pull stops, and nothing of it appears later (critest's 1 ms deadline). */
static void test_deadline(void **state)
{
	struct scene *scene = *state;
	int64_t start = clock_mono();

	fake_content_fault(&scene->content, stall_layers);
	ctx_done(&scene->ctx);
	ctx_init(&scene->ctx, clock_deadline_in(300 * NS_PER_MS));
	check_pull_fails(scene, "plain.test/team/app:v1", RPC_DEADLINE_EXCEEDED, "deadline");
	assert_true(clock_mono() - start < 10 * NS_PER_SEC);
	for (int i = 0; i < 5000 && pool_busy(scene->pool) > 0; i++)
		usleep(1000);
	assert_int_equal(pool_busy(scene->pool), 0);
	assert_int_equal(count_images(scene), 0);
	ctx_done(&scene->ctx);
	ctx_init(&scene->ctx, NO_DEADLINE);
	fake_content_fault(&scene->content, NULL);
	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
}

/* One pull whose lowest layer never comes, given up after a while. */
static void give_up_pull(struct scene *scene, unsigned int us)
{
	struct puller puller = { .scene = scene, .reference = "plain.test/team/app:v1" };
	size_t before = scene_asked(scene, scene->app.layer_digests.items[0]);

	pthread_create(&puller.thread, NULL, run_puller, &puller);
	for (int i = 0; i < 10000 && scene_asked(scene, scene->app.layer_digests.items[0]) == before; i++)
		usleep(1000);
	usleep(us);
	ctx_cancel(&scene->ctx);
	pthread_join(puller.thread, NULL);
	assert_int_equal(puller.err.code, RPC_CANCELLED);
	assert_true(pool_wait_quiet(scene->pool, clock_deadline_in(30 * NS_PER_SEC)));
	ctx_done(&scene->ctx);
	ctx_init(&scene->ctx, NO_DEADLINE);
}

/* What is complete when a pull is given up is there for the retry, though it could not be published. */
static void test_complete_layers_are_kept(void **state)
{
	struct scene *scene = *state;
	size_t asked[LAYERS];
	struct image_fs_usage usage;
	struct err err = { 0 };

	fake_content_fault(&scene->content, stall_layers);
	/* Longer and longer, until both upper layers have been complete in time. */
	for (unsigned int i = 1; i < 50 && count_files(scene, "tmp") < LAYERS - 1; i++)
		give_up_pull(scene, i * 20000);
	assert_int_equal(count_files(scene, "tmp"), LAYERS - 1);
	assert_int_equal(count_files(scene, "layers"), 0);
	assert_ok(images_usage(scene->images, &usage, &err));
	free(usage.mountpoint);
	assert_true(usage.used_bytes >= 2 * 4096);
	for (size_t i = 0; i < LAYERS; i++)
		asked[i] = scene_asked(scene, scene->app.layer_digests.items[i]);

	fake_content_fault(&scene->content, NULL);
	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
	for (size_t i = 0; i < LAYERS; i++)
		assert_int_equal(scene_asked(scene, scene->app.layer_digests.items[i]), asked[i] + (i == 0));
	assert_int_equal(count_files(scene, "layers"), LAYERS);
	check_tmp_empties(scene);
}

/* Builders make such layers of steps that change no file; every registry has them, and nobody needs to ask.
 */
static void test_empty_layers(void **state)
{
	struct scene *scene = *state;
	CLEANUP(str_done) struct str empty = STR_INIT;
	const struct fake_layer all[] = { { &scene->tars[0], FAKE_GZIP },
					  { &empty, FAKE_GZIP },
					  { &empty, FAKE_ZSTD },
					  { &empty, FAKE_PLAIN } };
	struct fake_image image;

	tar_end(&empty);
	fake_image_build(&scene->content, "team/empty", "v1", "{}", all, ARRAY_LEN(all), &image);
	check_pull(scene, "plain.test/team/empty:v1", image.config_digest);
	assert_int_equal(scene_asked(scene, image.layer_digests.items[0]), 1);
	for (size_t i = 1; i < ARRAY_LEN(all); i++)
		assert_int_equal(scene_asked(scene, image.layer_digests.items[i]), 0);
	assert_int_equal(count_files(scene, "layers"), ARRAY_LEN(all));
	scene_reopen(scene);
	assert_true(scene_has(scene, "plain.test/team/empty:v1"));
	fake_image_done(&image);
}

static void test_expired(void **state)
{
	struct scene *scene = *state;

	ctx_done(&scene->ctx);
	ctx_init(&scene->ctx, clock_deadline_in(0));
	check_pull_fails(scene, "plain.test/team/app:v1", RPC_DEADLINE_EXCEEDED, "deadline");
	assert_int_equal(scene_asked(scene, "GET"), 0);
}

/* One pull is cancelled while another waits for its layer: the other takes it over. */
static void test_takes_over(void **state)
{
	struct scene *scene = *state;
	struct puller first = { .scene = scene, .reference = "plain.test/team/app:v1" };
	struct puller second = { .scene = scene, .reference = "plain.test/team/app:w" };
	struct scene other = *scene;

	fake_content_put(&scene->content, "/v2/team/app/manifests/w", FAKE_MANIFEST, scene->app.manifest.data,
			 scene->app.manifest.len);
	fake_content_fault(&scene->content, stall_layers);
	pthread_create(&first.thread, NULL, run_puller, &first);
	wait_for(scene, scene->app.layer_digests.items[0]);
	ctx_init(&other.ctx, NO_DEADLINE);
	second.scene = &other;
	pthread_create(&second.thread, NULL, run_puller, &second);
	wait_for(scene, "/manifests/w");
	usleep(100000); /* by now it waits for the layer */
	fake_content_fault(&scene->content, NULL);
	ctx_cancel(&scene->ctx);
	pthread_join(first.thread, NULL);
	pthread_join(second.thread, NULL);
	assert_int_equal(first.err.code, RPC_CANCELLED);
	if (second.result < 0)
		fail_msg("%s", second.err.text);
	assert_string_equal(second.id, scene->app.config_digest);
	free(second.id);
	ctx_done(&other.ctx);
	assert_true(scene_has(scene, "plain.test/team/app:w"));
	assert_false(scene_has(scene, "plain.test/team/app:v1"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pull),         TEST(test_pull_by_digest), TEST(test_pull_again),
		TEST(test_mirror),       TEST(test_half_mirror),    TEST(test_credentials_and_mirror),
		TEST(test_refusals),     TEST(test_index),          TEST(test_corrupt_layer),
		TEST(test_index_lies),   TEST(test_policy),         TEST(test_foreign_layer),
		TEST(test_search_list),  TEST(test_auth_file),      TEST(test_wrong_diff_ids),
		TEST(test_joined),       TEST(test_shared_layers),  TEST(test_complete_layers_are_kept),
		TEST(test_empty_layers), TEST(test_deadline),       TEST(test_expired),
		TEST(test_takes_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
