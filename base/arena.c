/*
 * Chunks in a list, the newest first. Small requests are carved from the newest chunk; a request larger than
 * a quarter of the next chunk gets a chunk of its own behind it, so that the room left in front stays in use.
 * Chunk sizes double from 4 KiB to 1 MiB: a small RPC costs one malloc.
 */
#include "base/arena.h"

#include <assert.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_FIRST = 4096, CHUNK_MAX = 1024 * 1024 };

struct chunk {
	struct chunk *next;
	size_t size; /* of data */
	size_t used;
	alignas(max_align_t) unsigned char data[];
};

struct arena {
	struct chunk *chunks;
	size_t next_size;
	size_t limit;
	size_t used;
};

struct arena *arena_new(size_t limit)
{
	struct arena *arena = xnew(struct arena);

	arena->next_size = CHUNK_FIRST;
	arena->limit = limit ? limit : SIZE_MAX;
	return arena;
}

struct arena *arena_free(struct arena *arena)
{
	if (!arena)
		return NULL;
	while (arena->chunks) {
		struct chunk *chunk = arena->chunks;

		arena->chunks = chunk->next;
		free(chunk);
	}
	free(arena);
	return NULL;
}

void arena_freep(struct arena **arena)
{
	arena_free(*arena);
}

static struct chunk *chunk_new(size_t size)
{
	struct chunk *chunk = xmalloc(sizeof(*chunk) + size);

	chunk->size = size;
	chunk->used = 0;
	return chunk;
}

/* A chunk with room for size bytes; the caller has checked size against the limit. */
static struct chunk *chunk_for(struct arena *arena, size_t size)
{
	struct chunk *first = arena->chunks;

	if (first && first->size - first->used >= size)
		return first;
	if (first && size > arena->next_size / 4) {
		struct chunk *own = chunk_new(size);
		own->next = first->next;
		first->next = own;
		return own;
	}
	struct chunk *fresh = chunk_new(size > arena->next_size ? size : arena->next_size);
	fresh->next = first;
	arena->chunks = fresh;
	if (arena->next_size < CHUNK_MAX)
		arena->next_size *= 2;
	return fresh;
}

void *arena_try(struct arena *arena, size_t size)
{
	const size_t align = alignof(max_align_t);

	assert(arena);
	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + align - 1) & ~(align - 1);
	if (size > arena->limit - arena->used)
		return NULL;
	struct chunk *chunk = chunk_for(arena, size);
	void *mem = chunk->data + chunk->used;
	chunk->used += size;
	arena->used += size;
	return mem;
}

static void *must(void *mem)
{
	if (!mem) {
		fputs("crispd: arena limit passed\n", stderr);
		abort();
	}
	return mem;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	return memset(must(arena_try(arena, size)), 0, size);
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(count, size, &total))
		must(NULL);
	return arena_alloc(arena, total);
}

void *arena_memdup(struct arena *arena, const void *data, size_t len)
{
	char *copy = must(arena_try(arena, len + 1));

	if (len)
		memcpy(copy, data, len);
	copy[len] = '\0';
	return copy;
}

char *arena_strdup(struct arena *arena, const char *text)
{
	return arena_memdup(arena, text, strlen(text));
}

char *arena_strndup(struct arena *arena, const char *text, size_t len)
{
	return arena_memdup(arena, text, strnlen(text, len));
}

char *arena_fmt(struct arena *arena, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	char *text = xvasprintf(fmt, args);
	va_end(args);
	char *copy = arena_strdup(arena, text);
	free(text);
	return copy;
}

/* Behind the first chunk, whose room stays in use. */
void arena_adopt(struct arena *arena, struct arena *other)
{
	struct chunk **end = &other->chunks;

	while (*end)
		end = &(*end)->next;
	if (arena->chunks) {
		*end = arena->chunks->next;
		arena->chunks->next = other->chunks;
	} else {
		arena->chunks = other->chunks;
	}
	arena->used += other->used;
	arena->limit = arena->limit > SIZE_MAX - other->used ? SIZE_MAX : arena->limit + other->used;
	other->chunks = NULL;
	arena_free(other);
}

size_t arena_used(const struct arena *arena)
{
	return arena->used;
}
