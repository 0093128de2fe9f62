/*
 * Protobuf messages of any type, by reflection over protobuf-c's descriptors: decode, encode, copy, compare.
 *
 * A decoded or cloned message lives whole in the arena it was given and dies with it: never call protobuf-c's
 * own free functions on one. What outlives a call is cloned into the arena of the object that keeps it.
 * Messages for an answer are made with message_new(), or on the stack with the generated CRI__..._INIT
 * values, and may point into any memory that lives until they are packed.
 *
 * Strings: a decoded or cloned message never has a NULL string (absent is ""), and what was decoded is UTF-8
 * without NUL. Bytes of length 0 may have NULL data. Absent submessages are NULL. Where messages are read
 * here (pack, clone, compare, JSON), a NULL string counts as "".
 *
 * Unknown fields (from newer clients) survive decode, clone and encode, and are ignored by comparison and
 * JSON.
 *
 * Threads: a message that nobody changes may be read from any thread; an arena belongs to one at a time.
 */
#ifndef PROTO_MESSAGE_H
#define PROTO_MESSAGE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

/* An empty message with every field at its default: Cri__Container *c = message_new(arena,
 * &cri__container__descriptor). */
void *message_new(struct arena *arena, const ProtobufCMessageDescriptor *desc)
	__attribute__((returns_nonnull));

/*
 * Decodes len bytes, which may be freed afterwards. Input is hostile: it is checked first (proto/wire.h tells
 * what is refused with which code), maps keep the last of equal keys, and memory past the arena's limit is
 * RPC_RESOURCE_EXHAUSTED. An arena that failed holds garbage and is only good for being freed.
 */
int message_unpack(const ProtobufCMessageDescriptor *desc, const void *data, size_t len, struct arena *arena,
		   ProtobufCMessage **ret, struct err *err) MUST_CHECK;

/* Encoded size in bytes, then the encoding into exactly so many bytes: for buffers of others (gRPC slices).
 */
size_t message_size(const ProtobufCMessage *message);
void message_pack_to(const ProtobufCMessage *message, void *buffer, size_t size);
/* Appends the encoding. RPC_RESOURCE_EXHAUSTED when it would pass the limit of `out`, which is then as
 * before. */
int message_pack(const ProtobufCMessage *message, struct str *out, struct err *err) MUST_CHECK;

/*
 * Before an answer is packed: replaces strings that are not UTF-8 (file names, output of tools) by mended
 * copies in the arena, since the peer would refuse the whole message for one of them. Returns how many there
 * were. The message and all it points to must be the caller's own to change, unless all strings are fine.
 */
size_t message_mend(ProtobufCMessage *message, struct arena *arena);

/* A deep copy. Ends the process past the arena's limit: give an unbounded one, or one sized for the message.
 */
void *message_clone(const ProtobufCMessage *message, struct arena *arena) __attribute__((returns_nonnull));

/* Same type and same meaning: order counts in lists, not in maps; NULL equals "" but an absent submessage
 * does not equal an empty one. NULL equals only NULL. */
bool message_equal(const ProtobufCMessage *a, const ProtobufCMessage *b);

#endif
