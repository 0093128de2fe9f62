/*
 * An arena: memory of one call, freed in one stroke. What outlives the call is copied out of it.
 *
 * An arena belongs to one thread at a time. Its total is bounded by the limit given at birth: arena_try()
 * returns NULL past it (protobuf-c's unpack copes with that), the other functions end the process like x*.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/mem.h"

struct arena;

struct arena *arena_new(size_t limit);         /* bytes; 0: unbounded */
struct arena *arena_free(struct arena *arena); /* accepts NULL, returns NULL */
void arena_freep(struct arena **arena);

/* Aligned for any type; not zeroed. NULL when the limit would be passed. */
void *arena_try(struct arena *arena, size_t size);
void *arena_alloc(struct arena *arena, size_t size) __attribute__((returns_nonnull)); /* zeroed */
void *arena_array(struct arena *arena, size_t count, size_t size)
	__attribute__((returns_nonnull)); /* zeroed */
char *arena_strdup(struct arena *arena, const char *text) __attribute__((returns_nonnull));
char *arena_strndup(struct arena *arena, const char *text, size_t len) __attribute__((returns_nonnull));
void *arena_memdup(struct arena *arena, const void *data, size_t len) __attribute__((returns_nonnull));
char *arena_fmt(struct arena *arena, const char *fmt, ...) PRINTF(2, 3) __attribute__((returns_nonnull));

/* What other handed out lives as long as arena from now on; other is freed. It does not count
 * against arena's limit. */
void arena_adopt(struct arena *arena, struct arena *other);

/* Bytes handed out so far. */
size_t arena_used(const struct arena *arena);

#endif
