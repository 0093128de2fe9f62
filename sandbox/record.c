/* The tables below are the on-disk format; a field added here is optional when read, so older state opens. */
#include "sandbox/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

static const struct json_field process_fields[] = {
	{ "pid", JSON_FIELD_INT, offsetof(struct record_process, pid), JSON_NEEDED, NULL, 0 },
	{ "startTime", JSON_FIELD_UINT, offsetof(struct record_process, start_time), JSON_NEEDED, NULL, 0 },
	{ NULL, 0, 0, 0, NULL, 0 },
};

const struct json_field pod_config_fields[] = {
	{ "version", JSON_FIELD_INT, offsetof(struct pod_config_record, version), JSON_NEEDED, NULL, 0 },
	{ "createdAt", JSON_FIELD_INT, offsetof(struct pod_config_record, created_at), JSON_NEEDED, NULL, 0 },
	{ "request", JSON_FIELD_RAW, offsetof(struct pod_config_record, request), JSON_NEEDED, NULL, 0 },
	{ "selinuxLevel", JSON_FIELD_STRING, offsetof(struct pod_config_record, selinux_level),
	  JSON_OMIT_EMPTY, NULL, 0 },
	{ NULL, 0, 0, 0, NULL, 0 },
};

const struct json_field pod_state_fields[] = {
	{ "version", JSON_FIELD_INT, offsetof(struct pod_state_record, version), JSON_NEEDED, NULL, 0 },
	{ "bootId", JSON_FIELD_STRING, offsetof(struct pod_state_record, boot_id), JSON_NEEDED, NULL, 0 },
	{ "ready", JSON_FIELD_BOOL, offsetof(struct pod_state_record, ready), JSON_NEEDED, NULL, 0 },
	{ "stopped", JSON_FIELD_BOOL, offsetof(struct pod_state_record, stopped), 0, NULL, 0 },
	{ "pause", JSON_FIELD_OBJECT, offsetof(struct pod_state_record, pause), 0, process_fields,
	  sizeof(struct record_process) },
	{ "ips", JSON_FIELD_STRINGS, offsetof(struct pod_state_record, ips), 0, NULL, 0 },
	{ NULL, 0, 0, 0, NULL, 0 },
};

const struct json_field container_config_fields[] = {
	{ "version", JSON_FIELD_INT, offsetof(struct container_config_record, version), JSON_NEEDED, NULL,
	  0 },
	{ "createdAt", JSON_FIELD_INT, offsetof(struct container_config_record, created_at), JSON_NEEDED,
	  NULL, 0 },
	{ "podId", JSON_FIELD_STRING, offsetof(struct container_config_record, pod_id), JSON_NEEDED, NULL,
	  0 },
	{ "imageId", JSON_FIELD_STRING, offsetof(struct container_config_record, image_id), JSON_NEEDED, NULL,
	  0 },
	{ "imageName", JSON_FIELD_STRING, offsetof(struct container_config_record, image_name), 0, NULL, 0 },
	{ "imageRef", JSON_FIELD_STRING, offsetof(struct container_config_record, image_ref), JSON_NEEDED,
	  NULL, 0 },
	{ "stopSignal", JSON_FIELD_STRING, offsetof(struct container_config_record, image_stop_signal), 0,
	  NULL, 0 },
	{ "layers", JSON_FIELD_STRINGS, offsetof(struct container_config_record, layers), JSON_NEEDED, NULL,
	  0 },
	{ "logPath", JSON_FIELD_STRING, offsetof(struct container_config_record, log_path), 0, NULL, 0 },
	{ "config", JSON_FIELD_RAW, offsetof(struct container_config_record, config), JSON_NEEDED, NULL, 0 },
	{ NULL, 0, 0, 0, NULL, 0 },
};

const struct json_field container_state_fields[] = {
	{ "version", JSON_FIELD_INT, offsetof(struct container_state_record, version), JSON_NEEDED, NULL, 0 },
	{ "bootId", JSON_FIELD_STRING, offsetof(struct container_state_record, boot_id), JSON_NEEDED, NULL,
	  0 },
	{ "state", JSON_FIELD_STRING, offsetof(struct container_state_record, state), JSON_NEEDED, NULL, 0 },
	{ "startedAt", JSON_FIELD_INT, offsetof(struct container_state_record, started_at), 0, NULL, 0 },
	{ "finishedAt", JSON_FIELD_INT, offsetof(struct container_state_record, finished_at), 0, NULL, 0 },
	{ "exitCode", JSON_FIELD_INT, offsetof(struct container_state_record, exit_code), 0, NULL, 0 },
	{ "reason", JSON_FIELD_STRING, offsetof(struct container_state_record, reason), 0, NULL, 0 },
	{ "message", JSON_FIELD_STRING, offsetof(struct container_state_record, message), 0, NULL, 0 },
	{ "init", JSON_FIELD_OBJECT, offsetof(struct container_state_record, init), 0, process_fields,
	  sizeof(struct record_process) },
	{ "monitor", JSON_FIELD_OBJECT, offsetof(struct container_state_record, monitor), 0, process_fields,
	  sizeof(struct record_process) },
	{ "uid", JSON_FIELD_INT, offsetof(struct container_state_record, uid), 0, NULL, 0 },
	{ "gid", JSON_FIELD_INT, offsetof(struct container_state_record, gid), 0, NULL, 0 },
	{ "groups", JSON_FIELD_RAW, offsetof(struct container_state_record, groups), 0, NULL, 0 },
	{ "poststart_hooks", JSON_FIELD_BOOL, offsetof(struct container_state_record, poststart_hooks),
	  JSON_OMIT_EMPTY, NULL, 0 },
	{ NULL, 0, 0, 0, NULL, 0 },
};

/* Members that the file has and this version does not know stay in it. */
static void keep_unknown(int dir, const char *name, json_t *document)
{
	CLEANUP(json_decrefp) json_t *old = NULL;
	CLEANUP(freep) char *text = NULL;
	struct err none;
	size_t len = 0;

	if (file_read(dir, name, RECORD_MAX, &text, &len, &none) == 0 &&
	    json_parse(text, len, RECORD_MAX, &old, &none) == 0 && json_is_object(old))
		json_object_update_missing(document, old);
}

int record_write(const char *dir, const char *name, const struct json_field *fields, const void *record,
		 struct err *err)
{
	CLEANUP(fd_closep) int fd = dir_open(AT_FDCWD, dir, err);
	CLEANUP(json_decrefp) json_t *document = NULL;
	CLEANUP(freep) char *text = NULL;

	if (fd < 0)
		return -1;
	document = json_encode(fields, record);
	keep_unknown(fd, name, document);
	text = json_text(document);
	return file_replace(fd, name, text, strlen(text), 0600, err);
}

int record_forget_state(const char *dir, struct err *err)
{
	CLEANUP(freep) char *path = xasprintf("%s/state.json", dir);

	return unlink(path) < 0 && errno != ENOENT ? err_errno(err, "remove %s", path) : 0;
}

/* First of all, as in a newer one anything else may have changed. */
static int check_version(const struct record_source *source, const json_t *document, struct err *err)
{
	json_int_t version = json_integer_value(json_object_get(document, "version"));

	if (version > RECORD_VERSION)
		return err_set(err, RPC_FAILED_PRECONDITION,
			       "%s/%s: written by a newer crisp (version %lld, this one knows %d)",
			       source->id, source->name, (long long)version, RECORD_VERSION);
	return 0;
}

int record_check_version(const struct record_source *source, struct err *err)
{
	CLEANUP(fd_closep) int dir = dir_open(source->dir, source->id, NULL);
	CLEANUP(json_decrefp) json_t *document = NULL;
	CLEANUP(freep) char *text = NULL;
	char ours[32];
	size_t len = 0;

	if (dir < 0 || file_read(dir, source->name, RECORD_MAX, &text, &len, NULL) < 0)
		return 0;
	/* What record_write() has written need not be parsed for it. */
	snprintf(ours, sizeof(ours), "{\"version\":%d,", RECORD_VERSION);
	if (str_has_prefix(text, ours) || json_parse(text, len, RECORD_MAX, &document, NULL) < 0)
		return 0;
	return check_version(source, document, err);
}

int record_read(const struct record_source *source, const struct json_field *fields, void *record,
		struct arena *arena, json_t **ret_document, struct err *err)
{
	CLEANUP(fd_closep) int dir = dir_open(source->dir, source->id, err);
	CLEANUP(json_decrefp) json_t *document = NULL;
	CLEANUP(freep) char *text = NULL;
	size_t len = 0;

	if (dir < 0 || file_read(dir, source->name, RECORD_MAX, &text, &len, err) < 0)
		return -1;
	if (json_parse(text, len, RECORD_MAX, &document, err) < 0)
		return err_prefix(err, "%s/%s", source->id, source->name);
	if (check_version(source, document, err) < 0)
		return -1;
	if (json_decode(document, fields, record, arena, err) < 0)
		return err_prefix(err, "%s/%s", source->id, source->name);
	*ret_document = TAKE(document);
	return 0;
}

char *record_join(const char *const *parts, size_t count)
{
	struct str joined = STR_INIT;

	for (size_t i = 0; i < count; i++)
		str_addf(&joined, "%zu:%s", strlen(parts[i]), parts[i]);
	return str_take(&joined);
}
