#include "server/metrics/metrics_table.h"

#include "base/flight.h"
#include "cni/plugin.h"
#include "conmon/verb.h"
#include "image/pull_metrics.h"
#include "sandbox/announce.h"
#include "sandbox/notifier.h"
#include "sandbox/sandbox_metrics.h"
#include "server/events.h"
#include "server/metrics/rpc_metrics.h"
#include "server/metrics/sample.h"
#include "server/trace/tracer.h"

struct metric *const metrics_table[] = {
	&metric_build_info,
	/* calls */
	&metric_operations,
	&metric_operations_latency,
	&metric_operations_errors,
	&metric_calls,
	&metric_requests_joined,
	&metric_pool_threads,
	&metric_pool_running,
	&metric_pool_waiting,
	/* pods and containers */
	&metric_pods,
	&metric_containers,
	&metric_containers_oom,
	&metric_monitor_deaths,
	&metric_seccomp_forbidden,
	&metric_runtime_latency,
	&metric_runtime_errors,
	&metric_network_latency,
	&metric_network_errors,
	/* images */
	&metric_pulls_success,
	&metric_pulls_failure,
	&metric_pulls_bytes,
	&metric_pulls_skipped_bytes,
	&metric_pulls_layer_size,
	&metric_layer_reuse,
	/* events and traces */
	&metric_events,
	&metric_events_subscribers,
	&metric_events_dropped,
	&metric_spans_sent,
	&metric_spans_dropped,
	/* the process */
	&metric_process_cpu,
	&metric_process_resident,
	&metric_process_virtual,
	&metric_process_fds,
	&metric_process_fds_max,
	&metric_process_start,
	&metric_process_threads,
	NULL,
};
