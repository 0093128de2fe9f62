/*
 * Auth files (containers-auth.json(5), the format of docker's config.json): which credentials, or which
 * credential helper, one has for a repository. A pure function over the file's text; nothing is run here.
 *
 * Within a file: "credHelpers" of the host, then the longest key of "auths" that is a prefix of the
 * repository (by components) and says something, then "credsStore".
 */
#ifndef IMAGE_AUTH_FILE_H
#define IMAGE_AUTH_FILE_H

#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "image/auth.h"

enum { AUTH_FILE_MAX = 4 * 1024 * 1024 };

struct auth_answer {
	char *helper; /* to be asked first; NULL: none */
	struct credentials credentials;
	char *store; /* a helper to be asked last */
};

void auth_answer_done(struct auth_answer *answer); /* also for CLEANUP; zeroed storage is fine */

/* INVALID_ARGUMENT for a broken file; no secret enters the text. */
int auth_file_look_up(const char *text, size_t len, const char *host, const char *repository,
		      struct auth_answer *ret, struct err *err) MUST_CHECK;

#endif
