/*
 * Metrics that nobody counts: they are looked up when somebody asks.
 */
#ifndef SERVER_METRICS_SAMPLE_H
#define SERVER_METRICS_SAMPLE_H

#include "base/metric.h"
#include "base/pool.h"
#include "server/grpc/rpc_server.h"
#include "server/service.h"

extern struct metric metric_build_info, metric_calls;
extern struct metric metric_pool_threads, metric_pool_running, metric_pool_waiting; /* by pool */
extern struct metric metric_pods, metric_containers;                                /* by state */
extern struct metric metric_process_cpu, metric_process_resident, metric_process_virtual;
extern struct metric metric_process_fds, metric_process_fds_max, metric_process_start, metric_process_threads;

struct sample_source {
	struct service *service;
	struct pool *workers;
	struct rpc_server *rpc;
	int64_t started; /* clock_real() ns */
};

/* Sets them all. Any thread. */
void sample_take(const struct sample_source *source);

#endif
