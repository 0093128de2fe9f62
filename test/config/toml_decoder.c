/*
 * TOML on stdin, toml-test's tagged JSON on stdout; exit 1 and a message on stderr when the input is not
 * valid TOML. The tags are those of https://github.com/toml-lang/toml-test: {"type": "integer", "value":
 * "1"}.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <jansson.h>

#include "config/toml.h"

static json_t *encode(const struct toml_value *value);

static json_t *encode_array(const struct toml_array *array)
{
	json_t *json = json_array();

	for (size_t i = 0; i < array->len; i++)
		json_array_append_new(json, encode(array->items[i]));
	return json;
}

static json_t *encode_table(const struct toml_table *table)
{
	json_t *json = json_object();

	for (size_t i = 0; i < table->len; i++) {
		const struct toml_entry *entry = &table->entries[i];
		json_object_setn_new(json, entry->key.data, entry->key.len, encode(entry->value));
	}
	return json;
}

static json_t *tagged(const char *type, const char *text, size_t len)
{
	return json_pack("{s:s, s:s%}", "type", type, "value", text, len);
}

static json_t *encode_moment(const struct toml_value *value)
{
	static const char *const types[] = {
		[TOML_DATETIME] = "datetime",
		[TOML_LOCAL_DATETIME] = "datetime-local",
		[TOML_LOCAL_DATE] = "date-local",
		[TOML_LOCAL_TIME] = "time-local",
	};
	const struct toml_time *t = &value->time;
	CLEANUP(str_done) struct str out = STR_INIT;

	if (value->type != TOML_LOCAL_TIME)
		str_addf(&out, "%04d-%02d-%02d", t->year, t->month, t->day);
	if (value->type == TOML_DATETIME || value->type == TOML_LOCAL_DATETIME)
		str_addc(&out, 'T');
	if (value->type != TOML_LOCAL_DATE)
		str_addf(&out, "%02d:%02d:%02d.%09d", t->hour, t->minute, t->second, t->nanosecond);
	if (value->type == TOML_DATETIME)
		str_addf(&out, "%c%02d:%02d", t->offset < 0 ? '-' : '+', abs(t->offset) / 60,
			 abs(t->offset) % 60);
	return tagged(types[value->type], str_get(&out), out.len);
}

static json_t *encode_number(const struct toml_value *value)
{
	char text[64];
	int len = value->type == TOML_INT ? snprintf(text, sizeof(text), "%lld", (long long)value->integer)
		  : isnan(value->number)  ? snprintf(text, sizeof(text), "nan")
					  : snprintf(text, sizeof(text), "%.17g", value->number);

	return tagged(value->type == TOML_INT ? "integer" : "float", text, (size_t)len);
}

static json_t *encode(const struct toml_value *value)
{
	switch (value->type) {
	case TOML_TABLE:
		return encode_table(&value->table);
	case TOML_ARRAY:
		return encode_array(&value->array);
	case TOML_STRING:
		return tagged("string", value->string.data, value->string.len);
	case TOML_BOOL:
		return tagged("bool", value->boolean ? "true" : "false", value->boolean ? 4 : 5);
	case TOML_INT:
	case TOML_FLOAT:
		return encode_number(value);
	default:
		return encode_moment(value);
	}
}

int main(void)
{
	CLEANUP(str_done) struct str in = STR_INIT;
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct toml_value *root;
	struct err err;
	ssize_t n;

	do {
		char *room = str_room(&in, 65536);
		n = room ? read(STDIN_FILENO, room, 65536) : -1;
		if (n > 0)
			str_grown(&in, (size_t)n);
	} while (n > 0);
	if (n < 0)
		return 2;
	struct toml_source source = { "stdin", str_get(&in), in.len };
	if (toml_parse(&source, arena, &root, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	json_t *json = encode(root);
	int failed = json_dumpf(json, stdout, JSON_COMPACT) < 0 || fflush(stdout);
	json_decref(json);
	return failed ? 2 : 0;
}
