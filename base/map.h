/*
 * A hash map from strings to pointers. Keys are copied; values are borrowed unless a free function is given
 * at init, which then runs on replace, delete and done. The hash is seeded per map (keys come from clients).
 * Not thread-safe: guard it with the lock of its owner. Iteration order is insertion order.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_slot {
	char *key; /* NULL: deleted */
	void *value;
	uint64_t hash;
};

struct map {
	struct map_slot *slots; /* in insertion order, with holes */
	uint32_t *index;        /* open addressing: slot number + 1; 0 empty */
	size_t used, size;      /* slots taken (holes included), slots allocated */
	size_t index_size;      /* a power of two */
	size_t len;             /* living entries */
	uint64_t seed;
	void (*free_value)(void *);
};

void map_init(struct map *map, void (*free_value)(void *));
void map_done(struct map *map);
void *map_get(const struct map *map, const char *key); /* NULL when absent */
/* Replaces an older value. value must not be NULL. */
void map_put(struct map *map, const char *key, void *value);
/* Takes the value out without freeing it; NULL when absent. */
void *map_take(struct map *map, const char *key);
bool map_del(struct map *map, const char *key);
size_t map_len(const struct map *map);
/* Iterates over living slots; the map must not change meanwhile, except for map_take/map_del of the current.
 */
struct map_slot *map_next(const struct map *map, struct map_slot *slot);
#define map_for_each(slot, map) \
	for (struct map_slot *slot = map_next((map), NULL); slot; slot = map_next((map), slot))

#endif
