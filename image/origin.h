/*
 * Origins of URLs: scheme, host and port. Credentials belong to one of them (RFC 6454 section 4); whatever
 * leads to another one goes without. Parsing is libcurl's, so that what is compared is what is connected to.
 */
#ifndef IMAGE_ORIGIN_H
#define IMAGE_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>

struct origin {
	bool secure; /* https; else http */
	char *host;  /* lower case */
	char *port;  /* decimal, also when it is the scheme's default */
	char *text;  /* "host" or "host:port", for messages */
};

/* False for anything but http and https URLs with a host and without user info. */
bool origin_of(const char *url, struct origin *ret);
void origin_done(struct origin *origin); /* also for CLEANUP; zeroed storage is fine */
bool origin_equal(const struct origin *a, const struct origin *b);
const char *origin_text(const struct origin *origin); /* "?" for an empty one */

/* The absolute URL that `location` means beside `base`, without fragment; NULL when there is none, or when it
 * is longer than max. malloc'd. */
char *url_resolve(const char *base, const char *location, size_t max);
/* url with "name=value" appended to its query, value percent-encoded; NULL when url is malformed. malloc'd.
 */
char *url_add_query(const char *url, const char *name, const char *value);

#endif
