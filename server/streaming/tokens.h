/*
 * Requests that wait for their client, each under a token of 128 random bits that is good once and for a
 * minute. Thread-safe.
 */
#ifndef SERVER_STREAMING_TOKENS_H
#define SERVER_STREAMING_TOKENS_H

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "server/streaming/request.h"

enum { TOKENS_MAX = 1000, TOKEN_LEN = 32, TOKEN_SIZE = TOKEN_LEN + 1 };
#define TOKEN_LIFE (60 * NS_PER_SEC)

struct tokens;

struct tokens *tokens_new(void);
struct tokens *tokens_free(struct tokens *tokens);

/* Takes the request when it succeeds; RESOURCE_EXHAUSTED when too many wait. now: clock_mono() ns. */
int tokens_add_take(struct tokens *tokens, struct stream_request *request, int64_t now,
		    char token[TOKEN_SIZE], struct err *err) MUST_CHECK;
/* Whether there is such a request of this kind. */
bool tokens_has(struct tokens *tokens, const char *token, enum stream_kind kind, int64_t now);
/* Hands the request out, once. */
bool tokens_redeem(struct tokens *tokens, const char *token, enum stream_kind kind, int64_t now,
		   struct stream_request *ret) MUST_CHECK;

#endif
