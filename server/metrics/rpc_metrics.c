/* The number of an RPC is its place in the table. */
#include "server/metrics/rpc_metrics.h"

#include <assert.h>

enum { OPERATIONS_MAX = 64 };

static const char *operations[OPERATIONS_MAX];

METRIC(metric_operations, OPERATIONS_MAX, .name = "operations_total", .help = "CRI calls, by RPC.",
       .type = METRIC_COUNTER, .sparse = true, .labels = { { "operation", operations, OPERATIONS_MAX } });
METRIC(metric_operations_latency, OPERATIONS_MAX *METRIC_HISTOGRAM_CELLS,
       .name = "operations_latency_seconds",
       .help = "Time from the arrival of a CRI call to its answer, by RPC.", METRIC_TIME,
       .labels = { { "operation", operations, OPERATIONS_MAX } });
METRIC(metric_operations_errors, OPERATIONS_MAX *METRIC_CODES, .name = "operations_errors_total",
       .help = "CRI calls that were not answered with OK, by RPC and gRPC status code.",
       .type = METRIC_COUNTER, .sparse = true,
       .labels = { { "operation", operations, OPERATIONS_MAX }, { "code", metric_codes, METRIC_CODES } });

static const struct rpc *const *_Atomic counted;

void rpc_metrics_init(const struct rpc *const *table)
{
	for (size_t i = 0; table[i]; i++) {
		assert(i < OPERATIONS_MAX);
		operations[i] = table[i]->method;
	}
	atomic_store(&counted, table);
}

static size_t place_of(const struct rpc *rpc)
{
	const struct rpc *const *table = atomic_load_explicit(&counted, memory_order_acquire);

	for (size_t i = 0; table && table[i]; i++)
		if (table[i] == rpc)
			return i;
	return OPERATIONS_MAX;
}

void rpc_metrics_count(const struct rpc *rpc, const struct err *err, int64_t ns)
{
	size_t at = place_of(rpc);

	if (at == OPERATIONS_MAX)
		return;
	metric_add_at(&metric_operations, at, 0, 1);
	if (ns >= 0)
		metric_observe_at(&metric_operations_latency, at, 0, (uint64_t)ns);
	if (err)
		metric_add_at(&metric_operations_errors, at, metric_code_index(err->code), 1);
}
