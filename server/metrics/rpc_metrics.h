/*
 * Every call counted by its RPC: how many, how long, with which error.
 */
#ifndef SERVER_METRICS_RPC_METRICS_H
#define SERVER_METRICS_RPC_METRICS_H

#include <stdint.h>

#include "base/err.h"
#include "base/metric.h"
#include "server/rpc/rpc.h"

extern struct metric metric_operations, metric_operations_latency, metric_operations_errors;

/* Nothing is counted before. table: NULL-terminated, lives on. */
void rpc_metrics_init(const struct rpc *const *table);
/* A call has ended; err NULL: well; ns: how long it took, negative: it was turned away before it began. Any
 * thread. */
void rpc_metrics_count(const struct rpc *rpc, const struct err *err, int64_t ns);

#endif
