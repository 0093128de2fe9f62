/* Pauses and timeouts are short: every test waits for some of them. */
#include "test/image/registry_scene.h"

#include "base/clock.h"

static void make_blob(struct scene *scene)
{
	CLEANUP(freep) char *path = NULL;

	scene->blob = xmalloc(BLOB_SIZE);
	for (size_t i = 0; i < BLOB_SIZE; i++)
		scene->blob[i] = (char)(i * 2654435761u >> 13);
	fake_digest(scene->blob, BLOB_SIZE, scene->digest);
	path = xasprintf("/v2/team/app/blobs/%s", scene->digest);
	fake_content_put(&scene->content, path, "application/octet-stream", scene->blob, BLOB_SIZE);
	fake_content_put(&scene->other_content, "/elsewhere", "application/octet-stream", scene->blob,
			 BLOB_SIZE);
	digest_of(DIGEST_SHA256, scene->blob, BLOB_SIZE, &scene->descriptor.digest);
	scene->descriptor.size = BLOB_SIZE;
	scene->descriptor.media_type = "";
}

void connect_repo(struct scene *scene, const struct image_auth *auth, bool insecure)
{
	connect_with(scene, auth, insecure, NULL);
}

void connect_with(struct scene *scene, const struct image_auth *auth, bool insecure,
		  const struct credentials_source *source)
{
	const struct registry_endpoint endpoint = { fake_server_host(scene->server), "team/app", insecure,
						    false };
	struct credentials credentials = { 0 };
	struct err err = { 0 };

	registry_conn_free(scene->conn);
	registry_repo_free(scene->repo);
	assert_ok(credentials_from_cri(auth, endpoint.host, &credentials, &err));
	scene->repo = registry_repo_new(scene->registry, &endpoint, &credentials, source);
	scene->conn = registry_conn_new(scene->repo);
}

int registry_setup(void **state)
{
	const struct registry_options options = { .connect_timeout = 5 * NS_PER_SEC,
						  .progress_timeout = 300 * NS_PER_MS,
						  .retry_pause = NS_PER_MS };
	struct scene *scene = xnew(struct scene);

	fake_content_init(&scene->content);
	fake_content_init(&scene->other_content);
	make_blob(scene);
	fake_content_put(&scene->content, "/v2/team/app/manifests/v1", FAKE_MANIFEST, "{\"a\":1}", 7);
	scene->server = fake_server_new(fake_content_handle, &scene->content);
	scene->other = fake_server_new(fake_content_handle, &scene->other_content);
	scene->content.data = scene->other_content.data = scene;
	scene->registry = registry_new(&options);
	ctx_init(&scene->ctx, NO_DEADLINE);
	connect_repo(scene, NULL, true);
	*state = scene;
	return 0;
}

int registry_teardown(void **state)
{
	struct scene *scene = *state;

	registry_conn_free(scene->conn);
	registry_repo_free(scene->repo);
	registry_free(scene->registry);
	fake_server_free(scene->server);
	fake_server_free(scene->other);
	fake_content_done(&scene->content);
	fake_content_done(&scene->other_content);
	ctx_done(&scene->ctx);
	free(scene->blob);
	free(scene);
	return 0;
}

int get_manifest(struct scene *scene, struct err *err)
{
	CLEANUP(registry_manifest_done) struct registry_manifest manifest = { 0 };

	if (registry_get_manifest(scene->conn, &scene->ctx, "v1", NULL, &manifest, err) < 0)
		return -1;
	assert_string_equal(manifest.data, "{\"a\":1}");
	assert_string_equal(manifest.content_type, FAKE_MANIFEST);
	return 0;
}

/* Reads the whole blob and compares it. */
int get_blob(struct scene *scene, struct err *err)
{
	size_t at = 0, len;
	const uint8_t *data;

	if (registry_open_blob(scene->conn, &scene->ctx, &scene->descriptor, err) < 0)
		return -1;
	do {
		if (registry_read_blob(scene->conn, &scene->ctx, &data, &len, err) < 0)
			return -1;
		assert_true(at + len <= BLOB_SIZE);
		assert_memory_equal(data, scene->blob + at, len);
		at += len;
	} while (len > 0);
	assert_int_equal(at, BLOB_SIZE);
	return 0;
}

size_t asked(struct scene *scene, const char *part)
{
	return fake_server_count(scene->server, part);
}
