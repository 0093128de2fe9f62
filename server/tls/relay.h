/*
 * From an encrypted connection to a plain one: the handshake, and then all bytes both ways, each direction
 * with an end of its own (close_notify and shutdown(2)), through a buffer of bounded size: who does not read
 * is not read from. Whoever serves the plain end need not know of TLS.
 */
#ifndef SERVER_TLS_RELAY_H
#define SERVER_TLS_RELAY_H

#include "base/ctx.h"
#include "server/tls/keys.h"

struct tls_relay {
	struct tls_keys *keys; /* borrowed */
	int fd;                /* the encrypted connection's socket, non-blocking; borrowed */
	int64_t patience;      /* ns for the handshake */
	/* After the handshake: takes the plain end, a non-blocking AF_UNIX stream. -1: nobody serves it. */
	int (*ready)(void *data, int plain);
	void *data;
};

/* Returns when the connection has ended, on either side or with ctx. */
void tls_relay_run(const struct tls_relay *relay, const struct ctx *ctx);

#endif
