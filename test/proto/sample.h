/*
 * Every message type of CRI, and messages filled with random content by reflection: the ground of tests that
 * must hold for all types. The same seed gives the same message.
 */
#ifndef TEST_PROTO_SAMPLE_H
#define TEST_PROTO_SAMPLE_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

enum { SAMPLE_TYPES_MAX = 512 };

struct sample_types {
	const ProtobufCMessageDescriptor *items[SAMPLE_TYPES_MAX];
	size_t len;
};

/* Every type that is reached from the methods of both services; map entries included. */
void sample_types(struct sample_types *types);

uint64_t sample_random(uint64_t *seed);

/* All kinds of values: extremes, zeros, binary bytes, text of one to four-byte characters, quotes and
 * controls, maps with distinct keys; some fields are left at their default. */
ProtobufCMessage *sample_message(struct arena *arena, const ProtobufCMessageDescriptor *desc, uint64_t *seed);

#endif
