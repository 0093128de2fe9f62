/*
 * Bearer tokens for a registry (distribution's "Token Authentication Specification" and "OAuth 2" variant for
 * identity tokens): asked from the realm of a challenge.
 */
#ifndef IMAGE_TOKEN_H
#define IMAGE_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"
#include "image/auth.h"
#include "image/challenge.h"
#include "image/http.h"

enum { TOKEN_ANSWER_MAX = 1024 * 1024, TOKEN_MAX = 64 * 1024 };

struct token_request {
	const struct challenge *challenge; /* its realm is used */
	const char *scope;                 /* when the challenge says none */
	const struct credentials *credentials;
	const char *base_url; /* of the registry, for which the realm is asked */
	bool insecure; /* the registry may be spoken to without verified TLS; the realm must be no worse than
			  it */
};

struct token {
	char *text;       /* a secret */
	int64_t lifetime; /* ns from when it was asked for; what the server says, within bounds */
};

void token_done(struct token *token); /* wipes; also for CLEANUP */

/* UNAUTHENTICATED when the realm refuses, or is plain http beside a registry that
 * is not insecure (CVE-2019-10214). */
int token_fetch(struct http *http, const struct ctx *ctx, const struct token_request *request,
		struct token *ret, struct err *err) MUST_CHECK;

#endif
