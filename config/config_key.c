/*
 * One decoder and one printer for each type of key; what the types have in common (the type check, the
 * message's front) is done once in config_key_decode(). A value printed here and decoded again is the same
 * value: `crispd config` is an input like any other.
 */
#include "config/config_key.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "config/config.h"
#include "config/byte_size.h"
#include "config/duration.h"

struct decoding {
	const struct config_key *key;
	const struct toml_value *value;
	const struct config_target *target;
	const char *path; /* full name */
	struct err *err;
};

static int refuse(const struct decoding *decoding, const char *text, const char *why)
{
	return toml_fail(decoding->value, decoding->path, decoding->err, "\"%.200s\" %s", text, why);
}

/* The string of a value, checked and, for paths, without the '/' at its end. */
static int decode_text(const struct decoding *decoding, const struct toml_value *value, const char **ret)
{
	const struct config_key *key = decoding->key;
	const char *text = value->string.data;
	size_t len = value->string.len;

	if (strlen(text) != len)
		return toml_fail(value, decoding->path, decoding->err, "a string that holds a NUL byte");
	if (len > CONFIG_STRING_MAX)
		return toml_fail(value, decoding->path, decoding->err, "a string of more than %d bytes",
				 CONFIG_STRING_MAX);
	if (len == 0 && !key->may_be_empty)
		return toml_fail(value, decoding->path, decoding->err, "must not be empty");
	const char *why = len > 0 && key->rule ? key->rule(text) : NULL;
	if (why)
		return toml_fail(value, decoding->path, decoding->err, "\"%.200s\" %s", text, why);
	bool is_path = key->type == CONFIG_PATH || key->type == CONFIG_PATHS;
	if (is_path && len > 1 && text[len - 1] == '/')
		len--;
	*ret = arena_strndup(decoding->target->arena, text, len);
	return 0;
}

static int decode_list(const struct decoding *decoding, struct config_strings *ret)
{
	const struct toml_array *array = &decoding->value->array;

	if (array->len > CONFIG_LIST_MAX)
		return toml_fail(decoding->value, decoding->path, decoding->err, "more than %d strings",
				 CONFIG_LIST_MAX);
	const char **items = arena_array(decoding->target->arena, array->len + 1, sizeof(*items));
	for (size_t i = 0; i < array->len; i++) {
		const struct toml_value *item = array->items[i];
		if (item->type != TOML_STRING)
			return toml_fail(item, decoding->path, decoding->err,
					 "an array of strings expected, not of %s",
					 toml_type_name(item->type));
		if (decode_text(decoding, item, &items[i]) < 0)
			return -1;
	}
	*ret = (struct config_strings){ items, array->len };
	return 0;
}

static int decode_int(const struct decoding *decoding, int64_t unit, int64_t *ret)
{
	const struct config_key *key = decoding->key;
	int64_t number = decoding->value->integer;

	if (number == -1 && key->may_be_unlimited) {
		*ret = -1;
		return 0;
	}
	if (number < key->min || number > key->max)
		return toml_fail(decoding->value, decoding->path, decoding->err,
				 "%lld is not %sfrom %lld to %lld", (long long)number,
				 key->may_be_unlimited ? "-1 or " : "", (long long)key->min,
				 (long long)key->max);
	*ret = number * unit;
	return 0;
}

static int decode_duration(const struct decoding *decoding, int64_t *ret)
{
	const struct config_key *key = decoding->key;
	const char *text = decoding->value->string.data;
	int64_t ns;

	if (strlen(text) != decoding->value->string.len || !duration_parse(text, &ns))
		return refuse(decoding, text, "is not a duration such as \"1m30s\"");
	if (ns < key->min || ns > key->max) {
		CLEANUP(str_done) struct str why = STR_INIT;
		str_add(&why, "is not from ");
		duration_print(&why, key->min);
		str_add(&why, " to ");
		duration_print(&why, key->max);
		return refuse(decoding, text, str_get(&why));
	}
	*ret = ns;
	return 0;
}

static int decode_size(const struct decoding *decoding, int64_t *ret)
{
	const struct config_key *key = decoding->key;
	const char *text = decoding->value->string.data;
	int64_t bytes;

	if (strlen(text) != decoding->value->string.len || !byte_size_parse(text, &bytes))
		return refuse(decoding, text, "is not a size such as \"64MiB\"");
	if (bytes < key->min || bytes > key->max)
		return refuse(decoding, text, "is out of range");
	*ret = bytes;
	return 0;
}

static int decode_choice(const struct decoding *decoding, int *ret)
{
	CLEANUP(str_done) struct str why = STR_INIT;
	const char *text = decoding->value->string.data;

	str_add(&why, "is not one of");
	if (strlen(text) != decoding->value->string.len)
		return refuse(decoding, text, "is followed by a NUL byte");
	for (const struct config_choice *choice = decoding->key->choices; choice->text; choice++) {
		if (str_eq(choice->text, text)) {
			*ret = choice->value;
			return 0;
		}
		str_addf(&why, " %s", choice->text);
	}
	return refuse(decoding, text, str_get(&why));
}

static enum toml_type written_as(enum config_type type)
{
	switch (type) {
	case CONFIG_BOOL:
		return TOML_BOOL;
	case CONFIG_INT:
	case CONFIG_SECONDS:
		return TOML_INT;
	case CONFIG_STRINGS:
	case CONFIG_PATHS:
		return TOML_ARRAY;
	default:
		return TOML_STRING;
	}
}

static int decode_field(const struct decoding *decoding, void *field)
{
	switch (decoding->key->type) {
	case CONFIG_STRING:
	case CONFIG_PATH:
		return decode_text(decoding, decoding->value, field);
	case CONFIG_STRINGS:
	case CONFIG_PATHS:
		return decode_list(decoding, field);
	case CONFIG_BOOL:
		*(bool *)field = decoding->value->boolean;
		return 0;
	case CONFIG_INT:
		return decode_int(decoding, 1, field);
	case CONFIG_SECONDS:
		return decode_int(decoding, NS_PER_SEC, field);
	case CONFIG_DURATION:
		return decode_duration(decoding, field);
	case CONFIG_SIZE:
		return decode_size(decoding, field);
	case CONFIG_CHOICE:
		return decode_choice(decoding, field);
	}
	assert(!"a key's type");
	return -1;
}

int config_key_decode(const struct config_key *key, const struct toml_value *value,
		      const struct config_target *target, struct err *err)
{
	CLEANUP(freep) char *path = xasprintf("%s.%s", target->path, key->name);
	struct decoding decoding = { key, value, target, path, err };
	enum toml_type expected = written_as(key->type);

	if (value->type != expected)
		return toml_fail(value, path, err, "%s expected, not %s", toml_type_name(expected),
				 toml_type_name(value->type));
	return decode_field(&decoding, (char *)target->base + key->offset);
}

static void print_list(const struct config_strings *list, struct str *out)
{
	if (list->len == 0) {
		str_add(out, "[]");
		return;
	}
	str_add(out, "[\n");
	for (size_t i = 0; i < list->len; i++) {
		str_addc(out, '\t');
		toml_quote(out, list->items[i]);
		str_add(out, ",\n");
	}
	str_addc(out, ']');
}

static void print_duration(int64_t ns, struct str *out)
{
	str_addc(out, '"');
	duration_print(out, ns);
	str_addc(out, '"');
}

static void print_size(int64_t bytes, struct str *out)
{
	str_addc(out, '"');
	byte_size_print(out, bytes);
	str_addc(out, '"');
}

static void print_choice(const struct config_key *key, int value, struct str *out)
{
	const struct config_choice *choice = key->choices;

	while (choice->text && choice->value != value)
		choice++;
	assert(choice->text);
	toml_quote(out, choice->text);
}

void config_key_print(const struct config_key *key, const void *base, struct str *out)
{
	const void *field = (const char *)base + key->offset;

	switch (key->type) {
	case CONFIG_STRING:
	case CONFIG_PATH:
		toml_quote(out, *(const char *const *)field);
		break;
	case CONFIG_STRINGS:
	case CONFIG_PATHS:
		print_list(field, out);
		break;
	case CONFIG_BOOL:
		str_add(out, *(const bool *)field ? "true" : "false");
		break;
	case CONFIG_INT:
		str_addf(out, "%lld", (long long)*(const int64_t *)field);
		break;
	case CONFIG_SECONDS:
		str_addf(out, "%lld", (long long)(*(const int64_t *)field / NS_PER_SEC));
		break;
	case CONFIG_DURATION:
		print_duration(*(const int64_t *)field, out);
		break;
	case CONFIG_SIZE:
		print_size(*(const int64_t *)field, out);
		break;
	case CONFIG_CHOICE:
		print_choice(key, *(const int *)field, out);
		break;
	}
}
