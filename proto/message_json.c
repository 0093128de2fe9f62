/*
 * Writing. One function a kind of value; each value is written with the field it stands in, since that
 * decides about secrets. Secrets are a table here rather than an option in cri.proto because protobuf-c keeps
 * no custom options in its descriptors; forgetting one is what the test on AuthConfig is for.
 *
 * Logs are bounded by MESSAGE_JSON_SHORT: a request of 16 MiB must not become a log line of 16 MiB. Bytes are
 * only counted then, as they are either output of a command or environment values, which often hold
 * credentials.
 *
 * Reading is in message_json_read.c.
 */
#include "proto/message_json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "proto/base64.h"
#include "proto/cri.pb-c.h"
#include "proto/field.h"
#include "proto/json_name.h"
#include "proto/map_entry.h"
#include "proto/utf8.h"

enum { SHORT_TEXT = 256, SHORT_ITEMS = 16 };

static const struct {
	const ProtobufCMessageDescriptor *desc;
	const char *field;
	bool only_userinfo; /* secret when it holds an '@': a URL with credentials in it */
} secrets[] = {
	{ &cri__auth_config__descriptor, "password", false },
	{ &cri__auth_config__descriptor, "auth", false },
	{ &cri__auth_config__descriptor, "server_address", true },
	{ &cri__auth_config__descriptor, "identity_token", false },
	{ &cri__auth_config__descriptor, "registry_token", false },
};

static void must(bool ok)
{
	if (ok)
		return;
	fputs("crispd: JSON: out of memory\n", stderr);
	abort();
}

static json_t *json_of_text(const char *text, size_t len)
{
	CLEANUP(str_done) struct str mended = STR_INIT;

	if (!utf8_valid(text, len)) {
		utf8_mend(&mended, text, len);
		text = mended.data;
		len = mended.len;
	}
	json_t *json = json_stringn_nocheck(text, len);
	must(json);
	return json;
}

static json_t *json_of_str(const struct str *text)
{
	must(!text->failed);
	return json_of_text(str_get(text), text->len);
}

/* Where a cut at `max` bytes doesn't split a character. */
static size_t cut_length(const char *text, size_t max)
{
	size_t cut = max;

	while (cut > max - 3 && ((unsigned char)text[cut] & 0xc0) == 0x80)
		cut--;
	return cut;
}

static json_t *write_text(const char *text, unsigned int flags)
{
	CLEANUP(str_done) struct str cut = STR_INIT;
	size_t len = text ? strlen(text) : 0;

	if (!(flags & MESSAGE_JSON_SHORT) || len <= SHORT_TEXT)
		return json_of_text(text ? text : "", len);
	str_addn(&cut, text, cut_length(text, SHORT_TEXT));
	str_addf(&cut, "... (%zu bytes)", len);
	return json_of_str(&cut);
}

static json_t *write_bytes(const ProtobufCBinaryData *bytes, unsigned int flags)
{
	CLEANUP(str_done) struct str text = STR_INIT;

	if (flags & MESSAGE_JSON_SHORT)
		str_addf(&text, "<%zu bytes>", bytes->len);
	else
		base64_encode(&text, bytes->data, bytes->len);
	return json_of_str(&text);
}

static json_t *write_real(double value)
{
	json_t *json;

	if (isnan(value))
		json = json_string("NaN");
	else if (isinf(value))
		json = json_string(value > 0 ? "Infinity" : "-Infinity");
	else
		json = json_real(value);
	must(json);
	return json;
}

static json_t *write_enum(const ProtobufCEnumDescriptor *desc, int number)
{
	const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(desc, number);
	json_t *json = value ? json_string(value->name) : json_integer(number);

	must(json);
	return json;
}

static json_t *write_integer(const ProtobufCFieldDescriptor *field, const void *value)
{
	char text[32];
	json_t *json;

	switch (field->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		json = json_integer(*(const int32_t *)value);
		break;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		json = json_integer(*(const uint32_t *)value);
		break;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		snprintf(text, sizeof(text), "%" PRIu64, *(const uint64_t *)value);
		json = json_string(text);
		break;
	default:
		snprintf(text, sizeof(text), "%" PRId64, *(const int64_t *)value);
		json = json_string(text);
	}
	must(json);
	return json;
}

static json_t *write_value(const ProtobufCFieldDescriptor *field, const void *value, unsigned int flags)
{
	const ProtobufCMessage *message;

	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		return write_text(*(char *const *)value, flags);
	case PROTOBUF_C_TYPE_BYTES:
		return write_bytes(value, flags);
	case PROTOBUF_C_TYPE_MESSAGE:
		message = *(ProtobufCMessage *const *)value;
		return message ? message_to_json(message, flags) : json_null();
	case PROTOBUF_C_TYPE_BOOL:
		return json_boolean(*(const protobuf_c_boolean *)value);
	case PROTOBUF_C_TYPE_ENUM:
		return write_enum(field->descriptor, *(const int *)value);
	case PROTOBUF_C_TYPE_FLOAT:
		return write_real((double)*(const float *)value);
	case PROTOBUF_C_TYPE_DOUBLE:
		return write_real(*(const double *)value);
	default:
		return write_integer(field, value);
	}
}

static json_t *more(size_t count)
{
	json_t *json = json_sprintf("... %zu more", count);

	must(json);
	return json;
}

static size_t shown(size_t count, unsigned int flags)
{
	return flags & MESSAGE_JSON_SHORT && count > SHORT_ITEMS ? SHORT_ITEMS : count;
}

static json_t *write_map(struct map_entry *const *entries, size_t count, unsigned int flags)
{
	json_t *object = json_object();

	must(object);
	for (size_t i = 0; i < shown(count, flags); i++) {
		json_t *key = write_text(entries[i]->key, flags);

		must(json_object_set_new_nocheck(object, json_string_value(key),
						 write_text(entries[i]->value, flags)) == 0);
		json_decref(key);
	}
	if (shown(count, flags) < count)
		must(json_object_set_new(object, "...", more(count - shown(count, flags))) == 0);
	return object;
}

static json_t *write_list(const ProtobufCFieldDescriptor *field, const char *items, size_t count,
			  unsigned int flags)
{
	json_t *array = json_array();

	must(array);
	for (size_t i = 0; i < shown(count, flags); i++)
		must(json_array_append_new(
			     array, write_value(field, items + i * field_value_size(field), flags)) == 0);
	if (shown(count, flags) < count)
		must(json_array_append_new(array, more(count - shown(count, flags))) == 0);
	return array;
}

static bool is_secret(const ProtobufCMessageDescriptor *desc, const ProtobufCFieldDescriptor *field,
		      const void *value)
{
	for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
		if (secrets[i].desc == desc && str_eq(secrets[i].field, field->name))
			return !secrets[i].only_userinfo || strchr(*(char *const *)value, '@');
	}
	return false;
}

/* NULL when the field is to be left out. */
static json_t *write_field(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
			   unsigned int flags)
{
	const void *at = field_at(message, field);
	json_t *redacted;

	if (field_repeated(field)) {
		size_t count = field_count(message, field);
		void *items = *(void *const *)at;

		if (!count && !(flags & MESSAGE_JSON_ALL))
			return NULL;
		if (map_entry_is_map(message->descriptor, field))
			return write_map(items, count, flags);
		return write_list(field, items, count, flags);
	}
	bool empty = field_value_is_default(field, at);
	if (empty && !(flags & MESSAGE_JSON_ALL))
		return NULL;
	if (empty || flags & MESSAGE_JSON_SECRETS || !is_secret(message->descriptor, field, at))
		return write_value(field, at, flags);
	redacted = json_string("<redacted>");
	must(redacted);
	return redacted;
}

json_t *message_to_json(const ProtobufCMessage *message, unsigned int flags)
{
	const ProtobufCMessageDescriptor *desc = message->descriptor;
	char name[JSON_NAME_MAX];
	json_t *object = json_object();

	must(object);
	for (unsigned int i = 0; i < desc->n_fields; i++) {
		json_t *value = write_field(message, &desc->fields[i], flags);

		if (value)
			must(json_object_set_new(object, json_name(desc->fields[i].name, name), value) == 0);
	}
	return object;
}

char *message_json_text(const ProtobufCMessage *message, unsigned int flags)
{
	json_t *json = message_to_json(message, flags);
	char *text = json_dumps(json, JSON_COMPACT);

	json_decref(json);
	must(text);
	return text;
}
