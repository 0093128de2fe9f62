/*
 * A recursive walk with a cursor: struct reader holds the rest of the bytes of one message, struct walk what
 * is common to all levels (where the message began, memory it will take so far, the error). Each field is a
 * tag, then a value by its wire type, then, when the descriptor knows the field, the checks for its type.
 *
 * The memory estimate follows what protobuf-c 1.4 does: for each occurrence of a field a record while it
 * scans, for a submessage its struct and for the parent a pointer, for text a copy, for unknown fields a
 * record and a copy. It errs to the high side, which costs nothing: real requests stay under a hundredth of
 * the limit.
 */
#include "proto/wire.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "proto/utf8.h"

enum wire_type {
	WIRE_VARINT = 0,
	WIRE_64 = 1,
	WIRE_LENGTH = 2,
	WIRE_GROUP = 3,
	WIRE_GROUP_END = 4,
	WIRE_32 = 5
};

enum {
	FIELD_NUMBER_MAX = (1 << 29) - 1,
	TAG_BYTES_MAX = 5,    /* protobuf-c reads no longer ones, and no encoder writes them */
	LENGTH_BYTES_MAX = 5, /* the same */
	VARINT_BYTES_MAX = 10,
	FIELD_COST = 64, /* the decoder's record of one occurrence, and a pointer to its value */
	BLOCK_COST = 32, /* rounding of one allocation in an arena; its header in malloc */
};

struct walk {
	const ProtobufCMessageDescriptor *root;
	const uint8_t *begin;
	uint64_t cost;
	struct err *err;
};

struct reader {
	const ProtobufCMessageDescriptor *desc;
	const uint8_t *at;
	const uint8_t *end;
	int depth;
};

struct tag {
	uint32_t number;
	enum wire_type type;
	const ProtobufCFieldDescriptor *field; /* NULL: unknown */
};

static int check_message(struct walk *walk, struct reader *reader);

static int malformed(const struct walk *walk, const struct reader *reader, const char *what)
{
	return err_set(walk->err, RPC_INTERNAL, "malformed %s: %s in %s at byte %td", walk->root->short_name,
		       what, reader->desc->short_name, reader->at - walk->begin);
}

static int malformed_field(const struct walk *walk, const struct reader *reader, const struct tag *tag,
			   const char *what)
{
	return err_set(walk->err, RPC_INTERNAL, "malformed %s: %s.%s %s at byte %td", walk->root->short_name,
		       reader->desc->short_name, tag->field->name, what, reader->at - walk->begin);
}

static int charge(struct walk *walk, uint64_t bytes)
{
	walk->cost += bytes;
	if (walk->cost > WIRE_DECODED_MAX)
		return err_set(walk->err, RPC_RESOURCE_EXHAUSTED, "%s would take more than %d MiB of memory",
			       walk->root->short_name, WIRE_DECODED_MAX / 1024 / 1024);
	return 0;
}

/* Reads a varint of at most max bytes; false when it is longer, cut off, or past 64 bits. */
static bool read_varint(struct reader *reader, int max, uint64_t *ret)
{
	uint64_t value = 0;

	for (int i = 0; i < max && reader->at + i < reader->end; i++) {
		uint64_t byte = reader->at[i];

		if (i == VARINT_BYTES_MAX - 1 && byte > 1)
			return false;
		value |= (byte & 0x7f) << (7 * i);
		if (!(byte & 0x80)) {
			reader->at += i + 1;
			*ret = value;
			return true;
		}
	}
	return false;
}

static bool skip(struct reader *reader, size_t len)
{
	if ((size_t)(reader->end - reader->at) < len)
		return false;
	reader->at += len;
	return true;
}

static int read_tag(struct walk *walk, struct reader *reader, struct tag *ret)
{
	uint64_t tag;
	const uint8_t *start = reader->at;

	if (!read_varint(reader, TAG_BYTES_MAX, &tag))
		return malformed(walk, reader, "bad tag");
	uint64_t number = tag >> 3;
	if (number == 0 || number > FIELD_NUMBER_MAX) {
		reader->at = start;
		return malformed(walk, reader, "field number out of range");
	}
	ret->number = (uint32_t)number;
	ret->type = (enum wire_type)(tag & 7);
	ret->field = protobuf_c_message_descriptor_get_field(reader->desc, ret->number);
	return 0;
}

static enum wire_type wire_type_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return WIRE_32;
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return WIRE_64;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return WIRE_LENGTH;
	default:
		return WIRE_VARINT;
	}
}

static int check_text(struct walk *walk, const struct reader *reader, const struct tag *tag,
		      const struct reader *value)
{
	size_t len = (size_t)(value->end - value->at);

	if (len > 0 && memchr(value->at, '\0', len))
		return err_set(walk->err, RPC_INVALID_ARGUMENT, "%s.%s holds a NUL byte",
			       reader->desc->short_name, tag->field->name);
	if (!utf8_valid((const char *)value->at, len))
		return malformed_field(walk, value, tag, "is not UTF-8");
	return charge(walk, BLOCK_COST + len);
}

/* A packed field: scalars one after another. */
static int check_packed(struct walk *walk, const struct reader *reader, const struct tag *tag,
			struct reader *value)
{
	enum wire_type type = wire_type_of(tag->field->type);
	uint64_t scalar;

	if (type != WIRE_VARINT) {
		size_t size = type == WIRE_64 ? sizeof(uint64_t) : sizeof(uint32_t);
		size_t len = (size_t)(value->end - value->at);

		if (len % size)
			return malformed_field(walk, reader, tag, "has a bad packed length");
		return charge(walk, len);
	}
	while (value->at < value->end) {
		if (!read_varint(value, VARINT_BYTES_MAX, &scalar))
			return malformed_field(walk, value, tag, "has a bad packed varint");
		if (charge(walk, sizeof(scalar)) < 0)
			return -1;
	}
	return 0;
}

static int check_length_field(struct walk *walk, const struct reader *reader, const struct tag *tag,
			      struct reader *value)
{
	switch (tag->field->type) {
	case PROTOBUF_C_TYPE_STRING:
		return check_text(walk, reader, tag, value);
	case PROTOBUF_C_TYPE_BYTES:
		return charge(walk, BLOCK_COST + (uint64_t)(value->end - value->at));
	case PROTOBUF_C_TYPE_MESSAGE:
		value->desc = tag->field->descriptor;
		value->depth = reader->depth + 1;
		return check_message(walk, value);
	default:
		return check_packed(walk, reader, tag, value);
	}
}

static int check_length(struct walk *walk, struct reader *reader, const struct tag *tag)
{
	uint64_t len;

	if (!read_varint(reader, LENGTH_BYTES_MAX, &len))
		return malformed(walk, reader, "bad length");
	struct reader value = { .desc = reader->desc, .at = reader->at };
	if (len > INT32_MAX || !skip(reader, len))
		return malformed(walk, reader, "length past the end");
	value.end = reader->at;
	if (!tag->field)
		return charge(walk, BLOCK_COST + len);
	return check_length_field(walk, reader, tag, &value);
}

static bool type_fits(const struct tag *tag)
{
	const ProtobufCFieldDescriptor *field = tag->field;
	enum wire_type want;

	if (!field)
		return true;
	want = wire_type_of(field->type);
	if (tag->type == want)
		return true;
	return tag->type == WIRE_LENGTH && field->label == PROTOBUF_C_LABEL_REPEATED;
}

static int check_field(struct walk *walk, struct reader *reader)
{
	struct tag tag = { 0 };
	uint64_t scalar;

	if (read_tag(walk, reader, &tag) < 0 || charge(walk, FIELD_COST) < 0)
		return -1;
	if (!type_fits(&tag))
		return malformed_field(walk, reader, &tag, "has the wrong wire type");
	switch (tag.type) {
	case WIRE_VARINT:
		return read_varint(reader, VARINT_BYTES_MAX, &scalar) ? 0
								      : malformed(walk, reader, "bad varint");
	case WIRE_64:
		return skip(reader, sizeof(uint64_t)) ? 0 : malformed(walk, reader, "truncated 64-bit value");
	case WIRE_32:
		return skip(reader, sizeof(uint32_t)) ? 0 : malformed(walk, reader, "truncated 32-bit value");
	case WIRE_LENGTH:
		return check_length(walk, reader, &tag);
	case WIRE_GROUP:
	case WIRE_GROUP_END:
		return malformed(walk, reader, "a group");
	}
	return malformed(walk, reader, "unknown wire type");
}

static int check_message(struct walk *walk, struct reader *reader)
{
	if (reader->depth > WIRE_DEPTH_MAX)
		return malformed(walk, reader, "nesting too deep");
	if (charge(walk, BLOCK_COST + reader->desc->sizeof_message) < 0)
		return -1;
	while (reader->at < reader->end) {
		if (check_field(walk, reader) < 0)
			return -1;
	}
	return 0;
}

int wire_check(const ProtobufCMessageDescriptor *desc, const void *data, size_t len, struct err *err)
{
	static const uint8_t nothing[1];
	const uint8_t *begin = len ? data : nothing;
	struct walk walk = { .root = desc, .begin = begin, .err = err };
	struct reader reader = { .desc = desc, .at = begin, .end = begin + len };

	assert(desc && (data || !len));
	return check_message(&walk, &reader);
}
