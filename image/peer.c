/*
 * CAs are added to the store that libcurl has filled with the system's, through its hook for the TLS context:
 * CURLOPT_CAINFO would replace those. Addresses are looked at where the socket is made, after names have been
 * resolved; behind a proxy only the name's text can be.
 */
#include "image/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void peer_done(struct peer *peer)
{
	certs_done(&peer->certs);
	certs_done(&peer->home_certs);
	*peer = (struct peer){ 0 };
}

static void trust(void *cert, void *store)
{
	X509_STORE_add_cert(store, cert);
}

static CURLcode on_tls_context(CURL *easy UNUSED, void *context, void *data)
{
	X509_STORE *store = SSL_CTX_get_cert_store(context);
	const struct peer *peer = data;

	if (peer->certs.ca)
		certs_each(peer->certs.ca, trust, store);
	if (peer->home_certs.ca)
		certs_each(peer->home_certs.ca, trust, store);
	return CURLE_OK;
}

static bool is_link_local4(struct in_addr address)
{
	return (ntohl(address.s_addr) & 0xffff0000) == 0xa9fe0000; /* 169.254.0.0/16 */
}

static bool is_link_local6(const struct in6_addr *address)
{
	struct in_addr mapped;

	memcpy(&mapped, address->s6_addr + 12, sizeof(mapped));
	return IN6_IS_ADDR_LINKLOCAL(address) || (IN6_IS_ADDR_V4MAPPED(address) && is_link_local4(mapped));
}

static bool is_link_local(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return is_link_local4(((const struct sockaddr_in *)(const void *)address)->sin_addr);
	return address->sa_family == AF_INET6 &&
	       is_link_local6(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

/* host is the text of a URL: "[fe80::1]" for IPv6. */
static bool is_link_local_text(const char *host)
{
	size_t len = strcspn(host + (host[0] == '['), "]%");
	CLEANUP(freep) char *text = xstrndup(host + (host[0] == '['), len);
	struct in6_addr in6;
	struct in_addr in4;

	if (inet_pton(AF_INET, text, &in4) == 1)
		return is_link_local4(in4);
	return inet_pton(AF_INET6, text, &in6) == 1 && is_link_local6(&in6);
}

static curl_socket_t on_socket(void *data, curlsocktype purpose UNUSED, struct curl_sockaddr *address)
{
	struct peer *peer = data;

	if (peer->guarded && is_link_local(&address->addr)) {
		peer->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static bool is_loopback(const char *host)
{
	return str_eq(host, "localhost") || str_has_prefix(host, "127.") || str_eq(host, "[::1]");
}

static void set_proxy(CURL *easy, const struct origin *origin)
{
	const char *proxy = getenv("HTTP_PROXY"); /* NOLINT(concurrency-mt-unsafe): nobody sets variables */

	if (is_loopback(origin->host))
		curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	else if (!origin->secure && !getenv("http_proxy") && !str_empty(proxy)) /* NOLINT: as above */
		curl_easy_setopt(easy, CURLOPT_PROXY, proxy);
}

int peer_prepare(struct peer *peer, CURL *easy, const struct peer_route *route, struct err *err)
{
	bool at_home = origin_equal(route->origin, route->home);

	peer_done(peer);
	if (route->origin->secure &&
	    (certs_find(route->certs_dirs, route->origin, &peer->certs, err) < 0 ||
	     (!at_home && certs_find(route->certs_dirs, route->home, &peer->home_certs, err) < 0)))
		return -1;
	peer->guarded = !at_home && !is_link_local_text(route->home->host);
	if (peer->guarded && is_link_local_text(route->origin->host))
		return err_set(err, RPC_UNAVAILABLE, PEER_REFUSAL);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, route->insecure ? 0L : 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, route->insecure ? 0L : 2L);
	curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_tls_context);
	curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, peer);
	if (peer->certs.cert) {
		curl_easy_setopt(easy, CURLOPT_SSLCERT, peer->certs.cert);
		curl_easy_setopt(easy, CURLOPT_SSLKEY, peer->certs.key);
	}
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, peer);
	set_proxy(easy, route->origin);
	return 0;
}
