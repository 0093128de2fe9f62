/*
 * Two steps: the JSON tables give the document's raw shape, then each part is judged. The kind is what the
 * document says itself (mediaType), else what the server says (Content-Type), else what its fields look like;
 * wherever two of these exist they must agree.
 */
#include "image/manifest.h"

#include <stddef.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"

struct raw_platform {
	char *os, *architecture, *variant;
};

static const struct json_field platform_fields[] = {
	{ "os", JSON_FIELD_STRING, offsetof(struct raw_platform, os), 0, NULL, 0 },
	{ "architecture", JSON_FIELD_STRING, offsetof(struct raw_platform, architecture), 0, NULL, 0 },
	{ "variant", JSON_FIELD_STRING, offsetof(struct raw_platform, variant), 0, NULL, 0 },
	{ 0 },
};

struct raw_descriptor {
	char *media_type, *digest, *artifact_type;
	int64_t size;
	struct raw_platform *platform;
};

static const struct json_field descriptor_fields[] = {
	{ "mediaType", JSON_FIELD_STRING, offsetof(struct raw_descriptor, media_type), 0, NULL, 0 },
	{ "digest", JSON_FIELD_STRING, offsetof(struct raw_descriptor, digest), JSON_NEEDED, NULL, 0 },
	{ "size", JSON_FIELD_INT, offsetof(struct raw_descriptor, size), JSON_NEEDED, NULL, 0 },
	{ "artifactType", JSON_FIELD_STRING, offsetof(struct raw_descriptor, artifact_type), 0, NULL, 0 },
	{ "platform", JSON_FIELD_OBJECT_PTR, offsetof(struct raw_descriptor, platform), 0, platform_fields,
	  sizeof(struct raw_platform) },
	{ 0 },
};

struct raw_manifest {
	int64_t schema_version;
	char *media_type, *artifact_type;
	struct raw_descriptor *config;
	struct json_array layers, manifests;
};

static const struct json_field manifest_fields[] = {
	{ "schemaVersion", JSON_FIELD_INT, offsetof(struct raw_manifest, schema_version), JSON_NEEDED, NULL,
	  0 },
	{ "mediaType", JSON_FIELD_STRING, offsetof(struct raw_manifest, media_type), 0, NULL, 0 },
	{ "artifactType", JSON_FIELD_STRING, offsetof(struct raw_manifest, artifact_type), 0, NULL, 0 },
	{ "config", JSON_FIELD_OBJECT_PTR, offsetof(struct raw_manifest, config), 0, descriptor_fields,
	  sizeof(struct raw_descriptor) },
	{ "layers", JSON_FIELD_ARRAY, offsetof(struct raw_manifest, layers), 0, descriptor_fields,
	  sizeof(struct raw_descriptor) },
	{ "manifests", JSON_FIELD_ARRAY, offsetof(struct raw_manifest, manifests), 0, descriptor_fields,
	  sizeof(struct raw_descriptor) },
	{ 0 },
};

enum kind { KIND_UNKNOWN, KIND_IMAGE, KIND_INDEX, KIND_SCHEMA1 };

static const struct {
	const char *media_type;
	enum kind kind;
} kinds[] = {
	{ "application/vnd.oci.image.manifest.v1+json", KIND_IMAGE },
	{ "application/vnd.docker.distribution.manifest.v2+json", KIND_IMAGE },
	{ "application/vnd.oci.image.index.v1+json", KIND_INDEX },
	{ "application/vnd.docker.distribution.manifest.list.v2+json", KIND_INDEX },
	{ "application/vnd.docker.distribution.manifest.v1+json", KIND_SCHEMA1 },
	{ "application/vnd.docker.distribution.manifest.v1+prettyjws", KIND_SCHEMA1 },
};

static const char *const config_types[] = {
	"application/vnd.oci.image.config.v1+json",
	"application/vnd.docker.container.image.v1+json",
};

static const char *const layer_types[] = {
	"application/vnd.oci.image.layer.v1.tar",
	"application/vnd.oci.image.layer.v1.tar+gzip",
	"application/vnd.oci.image.layer.v1.tar+zstd",
	"application/vnd.oci.image.layer.nondistributable.v1.tar",
	"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
	"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
	"application/vnd.docker.image.rootfs.diff.tar",
	"application/vnd.docker.image.rootfs.diff.tar.gzip",
	"application/vnd.docker.image.rootfs.diff.tar.zstd",
	"application/vnd.docker.image.rootfs.foreign.diff.tar",
	"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
};

static bool listed(const char *const *list, size_t len, const char *text)
{
	for (size_t i = 0; i < len; i++)
		if (str_eq(list[i], text))
			return true;
	return false;
}

/* The first len bytes of text: a Content-Type may go on with parameters. */
static enum kind kind_of(const char *text)
{
	size_t len = text ? strcspn(text, "; \t") : 0;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strlen(kinds[i].media_type) == len && strncasecmp(kinds[i].media_type, text, len) == 0)
			return kinds[i].kind;
	return KIND_UNKNOWN;
}

static int refuse(struct err *err, const char *why)
{
	return err_set(err, RPC_INVALID_ARGUMENT, "%s", why);
}

static int judge_kind(const json_t *json, const struct raw_manifest *raw, const char *content_type,
		      enum kind *ret, struct err *err)
{
	bool index = json_object_get(json, "manifests") != NULL;
	bool image = json_object_get(json, "layers") || json_object_get(json, "config");
	enum kind said = kind_of(raw->media_type), served = kind_of(content_type);

	if (raw->schema_version == 1 || said == KIND_SCHEMA1 || served == KIND_SCHEMA1 ||
	    json_object_get(json, "fsLayers"))
		return refuse(err, "Docker schema 1 images are not supported: push the image again");
	if (raw->schema_version != 2)
		return refuse(err, "schemaVersion is not 2");
	if (index == image)
		return refuse(err, index ? "manifest is both an index and an image"
					 : "manifest is neither an index nor an image");
	if (raw->media_type && said == KIND_UNKNOWN)
		return refuse(err, "manifest has an unknown mediaType");
	if (said != KIND_UNKNOWN && served != KIND_UNKNOWN &&
	    strncasecmp(raw->media_type, content_type, strlen(raw->media_type)) != 0)
		return refuse(err, "mediaType differs from the Content-Type");
	*ret = index ? KIND_INDEX : KIND_IMAGE;
	if ((said != KIND_UNKNOWN && said != *ret) || (served != KIND_UNKNOWN && served != *ret))
		return refuse(err, "manifest is not of the kind that its media type says");
	return 0;
}

static int convert(const struct raw_descriptor *raw, struct descriptor *ret, struct err *err)
{
	if (digest_parse(raw->digest, &ret->digest, err) < 0)
		return -1;
	if (raw->size < 0 || raw->size > MANIFEST_BLOB_MAX)
		return refuse(err, "size out of range");
	ret->size = raw->size;
	ret->media_type = raw->media_type ? raw->media_type : "";
	return 0;
}

static int judge_config(const struct raw_manifest *raw, struct manifest *ret, struct err *err)
{
	if (!raw->config)
		return refuse(err, "manifest has no config");
	if (convert(raw->config, &ret->config, err) < 0)
		return err_prefix(err, "config");
	if (!listed(config_types, ARRAY_LEN(config_types), ret->config.media_type))
		return refuse(err, "this is an artifact, not a container image (config media type)");
	if (ret->config.size > MANIFEST_CONFIG_MAX)
		return refuse(err, "image config is larger than 4 MiB");
	return 0;
}

static int judge_layer(const struct raw_descriptor *raw, struct descriptor *ret, struct err *err)
{
	if (convert(raw, ret, err) < 0)
		return -1;
	if (str_has_suffix(ret->media_type, "+encrypted"))
		return refuse(err, "encrypted layers are not supported");
	if (!listed(layer_types, ARRAY_LEN(layer_types), ret->media_type))
		return refuse(err, "media type is not one of a layer");
	return 0;
}

static int judge_image(const struct raw_manifest *raw, struct arena *arena, struct manifest *ret,
		       struct err *err)
{
	const struct raw_descriptor *layers = raw->layers.items;

	if (judge_config(raw, ret, err) < 0)
		return -1;
	if (raw->layers.len == 0)
		return refuse(err, "image has no layers");
	if (raw->layers.len > MANIFEST_LAYERS_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "image has %zu layers, more than %d",
			       raw->layers.len, MANIFEST_LAYERS_MAX);
	ret->layers_len = raw->layers.len;
	ret->layers = arena_array(arena, ret->layers_len, sizeof(*ret->layers));
	for (size_t i = 0; i < ret->layers_len; i++)
		if (judge_layer(&layers[i], &ret->layers[i], err) < 0)
			return err_prefix(err, "layer %zu", i);
	return 0;
}

static int judge_index(const struct raw_manifest *raw, struct arena *arena, struct manifest *ret,
		       struct err *err)
{
	const struct raw_descriptor *items = raw->manifests.items;

	if (raw->manifests.len > MANIFEST_ENTRIES_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "index has more than %d entries",
			       MANIFEST_ENTRIES_MAX);
	ret->is_index = true;
	ret->entries_len = raw->manifests.len;
	ret->entries = arena_array(arena, ret->entries_len, sizeof(*ret->entries));
	for (size_t i = 0; i < ret->entries_len; i++) {
		struct manifest_entry *entry = &ret->entries[i];

		if (convert(&items[i], &entry->descriptor, err) < 0)
			return err_prefix(err, "manifests[%zu]", i);
		entry->artifact = !str_empty(items[i].artifact_type);
		if (!items[i].platform)
			continue;
		entry->has_platform = true;
		entry->platform.os = items[i].platform->os;
		entry->platform.architecture = items[i].platform->architecture;
		entry->platform.variant = items[i].platform->variant;
	}
	return 0;
}

static int judge(const json_t *json, const char *content_type, struct arena *arena, struct manifest *ret,
		 struct err *err)
{
	struct raw_manifest raw = { 0 };
	struct manifest manifest = { 0 };
	enum kind kind = KIND_UNKNOWN;
	int result;

	if (!json_is_object(json))
		return refuse(err, "not a JSON object");
	if (json_decode(json, manifest_fields, &raw, arena, err) < 0 ||
	    judge_kind(json, &raw, content_type, &kind, err) < 0)
		return -1;
	if (!str_empty(raw.artifact_type))
		return refuse(err, "this is an artifact, not a container image (artifactType)");
	result = kind == KIND_INDEX ? judge_index(&raw, arena, &manifest, err)
				    : judge_image(&raw, arena, &manifest, err);
	if (result < 0)
		return -1;
	*ret = manifest;
	return 0;
}

int manifest_parse(const char *data, size_t len, const char *content_type, struct arena *arena,
		   struct manifest *ret, struct err *err)
{
	CLEANUP(json_decrefp) json_t *json = NULL;

	if (json_parse(data, len, MANIFEST_SIZE_MAX, &json, err) < 0 ||
	    judge(json, content_type, arena, ret, err) < 0)
		return err_prefix(err, "manifest");
	return 0;
}

bool manifest_is(const struct manifest *manifest, const char *media_type)
{
	return kind_of(media_type) == (manifest->is_index ? KIND_INDEX : KIND_IMAGE);
}

static int no_platform(const struct manifest *index, const struct platform *host, struct err *err)
{
	CLEANUP(str_done) struct str offered = STR_LIMIT(512);

	for (size_t i = 0; i < index->entries_len; i++) {
		const struct platform *platform = &index->entries[i].platform;

		if (!index->entries[i].has_platform || str_eq(platform->os, "unknown"))
			continue;
		str_addf(&offered, "%s%s/%s%s%s", offered.len ? ", " : "", platform->os ? platform->os : "?",
			 platform->architecture ? platform->architecture : "?",
			 str_empty(platform->variant) ? "" : "/",
			 str_empty(platform->variant) ? "" : platform->variant);
	}
	return err_set(err, RPC_NOT_FOUND, "image has nothing for %s/%s (offered: %s)", host->os,
		       host->architecture,
		       offered.len && str_is_printable(offered.data) ? offered.data : "none");
}

int manifest_choose(const struct manifest *index, const struct platform *host, const struct descriptor **ret,
		    struct err *err)
{
	const struct manifest_entry *best = NULL, *silent = NULL;
	int best_rank = 0;

	for (size_t i = 0; i < index->entries_len; i++) {
		const struct manifest_entry *entry = &index->entries[i];
		int rank = entry->has_platform ? platform_rank(host, &entry->platform) : 0;

		if (entry->artifact || kind_of(entry->descriptor.media_type) == KIND_UNKNOWN)
			continue;
		if (rank > best_rank) {
			best = entry;
			best_rank = rank;
		}
		if (!entry->has_platform && !silent)
			silent = entry;
	}
	if (!best)
		best = silent;
	if (!best)
		return no_platform(index, host, err);
	*ret = &best->descriptor;
	return 0;
}
