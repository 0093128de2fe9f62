/*
 * The sessions in progress: one thread each, counted and bounded; all are ended together. Private to
 * server/streaming.
 */
#ifndef SERVER_STREAMING_SESSIONS_H
#define SERVER_STREAMING_SESSIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"
#include "server/streaming/client.h"
#include "server/streaming/request.h"
#include "server/streaming/upgrade.h"

enum { SESSIONS_MAX = 1000 };

struct sessions;

struct session {
	int fd; /* non-blocking soon; closed by `closed` */
	struct upgrade upgrade;
	struct stream_request request;           /* owned */
	struct queue early;                      /* owned: bytes that came behind the HTTP request */
	int64_t creation_patience, idle_timeout; /* ns */
	/* Called at the end, on whatever thread: fd is not used any more. */
	void (*closed)(void *data);
	void *data;
};

struct sessions *sessions_new(void);
/* Ends all and waits for them. */
void sessions_end(struct sessions *sessions);
struct sessions *sessions_free(struct sessions *sessions); /* accepts NULL, returns NULL */

/* Takes what session owns, in any case; when no thread can be had, it ends at once. */
void sessions_start_take(struct sessions *sessions, const struct session *session);
size_t sessions_count(struct sessions *sessions);

#endif
