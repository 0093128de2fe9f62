/*
 * An HTTP/1.1 server on a free loopback port for tests: every request is recorded and handed to one function,
 * which answers it, also wrongly. It is written on sockets, not on an HTTP library, because tests need
 * answers that no library would give: wrong lengths, resets, stalls.
 *
 * Each connection has a thread. Without a certificate, a connection that begins with a TLS handshake is
 * closed at once; with one, every connection must. As a proxy's client would, a request may name a whole URL,
 * and CONNECT is a request like any other.
 */
#ifndef TEST_IMAGE_FAKE_SERVER_H
#define TEST_IMAGE_FAKE_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct fake_server;

struct fake_tls {
	const char *cert, *key; /* PEM files */
	const char *client_ca;  /* clients must show a certificate of this CA; NULL: they need not */
	bool client_optional;   /* they are only asked for one */
	bool slow;              /* handshakes never end */
};

struct fake_request {
	struct fake_server *server;
	int fd;
	void *tls;  /* NULL: plain */
	bool close; /* set: the connection ends after the answer */
	char method[8];
	char path[2048];          /* with the query */
	char authorization[4096]; /* "" without */
	char range[128];
	char body[4096];
	char client[64]; /* common name of the certificate that the client has shown */
};

struct fake_server *fake_server_new(void (*handle)(struct fake_request *request, void *data), void *data);
/* The same over TLS; tls is only used during the call. */
struct fake_server *fake_server_new_tls(void (*handle)(struct fake_request *request, void *data), void *data,
					const struct fake_tls *tls);
/* Shuts every connection and waits for the handlers. Returns NULL. */
struct fake_server *fake_server_free(struct fake_server *server);
/* New connections are plain from now on. */
void fake_server_forget_tls(struct fake_server *server);
/* Refuses connections, and takes them again on the same port. One thread at a time. */
void fake_server_pause(struct fake_server *server);
void fake_server_resume(struct fake_server *server);
/* "127.0.0.1:PORT"; borrowed. */
const char *fake_server_host(const struct fake_server *server);

/* "GET /v2/x auth=... range=... body=... client=...", one line per request so far; over TLS a line "alpn h2
 * http/1.1" for each connection, with what its client offered. malloc'd. */
char *fake_server_log(struct fake_server *server);
/* How many requests had `part` in their log line. */
size_t fake_server_count(struct fake_server *server, const char *part);

/* A whole answer. headers: "Name: value\r\n"..., or "". */
void fake_reply(struct fake_request *request, int status, const char *headers, const void *body, size_t len);
void fake_reply_text(struct fake_request *request, int status, const char *headers, const char *body);
/* Status line and headers only, Content-Length as told (-1: none, ended by the connection's end). */
void fake_head(struct fake_request *request, int status, const char *headers, long long length);
void fake_send(struct fake_request *request, const void *data, size_t len);
/* Ends the connection with a reset. */
void fake_reset(struct fake_request *request);
/* Waits until the client or the server ends the connection. */
void fake_stall(struct fake_request *request);

#endif
