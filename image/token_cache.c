/* A map under a lock. When it is full, the token that expires first makes room. */
#include "image/token_cache.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "image/auth.h"

/* A request takes a moment to arrive: what is about to expire is not used any more. */
#define MARGIN (10 * NS_PER_SEC)

struct entry {
	char *token;
	int64_t until;
};

struct token_cache {
	struct lock lock;
	struct map tokens; /* under lock: struct entry */
};

static void entry_free(void *value)
{
	struct entry *entry = value;

	wipe_free(entry->token);
	free(entry);
}

struct token_cache *token_cache_new(void)
{
	struct token_cache *cache = xnew(struct token_cache);

	lock_init(&cache->lock, "token cache", LOCK_PULL);
	map_init(&cache->tokens, entry_free);
	return cache;
}

struct token_cache *token_cache_free(struct token_cache *cache)
{
	if (!cache)
		return NULL;
	map_done(&cache->tokens);
	lock_done(&cache->lock);
	free(cache);
	return NULL;
}

char *token_cache_get(struct token_cache *cache, const char *key)
{
	const struct entry *entry;
	char *token = NULL;

	lock_take(&cache->lock);
	entry = map_get(&cache->tokens, key);
	if (entry && clock_mono() < entry->until - MARGIN)
		token = xstrdup(entry->token);
	lock_drop(&cache->lock);
	return token;
}

static void make_room_locked(struct token_cache *cache) REQUIRES(cache->lock)
{
	const struct map_slot *first = NULL;
	int64_t until = INT64_MAX;

	if (map_len(&cache->tokens) < TOKEN_CACHE_MAX)
		return;
	map_for_each (slot, &cache->tokens) {
		const struct entry *entry = slot->value;

		if (!first || entry->until < until) {
			first = slot;
			until = entry->until;
		}
	}
	CLEANUP(freep) char *key = xstrdup(first->key);

	map_del(&cache->tokens, key);
}

void token_cache_put(struct token_cache *cache, const char *key, const char *token, int64_t until)
{
	struct entry *entry;

	if (until - MARGIN <= clock_mono())
		return;
	entry = xnew(struct entry);
	entry->token = xstrdup(token);
	entry->until = until;
	lock_take(&cache->lock);
	make_room_locked(cache);
	map_put(&cache->tokens, key, entry);
	lock_drop(&cache->lock);
}

void token_cache_drop(struct token_cache *cache, const char *key, const char *token)
{
	const struct entry *entry;

	lock_take(&cache->lock);
	entry = map_get(&cache->tokens, key);
	if (entry && str_eq(entry->token, token))
		map_del(&cache->tokens, key);
	lock_drop(&cache->lock);
}

void token_cache_clear(struct token_cache *cache)
{
	lock_take(&cache->lock);
	map_done(&cache->tokens);
	map_init(&cache->tokens, entry_free);
	lock_drop(&cache->lock);
}
