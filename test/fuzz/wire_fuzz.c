/* floor: proto
 *
 * Two bytes choose a type, the rest is its wire form. What wire_check() takes must be decoded (or pass the
 * arena's limit, which merging submessages can), and what is decoded must survive encoding, cloning and JSON.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/str.h"
#include "fuzz.h"
#include "proto/message.h"
#include "proto/message_json.h"
#include "proto/wire.h"
#include "test/proto/sample.h"

enum { ARENA_MAX = 128 * 1024 * 1024 };

static void check(const ProtobufCMessage *message, struct arena *arena)
{
	CLEANUP(str_done) struct str wire = STR_INIT;
	ProtobufCMessage *back = NULL;
	struct err err = { 0 };
	json_t *json = message_to_json(message, MESSAGE_JSON_SECRETS);

	assert(message_pack(message, &wire, &err) == 0);
	assert(message_unpack(message->descriptor, wire.data, wire.len, arena, &back, &err) == 0);
	assert(message_equal(message, back));
	assert(message_equal(message, message_clone(message, arena)));
	assert(message_from_json(message->descriptor, json, MESSAGE_JSON_STRICT, arena, &back, &err) == 0);
	assert(message_equal(message, back));
	json_decref(json);
	free(message_json_text(message, MESSAGE_JSON_SHORT | MESSAGE_JSON_ALL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(ARENA_MAX);
	CLEANUP(arena_freep) struct arena *copies = arena_new(0);
	struct sample_types types;
	ProtobufCMessage *message = NULL;
	struct err err = { 0 };

	if (len < 2)
		return 0;
	sample_types(&types);
	const ProtobufCMessageDescriptor *desc = types.items[(data[0] | data[1] << 8) % types.len];
	int checked = wire_check(desc, data + 2, len - 2, &err);
	int unpacked = message_unpack(desc, data + 2, len - 2, arena, &message, &err);
	assert(checked == 0 || unpacked < 0);
	if (unpacked == 0)
		check(message, copies);
	else
		assert(err.code != RPC_OK && err.text[0] &&
		       (checked < 0 || err.code == RPC_RESOURCE_EXHAUSTED));
	return 0;
}
