/*
 * curl_url(3) does the parsing. CURLU_DISALLOW_USER refuses "https://user:secret@host/": such a URL would
 * carry credentials past every check made here.
 */
#include "image/origin.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

static void url_cleanupp(CURLU **url)
{
	curl_url_cleanup(*url);
}

static void curl_freep(char **text)
{
	curl_free(*text);
}

static bool is_web(const char *scheme)
{
	return str_eq(scheme, "http") || str_eq(scheme, "https");
}

bool origin_of(const char *url, struct origin *ret)
{
	CLEANUP(url_cleanupp) CURLU *parts = curl_url();
	CLEANUP(curl_freep) char *scheme = NULL;
	CLEANUP(curl_freep) char *host = NULL;
	CLEANUP(curl_freep) char *port = NULL;
	bool plain;

	if (curl_url_set(parts, CURLUPART_URL, url, CURLU_DISALLOW_USER) != CURLUE_OK ||
	    curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK || !is_web(scheme) ||
	    curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK || str_empty(host) ||
	    curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK ||
	    !str_is_printable(host))
		return false;
	ret->secure = str_eq(scheme, "https");
	ret->host = xstrdup(host);
	for (char *c = ret->host; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	ret->port = xstrdup(port);
	plain = str_eq(port, ret->secure ? "443" : "80");
	ret->text = plain ? xstrdup(ret->host) : xasprintf("%s:%s", ret->host, port);
	return true;
}

void origin_done(struct origin *origin)
{
	free(origin->host);
	free(origin->port);
	free(origin->text);
	*origin = (struct origin){ 0 };
}

bool origin_equal(const struct origin *a, const struct origin *b)
{
	return a->secure == b->secure && str_eq(a->host, b->host) && str_eq(a->port, b->port);
}

const char *origin_text(const struct origin *origin)
{
	return origin->text ? origin->text : "?";
}

static char *url_text(CURLU *parts)
{
	CLEANUP(curl_freep) char *text = NULL;

	if (curl_url_get(parts, CURLUPART_URL, &text, 0) != CURLUE_OK)
		return NULL;
	return xstrdup(text);
}

char *url_resolve(const char *base, const char *location, size_t max)
{
	CLEANUP(url_cleanupp) CURLU *parts = curl_url();
	CLEANUP(freep) char *text = NULL;

	if (curl_url_set(parts, CURLUPART_URL, base, CURLU_DISALLOW_USER) != CURLUE_OK ||
	    curl_url_set(parts, CURLUPART_URL, location, CURLU_DISALLOW_USER) != CURLUE_OK ||
	    curl_url_set(parts, CURLUPART_FRAGMENT, NULL, 0) != CURLUE_OK)
		return NULL;
	text = url_text(parts);
	return text && strlen(text) <= max ? TAKE(text) : NULL;
}

char *url_add_query(const char *url, const char *name, const char *value)
{
	CLEANUP(url_cleanupp) CURLU *parts = curl_url();
	CLEANUP(freep) char *pair = xasprintf("%s=%s", name, value);

	if (curl_url_set(parts, CURLUPART_URL, url, CURLU_DISALLOW_USER) != CURLUE_OK ||
	    curl_url_set(parts, CURLUPART_QUERY, pair, CURLU_APPENDQUERY | CURLU_URLENCODE) != CURLUE_OK)
		return NULL;
	return url_text(parts);
}
