/*
 * Maps from the wire are small (labels, annotations) but come from outside, so nothing here is quadratic in
 * their size: up to a handful of entries are compared directly, more go through a hash map.
 *
 * protobuf-c's descriptors don't keep the map_entry option, but protoc defines how it names the hidden entry
 * type
 * (<message>.<Field>Entry with fields key = 1 and value = 2), and nothing in CRI is named alike.
 */
#include "proto/map_entry.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/map.h"
#include "base/str.h"
#include "proto/cri.pb-c.h"

#define SAME_SHAPE(type)                                                                  \
	static_assert(sizeof(type) == sizeof(struct map_entry) &&                         \
			      offsetof(type, key) == offsetof(struct map_entry, key) &&   \
			      offsetof(type, value) == offsetof(struct map_entry, value), \
		      "entries of every map have one shape")

SAME_SHAPE(Cri__CheckpointPodRequest__OptionsEntry);
SAME_SHAPE(Cri__Container__AnnotationsEntry);
SAME_SHAPE(Cri__Container__LabelsEntry);
SAME_SHAPE(Cri__ContainerConfig__AnnotationsEntry);
SAME_SHAPE(Cri__ContainerConfig__LabelsEntry);
SAME_SHAPE(Cri__ContainerFilter__LabelSelectorEntry);
SAME_SHAPE(Cri__ContainerStatus__LabelsEntry);
SAME_SHAPE(Cri__ContainerStatusResponse__InfoEntry);
SAME_SHAPE(Cri__ImageSpec__AnnotationsEntry);
SAME_SHAPE(Cri__LinuxContainerResources__UnifiedEntry);
SAME_SHAPE(Cri__LinuxPodSandboxConfig__SysctlsEntry);
SAME_SHAPE(Cri__PodSandboxConfig__LabelsEntry);
SAME_SHAPE(Cri__StatusResponse__InfoEntry);

enum { FEW = 12 }; /* up to here comparing each with each is cheaper than hashing */

static const char *text(const char *value)
{
	return value ? value : "";
}

static const struct map_entry *last_of(struct map_entry *const *entries, size_t count, const char *key)
{
	for (size_t i = count; i-- > 0;) {
		if (strcmp(text(entries[i]->key), key) == 0)
			return entries[i];
	}
	return NULL;
}

const char *map_entry_get(const void *entries, size_t count, const char *key)
{
	const struct map_entry *found = last_of(entries, count, key);

	return found ? text(found->value) : NULL;
}

struct map_entry *map_entry_new(struct arena *arena, const char *key, const char *value)
{
	struct map_entry *entry = arena_alloc(arena, sizeof(*entry));

	protobuf_c_message_init(&cri__pod_sandbox_config__labels_entry__descriptor, &entry->base);
	entry->key = arena_strdup(arena, text(key));
	entry->value = arena_strdup(arena, text(value));
	return entry;
}

void *map_entries_clone(struct arena *arena, const void *entries, size_t count)
{
	struct map_entry *const *from = entries;

	if (count == 0)
		return NULL;
	struct map_entry **to = arena_array(arena, count, sizeof(struct map_entry *));
	for (size_t i = 0; i < count; i++)
		to[i] = map_entry_new(arena, from[i]->key, from[i]->value);
	return to;
}

/* Entry by key; the last of equal keys wins. */
static void index_entries(struct map *index, struct map_entry *const *entries, size_t count)
{
	map_init(index, NULL);
	for (size_t i = 0; i < count; i++)
		map_put(index, text(entries[i]->key), entries[i]);
}

static bool each_in(struct map_entry *const *some, size_t some_count, struct map_entry *const *entries,
		    size_t count)
{
	CLEANUP(map_done) struct map index;
	bool few = count <= FEW || some_count <= 1;

	index_entries(&index, entries, few ? 0 : count);
	for (size_t i = 0; i < some_count; i++) {
		const char *key = text(some[i]->key);
		const struct map_entry *found = few ? last_of(entries, count, key) : map_get(&index, key);

		if (!found || strcmp(text(found->value), text(some[i]->value)) != 0)
			return false;
	}
	return true;
}

bool map_entries_match(const void *entries, size_t count, const void *wanted, size_t wanted_count)
{
	return each_in(wanted, wanted_count, entries, count);
}

/* The entries that count, in the caller's array of the same size. */
static size_t unique(struct map_entry **to, struct map_entry *const *from, size_t count)
{
	CLEANUP(map_done) struct map index;
	bool few = count <= FEW;
	size_t kept = 0;

	index_entries(&index, from, few ? 0 : count);
	for (size_t i = 0; i < count; i++) {
		struct map_entry *entry = from[i];
		const char *key = text(entry->key);
		const struct map_entry *last = few ? last_of(from, count, key) : map_get(&index, key);

		if (last == entry)
			to[kept++] = entry;
	}
	return kept;
}

size_t map_entries_unique(void *entries, size_t count)
{
	CLEANUP(freep) struct map_entry **from = NULL;

	if (count < 2)
		return count;
	from = xmemdup(entries, count * sizeof(*from));
	return unique(entries, from, count);
}

bool map_entries_equal(const void *a, size_t a_count, const void *b, size_t b_count)
{
	CLEANUP(freep) struct map_entry **a_once = xcalloc(a_count + 1, sizeof(*a_once));
	CLEANUP(freep) struct map_entry **b_once = xcalloc(b_count + 1, sizeof(*b_once));
	size_t a_kept = unique(a_once, a, a_count);
	size_t b_kept = unique(b_once, b, b_count);

	return a_kept == b_kept && each_in(a_once, a_kept, b_once, b_kept);
}

bool map_entry_is_map(const ProtobufCMessageDescriptor *desc, const ProtobufCFieldDescriptor *field)
{
	const ProtobufCMessageDescriptor *entry = field->descriptor;
	size_t owner = strlen(desc->name);

	if (field->label != PROTOBUF_C_LABEL_REPEATED || field->type != PROTOBUF_C_TYPE_MESSAGE)
		return false;
	if (strncmp(entry->name, desc->name, owner) != 0 || entry->name[owner] != '.' ||
	    !str_has_suffix(entry->name, "Entry"))
		return false;
	return entry->n_fields == 2 && entry->fields[0].id == 1 && entry->fields[1].id == 2 &&
	       entry->fields[0].type == PROTOBUF_C_TYPE_STRING &&
	       entry->fields[1].type == PROTOBUF_C_TYPE_STRING;
}
