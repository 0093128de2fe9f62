/*
 * Reading what message_json.c writes. The document and the descriptor are walked together; where we stand is
 * a chain of struct place on the C stack, turned into a path only when something is wrong. All memory comes
 * from arena_try(), so that a bounded arena bounds what a damaged or hostile document can take.
 *
 * Recursion follows the descriptors, not the document, and CRI's types are not recursive.
 */
#include "proto/message_json.h"

#include <assert.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "proto/base64.h"
#include "proto/field.h"
#include "proto/json_name.h"
#include "proto/map_entry.h"
#include "proto/message.h"

struct place {
	const struct place *above;
	const char *key; /* NULL: index counts */
	size_t index;
};

struct reading {
	struct arena *arena;
	unsigned int flags;
	struct err *err;
};

static int read_message(const struct reading *reading, const struct place *place, const json_t *json,
			ProtobufCMessage *to);

static void add_path(struct str *path, const struct place *place)
{
	if (place->above)
		add_path(path, place->above);
	if (!place->key)
		str_addf(path, "[%zu]", place->index);
	else
		str_addf(path, "%s%s", path->len ? "." : "", place->key);
}

static int refuse(const struct reading *reading, const struct place *place, const char *what)
{
	CLEANUP(str_done) struct str path = STR_LIMIT(ERR_TEXT_MAX);

	add_path(&path, place);
	return err_set(reading->err, RPC_INVALID_ARGUMENT, "%s: %s", str_get(&path), what);
}

/* NULL with the error set when the arena is full. */
static void *take(const struct reading *reading, size_t count, size_t size)
{
	size_t total;
	void *memory = __builtin_mul_overflow(count, size, &total) ? NULL : arena_try(reading->arena, total);

	if (!memory) {
		err_set(reading->err, RPC_RESOURCE_EXHAUSTED, "JSON document takes too much memory");
		return NULL;
	}
	return memset(memory, 0, total);
}

static int copy_text(const struct reading *reading, const char *text, size_t len, char **ret)
{
	char *copy = take(reading, len + 1, 1);

	if (!copy)
		return -1;
	memcpy(copy, text, len);
	*ret = copy;
	return 0;
}

static int read_text(const struct reading *reading, const struct place *place, const json_t *json, char **ret)
{
	if (!json_is_string(json))
		return refuse(reading, place, "not a string");
	const char *text = json_string_value(json);
	size_t len = json_string_length(json);
	if (strlen(text) != len)
		return refuse(reading, place, "holds a NUL byte");
	return copy_text(reading, text, len, ret);
}

static int read_bytes(const struct reading *reading, const struct place *place, const json_t *json,
		      ProtobufCBinaryData *ret)
{
	if (!json_is_string(json))
		return refuse(reading, place, "not a string of base64");
	size_t len = json_string_length(json);
	uint8_t *data = take(reading, base64_room(len), 1);
	if (!data)
		return -1;
	if (!base64_decode(json_string_value(json), len, data, &ret->len))
		return refuse(reading, place, "not base64");
	ret->data = ret->len ? data : NULL;
	return 0;
}

static int read_signed(const struct reading *reading, const struct place *place, const json_t *json,
		       int64_t min, int64_t max, int64_t *ret)
{
	int64_t value;

	if (json_is_string(json)) {
		if (strlen(json_string_value(json)) != json_string_length(json) ||
		    !parse_i64(json_string_value(json), min, max, ret))
			return refuse(reading, place, "not an integer in range");
		return 0;
	}
	if (!json_is_integer(json))
		return refuse(reading, place, "not an integer");
	value = json_integer_value(json);
	if (value < min || value > max)
		return refuse(reading, place, "out of range");
	*ret = value;
	return 0;
}

static int read_unsigned(const struct reading *reading, const struct place *place, const json_t *json,
			 uint64_t max, uint64_t *ret)
{
	if (json_is_string(json)) {
		if (strlen(json_string_value(json)) != json_string_length(json) ||
		    !parse_u64(json_string_value(json), max, ret))
			return refuse(reading, place, "not an unsigned integer in range");
		return 0;
	}
	if (!json_is_integer(json))
		return refuse(reading, place, "not an integer");
	json_int_t value = json_integer_value(json);
	if (value < 0 || (uint64_t)value > max)
		return refuse(reading, place, "out of range");
	*ret = (uint64_t)value;
	return 0;
}

static int read_real(const struct reading *reading, const struct place *place, const json_t *json,
		     double *ret)
{
	static const struct {
		const char *name;
		double value;
	} names[] = { { "NaN", NAN }, { "Infinity", INFINITY }, { "-Infinity", -INFINITY } };

	if (json_is_number(json)) {
		*ret = json_number_value(json);
		return 0;
	}
	for (size_t i = 0; json_is_string(json) && i < ARRAY_LEN(names); i++) {
		if (str_eq(json_string_value(json), names[i].name)) {
			*ret = names[i].value;
			return 0;
		}
	}
	return refuse(reading, place, "not a number");
}

static int read_enum(const struct reading *reading, const struct place *place, const json_t *json,
		     const ProtobufCEnumDescriptor *desc, int *ret)
{
	const ProtobufCEnumValue *value;

	if (json_is_integer(json)) {
		json_int_t number = json_integer_value(json);

		if (number < INT32_MIN || number > INT32_MAX)
			return refuse(reading, place, "out of range");
		*ret = (int)number;
		return 0;
	}
	if (!json_is_string(json))
		return refuse(reading, place, "neither a name nor a number");
	value = protobuf_c_enum_descriptor_get_value_by_name(desc, json_string_value(json));
	if (!value)
		return refuse(reading, place, "unknown name");
	*ret = value->value;
	return 0;
}

static int read_integer(const struct reading *reading, const struct place *place, const json_t *json,
			const ProtobufCFieldDescriptor *field, void *to)
{
	int64_t number = 0;
	uint64_t natural = 0;

	switch (field->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		if (read_signed(reading, place, json, INT32_MIN, INT32_MAX, &number) < 0)
			return -1;
		*(int32_t *)to = (int32_t)number;
		return 0;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		if (read_unsigned(reading, place, json, UINT32_MAX, &natural) < 0)
			return -1;
		*(uint32_t *)to = (uint32_t)natural;
		return 0;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return read_unsigned(reading, place, json, UINT64_MAX, to);
	default:
		return read_signed(reading, place, json, INT64_MIN, INT64_MAX, to);
	}
}

static int read_float(const struct reading *reading, const struct place *place, const json_t *json, float *to)
{
	double number = 0;

	if (read_real(reading, place, json, &number) < 0)
		return -1;
	if (isfinite(number) && fabs(number) > (double)FLT_MAX)
		return refuse(reading, place, "out of range");
	*to = (float)number;
	return 0;
}

static int read_submessage(const struct reading *reading, const struct place *place, const json_t *json,
			   const ProtobufCMessageDescriptor *desc, ProtobufCMessage **ret)
{
	ProtobufCMessage *message = take(reading, 1, desc->sizeof_message);

	if (!message)
		return -1;
	protobuf_c_message_init(desc, message);
	if (read_message(reading, place, json, message) < 0)
		return -1;
	*ret = message;
	return 0;
}

static int read_value(const struct reading *reading, const struct place *place, const json_t *json,
		      const ProtobufCFieldDescriptor *field, void *to)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		return read_text(reading, place, json, to);
	case PROTOBUF_C_TYPE_BYTES:
		return read_bytes(reading, place, json, to);
	case PROTOBUF_C_TYPE_MESSAGE:
		return read_submessage(reading, place, json, field->descriptor, to);
	case PROTOBUF_C_TYPE_BOOL:
		if (!json_is_boolean(json))
			return refuse(reading, place, "not a boolean");
		*(protobuf_c_boolean *)to = json_is_true(json);
		return 0;
	case PROTOBUF_C_TYPE_ENUM:
		return read_enum(reading, place, json, field->descriptor, to);
	case PROTOBUF_C_TYPE_DOUBLE:
		return read_real(reading, place, json, to);
	case PROTOBUF_C_TYPE_FLOAT:
		return read_float(reading, place, json, to);
	default:
		return read_integer(reading, place, json, field, to);
	}
}

static int read_list(const struct reading *reading, const struct place *place, const json_t *json,
		     const ProtobufCFieldDescriptor *field, ProtobufCMessage *to)
{
	size_t size = field_value_size(field);

	if (!json_is_array(json))
		return refuse(reading, place, "not an array");
	size_t count = json_array_size(json);
	char *items = count ? take(reading, count, size) : NULL;
	if (count && !items)
		return -1;
	for (size_t i = 0; i < count; i++) {
		const struct place here = { .above = place, .index = i };

		if (read_value(reading, &here, json_array_get(json, i), field, items + i * size) < 0)
			return -1;
	}
	*(char **)field_to(to, field) = items;
	field_set_count(to, field, count);
	return 0;
}

static int read_map(const struct reading *reading, const struct place *place, const json_t *json,
		    const ProtobufCFieldDescriptor *field, ProtobufCMessage *to)
{
	const char *key;
	json_t *value;
	size_t made = 0;

	if (!json_is_object(json))
		return refuse(reading, place, "not an object");
	size_t count = json_object_size(json);
	struct map_entry **entries = count ? take(reading, count, sizeof(*entries)) : NULL;
	if (count && !entries)
		return -1;
	json_object_foreach((json_t *)json, key, value)
	{
		const struct place here = { .above = place, .key = key };
		struct map_entry *entry = take(reading, 1, sizeof(*entry));

		assert(made < count);
		if (!entry)
			return -1;
		protobuf_c_message_init(field->descriptor, &entry->base);
		if (copy_text(reading, key, strlen(key), &entry->key) < 0 ||
		    read_text(reading, &here, value, &entry->value) < 0)
			return -1;
		entries[made++] = entry;
	}
	*(struct map_entry ***)field_to(to, field) = entries;
	field_set_count(to, field, made);
	return 0;
}

static int read_field(const struct reading *reading, const struct place *place, const json_t *json,
		      const ProtobufCFieldDescriptor *field, ProtobufCMessage *to)
{
	if (json_is_null(json))
		return 0;
	if (!field_repeated(field))
		return read_value(reading, place, json, field, field_to(to, field));
	if (map_entry_is_map(to->descriptor, field))
		return read_map(reading, place, json, field, to);
	return read_list(reading, place, json, field, to);
}

/* The field's value under either of its names; NULL when absent. */
static int find_field(const struct reading *reading, const struct place *here, const json_t *json,
		      const char *name, const json_t **ret)
{
	const json_t *camel = json_object_get(json, here->key);
	const json_t *plain = str_eq(here->key, name) ? NULL : json_object_get(json, name);

	if (camel && plain)
		return refuse(reading, here, "given under two names");
	*ret = camel ? camel : plain;
	return 0;
}

static bool is_known(const ProtobufCMessageDescriptor *desc, const char *key)
{
	char name[JSON_NAME_MAX];

	for (unsigned int i = 0; i < desc->n_fields; i++) {
		if (str_eq(key, desc->fields[i].name) || str_eq(key, json_name(desc->fields[i].name, name)))
			return true;
	}
	return false;
}

static int refuse_unknown(const struct reading *reading, const struct place *place, const json_t *json,
			  const ProtobufCMessageDescriptor *desc)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)json, key, value)
	{
		const struct place here = { .above = place, .key = key };

		if (!is_known(desc, key))
			return refuse(reading, &here, "unknown key");
	}
	return 0;
}

static int read_message(const struct reading *reading, const struct place *place, const json_t *json,
			ProtobufCMessage *to)
{
	const ProtobufCMessageDescriptor *desc = to->descriptor;
	size_t found = 0;

	if (!json_is_object(json))
		return refuse(reading, place, "not an object");
	for (unsigned int i = 0; i < desc->n_fields; i++) {
		char name[JSON_NAME_MAX];
		const json_t *value = NULL;
		const struct place here = {
			.above = place,
			.key = json_name(desc->fields[i].name, name),
		};

		if (find_field(reading, &here, json, desc->fields[i].name, &value) < 0)
			return -1;
		if (!value)
			continue;
		found++;
		if (read_field(reading, &here, value, &desc->fields[i], to) < 0)
			return -1;
	}
	if (found < json_object_size(json) && reading->flags & MESSAGE_JSON_STRICT)
		return refuse_unknown(reading, place, json, desc);
	return 0;
}

int message_from_json(const ProtobufCMessageDescriptor *desc, const json_t *json, unsigned int flags,
		      struct arena *arena, ProtobufCMessage **ret, struct err *err)
{
	const struct reading reading = { .arena = arena, .flags = flags, .err = err };
	const struct place top = { .key = desc->short_name };

	assert(json);
	return read_submessage(&reading, &top, json, desc, ret);
}
