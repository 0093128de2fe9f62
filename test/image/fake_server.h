/*
 * An HTTP/1.1 server on a free loopback port for tests: every request is recorded and handed to one function,
 * which answers it, also wrongly. It is written on sockets, not on an HTTP library, because tests need
 * answers that no library would give: wrong lengths, resets, stalls.
 *
 * Each connection has a thread. A connection that begins with a TLS handshake is closed at once.
 */
#ifndef TEST_IMAGE_FAKE_SERVER_H
#define TEST_IMAGE_FAKE_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct fake_server;

struct fake_request {
	struct fake_server *server;
	int fd;
	bool close; /* set: the connection ends after the answer */
	char method[8];
	char path[2048];          /* with the query */
	char authorization[4096]; /* "" without */
	char range[128];
	char body[4096];
};

struct fake_server *fake_server_new(void (*handle)(struct fake_request *request, void *data), void *data);
/* Shuts every connection and waits for the handlers. Returns NULL. */
struct fake_server *fake_server_free(struct fake_server *server);
/* "127.0.0.1:PORT"; borrowed. */
const char *fake_server_host(const struct fake_server *server);

/* "GET /v2/x auth=... range=...", one line per request so far. malloc'd. */
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
