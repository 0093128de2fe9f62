/*
 * Bearer tokens that have worked, kept until shortly before they expire, so that the next pull from the same
 * repository with the same credentials asks no token server. Bounded; tokens are wiped when they go.
 *
 * Keys are up to the caller, and must tell apart whoever must not share a token. All functions are
 * thread-safe.
 */
#ifndef IMAGE_TOKEN_CACHE_H
#define IMAGE_TOKEN_CACHE_H

#include <stdint.h>

enum { TOKEN_CACHE_MAX = 256 };

struct token_cache;

struct token_cache *token_cache_new(void);
struct token_cache *token_cache_free(struct token_cache *cache); /* accepts NULL, returns NULL */
/* NULL when there is none that is good for some more seconds. malloc'd: wipe it. */
char *token_cache_get(struct token_cache *cache, const char *key);
/* until: clock_mono() ns. */
void token_cache_put(struct token_cache *cache, const char *key, const char *token, int64_t until);
/* Forgets the token under key if it is this one. */
void token_cache_drop(struct token_cache *cache, const char *key, const char *token);

void token_cache_clear(struct token_cache *cache);

#endif
