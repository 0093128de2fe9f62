/*
 * The metrics of ListPodSandboxMetrics, by the names, units and labels that a kubelet hands on as
 * /metrics/cadvisor (KEP-2371; CRI-O's names). Values are whole numbers, as the CRI has them:
 * seconds lose their fraction.
 *
 * Every metric has the labels id (cgroup path), name (the container's or pod's id), image, namespace, pod,
 * container ("POD" for the pod itself), and then those of its descriptor. Immutable tables; any thread.
 */
#ifndef SANDBOX_POD_METRICS_H
#define SANDBOX_POD_METRICS_H

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/metric_group.h"
#include "proto/cri.pb-c.h"
#include "sandbox/lister.h"

struct sandboxes;

enum pod_metric {
	METRIC_LAST_SEEN,
	METRIC_CPU_USER,
	METRIC_CPU_SYSTEM,
	METRIC_CPU_USAGE,
	METRIC_CFS_PERIODS,
	METRIC_CFS_THROTTLED_PERIODS,
	METRIC_CFS_THROTTLED_SECONDS,
	METRIC_FS_INODES_FREE,
	METRIC_FS_INODES_TOTAL,
	METRIC_FS_LIMIT,
	METRIC_FS_USAGE,
	METRIC_FS_READ_BYTES,
	METRIC_FS_READS,
	METRIC_FS_WRITE_BYTES,
	METRIC_FS_WRITES,
	METRIC_BLKIO,
	METRIC_HUGETLB_USAGE,
	METRIC_HUGETLB_PEAK,
	METRIC_MEMORY_CACHE,
	METRIC_MEMORY_RSS,
	METRIC_MEMORY_KERNEL,
	METRIC_MEMORY_MAPPED,
	METRIC_MEMORY_SWAP,
	METRIC_MEMORY_FAILCNT,
	METRIC_MEMORY_USAGE,
	METRIC_MEMORY_PEAK,
	METRIC_MEMORY_WORKING_SET,
	METRIC_MEMORY_ACTIVE_FILE,
	METRIC_MEMORY_INACTIVE_FILE,
	METRIC_MEMORY_FAILURES,
	METRIC_RX_BYTES,
	METRIC_RX_PACKETS,
	METRIC_RX_DROPPED,
	METRIC_RX_ERRORS,
	METRIC_TX_BYTES,
	METRIC_TX_PACKETS,
	METRIC_TX_DROPPED,
	METRIC_TX_ERRORS,
	METRIC_OOM,
	METRIC_CPU_STALLED,
	METRIC_CPU_WAITING,
	METRIC_MEMORY_STALLED,
	METRIC_MEMORY_WAITING,
	METRIC_IO_STALLED,
	METRIC_IO_WAITING,
	METRIC_PROCESSES,
	METRIC_THREADS,
	METRIC_THREADS_MAX,
	METRIC_DESCRIPTORS,
	METRIC_SOCKETS,
	METRIC_ULIMITS,
	METRIC_SPEC_PERIOD,
	METRIC_SPEC_SHARES,
	METRIC_SPEC_QUOTA,
	METRIC_SPEC_MEMORY,
	METRIC_SPEC_SWAP,
	METRIC_START_TIME,
	METRICS,
};

enum { METRIC_LABELS_BASE = 6, METRIC_LABELS_MORE = 4 };

struct pod_metric_row {
	enum metric_group group;
	const char *name, *help;
	Cri__MetricType type;
	const char *labels[METRIC_LABELS_MORE]; /* after the base; NULL-terminated where there is room */
};

extern const struct pod_metric_row pod_metric_rows[METRICS];
extern const char *const pod_metric_base_labels[METRIC_LABELS_BASE];

/* The descriptors of the metrics that are included. */
void pods_metrics_describe(const struct sandboxes *sandboxes, struct arena *arena,
			   Cri__ListMetricDescriptorsResponse *ret);
/* Those of the ready pods and their running containers. Read files: for workers. */
void pods_metrics_list(struct sandboxes *sandboxes, struct arena *arena,
		       Cri__ListPodSandboxMetricsResponse *ret);
int pods_metrics_each(struct sandboxes *sandboxes, const struct list_sink *sink, struct err *err) MUST_CHECK;

#endif
