/*
 * A gate serialises renewals, which wait for token servers and helpers; the lock guards the fields that
 * readers look at. A token enters the cache when a request with it has succeeded, under a key made of the
 * repository and of what the client brought: tenants of a node never share one.
 */
#include "image/authorization.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/gate.h"
#include "base/lock.h"
#include "base/str.h"
#include "image/challenge.h"
#include "image/token.h"

struct authorization {
	char *host, *repository, *key;
	bool insecure;
	atomic_bool cached; /* tokens may be kept */
	struct credentials_source source;
	struct token_cache *tokens;
	struct gate renewal;
	struct credentials credentials; /* inside the gate */
	bool looked;                    /* inside the gate: source has been asked */
	struct lock lock;
	char *value;   /* under lock; NULL: none */
	int64_t until; /* under lock: when a new token expires, clock_mono(); 0: not to be kept (again) */
};

static const char bearer[] = "Bearer ";

/* Credentials are hashed with their boundaries. malloc'd. */
static char *key_of(const struct authorization *authorization)
{
	const struct credentials *own = &authorization->credentials;
	const char *parts[] = { authorization->host, authorization->repository, own->username, own->password,
				own->identity_token };
	CLEANUP(hasher_freep) struct hasher *hasher = hasher_new(DIGEST_SHA256);
	char hex[DIGEST_HEX_SIZE];
	struct digest digest;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		hasher_add(hasher, parts[i] ? parts[i] : "", strlen(parts[i] ? parts[i] : "") + 1);
	hasher_end(hasher, &digest);
	digest_hex(&digest, hex);
	return xstrdup(hex);
}

struct authorization *authorization_new(const struct authorization_options *options,
					struct credentials *credentials_take)
{
	struct authorization *authorization = xnew(struct authorization);
	CLEANUP(wipe_freep) char *token = NULL;

	authorization->host = xstrdup(options->host);
	authorization->repository = xstrdup(options->repository);
	authorization->insecure = options->insecure;
	authorization->source = options->source;
	authorization->tokens = options->tokens;
	authorization->credentials = *credentials_take;
	*credentials_take = (struct credentials){ 0 };
	gate_init(&authorization->renewal);
	lock_init(&authorization->lock, "authorization", LOCK_PULL);
	atomic_init(&authorization->cached, !authorization->credentials.registry_token);
	authorization->key = key_of(authorization);
	token = atomic_load(&authorization->cached)
			? token_cache_get(authorization->tokens, authorization->key)
			: xstrdup(authorization->credentials.registry_token);
	if (token)
		authorization->value = xasprintf("%s%s", bearer, token);
	return authorization;
}

struct authorization *authorization_free(struct authorization *authorization)
{
	if (!authorization)
		return NULL;
	free(authorization->host);
	free(authorization->repository);
	free(authorization->key);
	credentials_done(&authorization->credentials);
	wipe_free(authorization->value);
	gate_done(&authorization->renewal);
	lock_done(&authorization->lock);
	free(authorization);
	return NULL;
}

char *authorization_value(struct authorization *authorization)
{
	char *copy;

	lock_take(&authorization->lock);
	copy = xstrdup_null(authorization->value);
	lock_drop(&authorization->lock);
	return copy;
}

static void set_value(struct authorization *authorization, char *value_take, int64_t until)
{
	char *old;

	lock_take(&authorization->lock);
	old = authorization->value;
	authorization->value = value_take;
	authorization->until = until;
	lock_drop(&authorization->lock);
	wipe_free(old);
}

void authorization_judge(struct authorization *authorization, const char *used, bool good)
{
	int64_t until = 0;

	if (!used || !atomic_load(&authorization->cached) || !str_has_prefix(used, bearer))
		return;
	if (!good) {
		token_cache_drop(authorization->tokens, authorization->key, used + strlen(bearer));
		return;
	}
	lock_take(&authorization->lock);
	if (str_eq(authorization->value, used)) {
		until = authorization->until;
		authorization->until = 0;
	}
	lock_drop(&authorization->lock);
	if (until > 0)
		token_cache_put(authorization->tokens, authorization->key, used + strlen(bearer), until);
}

static int look_for_credentials(struct authorization *authorization, const struct ctx *ctx, struct err *err)
{
	if (!credentials_empty(&authorization->credentials) || authorization->looked ||
	    !authorization->source.find)
		return 0;
	if (authorization->source.find(authorization->source.data, ctx, authorization->host,
				       authorization->repository, &authorization->credentials, err) < 0)
		return -1;
	authorization->looked = true;
	return 0;
}

static int fetch_token(struct authorization *authorization, struct http *http, const struct ctx *ctx,
		       const struct challenge *challenge, const char *base_url, struct err *err)
{
	CLEANUP(freep) char *scope = xasprintf("repository:%s:pull", authorization->repository);
	CLEANUP(token_done) struct token token = { 0 };
	int64_t start = clock_mono();
	const struct token_request request = {
		.challenge = challenge,
		.scope = scope,
		.credentials = &authorization->credentials,
		.insecure = authorization->insecure,
		.base_url = base_url,
	};

	if (token_fetch(http, ctx, &request, &token, err) < 0)
		return err_prefix(err, "%s", authorization->host);
	set_value(authorization, xasprintf("%s%s", bearer, token.text), start + token.lifetime);
	return 0;
}

/* Inside the gate. */
static int renew(struct authorization *authorization, struct http *http, const struct ctx *ctx,
		 const struct challenge *challenge, const char *base_url, struct err *err)
{
	const struct credentials *credentials = &authorization->credentials;

	if (look_for_credentials(authorization, ctx, err) < 0)
		return -1;
	if (credentials->registry_token &&
	    authorization->looked) { /* from a file: it is as good as a new one */
		CLEANUP(wipe_freep) char *old = authorization_value(authorization);
		CLEANUP(wipe_freep) char *value = xasprintf("%s%s", bearer, credentials->registry_token);

		atomic_store(&authorization->cached, false);
		if (!str_eq(old, value)) {
			set_value(authorization, TAKE(value), 0);
			return 0;
		}
	}
	if (challenge->bearer && !credentials->registry_token)
		return fetch_token(authorization, http, ctx, challenge, base_url, err);
	if (challenge->basic && credentials->username) {
		set_value(authorization, credentials_basic(credentials), 0);
		return 0;
	}
	return err_set(err, RPC_UNAUTHENTICATED, "%s: %s", authorization->host,
		       credentials_empty(credentials) ? "credentials are needed" : "credentials are refused");
}

int authorization_renew(struct authorization *authorization, struct http *http, const struct ctx *ctx,
			const char *used, const char *base_url, struct err *err)
{
	const struct http_response *response = http_response(http);
	CLEANUP(challenge_done) struct challenge challenge = { 0 };
	CLEANUP(wipe_freep) char *current = NULL;
	int result = 0;

	for (size_t i = 0; i < response->www_authenticate.len; i++)
		if (!challenge_add(&challenge, response->www_authenticate.items[i]))
			return err_set(err, RPC_UNAUTHENTICATED, "%s: malformed WWW-Authenticate",
				       response->host);
	authorization_judge(authorization, used, false);
	if (gate_enter(&authorization->renewal, ctx, "authorisation", err) < 0)
		return -1;
	current = authorization_value(authorization);
	if (str_eq(current, used))
		result = renew(authorization, http, ctx, &challenge, base_url, err);
	gate_leave(&authorization->renewal);
	return result;
}
