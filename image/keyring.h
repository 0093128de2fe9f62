/*
 * Where this node's own credentials are looked for, when a pull brought none: auth files and credential
 * helpers, in the order of registries.conf's credential-helpers. The first that knows the registry wins. What
 * is broken is passed over, and told when nothing else knows.
 */
#ifndef IMAGE_KEYRING_H
#define IMAGE_KEYRING_H

#include <stdint.h>

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "image/auth.h"

struct keyring {                    /* everything is borrowed */
	const struct strv *files;   /* auth files, in order; absent ones are fine */
	const char *const *helpers; /* "containers-auth.json" stands for the files; NULL: these alone */
	const char *helper_path;    /* see struct cred_helper */
	int64_t helper_timeout;     /* ns; 0: 30 s for each */
};

/* *ret stays empty when nobody knows host. UNAUTHENTICATED for helpers that fail, FAILED_PRECONDITION for
 * broken files; DEADLINE_EXCEEDED, CANCELLED. */
int keyring_find(const struct keyring *keyring, const struct ctx *ctx, const char *host,
		 const char *repository, struct credentials *ret, struct err *err) MUST_CHECK;
/* global_auth_file ("" for none) and the places where podman, skopeo and docker leave root's. */
void keyring_files(const char *global_auth_file, struct strv *ret);

#endif
