/* Decode, encode, clone, compare and mend: for random messages of every type, and the corners one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "proto/cri.pb-c.h"
#include "proto/field.h"
#include "proto/map_entry.h"
#include "proto/message.h"
#include "sample.h"

enum { ROUNDS = 12 };

static ProtobufCMessage *there_and_back(struct arena *arena, const ProtobufCMessage *message)
{
	CLEANUP(str_done) struct str wire = STR_INIT;
	ProtobufCMessage *back = NULL;
	struct err err = { 0 };

	assert_int_equal(message_pack(message, &wire, &err), 0);
	assert_int_equal(wire.len, message_size(message));
	if (message_unpack(message->descriptor, wire.data, wire.len, arena, &back, &err) < 0)
		fail_msg("%s: %s", message->descriptor->name, err.text);
	return back;
}

static void test_every_type(void **state)
{
	struct sample_types types;
	uint64_t seed = 1;

	(void)state;
	sample_types(&types);
	assert_true(types.len > 150);
	for (size_t i = 0; i < ROUNDS * types.len; i++) {
		CLEANUP(arena_freep) struct arena *arena = arena_new(0);
		CLEANUP(arena_freep) struct arena *short_lived = arena_new(0);
		ProtobufCMessage *message = sample_message(short_lived, types.items[i % types.len], &seed);
		ProtobufCMessage *back = there_and_back(arena, message);
		ProtobufCMessage *clone = message_clone(message, arena);

		if (!message_equal(message, back))
			fail_msg("%s differs after decoding", message->descriptor->name);
		assert_true(message_equal(message, clone));
		short_lived = arena_free(short_lived);
		assert_true(message_equal(back, clone)); /* nothing of them lived in the other arena */
		assert_true(message_equal(there_and_back(arena, clone), clone));
	}
}

/* Changes one thing somewhere in the message; false when there is nothing to change. */
static bool change(ProtobufCMessage *message, uint64_t *seed)
{
	const ProtobufCMessageDescriptor *desc = message->descriptor;

	if (desc->n_fields == 0)
		return false;
	const ProtobufCFieldDescriptor *field = &desc->fields[sample_random(seed) % desc->n_fields];
	void *at = field_to(message, field);
	if (field_repeated(field)) {
		if (!field_count(message, field))
			return false;
		field_set_count(message, field, field_count(message, field) - 1);
		return true;
	}
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		*(char **)at = (char *)"changed to something no sample has: \xc3\xbc\xc3\xbc\xc3\xbc";
		return true;
	case PROTOBUF_C_TYPE_BYTES:
		if (((ProtobufCBinaryData *)at)->len == 0)
			return false;
		((ProtobufCBinaryData *)at)->data[0] ^= 1;
		return true;
	case PROTOBUF_C_TYPE_MESSAGE:
		if (!*(ProtobufCMessage **)at)
			return false;
		if (!change(*(ProtobufCMessage **)at, seed))
			*(ProtobufCMessage **)at = NULL;
		return true;
	case PROTOBUF_C_TYPE_DOUBLE:
		*(double *)at = 12345.678;
		return true;
	default:
		*(char *)at ^= 1;
		return true;
	}
}

static void test_equal_sees_changes(void **state)
{
	struct sample_types types;
	uint64_t seed = 77;
	unsigned int changed = 0;

	(void)state;
	sample_types(&types);
	for (size_t i = 0; i < ROUNDS * types.len; i++) {
		CLEANUP(arena_freep) struct arena *arena = arena_new(0);
		ProtobufCMessage *message = sample_message(arena, types.items[i % types.len], &seed);
		ProtobufCMessage *clone = message_clone(message, arena);

		if (!change(clone, &seed))
			continue;
		changed++;
		if (message_equal(message, clone))
			fail_msg("a change to %s went unseen", message->descriptor->name);
	}
	assert_true(changed > 500);
}

static void test_equal_corners(void **state)
{
	Cri__ImageSpec a = CRI__IMAGE_SPEC__INIT, b = CRI__IMAGE_SPEC__INIT;
	Cri__Image x = CRI__IMAGE__INIT, y = CRI__IMAGE__INIT;

	(void)state;
	a.image = NULL;
	assert_true(message_equal(&a.base, &b.base));
	assert_false(message_equal(&a.base, &x.base));
	assert_true(message_equal(NULL, NULL));
	assert_false(message_equal(NULL, &a.base));
	assert_false(message_equal(&a.base, NULL));
	x.spec = &a;
	assert_false(message_equal(&x.base, &y.base)); /* an empty submessage is not an absent one */
	y.spec = &b;
	assert_true(message_equal(&x.base, &y.base));
}

static void test_maps_keep_the_last(void **state)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	static const char wire[] = "\x0a\x24" /* config, 36 bytes */
				   "\x32\x06\x0a\x01"
				   "a\x12\x01"
				   "1" /* labels: a = 1 */
				   "\x32\x06\x0a\x01"
				   "b\x12\x01"
				   "2"
				   "\x32\x06\x0a\x01"
				   "a\x12\x01"
				   "3"
				   "\x32\x02\x12\x00" /* "" = "" */
				   "\x32\x06\x0a\x01"
				   "a\x12\x01"
				   "4";
	ProtobufCMessage *message = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(message_unpack(&cri__run_pod_sandbox_request__descriptor, wire, sizeof(wire) - 1,
					arena, &message, &err),
			 0);
	const Cri__PodSandboxConfig *config = ((Cri__RunPodSandboxRequest *)message)->config;
	assert_int_equal(config->n_labels, 3);
	assert_string_equal(map_entry_get(config->labels, config->n_labels, "a"), "4");
	assert_string_equal(map_entry_get(config->labels, config->n_labels, "b"), "2");
	assert_string_equal(map_entry_get(config->labels, config->n_labels, ""), "");
}

/* Parts of one submessage sent in pieces are merged, as the protocol says. */
static void test_pieces_merge(void **state)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	static const char wire[] = "\x0a\x05\x0a\x03\x0a\x01n\x0a\x05\x0a\x03\x12\x01u";
	ProtobufCMessage *message = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(message_unpack(&cri__run_pod_sandbox_request__descriptor, wire, sizeof(wire) - 1,
					arena, &message, &err),
			 0);
	const Cri__PodSandboxMetadata *metadata = ((Cri__RunPodSandboxRequest *)message)->config->metadata;
	assert_string_equal(metadata->name, "n");
	assert_string_equal(metadata->uid, "u");
	assert_string_equal(metadata->namespace_, "");
}

static void test_unknown_fields_survive(void **state)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	static const char wire[] = "\x0a\x01v\xfa\x01\x02hi\xf8\x01\x05";
	CLEANUP(str_done) struct str out = STR_INIT;
	ProtobufCMessage *message = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(message_unpack(&cri__version_request__descriptor, wire, sizeof(wire) - 1, arena,
					&message, &err),
			 0);
	assert_int_equal(message->n_unknown_fields, 2);
	assert_int_equal(message_pack(message_clone(message, arena), &out, &err), 0);
	assert_int_equal(out.len, sizeof(wire) - 1);
	assert_memory_equal(out.data, wire, out.len);
}

/* A submessage in many pieces makes the decoder copy lists over and over: the arena's limit ends it. */
static void test_arena_limit(void **state)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(256 * 1024);
	CLEANUP(str_done) struct str wire = STR_INIT;
	ProtobufCMessage *message = NULL;
	struct err err = { 0 };

	(void)state;
	for (int i = 0; i < 2000; i++)
		str_addn(&wire, "\x0a\x04\x22\x02\x12\x00", 6); /* config.dns_config.searches = [""] */
	assert_int_equal(message_unpack(&cri__run_pod_sandbox_request__descriptor, wire.data, wire.len, arena,
					&message, &err),
			 -1);
	assert_int_equal(err.code, RPC_RESOURCE_EXHAUSTED);
	assert_null(message);
	assert_true(arena_used(arena) <= 256 * 1024);
}

static void test_pack_limit(void **state)
{
	Cri__VersionRequest request = CRI__VERSION_REQUEST__INIT;
	CLEANUP(str_done) struct str out = STR_LIMIT(8);
	struct err err = { 0 };
	char exact[12];

	(void)state;
	request.version = (char *)"0123456789";
	assert_int_equal(message_pack(&request.base, &out, &err), -1);
	assert_int_equal(err.code, RPC_RESOURCE_EXHAUSTED);
	assert_int_equal(message_size(&request.base), sizeof(exact));
	message_pack_to(&request.base, exact, sizeof(exact));
	assert_memory_equal(exact,
			    "\x0a\x0a"
			    "0123456789",
			    sizeof(exact));
}

static void test_mend(void **state)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	Cri__ContainerStatus status = CRI__CONTAINER_STATUS__INIT;
	Cri__ContainerStatusResponse response = CRI__CONTAINER_STATUS_RESPONSE__INIT;
	struct map_entry *info = map_entry_new(arena, "k\xff", "fine");
	Cri__Mount mount = CRI__MOUNT__INIT, *mounts[] = { &mount };
	char *options[] = { (char *)"ro", (char *)"\xc3\x28" };

	(void)state;
	status.id = NULL;
	status.message = (char *)"cat: caf\xe9: no such file";
	mount.mount_options = options;
	mount.n_mount_options = 2;
	status.mounts = mounts;
	status.n_mounts = 1;
	response.status = &status;
	response.info = (void *)&info;
	response.n_info = 1;
	assert_int_equal(message_mend(&response.base, arena), 3);
	assert_string_equal(status.message, "cat: caf\xef\xbf\xbd: no such file");
	assert_string_equal(options[1], "\xef\xbf\xbd(");
	assert_string_equal(info->key, "k\xef\xbf\xbd");
	assert_int_equal(message_mend(&response.base, arena), 0);
	assert_true(message_equal(&response.base, there_and_back(arena, &response.base)));
}

/* A clone of a half-filled answer has no NULL text. */
static void test_clone_fills_text(void **state)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	Cri__Image image = CRI__IMAGE__INIT;
	char *tags[] = { NULL, (char *)"tag" };

	(void)state;
	image.id = NULL;
	image.repo_tags = tags;
	image.n_repo_tags = 2;
	const Cri__Image *clone = message_clone(&image.base, arena);
	assert_string_equal(clone->id, "");
	assert_string_equal(clone->repo_tags[0], "");
	assert_string_equal(clone->repo_tags[1], "tag");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_type),    cmocka_unit_test(test_equal_sees_changes),
		cmocka_unit_test(test_equal_corners), cmocka_unit_test(test_maps_keep_the_last),
		cmocka_unit_test(test_pieces_merge),  cmocka_unit_test(test_unknown_fields_survive),
		cmocka_unit_test(test_arena_limit),   cmocka_unit_test(test_pack_limit),
		cmocka_unit_test(test_mend),          cmocka_unit_test(test_clone_fills_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
