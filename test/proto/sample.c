/* A small xorshift generator decides; nesting ends by itself, since CRI's types are not recursive. */
#include "sample.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "proto/cri.pb-c.h"
#include "proto/field.h"
#include "proto/map_entry.h"
#include "proto/message.h"

static void add_type(struct sample_types *types, const ProtobufCMessageDescriptor *desc)
{
	for (size_t i = 0; i < types->len; i++) {
		if (types->items[i] == desc)
			return;
	}
	assert(types->len < SAMPLE_TYPES_MAX);
	types->items[types->len++] = desc;
	for (unsigned int i = 0; i < desc->n_fields; i++) {
		if (desc->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
			add_type(types, desc->fields[i].descriptor);
	}
}

void sample_types(struct sample_types *types)
{
	static const ProtobufCServiceDescriptor *const services[] = {
		&cri__runtime_service__descriptor,
		&cri__image_service__descriptor,
	};

	types->len = 0;
	for (size_t s = 0; s < ARRAY_LEN(services); s++) {
		for (unsigned int m = 0; m < services[s]->n_methods; m++) {
			add_type(types, services[s]->methods[m].input);
			add_type(types, services[s]->methods[m].output);
		}
	}
}

uint64_t sample_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed * UINT64_C(0x2545f4914f6cdd1d);
}

static size_t below(uint64_t *seed, size_t bound)
{
	return (sample_random(seed) >> 33) % bound;
}

static char *sample_text(struct arena *arena, uint64_t *seed)
{
	static const char *const letters[] = {
		"a",
		"Z",
		"7",
		"/",
		".",
		"-",
		"_",
		" ",
		"\"",
		"\\",
		"\n",
		"\t",
		"\x01",
		"\x7f",
		"'",
		"{",
		"%",
		"\xc3\xa9",
		"\xe2\x82\xac",
		"\xed\x9f\xbf",
		"\xef\xbf\xbf",
		"\xf0\x9f\x98\x80",
		"\xf4\x8f\xbf\xbf",
	};
	size_t len = below(seed, 24);
	char *text = arena_alloc(arena, len * 4 + 1), *to = text;

	for (size_t i = 0; i < len; i++) {
		const char *letter = letters[below(seed, ARRAY_LEN(letters))];

		memcpy(to, letter, strlen(letter));
		to += strlen(letter);
	}
	return text;
}

static uint64_t sample_bits(uint64_t *seed)
{
	static const uint64_t edges[] = {
		0,
		1,
		127,
		128,
		INT32_MAX,
		UINT32_MAX,
		UINT64_C(1) << 53,
		(UINT64_C(1) << 53) + 1,
		INT64_MAX,
		UINT64_C(1) << 63,
		UINT64_MAX,
	};

	return below(seed, 2) ? sample_random(seed) : edges[below(seed, ARRAY_LEN(edges))];
}

static double sample_real(uint64_t *seed)
{
	static const double edges[] = {
		0, -1.5, 0.1, 1e-320, 1.7976931348623157e308, INFINITY, -INFINITY, NAN
	};

	return below(seed, 2) ? (double)(int64_t)sample_random(seed) / 1e9
			      : edges[below(seed, ARRAY_LEN(edges))];
}

static void sample_value(struct arena *arena, const ProtobufCFieldDescriptor *field, void *to, uint64_t *seed)
{
	const ProtobufCEnumDescriptor *names;
	ProtobufCBinaryData *bytes = to;
	uint64_t bits;

	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		*(char **)to = sample_text(arena, seed);
		return;
	case PROTOBUF_C_TYPE_BYTES:
		bytes->len = below(seed, 40);
		bytes->data = bytes->len ? arena_alloc(arena, bytes->len) : NULL;
		for (size_t i = 0; i < bytes->len; i++)
			bytes->data[i] = (uint8_t)sample_random(seed);
		return;
	case PROTOBUF_C_TYPE_MESSAGE:
		*(ProtobufCMessage **)to = sample_message(arena, field->descriptor, seed);
		return;
	case PROTOBUF_C_TYPE_ENUM:
		names = field->descriptor;
		*(int *)to = below(seed, 8) ? names->values[below(seed, names->n_values)].value : 4711;
		return;
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)to = (protobuf_c_boolean)below(seed, 2);
		return;
	case PROTOBUF_C_TYPE_DOUBLE:
		*(double *)to = sample_real(seed);
		return;
	case PROTOBUF_C_TYPE_FLOAT:
		*(float *)to = (float)sample_real(seed);
		return;
	default:
		bits = sample_bits(seed);
		memcpy(to, &bits, field_value_size(field));
	}
}

static void sample_list(struct arena *arena, const ProtobufCFieldDescriptor *field, ProtobufCMessage *message,
			uint64_t *seed)
{
	size_t count = below(seed, 4), size = field_value_size(field);
	char *items = count ? arena_array(arena, count, size) : NULL;

	for (size_t i = 0; i < count; i++)
		sample_value(arena, field, items + i * size, seed);
	*(char **)field_to(message, field) = items;
	if (map_entry_is_map(message->descriptor, field))
		count = map_entries_unique(items, count);
	field_set_count(message, field, count);
}

ProtobufCMessage *sample_message(struct arena *arena, const ProtobufCMessageDescriptor *desc, uint64_t *seed)
{
	ProtobufCMessage *message = message_new(arena, desc);

	for (unsigned int i = 0; i < desc->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &desc->fields[i];

		if (below(seed, 6) == 0)
			continue;
		if (field_repeated(field))
			sample_list(arena, field, message, seed);
		else
			sample_value(arena, field, field_to(message, field), seed);
	}
	return message;
}
