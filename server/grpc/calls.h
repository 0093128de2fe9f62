/*
 * The calls in progress of one server, and what they all share: limits, methods, workers, the service behind
 * them.
 *
 * Draining cancels what is left: each call's context ends and its handler's CANCELLED becomes UNAVAILABLE, so
 * that clients know to try again. Threads: all functions, any thread. Lock rank: LOCK_SERVER.
 */
#ifndef SERVER_GRPC_CALLS_H
#define SERVER_GRPC_CALLS_H

#include <grpc/grpc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/pool.h"
#include "server/grpc/methods.h"

struct service;

/* Calls are counted by the connection's number modulo this: those so far apart share what is one's. */
enum { CALLS_CONNECTIONS = 4096, CALLS_NO_CONNECTION = -1 };

struct calls {
	/* fixed before the first call */
	grpc_server *core;
	const struct methods *methods;
	struct pool *pool;
	char *(*why_closed)(void *data); /* rpc_server.h's */
	void *why_data;
	struct tracer *tracer;     /* may be NULL */
	size_t recv_max, send_max; /* bytes of one message */
	size_t count_max;          /* calls at once; beyond: RESOURCE_EXHAUSTED */
	size_t connection_max;     /* those of one connection */
	int64_t stall_max;         /* ns: call_send() gives a client up that takes nothing for as long */

	struct service *service; /* fixed before `open` is set */
	atomic_bool open;        /* calls are served; before that only those of rpc->early */

	struct lock lock;
	struct cond fewer;
	struct list list;                      /* struct calls_entry, under lock */
	size_t count;                          /* of list, under lock */
	size_t served;                         /* those of list there was room for, under lock */
	uint16_t served_of[CALLS_CONNECTIONS]; /* the same by connection, under lock */
	size_t arrived;                        /* since calls_take_arrived(), under lock */
	size_t asked;   /* events outstanding for calls that have not arrived, under lock */
	bool cancelled; /* under lock */

	/* feed.c's */
	struct list feeds;  /* under lock */
	bool feeds_stopped; /* under lock */
};

struct calls_entry {
	struct list node;
	struct ctx *ctx;
	int connection; /* its number, or CALLS_NO_CONNECTION when it is not known */
	bool served;    /* there was room: calls_add()'s */
};

enum calls_room { CALLS_ROOM, CALLS_FULL, CALLS_CONNECTION_FULL };

void calls_init(struct calls *calls);
void calls_done(struct calls *calls); /* none may be in progress */
/* Whether there are too many already: then answer and forget. The entry is registered in either case. */
enum calls_room calls_add(struct calls *calls, struct calls_entry *entry);
void calls_remove(struct calls *calls, struct calls_entry *entry);
size_t calls_count(struct calls *calls);
size_t calls_take_arrived(struct calls *calls); /* how many since the last time */
/* gRPC was asked for a call; the asking is over (it came, and was added, or it never will). */
void calls_ask(struct calls *calls);
void calls_asked(struct calls *calls);
/* Ends the context of all calls, present and future. */
void calls_cancel(struct calls *calls);
bool calls_cancelled(struct calls *calls);
/* Waits until none is in progress; false when the deadline has passed before. With `all`, none may be asked
 * for either: so it is only once gRPC's server has shut down. */
bool calls_wait(struct calls *calls, bool all, int64_t deadline);

#endif
