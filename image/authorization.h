/*
 * What one repository at one endpoint wants to see in the Authorization header, and how it is got: nothing at
 * first (or the token that worked last time); after a 401 what that asks for. Credentials that the client did
 * not bring are only looked for then: most pulls need none, and a credential helper is a program to be run.
 *
 * Shared by the threads of one pull; they renew one after the other, and who waited takes what the other has
 * got.
 */
#ifndef IMAGE_AUTHORIZATION_H
#define IMAGE_AUTHORIZATION_H

#include <stdbool.h>

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"
#include "image/auth.h"
#include "image/http.h"
#include "image/token_cache.h"

struct authorization;

/* Where credentials come from when the client gave none. */
struct credentials_source {
	/* *ret stays empty when there are none. Called by one thread at a time. */
	int (*find)(void *data, const struct ctx *ctx, const char *host, const char *repository,
		    struct credentials *ret, struct err *err);
	void *data;
};

struct authorization_options {
	const char *host; /* as in registries.conf; docker.io is no URL's host */
	const char *repository;
	bool insecure; /* the token server may be spoken to without verified TLS */
	struct credentials_source source;
	struct token_cache *tokens; /* outlives the authorization */
};

/* credentials are taken over (and left empty). */
struct authorization *authorization_new(const struct authorization_options *options,
					struct credentials *credentials_take);
struct authorization *authorization_free(
	struct authorization *authorization); /* NULL is fine; returns NULL */

/* The header's value; NULL for none. malloc'd: wipe it. */
char *authorization_value(struct authorization *authorization);

/* http's response is a 401 by the endpoint itself to a request that went with `used` (may be NULL): gets what
 * it asks for, over the same http. base_url: the endpoint's, in the scheme that it answered in. */
int authorization_renew(struct authorization *authorization, struct http *http, const struct ctx *ctx,
			const char *used, const char *base_url, struct err *err) MUST_CHECK;
/* A request with `used` was answered: as wished, or with a refusal that other credentials may turn. */
void authorization_judge(struct authorization *authorization, const char *used, bool good);

#endif
