/*
 * gRPC core does the HTTP/2 work inside grpc_completion_queue_next(), on our threads: whichever polls drives
 * all connections. Events are struct call_event tags; what they do is in call.c.
 *
 * Ending: grpc_server_shutdown_and_notify() sends GOAWAY and refuses new streams, but completes only when
 * each connection is closed, which an idle client may delay. So the calls are waited for by ourselves, then
 * all connections are cut. Queues are shut down last: gRPC aborts when a batch is started on a queue that is.
 *
 * The library is told by environment variables to stay small: no fork handlers (spawn uses vfork semantics
 * and never returns into gRPC), no statistics, no proxies.
 */
#include "server/grpc/rpc_server.h"

#include <assert.h>
#include <grpc/grpc.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/support/log.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "server/grpc/call.h"
#include "server/grpc/calls.h"
#include "server/grpc/feed.h"

enum {
	STREAMS_MAX = 1024,            /* of one connection, as its client is told */
	METADATA_MAX = 16 * 1024,      /* bytes of a call's headers */
	PING_INTERVAL_MIN_MS = 10000,  /* the least interval Go clients may configure */
	PING_STRIKES_MAX = 4,          /* pings that come too soon, until GOAWAY */
	IDLE_MAX_MS = 4 * 3600 * 1000, /* a connection without calls is closed then, gracefully */
	READ_CHUNK = 4096,             /* first read of a connection; grows with what arrives */
	THREAD_STACK = 1024 * 1024,    /* address space; only what is touched costs memory */
};

#define STALL_MAX (60 * NS_PER_SEC)

struct poller {
	struct rpc_server *server;
	grpc_completion_queue *queue;
	pthread_t thread;
	bool started;
	_Atomic int64_t seen; /* clock_mono() of the last round */
};

struct rpc_server {
	struct calls calls;
	struct methods *methods;
	struct poller pollers[RPC_SERVER_THREADS_MAX];
	size_t pollers_len;
	int64_t heartbeat;
	grpc_server_credentials *plain;
	bool stopped;
};

static void core_log(gpr_log_func_args *args)
{
	log_debug("grpc: %s", args->message);
}

static gpr_timespec next_round(const struct rpc_server *server)
{
	if (!server->heartbeat)
		return gpr_inf_future(GPR_CLOCK_MONOTONIC);
	return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
			    gpr_time_from_nanos(server->heartbeat, GPR_TIMESPAN));
}

static void *poll_queue(void *data)
{
	struct poller *poller = data;

	call_accept(&poller->server->calls, poller->queue);
	for (;;) {
		grpc_event event =
			grpc_completion_queue_next(poller->queue, next_round(poller->server), NULL);

		atomic_store_explicit(&poller->seen, clock_mono(), memory_order_relaxed);
		if (event.type == GRPC_QUEUE_SHUTDOWN)
			return NULL;
		if (event.type == GRPC_OP_COMPLETE) {
			struct call_event *happened = event.tag;

			happened->happened(happened, event.success);
		}
	}
}

static grpc_arg integer(const char *key, size_t value)
{
	return (grpc_arg){ .type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = (int)value };
}

static grpc_server *core_new(const struct rpc_server_options *options)
{
	grpc_arg args[] = {
		integer(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, options->recv_max),
		integer(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, options->send_max),
		integer(GRPC_ARG_MAX_CONCURRENT_STREAMS, STREAMS_MAX),
		integer(GRPC_ARG_MAX_METADATA_SIZE, METADATA_MAX),
		integer(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, PING_INTERVAL_MIN_MS),
		integer(GRPC_ARG_HTTP2_MAX_PING_STRIKES, PING_STRIKES_MAX),
		integer(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
		integer(GRPC_ARG_MAX_CONNECTION_IDLE_MS, IDLE_MAX_MS),
		/* inflated by payload.c, with a bound */
		integer(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0),
		integer(GRPC_ARG_ENABLE_CHANNELZ, 0),
		integer(GRPC_ARG_MAX_CHANNEL_TRACE_EVENT_MEMORY_PER_NODE, 0),
		integer(GRPC_ARG_HTTP2_BDP_PROBE, 0), /* estimates a network's delay: there is none */
		integer(GRPC_ARG_TCP_READ_CHUNK_SIZE, READ_CHUNK),
	};
	grpc_channel_args list = { .num_args = ARRAY_LEN(args), .args = args };

	return grpc_server_create(&list, NULL);
}

static size_t thread_count(size_t wanted)
{
	long cpus = wanted ? (long)wanted : sysconf(_SC_NPROCESSORS_ONLN);

	if (cpus < 1)
		return 1;
	return cpus > RPC_SERVER_THREADS_MAX ? RPC_SERVER_THREADS_MAX : (size_t)cpus;
}

static int start_poller(struct poller *poller, size_t number, struct err *err)
{
	char name[16];
	int error;

	atomic_store(&poller->seen, clock_mono());
	snprintf(name, sizeof(name), "rpc-%zu", number);
	error = thread_start(&poller->thread, name, THREAD_STACK, poll_queue, poller);
	if (error)
		return err_set(err, RPC_RESOURCE_EXHAUSTED, "start a gRPC thread: error %d", error);
	poller->started = true;
	return 0;
}

static int start_pollers(struct rpc_server *server, struct err *err)
{
	for (size_t i = 0; i < server->pollers_len; i++)
		if (start_poller(&server->pollers[i], i, err) < 0)
			return -1;
	return 0;
}

static void make_queues(struct rpc_server *server, size_t count)
{
	server->pollers_len = count;
	for (size_t i = 0; i < count; i++) {
		server->pollers[i].server = server;
		server->pollers[i].queue = grpc_completion_queue_create_for_next(NULL);
		grpc_server_register_completion_queue(server->calls.core, server->pollers[i].queue, NULL);
	}
}

#ifdef CRISP_ABSL_DEADLOCK_MODE
/* absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle); 0 is kIgnore (absl/synchronization/mutex.h). */
void absl_set_deadlock_mode(int mode) __asm__(CRISP_ABSL_DEADLOCK_MODE);
#endif

static void ignore_deadlocks(void)
{
#ifdef CRISP_ABSL_DEADLOCK_MODE
	absl_set_deadlock_mode(0);
#endif
}

static void library_init(void)
{
	setenv("GRPC_ENABLE_FORK_SUPPORT", "0", 1);
	setenv("GRPC_VERBOSITY", "ERROR", 0);
	gpr_set_log_function(core_log);
	ignore_deadlocks();
	grpc_init();
}

struct rpc_server *rpc_server_new(const struct rpc_server_options *options, struct err *err)
{
	struct methods *methods = methods_new(options->table, err);
	struct rpc_server *server;

	if (!methods)
		return NULL;
	library_init();
	server = xnew(struct rpc_server);
	server->methods = methods;
	server->heartbeat = options->heartbeat;
	calls_init(&server->calls);
	server->calls.core = core_new(options);
	server->calls.methods = methods;
	server->calls.pool = options->pool;
	server->calls.why_closed = options->why_closed;
	server->calls.why_data = options->why_data;
	server->calls.service = options->service;
	atomic_init(&server->calls.open, !options->why_closed);
	server->calls.tracer = options->tracer;
	server->calls.recv_max = options->recv_max;
	server->calls.send_max = options->send_max;
	server->calls.count_max = options->calls_max;
	server->calls.connection_max = options->connection_calls_max;
	server->calls.stall_max = options->stall_max ? options->stall_max : STALL_MAX;
	server->plain = grpc_insecure_server_credentials_create();
	make_queues(server, thread_count(options->threads));
	grpc_server_start(server->calls.core);
	if (start_pollers(server, err) < 0) {
		rpc_server_stop(server, 0, NO_DEADLINE);
		return rpc_server_free(server);
	}
	return server;
}

void rpc_server_open(struct rpc_server *server, struct service *service)
{
	assert(!atomic_load(&server->calls.open));
	server->calls.service = service;
	atomic_store_explicit(&server->calls.open, true, memory_order_release);
}

void rpc_server_add(struct rpc_server *server, int fd)
{
	grpc_server_add_channel_from_fd(server->calls.core, fd, server->plain);
}

size_t rpc_server_calls(struct rpc_server *server)
{
	return calls_count(&server->calls);
}

size_t rpc_server_take_arrived(struct rpc_server *server)
{
	return calls_take_arrived(&server->calls);
}

void rpc_server_cancel(struct rpc_server *server)
{
	calls_cancel(&server->calls);
}

bool rpc_server_alive(const struct rpc_server *server, int64_t since)
{
	for (size_t i = 0; i < server->pollers_len; i++)
		if (atomic_load_explicit(&server->pollers[i].seen, memory_order_relaxed) < since)
			return false;
	return true;
}

bool rpc_server_stop(struct rpc_server *server, int64_t cancel_at, int64_t deadline)
{
	grpc_completion_queue *over = grpc_completion_queue_create_for_next(NULL);
	bool ended;

	assert(!server->stopped);
	grpc_server_shutdown_and_notify(server->calls.core, over, server);
	feeds_stop(&server->calls);
	ended = calls_wait(&server->calls, false, cancel_at);
	if (!ended) {
		calls_cancel(&server->calls);
		ended = calls_wait(&server->calls, false, deadline);
	}
	if (!ended)
		return false; /* `over` stays: gRPC will still post to it */
	grpc_server_cancel_all_calls(server->calls.core);
	grpc_completion_queue_next(over, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
	grpc_completion_queue_shutdown(over);
	grpc_completion_queue_next(over, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
	grpc_completion_queue_destroy(over);
	/* What arrived in the very moment of the shutdown is cancelled, but must still run to its end. */
	server->stopped = calls_wait(&server->calls, true, deadline);
	return server->stopped;
}

struct rpc_server *rpc_server_free(struct rpc_server *server)
{
	if (!server)
		return NULL;
	if (!server->stopped)
		rpc_server_stop(server, 0, NO_DEADLINE);
	for (size_t i = 0; i < server->pollers_len; i++)
		grpc_completion_queue_shutdown(server->pollers[i].queue);
	for (size_t i = 0; i < server->pollers_len; i++) {
		if (server->pollers[i].started)
			pthread_join(server->pollers[i].thread, NULL);
		else
			poll_queue(&server->pollers[i]);
		grpc_completion_queue_destroy(server->pollers[i].queue);
	}
	grpc_server_destroy(server->calls.core);
	grpc_server_credentials_release(server->plain);
	calls_done(&server->calls);
	methods_free(server->methods);
	free(server);
	grpc_shutdown();
	return NULL;
}
