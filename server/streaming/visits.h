/*
 * Connections that have not said yet what they want, and how long they may take for that as a whole: a client
 * that sends its request byte by byte is never idle. Private to server/streaming; thread-safe.
 */
#ifndef SERVER_STREAMING_VISITS_H
#define SERVER_STREAMING_VISITS_H

#include <stdint.h>

struct visits;

struct visits *visits_new(int64_t patience); /* ns */
struct visits *visits_free(struct visits *visits);

/* A number for this visit. */
uint64_t visits_add(struct visits *visits, int fd);
/* Before fd is closed. None with that descriptor: nothing happens. */
void visits_remove(struct visits *visits, int fd);
/* The same by number, for when fd may have been closed and be another's already. */
void visits_forget(struct visits *visits, uint64_t number);
/* Shuts down those that have taken too long; when the next will have (clock_mono() ns; NO_DEADLINE). */
int64_t visits_expire(struct visits *visits);

#endif
