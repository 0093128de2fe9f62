/*
 * One table describes the record in both directions.
 */
#include "image/layer_record.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

enum { RECORD_MAX = 4096, RECORD_VERSION = 1 };

struct record {
	int64_t version;
	char *chain;
	uint64_t bytes, inodes;
};

static const struct json_field record_fields[] = {
	{ "version", JSON_FIELD_INT, offsetof(struct record, version), JSON_NEEDED, NULL, 0 },
	{ "chainID", JSON_FIELD_STRING, offsetof(struct record, chain), JSON_NEEDED, NULL, 0 },
	{ "usedBytes", JSON_FIELD_UINT, offsetof(struct record, bytes), JSON_NEEDED, NULL, 0 },
	{ "inodesUsed", JSON_FIELD_UINT, offsetof(struct record, inodes), JSON_NEEDED, NULL, 0 },
	{ 0 },
};

int layer_record_read(int dir, const char *chain, struct tree_usage *ret, struct err *err)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(json_decrefp) json_t *json = NULL;
	CLEANUP(freep) char *text = NULL;
	struct record record = { 0 };
	struct stat st;
	size_t len;

	if (file_read(dir, "layer.json", RECORD_MAX, &text, &len, err) < 0 ||
	    json_parse(text, len, RECORD_MAX, &json, err) < 0) {
		err->code = RPC_DATA_LOSS; /* FAILED_PRECONDITION has a meaning of its own */
		return -1;
	}
	if (json_integer_value(json_object_get(json, "version")) > RECORD_VERSION)
		return err_set(err, RPC_FAILED_PRECONDITION, "layer %s: written by a newer crisp", chain);
	if (json_decode(json, record_fields, &record, arena, err) < 0)
		return -1;
	if (record.version != RECORD_VERSION || !str_eq(record.chain, chain) ||
	    fstatat(dir, "diff", &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
		return err_set(err, RPC_DATA_LOSS, "layer %s is broken", chain);
	*ret = (struct tree_usage){ record.bytes, record.inodes };
	return 0;
}

int layer_record_write(int dir, const char *chain, const struct tree_usage *usage, struct err *err)
{
	CLEANUP(json_decrefp) json_t *json = NULL;
	CLEANUP(freep) char *text = NULL;
	const struct record record = {
		.version = RECORD_VERSION,
		.chain = (char *)chain,
		.bytes = usage->bytes,
		.inodes = usage->inodes,
	};

	json = json_encode(record_fields, &record);
	text = json_text(json);
	return file_replace_volatile(dir, "layer.json", text, strlen(text), 0600, err);
}
