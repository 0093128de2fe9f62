/*
 * What a registry, a mirror or an image's author may do to a pull, seen from the store: a clear error,
 * nothing stored, and the next pull is good. The numbers are rows of the matrices of faults and of bad input.
 */
#include "test/image/store_scene.h"

#include "base/clock.h"
#include "image/manifest.h"
#include "image/platform.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define CONFIG_TYPE "application/vnd.oci.image.config.v1+json"
#define LAYER_TYPE "application/vnd.oci.image.layer.v1.tar+gzip"
#define CONFIG "\"config\":{\"mediaType\":\"" CONFIG_TYPE "\",\"digest\":\"sha256:" HEX "\",\"size\":10}"
#define LAYER(digest, size) "{\"mediaType\":\"" LAYER_TYPE "\",\"digest\":\"" digest "\",\"size\":" size "}"
#define GOOD_LAYER LAYER("sha256:" HEX, "5")
#define IMAGE(rest) "{\"schemaVersion\":2," CONFIG ",\"layers\":" rest "}"

static void check_nothing_stored(struct scene *scene)
{
	assert_int_equal(count_images(scene), 0);
	assert_int_equal(count_files(scene, "images"), 0);
	assert_int_equal(count_files(scene, "layers"), 0);
	check_tmp_empties(scene);
}

static void check_good_pull(struct scene *scene)
{
	fake_content_fault(&scene->content, NULL);
	fake_content_fault(&scene->mirror_content, NULL);
	check_pull(scene, "plain.test/team/app:v1", scene->app.config_digest);
}

/* Bad input 33: nobody is asked. */
static void test_references(void **state)
{
	static const char *const bad[] = { "",
					   "UPPER",
					   "plain.test/UPPER/app",
					   "plain.test/team/app@sha256:abc",
					   "plain.test/team/app@sha256:../x",
					   "plain.test:99999/a",
					   "plain.test/a/../b",
					   "plain.test/a:b c" };
	struct scene *scene = *state;
	CLEANUP(str_done) struct str huge = STR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		check_pull_fails(scene, bad[i], RPC_INVALID_ARGUMENT, "");
	str_add(&huge, "plain.test/");
	while (huge.len < 10240)
		str_add(&huge, "a");
	check_pull_fails(scene, str_get(&huge), RPC_INVALID_ARGUMENT, "longer than");
	assert_int_equal(scene_asked(scene, "GET"), 0);
	check_nothing_stored(scene);
}

/* Bad input 34: nobody is asked, and no secret is told. */
static void test_credentials(void **state)
{
	static const struct image_auth bad[] = {
		{ .auth = "secretpart!" },
		{ .auth = "c2VjcmV0cGFydA==" }, /* no colon in it */
		{ .username = "me\r\nX-Injected: secretpart", .password = "secretpart" },
		{ .username = "me", .password = "secretpart\r\n" },
		{ .registry_token = "secretpart\r\nX-Injected: 1" },
	};
	struct scene *scene = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CLEANUP(freep) char *id = NULL;
		struct err err = { 0 };

		assert_fails(scene_pull(scene, "plain.test/team/app:v1", &bad[i], &id, &err),
			     RPC_INVALID_ARGUMENT);
		assert_null(strstr(err.text, "secretpart"));
		assert_null(strstr(err.text, "c2Vjcm"));
	}
	assert_int_equal(scene_asked(scene, "GET"), 0);
	check_nothing_stored(scene);
}

static void serve_manifest(struct scene *scene, const char *text, size_t len)
{
	fake_content_put(&scene->content, "/v2/team/app/manifests/bad", "application/json", text, len);
}

static const struct {
	const char *text, *why;
} bad_manifests[] = {
	{ "", "JSON" },
	{ "[]", "object" },
	{ "{\"schemaVersion\":1,\"fsLayers\":[]}", "schema 1" },
	{ IMAGE("[" GOOD_LAYER "],\"manifests\":[]"), "both" },
	{ IMAGE("[" GOOD_LAYER "],\"layers\":[" GOOD_LAYER "]"), "duplicate" },
	{ IMAGE("[]"), "no layers" },
	{ IMAGE("[" LAYER("sha256:" HEX, "-1") "]"), "size" },
	{ IMAGE("[" LAYER("sha256:" HEX, "9223372036854775807") "]"), "size" },
	{ IMAGE("[" LAYER("sha256:../../../../etc/passwd", "5") "]"), "sha256" },
	{ IMAGE("[" LAYER("md5:" HEX, "5") "]"), "algorithm" },
	{ "{\"schemaVersion\":2,\"artifactType\":\"a/b\"," CONFIG ",\"layers\":[" GOOD_LAYER "]}",
	  "artifact" },
	{ "{\"schemaVersion\":2,\"mediaType\":\"" FAKE_INDEX "\"," CONFIG ",\"layers\":[" GOOD_LAYER "]}",
	  "kind" },
};

/* Bad input 35: refused for what it says, before any blob is asked for. */
static void test_manifests(void **state)
{
	struct scene *scene = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad_manifests); i++) {
		serve_manifest(scene, bad_manifests[i].text, strlen(bad_manifests[i].text));
		check_pull_fails(scene, "plain.test/team/app:bad", RPC_INVALID_ARGUMENT,
				 bad_manifests[i].why);
	}
	assert_int_equal(scene_asked(scene, "/blobs/"), 0);
	check_nothing_stored(scene);
	check_good_pull(scene);
}

/* Bad input 35: too long, too deep, too many. */
static void test_manifest_bounds(void **state)
{
	struct scene *scene = *state;
	CLEANUP(str_done) struct str layers = STR_INIT;
	CLEANUP(str_done) struct str deep = STR_INIT;
	CLEANUP(str_done) struct str long_one = STR_INIT;

	str_add(&layers, "{\"schemaVersion\":2," CONFIG ",\"layers\":[" GOOD_LAYER);
	for (int i = 1; i < 10000; i++)
		str_add(&layers, "," GOOD_LAYER);
	str_add(&layers, "]}");
	serve_manifest(scene, str_get(&layers), layers.len);
	check_pull_fails(scene, "plain.test/team/app:bad", RPC_INVALID_ARGUMENT, "10000 layers");
	for (int i = 0; i < 10000; i++)
		str_add(&deep, "{\"a\":");
	serve_manifest(scene, str_get(&deep), deep.len);
	check_pull_fails(scene, "plain.test/team/app:bad", RPC_INVALID_ARGUMENT, "deep");
	str_add(&long_one, "{\"schemaVersion\":2,\"annotations\":{\"a\":\"");
	while (long_one.len <= MANIFEST_SIZE_MAX)
		str_add(&long_one, "0123456789012345678901234567890123456789012345678901234567890123");
	str_add(&long_one, "\"}," CONFIG ",\"layers\":[" GOOD_LAYER "]}");
	serve_manifest(scene, str_get(&long_one), long_one.len);
	check_pull_fails(scene, "plain.test/team/app:bad", RPC_RESOURCE_EXHAUSTED, "longer than 4194304");
	assert_int_equal(scene_asked(scene, "/blobs/"), 0);
	check_nothing_stored(scene);
}

/* Bad input 35: indexes in indexes, without end. */
static void test_nested_indexes(void **state)
{
	struct scene *scene = *state;
	CLEANUP(str_done) struct str index = STR_INIT;
	char digest[DIGEST_TEXT_SIZE];

	str_add(&index, "{\"schemaVersion\":2,\"manifests\":[]}");
	for (int i = 0; i < 20; i++) {
		fake_digest(index.data, index.len, digest);
		CLEANUP(freep) char *path = xasprintf("/v2/team/app/manifests/%s", digest);
		size_t len = index.len;

		fake_content_put(&scene->content, path, FAKE_INDEX, index.data, len);
		str_clear(&index);
		str_addf(&index,
			 "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" FAKE_INDEX
			 "\",\"digest\":\"%s\",\"size\":%zu}]}",
			 digest, len);
	}
	serve_manifest(scene, str_get(&index), index.len);
	check_pull_fails(scene, "plain.test/team/app:bad", RPC_INVALID_ARGUMENT, "nested too deep");
	assert_true(scene_asked(scene, "/manifests/") < 10);
	check_nothing_stored(scene);
}

/* Fault 34: the right manifest, of another size than the index says. */
static void test_index_of_another_size(void **state)
{
	struct scene *scene = *state;
	CLEANUP(freep)
	char *index = xasprintf("{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" FAKE_MANIFEST
				"\",\"digest\":\"%s\",\"size\":%zu}]}",
				scene->app.manifest_digest, scene->app.manifest.len + 1);

	serve_manifest(scene, index, strlen(index));
	check_pull_fails(scene, "plain.test/team/app:bad", RPC_DATA_LOSS, "another size than its index says");
	assert_int_equal(scene_asked(scene, "/blobs/"), 0);
	check_nothing_stored(scene);
}

/* An image whose config is `text`, and whose layers are those of the good one. */
static void serve_config(struct scene *scene, const char *text)
{
	CLEANUP(str_done) struct str manifest = STR_INIT;
	char digest[DIGEST_TEXT_SIZE];

	fake_digest(text, strlen(text), digest);
	CLEANUP(freep) char *path = xasprintf("/v2/team/app/blobs/%s", digest);

	str_addf(&manifest,
		 "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" CONFIG_TYPE
		 "\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[",
		 digest, strlen(text));
	for (size_t i = 0; i < LAYERS; i++)
		str_addf(&manifest, "%s{\"mediaType\":\"" LAYER_TYPE "\",\"digest\":\"%s\",\"size\":1}",
			 i ? "," : "", scene->app.layer_digests.items[i]);
	str_add(&manifest, "]}");
	fake_content_put(&scene->content, path, "x/y", text, strlen(text));
	serve_manifest(scene, str_get(&manifest), manifest.len);
}

#define DIFF_ID "\"sha256:" HEX "\""
#define ROOTFS(ids) "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[" ids "]}"

/* Bad input 36: refused before any layer is asked for. */
static void test_configs(void **state)
{
	static const char *const bad[] = {
		"nonsense",
		"{}",
		"{" ROOTFS(DIFF_ID) "}",
		"{" ROOTFS(DIFF_ID "," DIFF_ID "," DIFF_ID "," DIFF_ID) "}",
		"{" ROOTFS(DIFF_ID "," DIFF_ID ",\"sha256:../x\"") "}",
		"{\"os\":\"windows\"," ROOTFS(DIFF_ID "," DIFF_ID "," DIFF_ID) "}",
		"{\"config\":{\"Volumes\":[]}," ROOTFS(DIFF_ID "," DIFF_ID "," DIFF_ID) "}",
		"{\"config\":{\"User\":\"a\\u0000b\"}," ROOTFS(DIFF_ID "," DIFF_ID "," DIFF_ID) "}",
	};
	struct scene *scene = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		serve_config(scene, bad[i]);
		check_pull_fails(scene, "plain.test/team/app:bad", RPC_INVALID_ARGUMENT, "");
	}
	for (size_t i = 0; i < LAYERS; i++)
		assert_int_equal(scene_asked(scene, scene->app.layer_digests.items[i]), 0);
	check_nothing_stored(scene);
	check_good_pull(scene);
}

/* Bad input 36: a config of more than 4 MiB is not asked for. */
static void test_huge_config(void **state)
{
	static const char manifest[] =
		"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" CONFIG_TYPE "\",\"digest\":\"sha256:" HEX
		"\",\"size\":4194305},\"layers\":[" GOOD_LAYER "]}";
	struct scene *scene = *state;

	serve_manifest(scene, manifest, strlen(manifest));
	check_pull_fails(scene, "plain.test/team/app:bad", RPC_INVALID_ARGUMENT, "4 MiB");
	assert_int_equal(scene_asked(scene, "/blobs/"), 0);
}

/* Bad input 36: volumes outside the root are nobody's, the others remain; labels are data and nothing else.
 */
static void test_stripped_config(void **state)
{
	struct scene *scene = *state;
	CLEANUP(image_unrefp) struct image *image = NULL;
	struct fake_image odd;

	scene_build(scene, "team/odd", "v1",
		    "{\"Volumes\":{\"/../../etc\":{},\"/data\":{}},"
		    "\"Labels\":{\"io.kubernetes.container.logpath\":\"binary:///bin/sh\"}}",
		    LAYERS, &odd);
	check_pull(scene, "plain.test/team/odd:v1", odd.config_digest);
	image = scene_find(scene, "plain.test/team/odd:v1");
	assert_int_equal(image->config.volumes.len, 1);
	assert_string_equal(image->config.volumes.items[0], "/data");
	fake_image_done(&odd);
}

static void lie_about_config(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;
	CLEANUP(str_done) struct str config = STR_INIT;

	*handled = strstr(request->path, scene->app.config_digest) != NULL;
	if (!*handled)
		return;
	str_addn(&config, scene->app.config.data, scene->app.config.len);
	strstr(config.data, "A=1")[2] = '2';
	fake_reply(request, 200, "", config.data, config.len);
}

/* The last layer has another length than its descriptor says. */
static void lie_about_length(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;

	*handled = strstr(request->path, scene->app.layer_digests.items[LAYERS - 1]) != NULL;
	if (*handled)
		fake_reply_text(request, 200, "", "short");
}

static void lie_about_manifest(struct fake_request *request, void *data UNUSED, bool *handled)
{
	*handled = strstr(request->path, "/manifests/") != NULL;
	if (*handled)
		fake_reply_text(request, 200,
				"Docker-Content-Digest: sha256:" HEX "\r\nContent-Type: " FAKE_MANIFEST
				"\r\n",
				IMAGE("[" GOOD_LAYER "]"));
}

/* Fault 34: nothing is committed that is not what its digest says. */
static void test_lies(void **state)
{
	struct scene *scene = *state;
	CLEANUP(freep) char *by_digest = xasprintf("plain.test/team/app@%s", scene->app.manifest_digest);

	fake_content_fault(&scene->content, lie_about_config);
	check_pull_fails(scene, "plain.test/team/app:v1", RPC_DATA_LOSS, "expected sha256:");
	check_nothing_stored(scene);
	fake_content_fault(&scene->content, lie_about_length);
	check_pull_fails(scene, "plain.test/team/app:v1", RPC_DATA_LOSS, "shorter");
	assert_int_equal(count_images(scene), 0);
	fake_content_fault(&scene->content, lie_about_manifest);
	check_pull_fails(scene, "plain.test/team/app:v1", RPC_DATA_LOSS, "manifest");
	check_pull_fails(scene, by_digest, RPC_DATA_LOSS, "manifest");
	assert_int_equal(count_images(scene), 0);
	check_good_pull(scene);
}

static void too_many_requests(struct fake_request *request, void *data UNUSED, bool *handled)
{
	*handled = true;
	fake_reply_text(request, 429, "Retry-After: 3600\r\n",
			"{\"errors\":[{\"code\":\"TOOMANYREQUESTS\",\"message\":\"slow down\"}]}");
}

static void forbidden(struct fake_request *request, void *data UNUSED, bool *handled)
{
	*handled = true;
	fake_reply_text(request, 403, "", "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"not you\"}]}");
}

/* Fault 33, as the kubelet sees it: its word first, with UNKNOWN; and what was refused has a code of its own.
 */
static void test_refusals(void **state)
{
	struct scene *scene = *state;

	fake_content_fault(&scene->content, too_many_requests);
	check_pull_fails(scene, "plain.test/team/app:v1", RPC_UNKNOWN, "TOOMANYREQUESTS: slow down");
	check_pull_fails(scene, "plain.test/team/app:v1", RPC_UNKNOWN, "RegistryUnavailable: ");
	assert_int_equal(scene_asked(scene, "GET"), 2);
	fake_content_fault(&scene->content, forbidden);
	check_pull_fails(scene, "plain.test/team/app:v1", RPC_PERMISSION_DENIED, "DENIED: not you");
	assert_int_equal(scene_asked(scene, "GET"), 3);
	check_good_pull(scene);
}

static void failing(struct fake_request *request, void *data UNUSED, bool *handled)
{
	*handled = true;
	fake_reply_text(request, 500, "", "<html>secretpart</html>");
}

static void wants_password(struct fake_request *request, void *data UNUSED, bool *handled)
{
	*handled = true;
	fake_reply_text(request, 401, "WWW-Authenticate: Basic realm=\"x\"\r\n", "");
}

static void resetting(struct fake_request *request, void *data UNUSED, bool *handled)
{
	*handled = true;
	fake_reset(request);
}

static void junk(struct fake_request *request, void *data UNUSED, bool *handled)
{
	*handled = true;
	fake_reply_text(request, 200, "Content-Type: text/html\r\n", "<html>Log in to the network</html>");
}

/* The right documents, and other bytes for every blob. */
static void other_bytes(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;

	*handled = true;
	if (strstr(request->path, "/manifests/"))
		fake_reply(request, 200, "Content-Type: " FAKE_MANIFEST "\r\n", scene->app.manifest.data,
			   scene->app.manifest.len);
	else if (strstr(request->path, scene->app.config_digest))
		fake_reply(request, 200, "", scene->app.config.data, scene->app.config.len);
	else
		fake_reply_text(request, 200, "", "other bytes");
}

static void check_pull_past_mirror(struct scene *scene, fake_fault *fault)
{
	int64_t start = clock_mono();
	struct err err = { 0 };

	fake_content_fault(&scene->mirror_content, fault);
	check_pull(scene, "reg.test/team/app:v1", scene->app.config_digest);
	assert_true(clock_mono() - start < 30 * NS_PER_SEC);
	assert_ok(images_remove(scene->images, scene->app.config_digest, &err));
	assert_int_equal(count_images(scene), 0);
}

/* Fault 36: whatever a mirror does, the registry's image comes, and soon. */
static void test_mirrors(void **state)
{
	fake_fault *const faults[] = { too_many_requests,  forbidden,  failing,
				       wants_password,     resetting,  junk,
				       lie_about_manifest, other_bytes };
	struct scene *scene = *state;

	for (size_t i = 0; i < ARRAY_LEN(faults); i++)
		check_pull_past_mirror(scene, faults[i]);
	fake_server_pause(scene->mirror);
	check_pull_past_mirror(scene, NULL);
	fake_server_resume(scene->mirror);
}

/* Fault 36: when nobody has it, each of them is heard. */
static void test_mirror_and_registry(void **state)
{
	struct scene *scene = *state;

	fake_content_fault(&scene->mirror_content, forbidden);
	fake_content_fault(&scene->content, too_many_requests);
	check_pull_fails(scene, "reg.test/team/app:v1", RPC_UNKNOWN, "RegistryUnavailable: ");
	check_pull_fails(scene, "reg.test/team/app:v1", RPC_UNKNOWN, fake_server_host(scene->mirror));
	check_pull_fails(scene, "reg.test/team/app:v1", RPC_UNKNOWN, fake_server_host(scene->server));
	check_nothing_stored(scene);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_references),
		TEST(test_credentials),
		TEST(test_manifests),
		TEST(test_manifest_bounds),
		TEST(test_nested_indexes),
		TEST(test_configs),
		TEST(test_huge_config),
		TEST(test_stripped_config),
		TEST(test_lies),
		TEST(test_index_of_another_size),
		TEST(test_refusals),
		TEST(test_mirrors),
		TEST(test_mirror_and_registry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
