/*
 * A table decodes the document; what follows only copies out of the arena and drops what is malformed.
 * Volumes are a JSON object whose keys matter, hence the raw field.
 */
#include "image/image_config.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "image/manifest.h"

struct raw_run {
	char *user, *working_dir, *stop_signal;
	struct json_strings env, entrypoint, cmd;
	json_t *volumes;
};

static const struct json_field run_fields[] = {
	{ "User", JSON_FIELD_STRING, offsetof(struct raw_run, user), 0, NULL, 0 },
	{ "WorkingDir", JSON_FIELD_STRING, offsetof(struct raw_run, working_dir), 0, NULL, 0 },
	{ "StopSignal", JSON_FIELD_STRING, offsetof(struct raw_run, stop_signal), 0, NULL, 0 },
	{ "Env", JSON_FIELD_STRINGS, offsetof(struct raw_run, env), 0, NULL, 0 },
	{ "Entrypoint", JSON_FIELD_STRINGS, offsetof(struct raw_run, entrypoint), 0, NULL, 0 },
	{ "Cmd", JSON_FIELD_STRINGS, offsetof(struct raw_run, cmd), 0, NULL, 0 },
	{ "Volumes", JSON_FIELD_RAW, offsetof(struct raw_run, volumes), 0, NULL, 0 },
	{ 0 },
};

struct raw_rootfs {
	char *type;
	struct json_strings diff_ids;
};

static const struct json_field rootfs_fields[] = {
	{ "type", JSON_FIELD_STRING, offsetof(struct raw_rootfs, type), 0, NULL, 0 },
	{ "diff_ids", JSON_FIELD_STRINGS, offsetof(struct raw_rootfs, diff_ids), 0, NULL, 0 },
	{ 0 },
};

struct raw_config {
	char *os;
	struct raw_run run;
	struct raw_rootfs rootfs;
};

static const struct json_field config_fields[] = {
	{ "os", JSON_FIELD_STRING, offsetof(struct raw_config, os), 0, NULL, 0 },
	{ "config", JSON_FIELD_OBJECT, offsetof(struct raw_config, run), 0, run_fields,
	  sizeof(struct raw_run) },
	{ "rootfs", JSON_FIELD_OBJECT, offsetof(struct raw_config, rootfs), JSON_NEEDED, rootfs_fields,
	  sizeof(struct raw_rootfs) },
	{ 0 },
};

enum { CONFIG_STRING_MAX = 4096, CONFIG_VOLUMES_MAX = 1000 };

void image_config_done(struct image_config *config)
{
	free(config->user);
	free(config->working_dir);
	free(config->stop_signal);
	strv_done(&config->env);
	strv_done(&config->entrypoint);
	strv_done(&config->cmd);
	strv_done(&config->volumes);
	*config = (struct image_config){ 0 };
}

void diff_ids_done(struct diff_ids *diff_ids)
{
	free(diff_ids->items);
	*diff_ids = (struct diff_ids){ 0 };
}

/* "/data/" and "data" become "/data"; NULL for ".." anywhere, the root itself and overlong names. malloc'd.
 */
static char *clean_volume(const char *path)
{
	CLEANUP(str_done) struct str clean = STR_LIMIT(CONFIG_STRING_MAX);

	while (*path) {
		size_t len = strcspn(path, "/");

		if (len == 2 && path[0] == '.' && path[1] == '.')
			return NULL;
		if (len > 0 && !(len == 1 && path[0] == '.')) {
			str_addc(&clean, '/');
			str_addn(&clean, path, len);
		}
		path += len + (path[len] == '/');
	}
	return clean.failed || clean.len == 0 ? NULL : str_take(&clean);
}

static int copy_volumes(const struct raw_run *run, struct image_config *config, struct err *err)
{
	const char *key;
	json_t *value;

	if (!run->volumes || json_is_null(run->volumes))
		return 0;
	if (!json_is_object(run->volumes))
		return err_set(err, RPC_INVALID_ARGUMENT, "config.Volumes: not an object");
	if (json_object_size(run->volumes) > CONFIG_VOLUMES_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "config.Volumes: more than %d", CONFIG_VOLUMES_MAX);
	json_object_foreach(run->volumes, key, value)
	{
		CLEANUP(freep) char *path = clean_volume(key);

		if (path && !strv_has(&config->volumes, path))
			strv_add_take(&config->volumes, TAKE(path));
	}
	return 0;
}

static int copy_run(const struct raw_run *run, struct image_config *config, struct err *err)
{
	const char *texts[] = { run->user, run->working_dir, run->stop_signal };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i] && strlen(texts[i]) >= CONFIG_STRING_MAX)
			return err_set(err, RPC_INVALID_ARGUMENT,
				       "User, WorkingDir or StopSignal is longer than %d bytes",
				       CONFIG_STRING_MAX);
	config->user = xstrdup(run->user ? run->user : "");
	config->working_dir = xstrdup(run->working_dir ? run->working_dir : "");
	config->stop_signal = xstrdup(run->stop_signal ? run->stop_signal : "");
	for (size_t i = 0; i < run->env.len; i++) {
		const char *equals = strchr(run->env.items[i], '=');

		if (equals && equals != run->env.items[i])
			strv_add(&config->env, run->env.items[i]);
	}
	strv_add_all(&config->entrypoint, (const char *const *)run->entrypoint.items, run->entrypoint.len);
	strv_add_all(&config->cmd, (const char *const *)run->cmd.items, run->cmd.len);
	return copy_volumes(run, config, err);
}

static int copy_diff_ids(const struct raw_rootfs *rootfs, size_t layers_len, struct diff_ids *diff_ids,
			 struct err *err)
{
	if (rootfs->type && !str_eq(rootfs->type, "layers"))
		return err_set(err, RPC_INVALID_ARGUMENT, "rootfs.type is not \"layers\"");
	if (rootfs->diff_ids.len != layers_len)
		return err_set(err, RPC_INVALID_ARGUMENT, "%zu diff_ids for %zu layers", rootfs->diff_ids.len,
			       layers_len);
	diff_ids->items = xcalloc(layers_len, sizeof(*diff_ids->items));
	diff_ids->len = layers_len;
	for (size_t i = 0; i < layers_len; i++)
		if (digest_parse(rootfs->diff_ids.items[i], &diff_ids->items[i], err) < 0)
			return err_prefix(err, "rootfs.diff_ids[%zu]", i);
	return 0;
}

static int decode(const json_t *json, size_t layers_len, struct image_config *config,
		  struct diff_ids *diff_ids, struct err *err)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct raw_config raw = { 0 };

	if (!json_is_object(json))
		return err_set(err, RPC_INVALID_ARGUMENT, "not a JSON object");
	if (json_decode(json, config_fields, &raw, arena, err) < 0)
		return -1;
	if (!str_empty(raw.os) && !str_eq(raw.os, "linux"))
		return err_set(err, RPC_INVALID_ARGUMENT, "image is not for linux");
	if (copy_run(&raw.run, config, err) < 0)
		return -1;
	return copy_diff_ids(&raw.rootfs, layers_len, diff_ids, err);
}

int image_config_parse(const char *data, size_t len, size_t layers_len, struct image_config *ret,
		       struct diff_ids *ret_diff_ids, struct err *err)
{
	CLEANUP(json_decrefp) json_t *json = NULL;
	CLEANUP(image_config_done) struct image_config config = { 0 };
	CLEANUP(diff_ids_done) struct diff_ids diff_ids = { 0 };

	if (json_parse(data, len, MANIFEST_CONFIG_MAX, &json, err) < 0 ||
	    decode(json, layers_len, &config, &diff_ids, err) < 0)
		return err_prefix(err, "image config");
	*ret = config;
	config = (struct image_config){ 0 };
	*ret_diff_ids = diff_ids;
	diff_ids = (struct diff_ids){ 0 };
	return 0;
}

void chain_id_next(const struct digest *parent, const struct digest *diff_id, struct digest *ret)
{
	char text[2 * DIGEST_TEXT_SIZE], diff[DIGEST_TEXT_SIZE];
	size_t len;

	if (!parent) {
		*ret = *diff_id;
		return;
	}
	digest_text(parent, text);
	digest_text(diff_id, diff);
	len = strlen(text);
	text[len++] = ' ';
	memcpy(text + len, diff, strlen(diff));
	digest_of(DIGEST_SHA256, text, len + strlen(diff), ret);
}
