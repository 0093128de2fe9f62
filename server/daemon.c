/*
 * Built in order, taken down in reverse: claim, loop and signals (before any thread exists, so that all
 * inherit the blocked mask), workers, gRPC and the socket with a porter at it (server/porter.h), so that
 * clients are answered at once, if only with UNAVAILABLE; then the service, which reads all that was there
 * before. When it is there, the daemon's loop takes over the socket and gRPC is opened.
 *
 * The end needs both a blocking wait (for calls to finish) and a running loop (they finish by events), so a
 * thread of its own waits and then stops the loop. When calls don't end in time even after cancellation, the
 * process exits without taking anything down: state on disk is whole at every instant, and a stuck daemon is
 * worse than a short one.
 *
 * The watchdog is fed from the loop's thread, and only after the gRPC threads were seen to go round and the
 * stores' locks could be had: a deadlock anywhere there ends in a restart.
 */
#include "server/daemon.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/pool.h"
#include "server/claim.h"
#include "server/grpc/listener.h"
#include "server/grpc/rpc_server.h"
#include "server/heap.h"
#include "server/marker.h"
#include "server/metrics/metrics.h"
#include "server/notify.h"
#include "server/porter.h"
#include "server/reload.h"
#include "server/service.h"
#include "server/trace/tracer.h"

#define TRIM_INTERVAL (30 * NS_PER_SEC)
#define WORKER_IDLE (10 * NS_PER_SEC)

enum {
	SOCKET_MODE = 0660,
	SEND_MAX = 16 * 1024 * 1024,  /* bytes: the limit of every CRI client */
	SPARE_MAX = 16 * 1024 * 1024, /* bytes that malloc may keep while there are calls */
	CALLS_MAX = 4096,             /* in progress at once */
	CONNECTION_CALLS_MAX = 2048,  /* of one connection: twice what its client is told */
	WORKERS_QUEUE = 2048,         /* calls waiting for a worker */
};

struct daemon {
	const struct daemon_options *options;
	int root_claim, runroot_claim;
	struct loop *loop;
	struct pool *workers;
	struct service *service;
	struct tracer *tracer;
	struct rpc_server *rpc;
	struct metrics *metrics;
	struct porter *porter; /* while it starts */
	struct listener *listener;
	struct restore_progress progress;
	struct source *signals, *watchdog, *trim;
	int64_t watchdog_ns;
	bool stopping; /* loop's thread only */
	bool busy;     /* loop's thread only, or the porter's: there were calls since the last trim */
	pthread_t drain;
	bool ended; /* written by the drain thread, read after it was joined */
};

/* ---- the end ---- */

static void *drain(void *data)
{
	struct daemon *daemon = data;
	CLEANUP(config_unrefp) struct config *config = service_config(daemon->service);
	int64_t timeout = config->api.drain_timeout, now = clock_mono();
	/* The last fifth is for cancelled work to undo what it began. */
	int64_t cancel_at = now + timeout / 5 * 4, deadline = now + timeout;

	daemon->ended = rpc_server_stop(daemon->rpc, cancel_at, deadline);
	if (!daemon->ended) {
		log_error("%zu calls did not end within the drain time; exiting all the same",
			  rpc_server_calls(daemon->rpc));
		_exit(EXIT_FAILURE);
	}
	if (!service_drain(daemon->service, cancel_at, deadline)) {
		log_warn(
			"work that no call waits for did not end within the drain time; the next start finishes or "
			"undoes it");
		_exit(EXIT_SUCCESS);
	}
	loop_stop(daemon->loop);
	return NULL;
}

static void stop(struct daemon *daemon, const char *why)
{
	size_t calls = rpc_server_calls(daemon->rpc);

	if (daemon->stopping) {
		log_warn("%s again: cancelling the calls in progress", why);
		rpc_server_cancel(daemon->rpc);
		service_cancel(daemon->service);
		return;
	}
	daemon->stopping = true;
	log_info("%s: stopping, %zu calls in progress", why, calls);
	notify_stopping("waiting for %zu calls", calls);
	daemon->listener = listener_free(daemon->listener);
	if (pthread_create(&daemon->drain, NULL, drain, daemon) != 0) {
		log_error("no thread to wait for the calls in progress: exiting at once");
		_exit(EXIT_FAILURE);
	}
}

static void on_signal(struct source *source UNUSED, int number, void *data)
{
	struct daemon *daemon = data;

	if (number != SIGHUP)
		stop(daemon, number == SIGTERM ? "SIGTERM" : "SIGINT");
	else if (!daemon->stopping)
		reload(daemon->service, daemon->options->paths);
}

/* ---- while it runs ---- */

static void on_accepted(void *data, int fd)
{
	struct daemon *daemon = data;

	daemon->busy = true;
	rpc_server_add(daemon->rpc, fd);
}

static void on_watchdog(struct source *source UNUSED, void *data)
{
	struct daemon *daemon = data;

	if (!rpc_server_alive(daemon->rpc, clock_mono() - daemon->watchdog_ns)) {
		log_error("a gRPC thread has been stuck for the watchdog's interval");
		return;
	}
	service_touch(daemon->service);
	notify_alive();
}

static void on_trim(struct source *source UNUSED, void *data)
{
	struct daemon *daemon = data;
	bool busy = rpc_server_take_arrived(daemon->rpc) > 0;

	if ((!busy && daemon->busy) || heap_spare() > SPARE_MAX)
		heap_trim();
	daemon->busy = busy;
}

/* ---- the beginning ---- */

static int start_loop(struct daemon *daemon, struct err *err)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };

	daemon->loop = loop_new(err);
	if (!daemon->loop)
		return -1;
	daemon->signals = loop_add_signals(daemon->loop, numbers, ARRAY_LEN(numbers), on_signal, daemon, err);
	daemon->trim = loop_add_timer(daemon->loop, TRIM_INTERVAL, TRIM_INTERVAL, on_trim, daemon, err);
	return daemon->signals && daemon->trim ? 0 : -1;
}

static int start_watchdog(struct daemon *daemon, struct err *err)
{
	daemon->watchdog_ns = notify_watchdog();
	if (!daemon->watchdog_ns)
		return 0;
	daemon->watchdog = loop_add_timer(daemon->loop, daemon->watchdog_ns / 2, daemon->watchdog_ns / 2,
					  on_watchdog, daemon, err);
	return daemon->watchdog ? 0 : -1;
}

static int start_tracer(struct daemon *daemon, struct err *err)
{
	const struct config_tracing *tracing = &daemon->options->config->tracing;

	if (!tracing->enable_tracing)
		return 0;
	daemon->tracer = tracer_new(tracing, err);
	return daemon->tracer ? 0 : -1;
}

/* Any thread. */
static char *why_closed(void *data)
{
	struct daemon *daemon = data;
	size_t all = atomic_load(&daemon->progress.all), done = atomic_load(&daemon->progress.done);

	if (!all)
		return xstrdup("crispd is starting");
	return xasprintf("crispd is starting: %zu of %zu pods and containers are restored", done, all);
}

static int start_rpc(struct daemon *daemon, struct err *err)
{
	const struct config_api *api = &daemon->options->config->api;
	struct rpc_server_options options = {
		.table = rpc_table,
		.pool = daemon->workers,
		.why_closed = why_closed,
		.why_data = daemon,
		.tracer = daemon->tracer,
		.recv_max = (size_t)api->grpc_max_recv_msg_size,
		.send_max = SEND_MAX,
		.calls_max = CALLS_MAX,
		.connection_calls_max = CONNECTION_CALLS_MAX,
		.heartbeat = daemon->watchdog_ns / 4,
	};

	daemon->rpc = rpc_server_new(&options, err);
	return daemon->rpc ? 0 : -1;
}

static int start_porter(struct daemon *daemon, struct err *err)
{
	const struct porter_options options = {
		.listener = { .path = daemon->options->config->api.listen,
			      .mode = SOCKET_MODE,
			      .accepted = on_accepted,
			      .data = daemon },
		.progress = why_closed,
		.data = daemon,
	};

	daemon->porter = porter_new(&options, err);
	return daemon->porter ? 0 : -1;
}

static int relieve_porter(struct daemon *daemon, struct err *err)
{
	daemon->listener = porter_relieve(daemon->porter, daemon->loop, err);
	daemon->porter = porter_free(daemon->porter);
	return daemon->listener ? 0 : -1;
}

static int start_metrics(struct daemon *daemon, struct err *err)
{
	const struct config *config = daemon->options->config;
	struct metrics_options options = {
		.config = &config->metrics,
		.source = { .service = daemon->service,
			    .workers = daemon->workers,
			    .rpc = daemon->rpc,
			    .started = clock_real() },
	};

	if (!config->metrics.enable_metrics)
		return 0;
	daemon->metrics = metrics_new(&options, err);
	return daemon->metrics ? 0 : -1;
}

static int claim(struct daemon *daemon, struct err *err)
{
	const struct config *config = daemon->options->config;

	daemon->root_claim = claim_take(config->root, err);
	if (daemon->root_claim < 0)
		return -1;
	daemon->runroot_claim = claim_take(config->runroot, err);
	return daemon->runroot_claim < 0 ? -1 : marker_write(config->root, config->runroot, err);
}

static int start(struct daemon *daemon, struct err *err)
{
	const struct config *config = daemon->options->config;

	if (claim(daemon, err) < 0 || start_loop(daemon, err) < 0)
		return -1;
	daemon->workers = pool_new(&(struct pool_options){ .name = "worker",
							   .threads_max = (size_t)config->api.workers_max,
							   .queue_max = WORKERS_QUEUE,
							   .idle_ns = WORKER_IDLE });
	if (start_watchdog(daemon, err) < 0 || start_tracer(daemon, err) < 0 || start_rpc(daemon, err) < 0 ||
	    start_porter(daemon, err) < 0)
		return -1;
	daemon->service = service_open(config, daemon->loop, &daemon->progress, err);
	if (!daemon->service || start_metrics(daemon, err) < 0 || relieve_porter(daemon, err) < 0)
		return -1;
	rpc_server_open(daemon->rpc, daemon->service);
	return 0;
}

static void take_down(struct daemon *daemon)
{
	porter_free(daemon->porter);
	listener_free(daemon->listener);
	metrics_free(daemon->metrics);
	source_free(daemon->watchdog);
	source_free(daemon->trim);
	rpc_server_free(daemon->rpc);
	tracer_free(daemon->tracer);
	if (daemon->workers)
		pool_free(daemon->workers);
	service_close(daemon->service);
	source_free(daemon->signals);
	loop_free(daemon->loop);
	fd_close(daemon->runroot_claim);
	fd_close(daemon->root_claim);
}

static int serve(struct daemon *daemon, struct err *err)
{
	int result;

	log_info("crispd " CRISP_VERSION " listens on %s", daemon->options->config->api.listen);
	notify_ready("serving CRI v1 on %s", daemon->options->config->api.listen);
	heap_trim(); /* what loading needed */
	result = loop_run(daemon->loop, err);
	if (daemon->stopping) {
		pthread_join(daemon->drain, NULL);
		assert(daemon->ended);
	}
	return result;
}

int daemon_run(const struct daemon_options *options, struct err *err)
{
	struct daemon daemon = { .options = options, .root_claim = -1, .runroot_claim = -1 };
	int result = -1;

	if (start(&daemon, err) == 0)
		result = serve(&daemon, err);
	take_down(&daemon);
	if (result == 0)
		log_info("crispd has stopped; pods and containers go on");
	return result;
}
