/*
 * The client's end of a session: a connected socket, non-blocking, whose descriptor is somebody else's.
 * Single-threaded. Activity is any byte read or written.
 */
#ifndef SERVER_STREAMING_CLIENT_H
#define SERVER_STREAMING_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/ctx.h"
#include "server/streaming/queue.h"

enum { CLIENT_READ_SIZE = 256 * 1024 };

struct client {
	int fd;
	int64_t creation_patience; /* ns, for whoever waits for its streams */
	int64_t idle_timeout;      /* ns; 0: none */
	struct queue early;        /* what came with the HTTP request; owned */
	const struct ctx *ctx;     /* ends all sessions */

	/* private */
	int64_t active; /* clock_mono() ns */
	uint8_t *buffer;
};

void client_init(struct client *client); /* the fields above are set */
void client_done(struct client *client);

/* Bytes read, in *ret until the next call; 0: none now, -1: the client is gone. */
ssize_t client_read(struct client *client, const uint8_t **ret);
/* Writes what can be written now. -1: the client is gone. */
int client_write(struct client *client, struct queue *queue);
int64_t client_idle_deadline(const struct client *client); /* NO_DEADLINE: none */
/* Writes the rest, ends the connection properly, and waits a little until the client has done the same: a
 * socket closed with unread bytes in it would take away what the client has not read. */
void client_finish(struct client *client, struct queue *queue);

#endif
