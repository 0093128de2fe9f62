/*
 * An entry of a protobuf map<string, string>, whichever message it stands in.
 *
 * protobuf-c makes a type of its own for the entries of each map field (Cri__PodSandboxConfig__LabelsEntry,
 *...), all with the same shape, and a map is a counted array of pointers to them. The shape is struct
 *map_entry, which map_entry.c and a test assert for every one. So an array of entries may be read through
 *these functions whatever its type, and may be given to a map field of another message:
 *
 *	status->n_labels = config->n_labels;
 *	status->labels = (void *)config->labels;
 *
 * shares the entries (packing, cloning and JSON all work: an entry's own descriptor is as good as any
 *other's); map_entries_clone() in place of the cast copies them. `entries` parameters are void pointers for
 *the same reason: pass the field as it is.
 *
 * A map decoded by message_unpack() or message_from_json() holds each key once. Order means nothing.
 *
 * Ownership: entries live in the arena they were made in; keys and values given are copied.
 * Threads: entries that nobody changes may be read from any thread.
 */
#ifndef PROTO_MAP_ENTRY_H
#define PROTO_MAP_ENTRY_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"

struct map_entry {
	ProtobufCMessage base;
	char *key;
	char *value;
};

/* The value, borrowed; NULL when there is no such key. */
const char *map_entry_get(const void *entries, size_t count, const char *key);

struct map_entry *map_entry_new(struct arena *arena, const char *key, const char *value)
	__attribute__((returns_nonnull));
/* count entries: `labels = map_entries_clone(arena, from->labels, from->n_labels)`. NULL when count is 0. */
void *map_entries_clone(struct arena *arena, const void *entries, size_t count);

/* The same keys with the same values, in any order; of a key that stands twice the last counts. */
bool map_entries_equal(const void *a, size_t a_count, const void *b, size_t b_count);
/* Each pair of `wanted` is in `entries`: how a label selector matches. No pair matches everything. */
bool map_entries_match(const void *entries, size_t count, const void *wanted, size_t wanted_count);

/* Keeps the last entry of each key, in place and in order; returns the new count. */
size_t map_entries_unique(void *entries, size_t count);

/* Is this field of `desc` a map<string, string>? */
bool map_entry_is_map(const ProtobufCMessageDescriptor *desc, const ProtobufCFieldDescriptor *field);

#endif
