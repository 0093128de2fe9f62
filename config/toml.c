/*
 * The grammar, by recursive descent: a document is a list of lines, each a header or a key with its value.
 * Recursion happens in values only (arrays and inline tables) and is bounded by the depth that every key and
 * bracket adds to.
 *
 * What may be defined twice is the intricate part of TOML. It comes down to how a table was born (enum
 * toml_origin):
 *   - a header's last part may name a new table, or one that only the path of another header made;
 *   - a header's path may lead through any table but an inline one, and through the last element of
 * [[arrays]];
 *   - a dotted key's path may lead only through tables that dotted keys made. These can't have been left
 * since: a table is opened by one header at most, so they always belong to the section being read;
 *   - nothing enters an inline table or a static array from outside.
 */
#include "config/toml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "config/toml_scan.h"

static int parse_value(struct toml_scan *scan, int depth, struct toml_value **ret);

static int too_deep(struct toml_scan *scan)
{
	return toml_scan_fail(scan, "nested more than %d levels deep", TOML_DEPTH_MAX);
}

static int new_value(struct toml_scan *scan, enum toml_type type, struct toml_value **ret)
{
	if (++scan->values > TOML_VALUES_MAX)
		return toml_scan_fail(scan, "more than %d values", TOML_VALUES_MAX);
	struct toml_value *value = arena_alloc(scan->arena, sizeof(*value));
	value->type = type;
	value->line = scan->line;
	value->file = scan->name;
	*ret = value;
	return 0;
}

static int new_table(struct toml_scan *scan, enum toml_origin origin, struct toml_value **ret)
{
	if (new_value(scan, TOML_TABLE, ret) < 0)
		return -1;
	(*ret)->table.origin = origin;
	return 0;
}

static int fail_at_key(struct toml_scan *scan, const struct toml_key *key, size_t part, const char *what)
{
	scan->line = key->line;
	return toml_scan_fail(scan, "\"%.64s\" %s", key->parts[part].data, what);
}

static int fail_redefined(struct toml_scan *scan, const struct toml_key *key, size_t part,
			  const struct toml_entry *old)
{
	scan->line = key->line;
	return toml_scan_fail(scan, "\"%.64s\" is already defined on line %d", key->parts[part].data,
			      old->value->line);
}

/* From `table` through all but the last part of a dotted key. */
static int walk_dots(struct toml_scan *scan, const struct toml_key *key, struct toml_value **table)
{
	for (size_t i = 0; i + 1 < key->len; i++) {
		const struct toml_entry *entry = toml_find_text(*table, key->parts[i]);
		struct toml_value *next = NULL;

		if (entry) {
			next = entry->value;
			if (next->type != TOML_TABLE)
				return fail_at_key(scan, key, i, "is not a table");
			if (next->table.origin != TOML_BY_DOTS)
				return fail_at_key(scan, key, i, "is complete and can't be extended");
		} else {
			if (new_table(scan, TOML_BY_DOTS, &next) < 0)
				return -1;
			toml_add(*table, key->parts[i], next, scan->arena);
		}
		*table = next;
	}
	return 0;
}

/* key = value, put into the table. */
static int parse_pair(struct toml_scan *scan, struct toml_value *table, int depth)
{
	struct toml_key key;
	struct toml_value *value = NULL;

	if (toml_scan_key(scan, &key) < 0)
		return -1;
	if (!toml_scan_skip(scan, '='))
		return toml_scan_unexpected(scan, "'=' after a key");
	depth += (int)key.len;
	if (depth > TOML_DEPTH_MAX)
		return too_deep(scan);
	if (walk_dots(scan, &key, &table) < 0)
		return -1;
	const struct toml_entry *old = toml_find_text(table, key.parts[key.len - 1]);
	if (old)
		return fail_redefined(scan, &key, key.len - 1, old);
	toml_scan_blank(scan);
	if (parse_value(scan, depth, &value) < 0)
		return -1;
	toml_add(table, key.parts[key.len - 1], value, scan->arena);
	return 0;
}

/* Behind the '['. */
static int parse_array(struct toml_scan *scan, struct toml_array *array, int depth)
{
	for (;;) {
		struct toml_value *item = NULL;

		toml_scan_gap(scan);
		if (toml_scan_skip(scan, ']'))
			return 0;
		if (parse_value(scan, depth, &item) < 0)
			return -1;
		toml_push(array, item, scan->arena);
		toml_scan_gap(scan);
		if (toml_scan_skip(scan, ']'))
			return 0;
		if (!toml_scan_skip(scan, ','))
			return toml_scan_unexpected(scan, "',' or ']' in an array");
	}
}

/* Behind the '{'. No newline and no comma before the '}' in TOML 1.0. */
static int parse_inline_table(struct toml_scan *scan, struct toml_value *table, int depth)
{
	toml_scan_blank(scan);
	if (toml_scan_skip(scan, '}'))
		return 0;
	do {
		if (parse_pair(scan, table, depth) < 0)
			return -1;
		toml_scan_blank(scan);
	} while (toml_scan_skip(scan, ','));
	if (!toml_scan_skip(scan, '}'))
		return toml_scan_unexpected(scan, "',' or '}' in an inline table");
	return 0;
}

static int parse_value(struct toml_scan *scan, int depth, struct toml_value **ret)
{
	char c = toml_scan_peek(scan, 0);
	struct toml_value *value = NULL;

	if (depth >= TOML_DEPTH_MAX && (c == '[' || c == '{'))
		return too_deep(scan);
	if (new_value(scan, TOML_STRING, &value) < 0)
		return -1;
	*ret = value;
	if (c == '"' || c == '\'')
		return toml_scan_string(scan, &value->string);
	if (toml_scan_skip(scan, '[')) {
		value->type = TOML_ARRAY;
		return parse_array(scan, &value->array, depth + 1);
	}
	if (toml_scan_skip(scan, '{')) {
		value->type = TOML_TABLE;
		value->table.origin = TOML_INLINE;
		return parse_inline_table(scan, value, depth + 1);
	}
	return toml_scan_scalar(scan, value);
}

/* From the root through all but the last part of a header. */
static int walk_header(struct toml_scan *scan, const struct toml_key *key, struct toml_value **table)
{
	for (size_t i = 0; i + 1 < key->len; i++) {
		const struct toml_entry *entry = toml_find_text(*table, key->parts[i]);
		struct toml_value *next = NULL;

		if (entry) {
			next = entry->value;
			if (next->type == TOML_ARRAY && next->array.of_tables)
				next = next->array.items[next->array.len - 1];
			if (next->type != TOML_TABLE)
				return fail_at_key(scan, key, i, "is not a table");
			if (next->table.origin == TOML_INLINE)
				return fail_at_key(scan, key, i, "is complete and can't be extended");
		} else {
			if (new_table(scan, TOML_BY_PATH, &next) < 0)
				return -1;
			toml_add(*table, key->parts[i], next, scan->arena);
		}
		*table = next;
	}
	return 0;
}

/* [key]: *table becomes the table it opens. */
static int open_table(struct toml_scan *scan, const struct toml_key *key, struct toml_value **table)
{
	const struct toml_text *last = &key->parts[key->len - 1];
	struct toml_entry *old = toml_find_text(*table, *last);
	struct toml_value *fresh = NULL;

	if (old) {
		if (old->value->type != TOML_TABLE || old->value->table.origin != TOML_BY_PATH)
			return fail_redefined(scan, key, key->len - 1, old);
		old->value->table.origin = TOML_BY_HEADER;
		old->value->line = key->line;
		*table = old->value;
		return 0;
	}
	if (new_table(scan, TOML_BY_HEADER, &fresh) < 0)
		return -1;
	toml_add(*table, *last, fresh, scan->arena);
	*table = fresh;
	return 0;
}

/* [[key]]: *table becomes the array's new element. */
static int open_element(struct toml_scan *scan, const struct toml_key *key, struct toml_value **table)
{
	const struct toml_text *last = &key->parts[key->len - 1];
	const struct toml_entry *old = toml_find_text(*table, *last);
	struct toml_value *array = NULL, *fresh = NULL;

	if (old) {
		array = old->value;
		if (array->type != TOML_ARRAY || !array->array.of_tables)
			return fail_redefined(scan, key, key->len - 1, old);
	} else {
		if (new_value(scan, TOML_ARRAY, &array) < 0)
			return -1;
		array->array.of_tables = true;
		toml_add(*table, *last, array, scan->arena);
	}
	if (new_table(scan, TOML_BY_HEADER, &fresh) < 0)
		return -1;
	toml_push(&array->array, fresh, scan->arena);
	*table = fresh;
	return 0;
}

/* Behind the first '['. The two brackets of [[ stand together, those of ]] too. */
static int parse_header(struct toml_scan *scan, struct toml_value **section, int *depth)
{
	bool element = toml_scan_skip(scan, '[');
	struct toml_key key;

	if (toml_scan_key(scan, &key) < 0)
		return -1;
	if (!toml_scan_skip(scan, ']') || (element && !toml_scan_skip(scan, ']')))
		return toml_scan_unexpected(scan, element ? "\"]]\" after a header" : "']' after a header");
	if (walk_header(scan, &key, section) < 0)
		return -1;
	*depth = (int)key.len;
	return element ? open_element(scan, &key, section) : open_table(scan, &key, section);
}

static int parse_document(struct toml_scan *scan, struct toml_value *root)
{
	struct toml_value *section = root;
	int depth = 0;

	for (;;) {
		toml_scan_gap(scan);
		if (scan->at >= scan->end)
			return 0;
		if (toml_scan_skip(scan, '[')) {
			section = root;
			if (parse_header(scan, &section, &depth) < 0)
				return -1;
		} else if (parse_pair(scan, section, depth) < 0) {
			return -1;
		}
		if (toml_scan_line_end(scan) < 0)
			return -1;
	}
}

int toml_parse(const struct toml_source *source, struct arena *arena, struct toml_value **ret,
	       struct err *err)
{
	struct toml_scan scan = {
		.name = arena_strdup(arena, source->name),
		.at = source->data,
		.end = source->data + source->len,
		.line = 1,
		.arena = arena,
		.err = err,
	};
	struct toml_value *root = NULL;

	if (source->len > TOML_SIZE_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "%s:1: larger than %d bytes", source->name,
			       TOML_SIZE_MAX);
	if (toml_scan_check(&scan) < 0 || new_table(&scan, TOML_BY_HEADER, &root) < 0 ||
	    parse_document(&scan, root) < 0)
		return -1;
	*ret = root;
	return 0;
}

/* Whoever may write the file decides what the daemon runs as root. (file_read() refuses FIFOs and devices by
 * itself; asking here gives a message with the user's own path.) */
static int check_file(const char *path, const char *real, struct err *err)
{
	struct stat st;

	if (stat(real, &st) < 0)
		return err_errno(err, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, RPC_INVALID_ARGUMENT, "%s:1: not a regular file", path);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return err_set(err, RPC_INVALID_ARGUMENT, "%s:1: owned by user %u, not by root", path,
			       st.st_uid);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return err_set(err, RPC_INVALID_ARGUMENT, "%s:1: writable by others (mode %04o): chmod go-w",
			       path, st.st_mode & 07777);
	return 0;
}

int toml_read(const char *path, struct arena *arena, struct toml_value **ret, struct err *err)
{
	CLEANUP(freep) char *real = realpath(path, NULL);
	CLEANUP(freep) char *data = NULL;
	size_t len;

	if (!real && errno == ENOENT)
		return err_set(err, RPC_NOT_FOUND, "%s does not exist", path);
	if (!real)
		return err_errno(err, "%s", path);
	if (check_file(path, real, err) < 0)
		return -1;
	if (file_read(AT_FDCWD, real, TOML_SIZE_MAX, &data, &len, err) < 0) {
		if (err && err->code == RPC_RESOURCE_EXHAUSTED)
			return err_set(err, RPC_INVALID_ARGUMENT, "%s:1: larger than %d bytes", path,
				       TOML_SIZE_MAX);
		return -1;
	}
	struct toml_source source = { path, data, len };
	return toml_parse(&source, arena, ret, err);
}

int toml_dropins(const char *dir, const char *suffix, struct strv *ret, struct err *err)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	struct err why;
	size_t found = 0;

	if (dir_list(AT_FDCWD, dir, &names, &why) < 0) {
		if (why.code == RPC_NOT_FOUND)
			return 0;
		return err_set(err, why.code, "%s", why.text);
	}
	for (size_t i = 0; i < names.len; i++) {
		if (names.items[i][0] == '.' || !str_has_suffix(names.items[i], suffix))
			continue;
		if (++found > TOML_DROPINS_MAX)
			return err_set(err, RPC_RESOURCE_EXHAUSTED, "%s: more than %d files", dir,
				       TOML_DROPINS_MAX);
		strv_addf(ret, "%s/%s", dir, names.items[i]);
	}
	return 0;
}
