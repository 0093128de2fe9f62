/*
 * One HTTP(S) listener that answers GET /metrics, on libmicrohttpd with a thread of its own. Requests are
 * bounded in number, size and time. Private to server/metrics.
 *
 * With TLS a renewed certificate is used for new connections (server/tls/keys.h); one that cannot be used
 * leaves the old one in force and is told in the log.
 */
#ifndef SERVER_METRICS_ENDPOINT_H
#define SERVER_METRICS_ENDPOINT_H

#include "base/err.h"
#include "base/str.h"

struct endpoint;

struct endpoint_options {
	int listener;           /* a listening, non-blocking socket, taken */
	const char *cert, *key; /* paths; NULL: plain HTTP */
	/* Writes the page; on the endpoint's thread. */
	void (*write)(void *data, struct str *out);
	void *data;
};

/* On failure the listener is closed. */
struct endpoint *endpoint_new_take(const struct endpoint_options *options, struct err *err);
/* Accepts NULL, returns NULL. Requests in progress have ended. */
struct endpoint *endpoint_free(struct endpoint *endpoint);

#endif
