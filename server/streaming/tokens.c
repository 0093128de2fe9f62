/*
 * A plain array: it is short, and seldom anything waits in it. Tokens are compared in constant time.
 */
#include "server/streaming/tokens.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/lock.h"

struct waiting {
	char token[TOKEN_SIZE];
	int64_t until;
	struct stream_request request;
};

struct tokens {
	struct lock lock;
	/* under lock */
	struct waiting *items; /* TOKENS_MAX of them at most; in order of age */
	size_t len, size;
};

struct tokens *tokens_new(void)
{
	struct tokens *tokens = xnew(struct tokens);

	lock_init(&tokens->lock, "stream tokens", LOCK_STREAMING);
	return tokens;
}

struct tokens *tokens_free(struct tokens *tokens)
{
	if (!tokens)
		return NULL;
	for (size_t i = 0; i < tokens->len; i++)
		stream_request_done(&tokens->items[i].request);
	lock_done(&tokens->lock);
	free(tokens->items);
	free(tokens);
	return NULL;
}

static void remove_locked(struct tokens *tokens, size_t at) REQUIRES(tokens->lock)
{
	memmove(&tokens->items[at], &tokens->items[at + 1], (tokens->len - at - 1) * sizeof(*tokens->items));
	tokens->len--;
}

/* The requests that waited in vain own only memory, so freeing them under the lock waits for nothing. */
static void expire_locked(struct tokens *tokens, int64_t now) REQUIRES(tokens->lock)
{
	while (tokens->len && tokens->items[0].until <= now) {
		stream_request_done(&tokens->items[0].request);
		remove_locked(tokens, 0);
	}
}

/* Its place, or len. */
static size_t find_locked(const struct tokens *tokens, const char *token, enum stream_kind kind)
	REQUIRES(tokens->lock)
{
	size_t i = 0;

	if (strlen(token) != TOKEN_LEN)
		return tokens->len;
	while (i < tokens->len && (tokens->items[i].request.kind != kind ||
				   CRYPTO_memcmp(tokens->items[i].token, token, TOKEN_LEN) != 0))
		i++;
	return i;
}

static bool add_locked(struct tokens *tokens, struct stream_request *request, int64_t now, const char *token)
	REQUIRES(tokens->lock)
{
	expire_locked(tokens, now);
	if (tokens->len == TOKENS_MAX)
		return false;
	if (tokens->len == tokens->size) {
		tokens->size = tokens->size ? tokens->size * 2 : 8;
		tokens->items = xrealloc(tokens->items, tokens->size, sizeof(*tokens->items));
	}
	struct waiting *item = &tokens->items[tokens->len++];

	memcpy(item->token, token, TOKEN_SIZE);
	item->until = now + TOKEN_LIFE;
	item->request = *request;
	return true;
}

int tokens_add_take(struct tokens *tokens, struct stream_request *request, int64_t now,
		    char token[TOKEN_SIZE], struct err *err)
{
	uint8_t random[TOKEN_LEN / 2];
	bool added;

	random_bytes(random, sizeof(random));
	hex_encode(random, sizeof(random), token);
	lock_take(&tokens->lock);
	added = add_locked(tokens, request, now, token);
	lock_drop(&tokens->lock);
	if (!added)
		return err_set(err, RPC_RESOURCE_EXHAUSTED,
			       "%d streaming requests wait for their clients already", TOKENS_MAX);
	*request = (struct stream_request){ 0 };
	return 0;
}

bool tokens_has(struct tokens *tokens, const char *token, enum stream_kind kind, int64_t now)
{
	bool found;

	lock_take(&tokens->lock);
	expire_locked(tokens, now);
	found = find_locked(tokens, token, kind) < tokens->len;
	lock_drop(&tokens->lock);
	return found;
}

bool tokens_redeem(struct tokens *tokens, const char *token, enum stream_kind kind, int64_t now,
		   struct stream_request *ret)
{
	size_t at;
	bool found;

	lock_take(&tokens->lock);
	expire_locked(tokens, now);
	at = find_locked(tokens, token, kind);
	found = at < tokens->len;
	if (found) {
		*ret = tokens->items[at].request;
		remove_locked(tokens, at);
	}
	lock_drop(&tokens->lock);
	return found;
}
