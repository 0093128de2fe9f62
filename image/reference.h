/*
 * Image references as users write them: NAME[:TAG][@DIGEST] (the grammar of the distribution project's
 * reference package; OCI distribution-spec, "Pulling manifests", for name and tag).
 *
 * NAME is kept as written; whether it is short ("nginx") is for registries.conf to resolve
 * (config/registries.h). reference_normalise() is the rule used where that file does not matter: docker.io,
 * and library/ for a name of one component.
 */
#ifndef IMAGE_REFERENCE_H
#define IMAGE_REFERENCE_H

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "image/digest.h"

enum {
	REFERENCE_NAME_MAX = 255, /* bytes of NAME */
	REFERENCE_TAG_MAX = 128,
	REFERENCE_MAX = REFERENCE_NAME_MAX + 1 + REFERENCE_TAG_MAX + 1 + DIGEST_TEXT_SIZE,
};

struct reference {
	char *name; /* "registry.local:5000/team/app", or short: "app", "team/app" */
	char *tag;  /* NULL: none given */
	bool has_digest;
	struct digest digest;
};

/* INVALID_ARGUMENT for everything the grammar does not allow; bounded by REFERENCE_MAX before anything else.
 */
int reference_parse(const char *text, struct reference *ret, struct err *err) MUST_CHECK;
void reference_done(struct reference *reference); /* also for CLEANUP; zeroed storage is fine */

/* True when name begins with a host: a first component with '.' or ':', or "localhost", then '/'. */
bool reference_has_domain(const char *name);
/* The full name by Docker's rule: "docker.io/library/busybox"; index.docker.io becomes docker.io. malloc'd.
 */
char *reference_normalise(const char *name);
/* True for NAME alone: the grammar without tag and digest, and no 64 hex digits (that is an image id). */
bool reference_name_valid(const char *name);
bool reference_tag_valid(const char *tag);

/* What a pull of this reference in a (full) repository is called: "repo@digest" when there is a digest, else
 * "repo:tag" with "latest" for none. malloc'd. */
char *reference_text(const struct reference *reference, const char *repository);
/* The tag to ask for: the given one, or "latest"; borrowed. */
const char *reference_tag(const struct reference *reference);

#endif
