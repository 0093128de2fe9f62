/*
 * Credentials for registries, as the CRI's AuthConfig and auth files (image/auth_file.h) have them.
 *
 * Secrets live in a struct credentials, are wiped when it goes, and are never logged nor put into an error
 * text. User names and secrets with control bytes are refused (they would end up in a header).
 */
#ifndef IMAGE_AUTH_H
#define IMAGE_AUTH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "image/digest.h"

struct image_auth { /* CRI AuthConfig; all may be NULL or "" */
	const char *username, *password, *auth, *server_address, *identity_token, *registry_token;
};

struct credentials { /* NULL: not given */
	char *username, *password;
	char *identity_token; /* OAuth 2 refresh token for the token server */
	char *registry_token; /* a bearer token to be used as it is */
};

void credentials_done(struct credentials *credentials); /* wipes; also for CLEANUP; zeroed storage is fine */
bool credentials_empty(const struct credentials *credentials);
void credentials_copy(const struct credentials *from, struct credentials *to);
/* "Basic ..." for user name and password; NULL without them. malloc'd; wipe it. */
char *credentials_basic(const struct credentials *credentials);

/* INVALID_ARGUMENT when `auth` is no base64 of user:password or something has control bytes. Without effect
 * (0, empty) when auth is NULL or names another server than host[:port]. */
int credentials_from_cri(const struct image_auth *auth, const char *host, struct credentials *ret,
			 struct err *err) MUST_CHECK;
/* Tells requests with different credentials apart without holding them; a digest over all fields. */
void image_auth_digest(const struct image_auth *auth, struct digest *ret);

/* What AuthConfig and an auth file's entry have in common: checks and copies. INVALID_ARGUMENT as above. */
int credentials_collect(const struct image_auth *auth, struct credentials *ret, struct err *err) MUST_CHECK;
/* The name of a registry, or a key of an auth file, in the one form that is compared: without scheme and
 * version path, Docker Hub always as docker.io. malloc'd. */
char *auth_key(const char *name);

void wipe_free(char *secret);   /* accepts NULL */
void wipe_freep(char **secret); /* for CLEANUP */

#endif
