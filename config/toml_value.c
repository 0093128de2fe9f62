/*
 * The tree's nodes. A table is an array of entries in order of appearance; from INDEX_FROM entries on a hash
 * index (FNV-1a, open addressing, at most half full) keeps a lookup from becoming a walk, so that a file of
 * tens of thousands of aliases is read in linear time. Arrays and tables grow by doubling inside the arena:
 * what is left behind is at most as much again.
 */
#include "config/toml.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { INDEX_FROM = 16 };

static uint32_t hash(struct toml_text key)
{
	uint32_t value = 2166136261u;

	for (size_t i = 0; i < key.len; i++)
		value = (value ^ (unsigned char)key.data[i]) * 16777619u;
	return value;
}

static bool same(struct toml_text a, struct toml_text b)
{
	return a.len == b.len && !memcmp(a.data, b.data, a.len);
}

struct toml_value *toml_new_table(const char *file, struct arena *arena)
{
	struct toml_value *value = arena_alloc(arena, sizeof(*value));

	value->type = TOML_TABLE;
	value->file = file;
	value->line = 1;
	value->table.origin = TOML_BY_HEADER;
	return value;
}

static void index_put(struct toml_table *table, size_t number)
{
	size_t slot = hash(table->entries[number].key) & (table->index_size - 1);

	while (table->index[slot])
		slot = (slot + 1) & (table->index_size - 1);
	table->index[slot] = (uint32_t)number + 1;
}

static void index_build(struct toml_table *table, struct arena *arena)
{
	table->index_size = table->size * 2; /* size is a power of two */
	table->index = arena_array(arena, table->index_size, sizeof(*table->index));
	for (size_t i = 0; i < table->len; i++)
		index_put(table, i);
}

struct toml_entry *toml_find_text(const struct toml_value *value, struct toml_text key)
{
	assert(value->type == TOML_TABLE);
	const struct toml_table *table = &value->table;

	if (!table->index) {
		for (size_t i = 0; i < table->len; i++)
			if (same(table->entries[i].key, key))
				return &table->entries[i];
		return NULL;
	}
	for (size_t slot = hash(key) & (table->index_size - 1); table->index[slot];
	     slot = (slot + 1) & (table->index_size - 1)) {
		struct toml_entry *entry = &table->entries[table->index[slot] - 1];
		if (same(entry->key, key))
			return entry;
	}
	return NULL;
}

struct toml_entry *toml_find(const struct toml_value *table, const char *key)
{
	return toml_find_text(table, (struct toml_text){ key, strlen(key) });
}

struct toml_entry *toml_add(struct toml_value *value, struct toml_text key, struct toml_value *item,
			    struct arena *arena)
{
	assert(value->type == TOML_TABLE);
	struct toml_table *table = &value->table;

	if (table->len == table->size) {
		size_t size = table->size ? table->size * 2 : 4;
		struct toml_entry *entries = arena_array(arena, size, sizeof(*entries));
		if (table->len)
			memcpy(entries, table->entries, table->len * sizeof(*entries));
		table->entries = entries;
		table->size = size;
		if (size >= INDEX_FROM)
			index_build(table, arena);
	}
	struct toml_entry *entry = &table->entries[table->len++];
	*entry = (struct toml_entry){ key, item };
	if (table->index)
		index_put(table, table->len - 1);
	return entry;
}

void toml_push(struct toml_array *array, struct toml_value *item, struct arena *arena)
{
	if (array->len == array->size) {
		size_t size = array->size ? array->size * 2 : 4;
		struct toml_value **items = arena_array(arena, size, sizeof(*items));
		if (array->len)
			memcpy(items, array->items, array->len * sizeof(*items));
		array->items = items;
		array->size = size;
	}
	array->items[array->len++] = item;
}

void toml_merge(struct toml_value *into, const struct toml_value *from, struct arena *arena)
{
	assert(into->type == TOML_TABLE && from->type == TOML_TABLE);
	for (size_t i = 0; i < from->table.len; i++) {
		const struct toml_entry *next = &from->table.entries[i];
		struct toml_entry *old = toml_find_text(into, next->key);

		if (!old)
			toml_add(into, next->key, next->value, arena);
		else if (old->value->type == TOML_TABLE && next->value->type == TOML_TABLE)
			toml_merge(old->value, next->value, arena);
		else
			*old = *next;
	}
}

const char *toml_type_name(enum toml_type type)
{
	static const char *const names[] = {
		[TOML_STRING] = "a string",
		[TOML_INT] = "an integer",
		[TOML_FLOAT] = "a float",
		[TOML_BOOL] = "a boolean",
		[TOML_DATETIME] = "a date and time",
		[TOML_LOCAL_DATETIME] = "a local date and time",
		[TOML_LOCAL_DATE] = "a local date",
		[TOML_LOCAL_TIME] = "a local time",
		[TOML_ARRAY] = "an array",
		[TOML_TABLE] = "a table",
	};

	assert(type < ARRAY_LEN(names));
	return names[type];
}

int toml_fail(const struct toml_value *at, const char *key, struct err *err, const char *fmt, ...)
{
	char what[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	return err_set(err, RPC_INVALID_ARGUMENT, "%s:%d: %s%s%s", at->file, at->line, key ? key : "",
		       key ? ": " : "", what);
}

void toml_quote(struct str *out, const char *text)
{
	str_addc(out, '"');
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			str_addf(out, "\\%c", c);
		else if (c == '\n')
			str_add(out, "\\n");
		else if (c == '\t')
			str_add(out, "\\t");
		else if (c < 0x20 || c == 0x7f)
			str_addf(out, "\\u%04X", c);
		else
			str_addc(out, (char)c);
	}
	str_addc(out, '"');
}

void toml_quote_key(struct str *out, const char *text)
{
	static const char bare[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

	if (*text && text[strspn(text, bare)] == '\0')
		str_add(out, text);
	else
		toml_quote(out, text);
}
