/*
 * How one hop of a request reaches its peer: whom TLS trusts and what it shows, which proxy is asked, which
 * addresses are out of bounds.
 *
 * `home` is the origin that a pull was configured for; a redirect or a token realm leads elsewhere. The CAs
 * of home's certs.d are trusted for those places too (a private registry's token server commonly has the same
 * private CA), its client certificate is shown to home alone. A place that is not home must not be a
 * link-local address: there live the metadata services of clouds, which answer whoever asks from this node.
 *
 * Proxies are libcurl's: http_proxy, https_proxy, all_proxy and no_proxy of the environment; in addition
 * HTTP_PROXY, which is how units of container engines spell it, is obeyed, and loopback is never proxied.
 */
#ifndef IMAGE_PEER_H
#define IMAGE_PEER_H

#include <curl/curl.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "image/certs.h"
#include "image/origin.h"

#define PEER_REFUSAL "sends us to a link-local address: refused"

struct peer {
	struct certs certs;      /* of the origin itself */
	struct certs home_certs; /* the same for home, when it is another one */
	bool guarded;            /* link-local addresses are refused */
	bool refused;            /* one was */
};

struct peer_route {
	const struct strv *certs_dirs;
	const struct origin *origin, *home;
	bool insecure; /* TLS is not verified */
};

/* Prepares easy for one transfer along the route; peer must outlive it. FAILED_PRECONDITION for unusable
 * certificates, UNAVAILABLE for an address out of bounds. */
int peer_prepare(struct peer *peer, CURL *easy, const struct peer_route *route, struct err *err) MUST_CHECK;
void peer_done(struct peer *peer); /* also for CLEANUP; zeroed storage is fine */

#endif
