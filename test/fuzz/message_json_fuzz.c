/* floor: proto
 *
 * Two bytes choose a type, the rest is a JSON document. What is read must be written and read again without a
 * change.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/str.h"
#include "fuzz.h"
#include "proto/message.h"
#include "proto/message_json.h"
#include "test/proto/sample.h"

enum { TEXT_MAX = 1024 * 1024, ARENA_MAX = 128 * 1024 * 1024 };

static void check(const ProtobufCMessage *message, unsigned int flags)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(freep) char *text = message_json_text(message, flags);
	CLEANUP(json_decrefp) json_t *json = NULL;
	ProtobufCMessage *back = NULL;
	struct err err = { 0 };

	assert(json_parse(text, strlen(text), SIZE_MAX, &json, &err) == 0);
	assert(message_from_json(message->descriptor, json, flags | MESSAGE_JSON_STRICT, arena, &back,
				 &err) == 0);
	assert(message_equal(message, back));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(ARENA_MAX);
	CLEANUP(json_decrefp) json_t *json = NULL;
	struct sample_types types;
	ProtobufCMessage *message = NULL;
	struct err err = { 0 };

	if (len < 2 || json_parse((const char *)data + 2, len - 2, TEXT_MAX, &json, &err) < 0)
		return 0;
	sample_types(&types);
	const ProtobufCMessageDescriptor *desc = types.items[(data[0] | data[1] << 8) % types.len];
	if (message_from_json(desc, json, data[0] & 0x80 ? MESSAGE_JSON_STRICT : 0, arena, &message, &err) <
	    0) {
		assert(err.code == RPC_INVALID_ARGUMENT || err.code == RPC_RESOURCE_EXHAUSTED);
		assert(err.text[0]);
		return 0;
	}
	check(message, MESSAGE_JSON_SECRETS);
	check(message, MESSAGE_JSON_SECRETS | MESSAGE_JSON_ALL);
	free(message_json_text(message, MESSAGE_JSON_SHORT));
	return 0;
}
