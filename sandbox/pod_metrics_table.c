/* Names, help and labels of pod metrics: see pod_metrics.h. */
#include "sandbox/pod_metrics.h"

const char *const pod_metric_base_labels[METRIC_LABELS_BASE] = { "id",        "name", "image",
								 "namespace", "pod",  "container" };

#define COUNTER CRI__METRIC_TYPE__COUNTER
#define GAUGE CRI__METRIC_TYPE__GAUGE

/* clang-format off */
const struct pod_metric_row pod_metric_rows[METRICS] = {
	[METRIC_LAST_SEEN] = { METRIC_GROUP_MISC, "container_last_seen", "Last time a container was seen by the exporter", GAUGE },

	[METRIC_CPU_USER] = { METRIC_GROUP_CPU, "container_cpu_user_seconds_total", "Cumulative user CPU time consumed in seconds.", COUNTER },
	[METRIC_CPU_SYSTEM] = { METRIC_GROUP_CPU, "container_cpu_system_seconds_total", "Cumulative system CPU time consumed in seconds.", COUNTER },
	[METRIC_CPU_USAGE] = { METRIC_GROUP_CPU, "container_cpu_usage_seconds_total", "Cumulative CPU time consumed in seconds.", COUNTER, { "cpu" } },
	[METRIC_CFS_PERIODS] = { METRIC_GROUP_CPU, "container_cpu_cfs_periods_total", "Number of elapsed enforcement period intervals.", COUNTER },
	[METRIC_CFS_THROTTLED_PERIODS] = { METRIC_GROUP_CPU, "container_cpu_cfs_throttled_periods_total", "Number of throttled period intervals.", COUNTER },
	[METRIC_CFS_THROTTLED_SECONDS] = { METRIC_GROUP_CPU, "container_cpu_cfs_throttled_seconds_total",
		"Total time duration the container has been throttled.", COUNTER },

	[METRIC_FS_INODES_FREE] = { METRIC_GROUP_DISK, "container_fs_inodes_free", "Number of available Inodes", GAUGE },
	[METRIC_FS_INODES_TOTAL] = { METRIC_GROUP_DISK, "container_fs_inodes_total", "Number of Inodes", GAUGE },
	[METRIC_FS_LIMIT] = { METRIC_GROUP_DISK, "container_fs_limit_bytes",
		"Number of bytes that can be consumed by the container on this filesystem.", GAUGE },
	[METRIC_FS_USAGE] = { METRIC_GROUP_DISK, "container_fs_usage_bytes",
		"Number of bytes that are consumed by the container on this filesystem.", GAUGE },

	[METRIC_FS_READ_BYTES] = { METRIC_GROUP_DISK_IO, "container_fs_reads_bytes_total", "Cumulative count of bytes read", COUNTER, { "device" } },
	[METRIC_FS_READS] = { METRIC_GROUP_DISK_IO, "container_fs_reads_total", "Cumulative count of reads completed", COUNTER, { "device" } },
	[METRIC_FS_WRITE_BYTES] = { METRIC_GROUP_DISK_IO, "container_fs_writes_bytes_total", "Cumulative count of bytes written", COUNTER, { "device" } },
	[METRIC_FS_WRITES] = { METRIC_GROUP_DISK_IO, "container_fs_writes_total", "Cumulative count of writes completed", COUNTER, { "device" } },
	[METRIC_BLKIO] = { METRIC_GROUP_DISK_IO, "container_blkio_device_usage_total", "Blkio Device bytes usage", COUNTER, { "device", "major", "minor", "operation" } },

	[METRIC_HUGETLB_USAGE] = { METRIC_GROUP_HUGETLB, "container_hugetlb_usage_bytes", "Current hugepage usage in bytes", GAUGE, { "pagesize" } },
	[METRIC_HUGETLB_PEAK] = { METRIC_GROUP_HUGETLB, "container_hugetlb_max_usage_bytes", "Maximum hugepage usage recorded in bytes", GAUGE, { "pagesize" } },

	[METRIC_MEMORY_CACHE] = { METRIC_GROUP_MEMORY, "container_memory_cache", "Number of bytes of page cache memory.", GAUGE },
	[METRIC_MEMORY_RSS] = { METRIC_GROUP_MEMORY, "container_memory_rss", "Size of RSS in bytes.", GAUGE },
	[METRIC_MEMORY_KERNEL] = { METRIC_GROUP_MEMORY, "container_memory_kernel_usage", "Size of kernel memory allocated in bytes.", GAUGE },
	[METRIC_MEMORY_MAPPED] = { METRIC_GROUP_MEMORY, "container_memory_mapped_file", "Size of memory mapped files in bytes.", GAUGE },
	[METRIC_MEMORY_SWAP] = { METRIC_GROUP_MEMORY, "container_memory_swap", "Container swap usage in bytes.", GAUGE },
	[METRIC_MEMORY_FAILCNT] = { METRIC_GROUP_MEMORY, "container_memory_failcnt", "Number of memory usage hits limits", COUNTER },
	[METRIC_MEMORY_USAGE] = { METRIC_GROUP_MEMORY, "container_memory_usage_bytes",
		"Current memory usage in bytes, including all memory regardless of when it was accessed", GAUGE },
	[METRIC_MEMORY_PEAK] = { METRIC_GROUP_MEMORY, "container_memory_max_usage_bytes", "Maximum memory usage recorded in bytes", GAUGE },
	[METRIC_MEMORY_WORKING_SET] = { METRIC_GROUP_MEMORY, "container_memory_working_set_bytes", "Current working set in bytes.", GAUGE },
	[METRIC_MEMORY_ACTIVE_FILE] = { METRIC_GROUP_MEMORY, "container_memory_total_active_file_bytes", "Current total active file in bytes.", GAUGE },
	[METRIC_MEMORY_INACTIVE_FILE] = { METRIC_GROUP_MEMORY, "container_memory_total_inactive_file_bytes",
		"Current total inactive file in bytes.", GAUGE },
	[METRIC_MEMORY_FAILURES] = { METRIC_GROUP_MEMORY, "container_memory_failures_total", "Cumulative count of memory allocation failures.", COUNTER, { "failure_type", "scope" } },

	[METRIC_RX_BYTES] = { METRIC_GROUP_NETWORK, "container_network_receive_bytes_total", "Cumulative count of bytes received", COUNTER, { "interface" } },
	[METRIC_RX_PACKETS] = { METRIC_GROUP_NETWORK, "container_network_receive_packets_total", "Cumulative count of packets received", COUNTER, { "interface" } },
	[METRIC_RX_DROPPED] = { METRIC_GROUP_NETWORK, "container_network_receive_packets_dropped_total",
		"Cumulative count of packets dropped while receiving", COUNTER, { "interface" } },
	[METRIC_RX_ERRORS] = { METRIC_GROUP_NETWORK, "container_network_receive_errors_total",
		"Cumulative count of errors encountered while receiving", COUNTER, { "interface" } },
	[METRIC_TX_BYTES] = { METRIC_GROUP_NETWORK, "container_network_transmit_bytes_total", "Cumulative count of bytes transmitted", COUNTER, { "interface" } },
	[METRIC_TX_PACKETS] = { METRIC_GROUP_NETWORK, "container_network_transmit_packets_total", "Cumulative count of packets transmitted", COUNTER, { "interface" } },
	[METRIC_TX_DROPPED] = { METRIC_GROUP_NETWORK, "container_network_transmit_packets_dropped_total",
		"Cumulative count of packets dropped while transmitting", COUNTER, { "interface" } },
	[METRIC_TX_ERRORS] = { METRIC_GROUP_NETWORK, "container_network_transmit_errors_total",
		"Cumulative count of errors encountered while transmitting", COUNTER, { "interface" } },

	[METRIC_OOM] = { METRIC_GROUP_OOM, "container_oom_events_total", "Count of out of memory events observed for the container", COUNTER },

	[METRIC_CPU_STALLED] = { METRIC_GROUP_PRESSURE, "container_pressure_cpu_stalled_seconds_total",
		"Total time duration no tasks in the container could make progress due to CPU congestion.", COUNTER },
	[METRIC_CPU_WAITING] = { METRIC_GROUP_PRESSURE, "container_pressure_cpu_waiting_seconds_total",
		"Total time duration tasks in the container have waited due to CPU congestion.", COUNTER },
	[METRIC_MEMORY_STALLED] = { METRIC_GROUP_PRESSURE, "container_pressure_memory_stalled_seconds_total",
		"Total time duration no tasks in the container could make progress due to memory congestion.", COUNTER },
	[METRIC_MEMORY_WAITING] = { METRIC_GROUP_PRESSURE, "container_pressure_memory_waiting_seconds_total",
		"Total time duration tasks in the container have waited due to memory congestion.", COUNTER },
	[METRIC_IO_STALLED] = { METRIC_GROUP_PRESSURE, "container_pressure_io_stalled_seconds_total",
		"Total time duration no tasks in the container could make progress due to IO congestion.", COUNTER },
	[METRIC_IO_WAITING] = { METRIC_GROUP_PRESSURE, "container_pressure_io_waiting_seconds_total",
		"Total time duration tasks in the container have waited due to IO congestion.", COUNTER },

	[METRIC_PROCESSES] = { METRIC_GROUP_PROCESS, "container_processes", "Number of processes running inside the container.", GAUGE },
	[METRIC_THREADS] = { METRIC_GROUP_PROCESS, "container_threads", "Number of threads running inside the container", GAUGE },
	[METRIC_THREADS_MAX] = { METRIC_GROUP_PROCESS, "container_threads_max",
		"Maximum number of threads allowed inside the container, infinity if value is zero", GAUGE },
	[METRIC_DESCRIPTORS] = { METRIC_GROUP_PROCESS, "container_file_descriptors", "Number of open file descriptors for the container.", GAUGE },
	[METRIC_SOCKETS] = { METRIC_GROUP_PROCESS, "container_sockets", "Number of open sockets for the container.", GAUGE },
	[METRIC_ULIMITS] = { METRIC_GROUP_PROCESS, "container_ulimits_soft",
		"Soft ulimit values for the container root process. Unlimited if -1, except priority and nice", GAUGE, { "ulimit" } },

	[METRIC_SPEC_PERIOD] = { METRIC_GROUP_SPEC, "container_spec_cpu_period", "CPU period of the container.", GAUGE },
	[METRIC_SPEC_SHARES] = { METRIC_GROUP_SPEC, "container_spec_cpu_shares", "CPU share of the container.", GAUGE },
	[METRIC_SPEC_QUOTA] = { METRIC_GROUP_SPEC, "container_spec_cpu_quota", "CPU quota of the container.", GAUGE },
	[METRIC_SPEC_MEMORY] = { METRIC_GROUP_SPEC, "container_spec_memory_limit_bytes", "Memory limit for the container.", GAUGE },
	[METRIC_SPEC_SWAP] = { METRIC_GROUP_SPEC, "container_spec_memory_swap_limit_bytes", "Memory swap limit for the container.", GAUGE },
	[METRIC_START_TIME] = { METRIC_GROUP_SPEC, "container_start_time_seconds",
		"Start time of the container since unix epoch in seconds.", GAUGE },
};
/* clang-format on */
