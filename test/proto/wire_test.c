/*
 * Hostile bytes, row by row: each is refused with the code and text that wire.h promises, and what passes the
 * check is decoded by protobuf-c. Types of our own stand in for what CRI doesn't have: recursion and
 * fixed-size scalars.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/str.h"
#include "proto/cri.pb-c.h"
#include "proto/message.h"
#include "proto/wire.h"
#include "sample.h"

struct row {
	const char *what;
	const ProtobufCMessageDescriptor *desc;
	const char *data;
	size_t len;
	enum rpc_code code;
	const char *text; /* part of the error */
};

#define BYTES(literal) (literal), sizeof(literal) - 1

static const ProtobufCMessageDescriptor *const version =
	&cri__version_response__descriptor; /* strings 1 - 4 */
static const ProtobufCMessageDescriptor *const metadata = &cri__pod_sandbox_metadata__descriptor;

/* message Nest { Nest nest = 1; fixed64 big = 2; fixed32 small = 3; repeated fixed32 list = 4; } */
struct nest {
	ProtobufCMessage base;
	struct nest *nest;
	uint64_t big;
	uint32_t small;
	size_t n_list;
	uint32_t *list;
};

extern const ProtobufCMessageDescriptor nest_descriptor;

static const ProtobufCFieldDescriptor nest_fields[] = {
	{ "nest", 1, PROTOBUF_C_LABEL_NONE, PROTOBUF_C_TYPE_MESSAGE, 0, offsetof(struct nest, nest),
	  &nest_descriptor, NULL, 0, 0, NULL, NULL },
	{ "big", 2, PROTOBUF_C_LABEL_NONE, PROTOBUF_C_TYPE_FIXED64, 0, offsetof(struct nest, big), NULL, NULL,
	  0, 0, NULL, NULL },
	{ "small", 3, PROTOBUF_C_LABEL_NONE, PROTOBUF_C_TYPE_FIXED32, 0, offsetof(struct nest, small), NULL,
	  NULL, 0, 0, NULL, NULL },
	{ "list", 4, PROTOBUF_C_LABEL_REPEATED, PROTOBUF_C_TYPE_FIXED32, offsetof(struct nest, n_list),
	  offsetof(struct nest, list), NULL, NULL, PROTOBUF_C_FIELD_FLAG_PACKED, 0, NULL, NULL },
};
static const unsigned int nest_by_name[] = { 1, 3, 0, 2 };
static const ProtobufCIntRange nest_ranges[] = { { 1, 0 }, { 0, 4 } };
const ProtobufCMessageDescriptor nest_descriptor = {
	PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
	"test.Nest",
	"Nest",
	"Nest",
	"test",
	sizeof(struct nest),
	4,
	nest_fields,
	nest_by_name,
	1,
	nest_ranges,
	NULL,
	NULL,
	NULL,
	NULL,
};

static const struct row rows[] = {
	{ "tag cut off", version, BYTES("\x80"), RPC_INTERNAL, "bad tag in VersionResponse at byte 0" },
	{ "tag of six bytes", version, BYTES("\x8a\x80\x80\x80\x80\x00\x00"), RPC_INTERNAL, "bad tag" },
	{ "tag past 2^29 - 1", version, BYTES("\x82\x80\x80\x80\x10\x00"), RPC_INTERNAL,
	  "field number out of range" },
	{ "field number 0", version, BYTES("\x02\x00"), RPC_INTERNAL, "field number out of range" },
	{ "length missing", version, BYTES("\x0a"), RPC_INTERNAL, "bad length" },
	{ "length cut off", version, BYTES("\x0a\xff"), RPC_INTERNAL, "bad length" },
	{ "length of six bytes", version, BYTES("\x0a\x81\x80\x80\x80\x80\x00z"), RPC_INTERNAL,
	  "bad length" },
	{ "length one too long", version, BYTES("\x0a\x04mei"), RPC_INTERNAL, "length past the end" },
	{ "length of 4 GiB", version, BYTES("\x0a\xff\xff\xff\xff\x0f"), RPC_INTERNAL,
	  "length past the end" },
	{ "length past int32", version, BYTES("\x0a\x80\x80\x80\x80\x08z"), RPC_INTERNAL,
	  "length past the end" },
	{ "varint for a string", version, BYTES("\x08\x01"), RPC_INTERNAL,
	  "VersionResponse.version has the wrong wire type" },
	{ "64 bits for a string", version,
	  BYTES("\x09"
		"12345678"),
	  RPC_INTERNAL, "wrong wire type" },
	{ "32 bits for a string", version,
	  BYTES("\x0d"
		"1234"),
	  RPC_INTERNAL, "wrong wire type" },
	{ "string for a uint32", metadata, BYTES("\x22\x01\x01"), RPC_INTERNAL,
	  "PodSandboxMetadata.attempt has the wrong wire type" },
	{ "group for a string", version, BYTES("\x0b\x0c"), RPC_INTERNAL, "wrong wire type" },
	{ "unknown group", version, BYTES("\x7b\x7c"), RPC_INTERNAL, "a group" },
	{ "end of no group", version, BYTES("\x7c"), RPC_INTERNAL, "a group" },
	{ "wire type 6", version, BYTES("\x7e\x00"), RPC_INTERNAL, "unknown wire type" },
	{ "wire type 7", version, BYTES("\x7f\x00"), RPC_INTERNAL, "unknown wire type" },
	{ "varint cut off", metadata, BYTES("\x20\x80\x80"), RPC_INTERNAL, "bad varint" },
	{ "varint missing", metadata, BYTES("\x20"), RPC_INTERNAL, "bad varint" },
	{ "varint of eleven bytes", metadata, BYTES("\x20\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"),
	  RPC_INTERNAL, "bad varint" },
	{ "varint past 64 bits", metadata, BYTES("\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
	  RPC_INTERNAL, "bad varint" },
	{ "unknown varint cut off", version, BYTES("\x78\x80"), RPC_INTERNAL, "bad varint" },
	{ "unknown length past the end", version, BYTES("\x7a\x05x"), RPC_INTERNAL, "length past the end" },
	{ "unknown 64-bit cut off", version, BYTES("\x79\x01"), RPC_INTERNAL, "truncated 64-bit value" },
	{ "unknown 32-bit cut off", version, BYTES("\x7d\x01"), RPC_INTERNAL, "truncated 32-bit value" },
	{ "fixed64 cut off", &nest_descriptor,
	  BYTES("\x11"
		"1234567"),
	  RPC_INTERNAL, "truncated 64-bit value" },
	{ "fixed32 cut off", &nest_descriptor,
	  BYTES("\x1d"
		"123"),
	  RPC_INTERNAL, "truncated 32-bit value" },
	{ "packed fixed32 not of fours", &nest_descriptor,
	  BYTES("\x22\x05"
		"12345"),
	  RPC_INTERNAL, "Nest.list has a bad packed length" },
	{ "text not UTF-8", version, BYTES("\x0a\x01\xff"), RPC_INTERNAL,
	  "VersionResponse.version is not UTF-8" },
	{ "text with half a character", version,
	  BYTES("\x0a\x02"
		"a\xc3"),
	  RPC_INTERNAL, "is not UTF-8" },
	{ "a surrogate", version, BYTES("\x0a\x03\xed\xa0\x80"), RPC_INTERNAL, "is not UTF-8" },
	{ "NUL in text", metadata,
	  BYTES("\x0a\x03"
		"a\0b"),
	  RPC_INVALID_ARGUMENT, "PodSandboxMetadata.name holds a NUL byte" },
	{ "NUL alone", metadata, BYTES("\x12\x01\0"), RPC_INVALID_ARGUMENT,
	  "PodSandboxMetadata.uid holds a NUL byte" },
	{ "NUL in a nested text", &cri__run_pod_sandbox_request__descriptor,
	  BYTES("\x0a\x05\x0a\x03\x0a\x01\0"), RPC_INVALID_ARGUMENT,
	  "PodSandboxMetadata.name holds a NUL byte" },
	{ "NUL in a map key", &cri__pod_sandbox_config__descriptor, BYTES("\x32\x04\x0a\x02k\0"),
	  RPC_INVALID_ARGUMENT, "LabelsEntry.key holds a NUL byte" },
	{ "inner length past the inner end", &cri__run_pod_sandbox_request__descriptor,
	  BYTES("\x0a\x04\x0a\x03\x0a\x01xxxx"), RPC_INTERNAL,
	  "malformed RunPodSandboxRequest: length past the end in PodSandboxConfig" },
	{ "packed varint cut off", &cri__port_forward_request__descriptor, BYTES("\x12\x02\x01\x80"),
	  RPC_INTERNAL, "PortForwardRequest.port has a bad packed varint" },
	{ "64 bits for a repeated int32", &cri__port_forward_request__descriptor,
	  BYTES("\x11"
		"12345678"),
	  RPC_INTERNAL, "wrong wire type" },
};

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(arena_freep) struct arena *arena = arena_new(0);
		CLEANUP(freep)
		char *copy = malloc(rows[i].len); /* exact, so that ASan sees a step past the end */
		ProtobufCMessage *message = NULL;
		struct err err = { 0 };

		memcpy(copy, rows[i].data, rows[i].len);
		if (wire_check(rows[i].desc, copy, rows[i].len, &err) == 0)
			fail_msg("%s: was taken", rows[i].what);
		if (err.code != rows[i].code || !strstr(err.text, rows[i].text))
			fail_msg("%s: %s: %s", rows[i].what, rpc_code_name(err.code), err.text);
		assert_int_equal(message_unpack(rows[i].desc, copy, rows[i].len, arena, &message, &err), -1);
		assert_null(message);
		assert_int_equal(arena_used(arena), 0);
	}
}

static ProtobufCMessage *taken(struct arena *arena, const ProtobufCMessageDescriptor *desc, const char *data,
			       size_t len)
{
	ProtobufCMessage *message = NULL;
	struct err err = { 0 };

	if (message_unpack(desc, data, len, arena, &message, &err) < 0)
		fail_msg("%s: %s", rpc_code_name(err.code), err.text);
	return message;
}

static void test_taken(void **state)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	const ProtobufCMessageDescriptor *forward = &cri__port_forward_request__descriptor;

	(void)state;
	taken(arena, version, NULL, 0);
	assert_int_equal(taken(arena, version, BYTES("\x78\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
				 ->n_unknown_fields,
			 1);
	assert_int_equal(taken(arena, version,
			       BYTES("\x7a\x03"
				     "a\0\xff"))
				 ->n_unknown_fields,
			 1);
	assert_int_equal(taken(arena, version, BYTES("\xfa\xff\xff\xff\x0f\x00"))->n_unknown_fields, 1);
	Cri__VersionResponse *twice = (void *)taken(arena, version, BYTES("\x0a\x01x\x0a\x02yz"));
	assert_string_equal(twice->version, "yz");
	Cri__PortForwardRequest *packed =
		(void *)taken(arena, forward, BYTES("\x12\x03\x50\xbb\x03\x10\x07"));
	assert_int_equal(packed->n_port, 3);
	assert_int_equal(packed->port[1], 443);
	assert_int_equal(packed->port[2], 7);
	Cri__PodSandboxMetadata *wide =
		(void *)taken(arena, metadata, BYTES("\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
	assert_int_equal(wide->attempt, UINT32_MAX);
	struct nest *nest =
		(void *)taken(arena, &nest_descriptor, BYTES("\x22\x08\x01\0\0\0\x02\0\0\0\x25\x03\0\0\0"));
	assert_int_equal(nest->n_list, 3);
	assert_int_equal(nest->list[2], 3);
}

static void nest_to(struct str *out, int depth)
{
	for (int i = 0; i < depth; i++) {
		CLEANUP(str_done) struct str inner = STR_INIT;

		str_addn(&inner, str_get(out), out->len);
		str_clear(out);
		str_addc(out, 0x0a);
		if (inner.len >= 128)
			str_addc(out, (char)(inner.len & 0x7f) | (char)0x80);
		str_addc(out, (char)(inner.len >= 128 ? inner.len >> 7 : inner.len));
		str_addn(out, str_get(&inner), inner.len);
	}
}

static void test_depth(void **state)
{
	CLEANUP(str_done) struct str wire = STR_INIT;
	struct err err = { 0 };

	(void)state;
	nest_to(&wire, WIRE_DEPTH_MAX);
	assert_int_equal(wire_check(&nest_descriptor, wire.data, wire.len, &err), 0);
	nest_to(&wire, 1);
	assert_int_equal(wire_check(&nest_descriptor, wire.data, wire.len, &err), -1);
	assert_int_equal(err.code, RPC_INTERNAL);
	assert_non_null(strstr(err.text, "nesting too deep"));
}

/* 16 MiB of two-byte fields would become gigabytes: an empty submessage, empty text, packed and unknown
 * scalars. */
static void test_amplification(void **state)
{
	static const struct {
		const ProtobufCMessageDescriptor *desc;
		char tag, value;
	} fields[] = {
		{ &cri__list_containers_response__descriptor, 0x0a, 0x00 },
		{ &cri__container_config__descriptor, 0x1a, 0x00 },
		{ &cri__container_config__descriptor, 0x4a, 0x00 },
		{ &cri__version_response__descriptor, 0x0a, 0x00 },
		{ &cri__version_response__descriptor, 0x78, 0x00 },
		{ &cri__port_forward_request__descriptor, 0x10, 0x01 },
	};
	size_t len = 16 * 1024 * 1024;
	CLEANUP(freep) char *data = malloc(len);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		CLEANUP(arena_freep) struct arena *arena = arena_new(0);
		ProtobufCMessage *message = NULL;
		struct err err = { 0 };

		for (size_t at = 0; at < len; at += 2) {
			data[at] = fields[i].tag;
			data[at + 1] = fields[i].value;
		}
		assert_int_equal(message_unpack(fields[i].desc, data, len, arena, &message, &err), -1);
		assert_int_equal(err.code, RPC_RESOURCE_EXHAUSTED);
		assert_int_equal(arena_used(arena), 0);
	}
}

static void test_packed_amplification(void **state)
{
	size_t len = 16 * 1024 * 1024;
	CLEANUP(freep) char *data = calloc(1, len);
	struct err err = { 0 };

	(void)state;
	memcpy(data, "\x12\xfb\xff\xff\x07", 5);
	assert_int_equal(wire_check(&cri__port_forward_request__descriptor, data, len, &err), -1);
	assert_int_equal(err.code, RPC_RESOURCE_EXHAUSTED);
}

/* A large but honest request passes: 15 MiB in one annotation. */
static void test_large(void **state)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(str_done) struct str wire = STR_INIT;
	Cri__PodSandboxConfig config = CRI__POD_SANDBOX_CONFIG__INIT;
	CLEANUP(freep) char *text = malloc(15 * 1024 * 1024);
	struct err err = { 0 };

	(void)state;
	memset(text, 'x', 15 * 1024 * 1024);
	text[15 * 1024 * 1024 - 1] = '\0';
	Cri__PodSandboxConfig__AnnotationsEntry entry = CRI__POD_SANDBOX_CONFIG__ANNOTATIONS_ENTRY__INIT;
	Cri__PodSandboxConfig__AnnotationsEntry *annotation = &entry;
	entry.key = (char *)"key";
	entry.value = text;
	config.annotations = &annotation;
	config.n_annotations = 1;
	assert_int_equal(message_pack(&config.base, &wire, &err), 0);
	Cri__PodSandboxConfig *back =
		(void *)taken(arena, &cri__pod_sandbox_config__descriptor, wire.data, wire.len);
	assert_true(message_equal(&config.base, &back->base));
}

/* The promise of the check: what it takes, the decoder takes. Random damage to good messages. */
static void test_decoder_agrees(void **state)
{
	struct sample_types types;
	uint64_t seed = 4242;
	unsigned int good = 0, bad = 0;

	(void)state;
	sample_types(&types);
	for (size_t i = 0; i < 20 * types.len; i++) {
		CLEANUP(arena_freep) struct arena *arena = arena_new(0);
		CLEANUP(str_done) struct str wire = STR_INIT;
		const ProtobufCMessageDescriptor *desc = types.items[i % types.len];
		ProtobufCMessage *message;
		struct err err = { 0 };

		assert_int_equal(message_pack(sample_message(arena, desc, &seed), &wire, &err), 0);
		if (!wire.len)
			continue;
		for (int flips = 0; flips < 3; flips++)
			wire.data[sample_random(&seed) % wire.len] ^= (char)(1 << sample_random(&seed) % 8);
		if (wire_check(desc, wire.data, wire.len, &err) < 0) {
			bad++;
			continue;
		}
		good++;
		message = taken(arena, desc, wire.data, wire.len);
		assert_true(message_equal(message, message_clone(message, arena)));
	}
	assert_true(good > 100);
	assert_true(bad > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_taken),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_amplification),
		cmocka_unit_test(test_packed_amplification),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_decoder_agrees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
