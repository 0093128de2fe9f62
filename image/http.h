/*
 * HTTP downloads that are pulled by the reader, on libcurl. One struct http is one thread's connection (kept
 * alive between requests); http_start() returns when the final response's headers are there, http_read()
 * yields the body piece by piece. What is not read stays in the socket: a slow reader costs a bounded buffer.
 *
 * Every wait ends with the context (deadline, cancellation), after options.connect_timeout while connecting,
 * after options.progress_timeout without a byte, and when HTTP_RATE_MIN is not reached on average over such a
 * time: a server that sends a byte now and then would never be done. Redirects are followed by hand, at most
 * HTTP_REDIRECTS_MAX; the Authorization header goes only to the origin (scheme, host, port) of the request's
 * URL and is dropped for good on the first hop away from it; https never becomes http unless the request is
 * `insecure`. HTTP/2 is used where a server offers it over TLS. Whom TLS trusts, client certificates, proxies
 * and forbidden addresses: image/peer.h.
 *
 * Error texts name the host, never a query, user info or a header. Codes: UNAVAILABLE for transport failures
 * (http_failure() says which kind), DEADLINE_EXCEEDED and CANCELLED for the context, RESOURCE_EXHAUSTED for
 * oversize.
 */
#ifndef IMAGE_HTTP_H
#define IMAGE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

enum {
	HTTP_REDIRECTS_MAX = 5,
	HTTP_HEADERS_MAX = 64 * 1024,
	HTTP_URL_MAX = 16 * 1024,
	HTTP_RATE_MIN = 100, /* bytes per second */
};

struct http;

struct http_options {
	int64_t connect_timeout;       /* ns; 0: 30 s */
	int64_t progress_timeout;      /* ns without a byte; 0: unbounded but by the context */
	const struct strv *certs_dirs; /* see image/certs.h; copied; NULL: none */
};

struct http_request {
	const char *url;           /* http or https, without user info */
	const char *home;          /* the URL on whose behalf url is asked (image/peer.h); NULL: its own */
	bool insecure;             /* TLS is not verified, redirects to plain http are followed */
	const char *accept;        /* NULL: any */
	const char *authorization; /* the header's value; NULL: none */
	const char *form;          /* not NULL: POST of this application/x-www-form-urlencoded body */
	uint64_t offset, end;      /* "Range: bytes=offset-", or up to before end when it is > 0 */
};

struct http_response {
	int status;
	char *content_type;   /* NULL: none */
	char *content_digest; /* Docker-Content-Digest */
	char *location;
	struct strv www_authenticate; /* every header of that name */
	int64_t content_length;       /* -1: not said */
	int64_t range_start;          /* of a 206's Content-Range; -1: none */
	int64_t range_end;            /* of the same: the last byte; -1: none */
	int64_t range_size;           /* of the same: the whole's bytes; -1: not said */
	int64_t retry_after;          /* seconds (a date is turned into them); -1: none */
	char *host;                   /* "host:port" that answered, for messages */
	bool elsewhere;               /* a redirect has led away from the request's origin */
};

enum http_failure {
	HTTP_OK,
	HTTP_CONNECT, /* name not resolved, connection refused or timed out */
	HTTP_TLS,     /* no TLS there, or a certificate that is not trusted */
	HTTP_BROKEN,  /* reset, cut short, stalled, nonsense */
	HTTP_REFUSED, /* by us: redirect loop, downgrade, oversized headers; no use trying again */
};

struct http *http_new(const struct http_options *options);
struct http *http_free(struct http *http); /* accepts NULL, returns NULL */
void http_freep(struct http **http);

/* Starts a request, abandoning what is left of the one before. 0 when a final (not redirect) response came.
 */
int http_start(struct http *http, const struct ctx *ctx, const struct http_request *request,
	       struct err *err) MUST_CHECK;
/* Of the latest http_start() that succeeded; valid until the next. */
const struct http_response *http_response(const struct http *http);
/* The next piece of the body, valid until the next call on http; *ret_len 0 at its end. */
int http_read(struct http *http, const struct ctx *ctx, const uint8_t **ret, size_t *ret_len,
	      struct err *err) MUST_CHECK;
/* The rest of the body, at most max bytes: else RESOURCE_EXHAUSTED. */
int http_read_all(struct http *http, const struct ctx *ctx, size_t max, struct str *ret,
		  struct err *err) MUST_CHECK;
/* Of the latest call that failed with UNAVAILABLE. */
enum http_failure http_failure(const struct http *http);

#endif
