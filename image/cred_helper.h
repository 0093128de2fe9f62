/*
 * Credential helpers: programs named docker-credential-NAME that know a registry's credentials (docker's
 * credential-helpers protocol: "get", the server's name on stdin, JSON on stdout). They run with the daemon's
 * environment (they need HOME, proxies and the cloud's variables), bounded in time and output.
 */
#ifndef IMAGE_CRED_HELPER_H
#define IMAGE_CRED_HELPER_H

#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"
#include "image/auth.h"

enum { CRED_HELPER_OUTPUT_MAX = 256 * 1024 };

struct cred_helper {
	const char *name; /* "ecr-login" */
	const char *path; /* directories to search, as in PATH; NULL: the environment's */
	int64_t timeout;  /* ns; 0: 30 s */
};

/* *ret stays empty when the helper knows nothing about server. UNAUTHENTICATED when it is missing, fails,
 * hangs or talks nonsense; DEADLINE_EXCEEDED and CANCELLED for ctx. */
int cred_helper_get(const struct cred_helper *helper, const struct ctx *ctx, const char *server,
		    struct credentials *ret, struct err *err) MUST_CHECK;
/* Its answer: {"ServerURL", "Username", "Secret"}; the user "<token>" means that Secret is an identity token.
 * UNAUTHENTICATED for anything else. */
int cred_helper_parse(const char *text, size_t len, struct credentials *ret, struct err *err) MUST_CHECK;

#endif
