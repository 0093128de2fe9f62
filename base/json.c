/*
 * jansson parses; before it does, one pass over the bytes counts nesting, since its own depth limit is fixed
 * at its build and recursion is paid in stack. Decoding walks a table and the document together; where it
 * stands is a chain of frames on the C stack (bounded by JSON_DEPTH_MAX) that is turned into text only when
 * something is wrong.
 */
#include "base/json.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* Deepest nesting of brackets outside strings. Malformed text is left to the parser. */
static size_t depth_of(const char *data, size_t len)
{
	size_t depth = 0, deepest = 0;
	bool quoted = false;

	for (size_t i = 0; i < len; i++) {
		char c = data[i];
		if (quoted) {
			if (c == '\\')
				i++;
			else if (c == '"')
				quoted = false;
		} else if (c == '"') {
			quoted = true;
		} else if (c == '[' || c == '{') {
			if (++depth > deepest)
				deepest = depth;
		} else if ((c == ']' || c == '}') && depth) {
			depth--;
		}
	}
	return deepest;
}

int json_parse(const char *data, size_t len, size_t max, json_t **ret, struct err *err)
{
	json_error_t error;

	if (len > max)
		return err_set(err, RPC_INVALID_ARGUMENT, "JSON: longer than %zu bytes", max);
	/* jansson takes one outside of strings for the end of the document. */
	if (len && memchr(data, '\0', len))
		return err_set(err, RPC_INVALID_ARGUMENT, "JSON: a NUL byte");
	if (depth_of(data, len) > JSON_DEPTH_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "JSON: nested deeper than %d", JSON_DEPTH_MAX);
	json_t *json = json_loadb(data, len, JSON_REJECT_DUPLICATES, &error);
	if (!json)
		return err_set(err, RPC_INVALID_ARGUMENT, "JSON: line %d, column %d: %s", error.line,
			       error.column, error.text);
	*ret = json;
	return 0;
}

static void must(bool ok)
{
	if (ok)
		return;
	fputs("crispd: JSON: out of memory\n", stderr);
	abort();
}

char *json_text(const json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);

	must(text);
	return text;
}

/* Where the decoder stands: a key, or an index when key is NULL. */
struct frame {
	const struct frame *above;
	const char *key;
	size_t index;
	unsigned int depth;
};

struct decoder {
	struct arena *arena;
	struct err *err;
};

static void add_path(struct str *path, const struct frame *frame)
{
	if (!frame)
		return;
	add_path(path, frame->above);
	if (!frame->key)
		str_addf(path, "[%zu]", frame->index);
	else
		str_addf(path, "%s%s", path->len ? "." : "", frame->key);
}

static int fail(const struct decoder *decoder, const struct frame *frame, const char *what)
{
	CLEANUP(str_done) struct str path = STR_INIT;

	add_path(&path, frame);
	if (!path.len)
		return err_set(decoder->err, RPC_INVALID_ARGUMENT, "JSON: %s", what);
	return err_set(decoder->err, RPC_INVALID_ARGUMENT, "%s: %s", path.data, what);
}

static int decode_struct(const struct decoder *decoder, const struct frame *at, const json_t *json,
			 const struct json_field *fields, void *out);

static int decode_string(const struct decoder *decoder, const struct frame *at, const json_t *json,
			 char **ret)
{
	if (!json_is_string(json))
		return fail(decoder, at, "not a string");
	*ret = arena_memdup(decoder->arena, json_string_value(json), json_string_length(json));
	return 0;
}

static int decode_integer(const struct decoder *decoder, const struct frame *at, const json_t *json,
			  enum json_type type, void *out)
{
	if (!json_is_integer(json))
		return fail(decoder, at, "not an integer");
	json_int_t value = json_integer_value(json);
	if (type == JSON_FIELD_INT) {
		*(int64_t *)out = value;
		return 0;
	}
	if (value < 0)
		return fail(decoder, at, "negative");
	*(uint64_t *)out = (uint64_t)value;
	return 0;
}

static int decode_strings(const struct decoder *decoder, const struct frame *at, const json_t *json,
			  struct json_strings *ret)
{
	if (!json_is_array(json))
		return fail(decoder, at, "not an array");
	size_t len = json_array_size(json);
	char **items = arena_array(decoder->arena, len + 1, sizeof(char *));
	for (size_t i = 0; i < len; i++) {
		const struct frame here = { .above = at, .index = i, .depth = at->depth + 1 };
		if (decode_string(decoder, &here, json_array_get(json, i), &items[i]) < 0)
			return -1;
	}
	*ret = (struct json_strings){ .items = items, .len = len };
	return 0;
}

static int decode_string_map(const struct decoder *decoder, const struct frame *at, const json_t *json,
			     struct json_string_map *ret)
{
	const char *key;
	json_t *value;
	size_t len = 0;

	if (!json_is_object(json))
		return fail(decoder, at, "not an object");
	struct json_string_pair *items =
		arena_array(decoder->arena, json_object_size(json), sizeof(struct json_string_pair));
	json_object_foreach((json_t *)json, key, value)
	{
		const struct frame here = { .above = at, .key = key, .depth = at->depth + 1 };
		if (json_is_null(value))
			continue;
		if (decode_string(decoder, &here, value, &items[len].value) < 0)
			return -1;
		items[len++].key = arena_strdup(decoder->arena, key);
	}
	*ret = (struct json_string_map){ .items = items, .len = len };
	return 0;
}

static int decode_array(const struct decoder *decoder, const struct frame *at, const json_t *json,
			const struct json_field *field, struct json_array *ret)
{
	if (!json_is_array(json))
		return fail(decoder, at, "not an array");
	size_t len = json_array_size(json);
	assert(field->size);
	char *items = arena_array(decoder->arena, len, field->size);
	for (size_t i = 0; i < len; i++) {
		const struct frame here = { .above = at, .index = i, .depth = at->depth + 1 };
		if (decode_struct(decoder, &here, json_array_get(json, i), field->sub,
				  items + i * field->size) < 0)
			return -1;
	}
	*ret = (struct json_array){ .items = items, .len = len };
	return 0;
}

static int decode_pointer(const struct decoder *decoder, const struct frame *at, const json_t *json,
			  const struct json_field *field, void **ret)
{
	assert(field->size);
	void *item = arena_alloc(decoder->arena, field->size);
	if (decode_struct(decoder, at, json, field->sub, item) < 0)
		return -1;
	*ret = item;
	return 0;
}

static int decode_field(const struct decoder *decoder, const struct frame *at, const json_t *json,
			const struct json_field *field, void *out)
{
	switch (field->type) {
	case JSON_FIELD_STRING:
		return decode_string(decoder, at, json, out);
	case JSON_FIELD_BOOL:
		if (!json_is_boolean(json))
			return fail(decoder, at, "not a boolean");
		*(bool *)out = json_is_true(json);
		return 0;
	case JSON_FIELD_INT:
	case JSON_FIELD_UINT:
		return decode_integer(decoder, at, json, field->type, out);
	case JSON_FIELD_STRINGS:
		return decode_strings(decoder, at, json, out);
	case JSON_FIELD_STRING_MAP:
		return decode_string_map(decoder, at, json, out);
	case JSON_FIELD_OBJECT:
		return decode_struct(decoder, at, json, field->sub, out);
	case JSON_FIELD_OBJECT_PTR:
		return decode_pointer(decoder, at, json, field, out);
	case JSON_FIELD_ARRAY:
		return decode_array(decoder, at, json, field, out);
	case JSON_FIELD_RAW:
		*(json_t **)out = (json_t *)json;
		return 0;
	}
	assert(!"a field has a known type");
	return -1;
}

static int decode_struct(const struct decoder *decoder, const struct frame *at, const json_t *json,
			 const struct json_field *fields, void *out)
{
	unsigned int depth = at ? at->depth + 1 : 0;

	if (!json_is_object(json))
		return fail(decoder, at, "not an object");
	if (depth > 2 * JSON_DEPTH_MAX)
		return fail(decoder, at, "nested too deeply");
	for (const struct json_field *field = fields; field->key; field++) {
		const struct frame here = { .above = at, .key = field->key, .depth = depth };
		const json_t *value = json_object_get(json, field->key);
		if (!value || json_is_null(value)) {
			if (field->flags & JSON_NEEDED)
				return fail(decoder, &here, "missing");
			continue;
		}
		if (decode_field(decoder, &here, value, field, (char *)out + field->offset) < 0)
			return -1;
	}
	return 0;
}

int json_decode(const json_t *json, const struct json_field *fields, void *out, struct arena *arena,
		struct err *err)
{
	const struct decoder decoder = { .arena = arena, .err = err };

	return decode_struct(&decoder, NULL, json, fields, out);
}

/* Clients may send bytes that are no UTF-8; JSON cannot hold them, and losing a whole state file over them is
 * worse than a replacement character. */
static char *repaired(const char *text)
{
	struct str out = STR_INIT;

	while (*text) {
		size_t len = utf8_len(text);
		if (len)
			str_addn(&out, text, len);
		else
			str_add(&out, "\xef\xbf\xbd");
		text += len ? len : 1;
	}
	return str_take(&out);
}

static json_t *encode_string(const char *text)
{
	json_t *json = text ? json_string(text) : json_null();

	if (json)
		return json;
	CLEANUP(freep) char *mended = repaired(text);
	json = json_string(mended);
	must(json);
	return json;
}

static json_t *encode_strings(const struct json_strings *strings)
{
	json_t *array = json_array();

	must(array);
	for (size_t i = 0; i < strings->len; i++)
		must(json_array_append_new(array, encode_string(strings->items[i])) == 0);
	return array;
}

static json_t *encode_string_map(const struct json_string_map *map)
{
	json_t *object = json_object();

	must(object);
	for (size_t i = 0; i < map->len; i++) {
		CLEANUP(freep) char *key = repaired(map->items[i].key);
		must(json_object_set_new(object, key, encode_string(map->items[i].value)) == 0);
	}
	return object;
}

static json_t *encode_array(const struct json_field *field, const struct json_array *in)
{
	json_t *array = json_array();

	must(array);
	for (size_t i = 0; i < in->len; i++)
		must(json_array_append_new(
			     array, json_encode(field->sub, (char *)in->items + i * field->size)) == 0);
	return array;
}

static json_t *encode_field(const struct json_field *field, const void *in)
{
	switch (field->type) {
	case JSON_FIELD_STRING:
		return encode_string(*(char *const *)in);
	case JSON_FIELD_BOOL:
		return json_boolean(*(const bool *)in);
	case JSON_FIELD_INT:
		return json_integer(*(const int64_t *)in);
	case JSON_FIELD_UINT:
		return json_integer(*(const uint64_t *)in > INT64_MAX ? INT64_MAX
								      : (json_int_t) * (const uint64_t *)in);
	case JSON_FIELD_STRINGS:
		return encode_strings(in);
	case JSON_FIELD_STRING_MAP:
		return encode_string_map(in);
	case JSON_FIELD_OBJECT:
		return json_encode(field->sub, in);
	case JSON_FIELD_OBJECT_PTR:
		return *(void *const *)in ? json_encode(field->sub, *(void *const *)in) : json_null();
	case JSON_FIELD_ARRAY:
		return encode_array(field, in);
	case JSON_FIELD_RAW:
		return *(json_t *const *)in ? json_incref(*(json_t *const *)in) : json_null();
	}
	assert(!"a field has a known type");
	return NULL;
}

static bool is_empty(const json_t *json)
{
	switch (json_typeof(json)) {
	case JSON_NULL:
	case JSON_FALSE:
		return true;
	case JSON_INTEGER:
		return json_integer_value(json) == 0;
	case JSON_STRING:
		return json_string_length(json) == 0;
	case JSON_ARRAY:
		return json_array_size(json) == 0;
	case JSON_OBJECT:
		return json_object_size(json) == 0;
	default:
		return false;
	}
}

json_t *json_encode(const struct json_field *fields, const void *in)
{
	json_t *object = json_object();

	must(object);
	for (const struct json_field *field = fields; field->key; field++) {
		json_t *value = encode_field(field, (const char *)in + field->offset);
		must(value);
		/* A pointer that is set says something even when the object behind it is empty. */
		bool pointer = (field->type == JSON_FIELD_OBJECT_PTR || field->type == JSON_FIELD_RAW) &&
			       !json_is_null(value);
		if ((field->flags & JSON_OMIT_EMPTY) && !pointer && is_empty(value))
			json_decref(value);
		else
			must(json_object_set_new(object, field->key, value) == 0);
	}
	return object;
}
