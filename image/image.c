/*
 * One table describes the record in both directions. The config is not in it: the blob, kept by digest, is
 * the truth.
 */
#include "image/image.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/json.h"
#include "image/manifest.h"

enum { RECORD_MAX = 1024 * 1024, RECORD_VERSION = 1 };

struct record {
	int64_t version;
	char *id, *digest;
	struct json_strings repo_tags, repo_digests, layers;
	uint64_t size;
	int64_t created_at, updated_at;
};

static const struct json_field record_fields[] = {
	{ "version", JSON_FIELD_INT, offsetof(struct record, version), JSON_NEEDED, NULL, 0 },
	{ "id", JSON_FIELD_STRING, offsetof(struct record, id), JSON_NEEDED, NULL, 0 },
	{ "manifestDigest", JSON_FIELD_STRING, offsetof(struct record, digest), JSON_NEEDED, NULL, 0 },
	{ "repoTags", JSON_FIELD_STRINGS, offsetof(struct record, repo_tags), 0, NULL, 0 },
	{ "repoDigests", JSON_FIELD_STRINGS, offsetof(struct record, repo_digests), 0, NULL, 0 },
	{ "layers", JSON_FIELD_STRINGS, offsetof(struct record, layers), JSON_NEEDED, NULL, 0 },
	{ "size", JSON_FIELD_UINT, offsetof(struct record, size), JSON_NEEDED, NULL, 0 },
	{ "createdAt", JSON_FIELD_INT, offsetof(struct record, created_at), JSON_NEEDED, NULL, 0 },
	{ "updatedAt", JSON_FIELD_INT, offsetof(struct record, updated_at), JSON_NEEDED, NULL, 0 },
	{ 0 },
};

struct image *image_new(void)
{
	struct image *image = xnew(struct image);

	atomic_init(&image->refs, 1);
	return image;
}

struct image *image_ref(struct image *image)
{
	if (image)
		atomic_fetch_add(&image->refs, 1);
	return image;
}

struct image *image_unref(struct image *image)
{
	if (!image || atomic_fetch_sub(&image->refs, 1) != 1)
		return NULL;
	free(image->id);
	free(image->digest);
	strv_done(&image->repo_tags);
	strv_done(&image->repo_digests);
	image_config_done(&image->config);
	free(image->config_json);
	strv_done(&image->layers);
	free(image);
	return NULL;
}

void image_unrefp(struct image **image)
{
	image_unref(*image);
}

static void copy_strings(const struct strv *from, struct strv *to)
{
	strv_add_all(to, (const char *const *)from->items, from->len);
}

struct image *image_copy(const struct image *image)
{
	struct image *copy = image_new();

	copy->id = xstrdup(image->id);
	copy->digest = xstrdup(image->digest);
	copy_strings(&image->repo_tags, &copy->repo_tags);
	copy_strings(&image->repo_digests, &copy->repo_digests);
	copy->size = image->size;
	copy->created_at = image->created_at;
	copy->updated_at = image->updated_at;
	copy->config.user = xstrdup(image->config.user);
	copy->config.working_dir = xstrdup(image->config.working_dir);
	copy->config.stop_signal = xstrdup(image->config.stop_signal);
	copy_strings(&image->config.env, &copy->config.env);
	copy_strings(&image->config.entrypoint, &copy->config.entrypoint);
	copy_strings(&image->config.cmd, &copy->config.cmd);
	copy_strings(&image->config.volumes, &copy->config.volumes);
	copy->config_json = xstrdup(image->config_json);
	copy_strings(&image->layers, &copy->layers);
	copy->pinned = image->pinned;
	return copy;
}

int image_set_config(struct image *image, char *config_json_take, size_t len, struct err *err)
{
	CLEANUP(diff_ids_done) struct diff_ids diff_ids = { 0 };

	free(image->config_json);
	image->config_json = config_json_take;
	return image_config_parse(config_json_take, len, image->layers.len, &image->config, &diff_ids, err);
}

char *image_record_name(const char *id)
{
	const char *colon = strchr(id, ':');

	return xasprintf("%s.json", colon ? colon + 1 : id);
}

static struct json_strings borrow(const struct strv *strv)
{
	return (struct json_strings){ strv->items, strv->len };
}

int image_record_write(int dir, const struct image *image, bool durable, struct err *err)
{
	int (*replace)(int, const char *, const void *, size_t, mode_t, struct err *) =
		durable ? file_replace : file_replace_volatile;
	CLEANUP(freep) char *name = image_record_name(image->id);
	CLEANUP(json_decrefp) json_t *json = NULL;
	CLEANUP(freep) char *text = NULL;
	const struct record record = {
		.version = RECORD_VERSION,
		.id = image->id,
		.digest = image->digest,
		.repo_tags = borrow(&image->repo_tags),
		.repo_digests = borrow(&image->repo_digests),
		.layers = borrow(&image->layers),
		.size = image->size,
		.created_at = image->created_at,
		.updated_at = image->updated_at,
	};

	json = json_encode(record_fields, &record);
	text = json_text(json);
	if (strlen(text) > RECORD_MAX)
		return err_set(err, RPC_RESOURCE_EXHAUSTED, "image %s has too many names", image->id);
	return replace(dir, name, text, strlen(text), 0600, err);
}

static int check_record(const struct record *record, const char *name, struct digest *ret_id, struct err *err)
{
	CLEANUP(freep) char *expected = image_record_name(record->id);
	struct digest digest;

	if (record->version != RECORD_VERSION)
		return err_set(err, RPC_DATA_LOSS, "record version %lld is not known",
			       (long long)record->version);
	if (!str_eq(expected, name))
		return err_set(err, RPC_DATA_LOSS, "record is of another image");
	if (digest_parse(record->id, ret_id, err) < 0 || digest_parse(record->digest, &digest, err) < 0)
		return -1;
	if (record->layers.len == 0 || record->layers.len > MANIFEST_LAYERS_MAX)
		return err_set(err, RPC_DATA_LOSS, "record has no layers, or too many");
	for (size_t i = 0; i < record->layers.len; i++)
		if (digest_parse(record->layers.items[i], &digest, err) < 0)
			return -1;
	return 0;
}

static struct image *image_of(const struct record *record)
{
	struct image *image = image_new();

	image->id = xstrdup(record->id);
	image->digest = xstrdup(record->digest);
	strv_add_all(&image->repo_tags, (const char *const *)record->repo_tags.items, record->repo_tags.len);
	strv_add_all(&image->repo_digests, (const char *const *)record->repo_digests.items,
		     record->repo_digests.len);
	strv_add_all(&image->layers, (const char *const *)record->layers.items, record->layers.len);
	image->size = record->size;
	image->created_at = record->created_at;
	image->updated_at = record->updated_at;
	return image;
}

int image_record_read(int dir, const char *name, struct blobs *blobs, struct image **ret, struct err *err)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(image_unrefp) struct image *image = NULL;
	CLEANUP(json_decrefp) json_t *json = NULL;
	CLEANUP(freep) char *text = NULL;
	struct record record = { 0 };
	struct digest id;
	char *config;
	size_t len;

	if (file_read(dir, name, RECORD_MAX, &text, &len, err) < 0 ||
	    json_parse(text, len, RECORD_MAX, &json, err) < 0) {
		err->code = RPC_DATA_LOSS; /* FAILED_PRECONDITION has a meaning of its own */
		return -1;
	}
	if (json_integer_value(json_object_get(json, "version")) > RECORD_VERSION)
		return err_set(err, RPC_FAILED_PRECONDITION, "written by a newer crisp");
	if (json_decode(json, record_fields, &record, arena, err) < 0 ||
	    check_record(&record, name, &id, err) < 0)
		return -1;
	if (blobs_get(blobs, &id, MANIFEST_CONFIG_MAX, &config, &len, err) < 0) {
		err->code = RPC_DATA_LOSS;
		return -1;
	}
	image = image_of(&record);
	if (image_set_config(image, config, len, err) < 0)
		return -1;
	*ret = TAKE(image);
	return 0;
}
