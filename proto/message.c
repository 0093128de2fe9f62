/*
 * Each operation is a loop over the fields of a descriptor and a switch over the few kinds of value that own
 * memory (text, bytes, submessages); scalars are plain bytes of field_value_size(). Recursion is bounded by
 * the depth of CRI's types, which are not recursive.
 *
 * Decoding is wire_check() and then protobuf-c with an allocator over the arena whose free does nothing.
 * Since the bytes have passed the check, the only way for protobuf-c to fail is the arena's limit.
 */
#include "proto/message.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "proto/field.h"
#include "proto/map_entry.h"
#include "proto/utf8.h"
#include "proto/wire.h"

void *message_new(struct arena *arena, const ProtobufCMessageDescriptor *desc)
{
	ProtobufCMessage *message = arena_alloc(arena, desc->sizeof_message);

	protobuf_c_message_init(desc, message);
	return message;
}

/* Drops the earlier of equal keys from every map: a peer may send them, the protocol says the last one
 * counts. */
static void settle_maps(ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *desc = message->descriptor;

	for (unsigned int i = 0; i < desc->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &desc->fields[i];
		void *at = field_to(message, field);

		if (field->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		if (!field_repeated(field)) {
			if (*(ProtobufCMessage **)at)
				settle_maps(*(ProtobufCMessage **)at);
			continue;
		}
		ProtobufCMessage **items = *(ProtobufCMessage ***)at;
		size_t count = field_count(message, field);
		if (map_entry_is_map(desc, field)) {
			field_set_count(message, field, map_entries_unique(items, count));
			continue;
		}
		for (size_t n = 0; n < count; n++)
			settle_maps(items[n]);
	}
}

static void *take_from_arena(void *arena, size_t size)
{
	return arena_try(arena, size);
}

static void leave_in_arena(void *arena, void *memory)
{
	(void)arena;
	(void)memory;
}

int message_unpack(const ProtobufCMessageDescriptor *desc, const void *data, size_t len, struct arena *arena,
		   ProtobufCMessage **ret, struct err *err)
{
	ProtobufCAllocator allocator = { take_from_arena, leave_in_arena, arena };

	if (wire_check(desc, data, len, err) < 0)
		return -1;
	ProtobufCMessage *message = protobuf_c_message_unpack(desc, &allocator, len, data);
	if (!message)
		return err_set(err, RPC_RESOURCE_EXHAUSTED, "%s takes more memory than one call may have",
			       desc->short_name);
	settle_maps(message);
	*ret = message;
	return 0;
}

size_t message_size(const ProtobufCMessage *message)
{
	return protobuf_c_message_get_packed_size(message);
}

void message_pack_to(const ProtobufCMessage *message, void *buffer, size_t size)
{
	size_t written = protobuf_c_message_pack(message, buffer);

	assert(written == size);
}

int message_pack(const ProtobufCMessage *message, struct str *out, struct err *err)
{
	size_t size = message_size(message);
	char *room = str_room(out, size);

	if (!room)
		return err_set(err, RPC_RESOURCE_EXHAUSTED, "%s of %zu bytes is too large",
			       message->descriptor->short_name, size);
	message_pack_to(message, room, size);
	str_grown(out, size);
	return 0;
}

static size_t mend_text(char **text, struct arena *arena)
{
	CLEANUP(str_done) struct str mended = STR_INIT;

	if (!*text || utf8_valid(*text, strlen(*text)))
		return 0;
	utf8_mend(&mended, *text, strlen(*text));
	*text = arena_strdup(arena, str_get(&mended));
	return 1;
}

static size_t mend_value(const ProtobufCFieldDescriptor *field, void *value, struct arena *arena)
{
	if (field->type == PROTOBUF_C_TYPE_STRING)
		return mend_text(value, arena);
	if (field->type == PROTOBUF_C_TYPE_MESSAGE && *(ProtobufCMessage **)value)
		return message_mend(*(ProtobufCMessage **)value, arena);
	return 0;
}

size_t message_mend(ProtobufCMessage *message, struct arena *arena)
{
	const ProtobufCMessageDescriptor *desc = message->descriptor;
	size_t mended = 0;

	for (unsigned int i = 0; i < desc->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &desc->fields[i];
		void *at = field_to(message, field);

		if (!field_repeated(field)) {
			mended += mend_value(field, at, arena);
			continue;
		}
		char *items = *(char **)at;
		for (size_t n = 0; n < field_count(message, field); n++)
			mended += mend_value(field, items + n * field_value_size(field), arena);
	}
	return mended;
}

static void clone_value(const ProtobufCFieldDescriptor *field, void *to, const void *from,
			struct arena *arena)
{
	const char *text;
	const ProtobufCMessage *message;
	const ProtobufCBinaryData *bytes;

	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		text = *(char *const *)from;
		*(char **)to = text && *text ? arena_strdup(arena, text) : (char *)protobuf_c_empty_string;
		return;
	case PROTOBUF_C_TYPE_MESSAGE:
		message = *(ProtobufCMessage *const *)from;
		*(ProtobufCMessage **)to = message ? message_clone(message, arena) : NULL;
		return;
	case PROTOBUF_C_TYPE_BYTES:
		bytes = from;
		*(ProtobufCBinaryData *)to = (ProtobufCBinaryData){
			.len = bytes->len,
			.data = bytes->len ? arena_memdup(arena, bytes->data, bytes->len) : NULL,
		};
		return;
	default:
		memcpy(to, from, field_value_size(field));
	}
}

static void clone_field(const ProtobufCFieldDescriptor *field, ProtobufCMessage *to,
			const ProtobufCMessage *from, struct arena *arena)
{
	if (!field_repeated(field)) {
		clone_value(field, field_to(to, field), field_at(from, field), arena);
		return;
	}
	size_t count = field_count(from, field);
	size_t size = field_value_size(field);
	const char *items = *(char *const *)field_at(from, field);
	char *copies = count ? arena_array(arena, count, size) : NULL;

	for (size_t i = 0; i < count; i++)
		clone_value(field, copies + i * size, items + i * size, arena);
	*(char **)field_to(to, field) = copies;
	field_set_count(to, field, count);
}

static void clone_unknown(ProtobufCMessage *to, const ProtobufCMessage *from, struct arena *arena)
{
	to->n_unknown_fields = from->n_unknown_fields;
	if (!from->n_unknown_fields)
		return;
	to->unknown_fields = arena_array(arena, from->n_unknown_fields, sizeof(*to->unknown_fields));
	for (unsigned int i = 0; i < from->n_unknown_fields; i++) {
		to->unknown_fields[i] = from->unknown_fields[i];
		to->unknown_fields[i].data =
			arena_memdup(arena, from->unknown_fields[i].data, from->unknown_fields[i].len);
	}
}

void *message_clone(const ProtobufCMessage *message, struct arena *arena)
{
	const ProtobufCMessageDescriptor *desc = message->descriptor;
	ProtobufCMessage *copy = message_new(arena, desc);

	for (unsigned int i = 0; i < desc->n_fields; i++)
		clone_field(&desc->fields[i], copy, message, arena);
	clone_unknown(copy, message, arena);
	return copy;
}

static bool text_equal(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool value_equal(const ProtobufCFieldDescriptor *field, const void *a, const void *b)
{
	const ProtobufCBinaryData *a_bytes = a, *b_bytes = b;
	double a_number, b_number;

	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		return text_equal(*(char *const *)a, *(char *const *)b);
	case PROTOBUF_C_TYPE_MESSAGE:
		return message_equal(*(ProtobufCMessage *const *)a, *(ProtobufCMessage *const *)b);
	case PROTOBUF_C_TYPE_BYTES:
		return a_bytes->len == b_bytes->len &&
		       (!a_bytes->len || memcmp(a_bytes->data, b_bytes->data, a_bytes->len) == 0);
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_DOUBLE:
		a_number =
			field->type == PROTOBUF_C_TYPE_FLOAT ? (double)*(const float *)a : *(const double *)a;
		b_number =
			field->type == PROTOBUF_C_TYPE_FLOAT ? (double)*(const float *)b : *(const double *)b;
		return a_number == b_number || (isnan(a_number) && isnan(b_number));
	default:
		return memcmp(a, b, field_value_size(field)) == 0;
	}
}

static bool field_equal(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *a,
			const ProtobufCMessage *b)
{
	const void *a_at = field_at(a, field), *b_at = field_at(b, field);

	if (!field_repeated(field))
		return value_equal(field, a_at, b_at);
	const char *a_items = *(char *const *)a_at, *b_items = *(char *const *)b_at;
	size_t count = field_count(a, field), size = field_value_size(field);
	if (map_entry_is_map(a->descriptor, field))
		return map_entries_equal(a_items, count, b_items, field_count(b, field));
	if (count != field_count(b, field))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!value_equal(field, a_items + i * size, b_items + i * size))
			return false;
	}
	return true;
}

bool message_equal(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
	if (!a || !b)
		return a == b;
	if (a->descriptor != b->descriptor)
		return false;
	for (unsigned int i = 0; i < a->descriptor->n_fields; i++) {
		if (!field_equal(&a->descriptor->fields[i], a, b))
			return false;
	}
	return true;
}
