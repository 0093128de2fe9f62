/*
 * WWW-Authenticate headers (RFC 9110 section 11.6.1) as registries send them: Basic, and Bearer with realm,
 * service and scope (distribution's token specification). Pure functions over text from a server.
 */
#ifndef IMAGE_CHALLENGE_H
#define IMAGE_CHALLENGE_H

#include <stdbool.h>

#include "base/mem.h"
#include "base/str.h"

enum { CHALLENGE_TEXT_MAX = 8192 };

struct challenge {
	bool basic, bearer;
	char *realm, *service, *scope; /* of Bearer; NULL when not said */
};

/* Adds what one header offers to *challenge (zeroed before the first header); the first Bearer challenge
 * wins. False, with *challenge unchanged, when the header is malformed or longer than CHALLENGE_TEXT_MAX. */
bool challenge_add(struct challenge *challenge, const char *header) MUST_CHECK;
void challenge_done(struct challenge *challenge); /* also for CLEANUP */

#endif
