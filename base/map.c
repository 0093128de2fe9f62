/*
 * Slots lie in insertion order in one array; a table of slot numbers with linear probing finds them. Deleting
 * leaves a hole in both; the table is rebuilt without holes when it is three quarters full. The hash is
 * FNV-1a mixed with a per-map random seed and a final avalanche, so that chosen keys do not collide on
 * purpose.
 */
#include "base/map.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"

static const uint32_t INDEX_DELETED = UINT32_MAX;

void map_init(struct map *map, void (*free_value)(void *))
{
	*map = (struct map){ .free_value = free_value };
	if (getrandom(&map->seed, sizeof(map->seed), GRND_NONBLOCK) != sizeof(map->seed))
		map->seed = (uintptr_t)map; /* before the pool is ready: an address is better than nothing */
}

void map_done(struct map *map)
{
	map_for_each (slot, map) {
		free(slot->key);
		if (map->free_value)
			map->free_value(slot->value);
	}
	free(map->slots);
	free(map->index);
	map_init(map, map->free_value);
}

static uint64_t hash_of(const struct map *map, const char *key)
{
	uint64_t hash = 0xcbf29ce484222325ull ^ map->seed;

	for (; *key; key++)
		hash = (hash ^ (unsigned char)*key) * 0x100000001b3ull;
	hash ^= hash >> 33;
	hash *= 0xff51afd7ed558ccdull;
	return hash ^ hash >> 33;
}

/* The place in the table that holds key, or NULL. */
static uint32_t *find(const struct map *map, const char *key, uint64_t hash)
{
	if (!map->index_size)
		return NULL;
	size_t mask = map->index_size - 1;
	for (size_t i = hash & mask; map->index[i]; i = (i + 1) & mask) {
		if (map->index[i] == INDEX_DELETED)
			continue;
		const struct map_slot *slot = &map->slots[map->index[i] - 1];
		if (slot->hash == hash && strcmp(slot->key, key) == 0)
			return &map->index[i];
	}
	return NULL;
}

static void index_slot(struct map *map, size_t number)
{
	size_t mask = map->index_size - 1;
	size_t i = map->slots[number].hash & mask;

	while (map->index[i] && map->index[i] != INDEX_DELETED)
		i = (i + 1) & mask;
	map->index[i] = (uint32_t)number + 1;
}

/* Drops holes and makes room for one more. */
static void rebuild(struct map *map)
{
	size_t kept = 0;

	for (size_t i = 0; i < map->used; i++)
		if (map->slots[i].key)
			map->slots[kept++] = map->slots[i];
	map->used = kept;
	size_t size = 8;
	while (size < kept * 2 + 2)
		size *= 2;
	map->slots = xrealloc(map->slots, size, sizeof(*map->slots));
	map->size = size;
	free(map->index);
	map->index_size = size * 2;
	map->index = xcalloc(map->index_size, sizeof(*map->index));
	for (size_t i = 0; i < kept; i++)
		index_slot(map, i);
}

void *map_get(const struct map *map, const char *key)
{
	uint32_t *place = find(map, key, hash_of(map, key));

	return place ? map->slots[*place - 1].value : NULL;
}

void map_put(struct map *map, const char *key, void *value)
{
	uint64_t hash = hash_of(map, key);
	uint32_t *place = find(map, key, hash);

	assert(value);
	if (place) {
		struct map_slot *slot = &map->slots[*place - 1];
		if (map->free_value && slot->value != value)
			map->free_value(slot->value);
		slot->value = value;
		return;
	}
	if (map->used == map->size)
		rebuild(map);
	map->slots[map->used] = (struct map_slot){ .key = xstrdup(key), .value = value, .hash = hash };
	index_slot(map, map->used++);
	map->len++;
}

void *map_take(struct map *map, const char *key)
{
	uint32_t *place = find(map, key, hash_of(map, key));

	if (!place)
		return NULL;
	struct map_slot *slot = &map->slots[*place - 1];
	void *value = slot->value;
	free(slot->key);
	slot->key = NULL;
	slot->value = NULL;
	*place = INDEX_DELETED;
	map->len--;
	return value;
}

bool map_del(struct map *map, const char *key)
{
	void *value = map_take(map, key);

	if (value && map->free_value)
		map->free_value(value);
	return value != NULL;
}

size_t map_len(const struct map *map)
{
	return map->len;
}

struct map_slot *map_next(const struct map *map, struct map_slot *slot)
{
	size_t i = slot ? (size_t)(slot - map->slots) + 1 : 0;

	for (; i < map->used; i++)
		if (map->slots[i].key)
			return &map->slots[i];
	return NULL;
}
