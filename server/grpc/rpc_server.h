/*
 * The gRPC server: completion queues with a thread each, limits against floods, orderly end.
 *
 * Connections come in as descriptors (see listener.h). Every limit is set here, as channel arguments: message
 * sizes, streams of a connection, size of headers, pings of an idle client.
 *
 * Threads: rpc_server_add may be called from any thread until rpc_server_stop; rpc_server_new makes the
 * threads, rpc_server_free joins them.
 */
#ifndef SERVER_GRPC_RPC_SERVER_H
#define SERVER_GRPC_RPC_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/pool.h"
#include "server/rpc/rpc.h"

struct rpc_server;
struct service;
struct tracer;

struct rpc_server_options {
	const struct rpc *const *table;
	struct pool *pool;       /* for slow RPCs; outlives the server */
	struct service *service; /* what calls act on, when it is there from the beginning */
	/* Not NULL: the server is closed until rpc_server_open(). It accepts connections, but answers no call
	 * (rpc->early apart) but with UNAVAILABLE and this line, which is free()d. Any thread. */
	char *(*why_closed)(void *data);
	void *why_data;
	struct tracer *tracer;       /* NULL: calls are not traced; outlives the server */
	size_t recv_max, send_max;   /* bytes of one message */
	size_t calls_max;            /* in progress at once; more are RESOURCE_EXHAUSTED */
	size_t connection_calls_max; /* of one connection, at most 65535: what is left is for the others */
	size_t threads;              /* 0: one per CPU, at most RPC_SERVER_THREADS_MAX */
	int64_t stall_max; /* ns without progress until a stream's client is given up; 0: a minute */
	int64_t heartbeat; /* ns: how often idle threads show that they live; 0: never */
};

enum { RPC_SERVER_THREADS_MAX = 4 };

struct rpc_server *rpc_server_new(const struct rpc_server_options *options, struct err *err);
/* For a closed server, once: from now on calls are served. */
void rpc_server_open(struct rpc_server *server, struct service *service);
/* Takes over a connected stream socket. */
void rpc_server_add(struct rpc_server *server, int fd);
/* Calls in progress. */
size_t rpc_server_calls(struct rpc_server *server);
/* Calls that have arrived since this was last asked. */
size_t rpc_server_take_arrived(struct rpc_server *server);
/* Has every thread been round since `since` (clock_mono())? Meaningful with a heartbeat. */
bool rpc_server_alive(const struct rpc_server *server, int64_t since);
/*
 * Ends the service: new calls are refused and clients told to go away at once, feeds end, calls in progress
 * may end until `cancel_at`, are then cancelled, and have until `deadline` to answer that. True when all have
 * ended; else the server can't be freed and the process should exit. Blocks; once, and not on the loop's
 * thread (handlers need the loop).
 */
bool rpc_server_stop(struct rpc_server *server, int64_t cancel_at, int64_t deadline);
/* While rpc_server_stop() waits: cancels what is left now. */
void rpc_server_cancel(struct rpc_server *server);
/* After rpc_server_stop() returned true, or for a server that was never open. Returns NULL. */
struct rpc_server *rpc_server_free(struct rpc_server *server);

#endif
