/*
 * A server with fake RPCs: a loop on a thread of its own, workers, the dispatcher under test and a listener
 * on a socket in a temporary folder. Methods without a fake answer UNIMPLEMENTED.
 */
#ifndef TEST_SERVER_FIXTURE_H
#define TEST_SERVER_FIXTURE_H

#include "base/loop.h"
#include "base/pool.h"
#include "server/grpc/call.h"
#include "server/grpc/rpc_server.h"
#include "server/rpc/rpc.h"

#define RUNTIME(method) "/runtime.v1.RuntimeService/" method
#define IMAGE(method) "/runtime.v1.ImageService/" method

struct fixture;

struct fixture_options {
	const struct rpc *fakes; /* replace the methods they name */
	size_t fakes_len;
	size_t calls_max, connection_calls_max, threads_max, queue_max; /* 0: many */
	int64_t stall_max;                                              /* ns; 0: long */
	struct service *service;         /* for call_service(); borrowed, may be NULL */
	char *(*why_closed)(void *data); /* as rpc_server_new()'s; NULL: open */
};

struct fixture *fixture_new(const struct fixture_options *options);
const char *fixture_socket(const struct fixture *fixture);
struct rpc_server *fixture_server(struct fixture *fixture);
/* rpc_server_stop with these times from now; further fixture calls but free are not allowed. */
bool fixture_stop(struct fixture *fixture, int64_t cancel_ns, int64_t end_ns);
void fixture_free(struct fixture *fixture);

/* A table of all methods, with the fakes put in; terminated by NULL, freed by fixture_table_free. */
const struct rpc **fixture_table(const struct rpc *fakes, size_t count);
void fixture_table_free(const struct rpc **table);

#endif
