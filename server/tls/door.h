/*
 * Where clients come in: one thread that accepts connections and hands them on, and, with TLS, a thread for
 * each connection that decrypts it (server/tls/relay.h), so that whoever is behind the door sees plain
 * sockets only.
 */
#ifndef SERVER_TLS_DOOR_H
#define SERVER_TLS_DOOR_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "server/tls/keys.h"

struct door;

struct door_options {
	const char *name;       /* for the log; static */
	int listener;           /* a listening, non-blocking socket, taken */
	struct tls_keys *keys;  /* NULL: no TLS; borrowed */
	size_t connections_max; /* encrypted ones; the plain are bounded by whoever takes them */
	/* Takes a connected, non-blocking socket; from any thread. -1: it was not wanted and is closed. */
	int (*enter)(void *data, int fd);
	/* Called often, by one thread: does what is due and tells when the next will be (clock_mono() ns).
	 * NULL: nothing is due. */
	int64_t (*tick)(void *data);
	void *data;
};

struct door *door_new_take(const struct door_options *options, struct err *err);
/* Nobody is let in any more, and nothing called. */
void door_close(struct door *door);
/* Those who are decrypted have a moment for what is on its way. Accepts NULL, returns NULL. */
struct door *door_free(struct door *door);

#endif
