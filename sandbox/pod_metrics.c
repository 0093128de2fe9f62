/*
 * From what was read to metrics. Most are one number of struct cgroup_usage and stand in a table; the others
 * have labels of their own or other sources.
 */
#include "sandbox/pod_metrics.h"

#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "proto/message.h"
#include "sandbox/process_meter.h"
#include "sandbox/store.h"

/* Values of one object, as they are collected. */
struct sheet {
	struct arena *arena;
	int64_t at;
	char **base;     /* METRIC_LABELS_BASE label values */
	unsigned groups; /* what is included: 1 << enum metric_group */
	Cri__Metric **items;
	size_t len, size;
};

static bool has_group(const struct sheet *sheet, enum metric_group group)
{
	return sheet->groups & (1U << group);
}

static void put(struct sheet *sheet, enum pod_metric metric, uint64_t value, const char *const *more)
{
	const struct pod_metric_row *row = &pod_metric_rows[metric];
	Cri__Metric *item;
	size_t extra = 0;

	if (!has_group(sheet, row->group))
		return;
	while (extra < METRIC_LABELS_MORE && row->labels[extra])
		extra++;
	if (sheet->len == sheet->size) {
		Cri__Metric **larger = arena_array(sheet->arena, sheet->size * 2 + 32, sizeof(*larger));

		if (sheet->len)
			memcpy(larger, sheet->items, sheet->len * sizeof(*larger));
		sheet->items = larger;
		sheet->size = sheet->size * 2 + 32;
	}
	item = message_new(sheet->arena, &cri__metric__descriptor);
	item->name = (char *)row->name;
	item->timestamp = sheet->at;
	item->metric_type = row->type;
	item->value = message_new(sheet->arena, &cri__uint64_value__descriptor);
	item->value->value = value;
	item->n_label_values = METRIC_LABELS_BASE + extra;
	item->label_values = sheet->base;
	if (extra) {
		item->label_values = arena_array(sheet->arena, item->n_label_values, sizeof(char *));
		memcpy(item->label_values, sheet->base, METRIC_LABELS_BASE * sizeof(char *));
		for (size_t i = 0; i < extra; i++)
			item->label_values[METRIC_LABELS_BASE + i] = (char *)more[i];
	}
	sheet->items[sheet->len++] = item;
}

/* ---- numbers of a cgroup ---- */

#define SECONDS_OF_NS NS_PER_SEC
#define SECONDS_OF_US (NS_PER_SEC / 1000)
#define USAGE(field) offsetof(struct cgroup_usage, field)

static const struct {
	enum pod_metric metric;
	enum cgroup_item item; /* which tells it on v2; on v1 it may be another's */
	size_t offset;
	int64_t divisor;
} plain[] = {
	{ METRIC_CPU_USER, CGROUP_ITEM_CPU, USAGE(cpu_user), SECONDS_OF_NS },
	{ METRIC_CPU_SYSTEM, CGROUP_ITEM_CPU, USAGE(cpu_system), SECONDS_OF_NS },
	{ METRIC_CFS_PERIODS, CGROUP_ITEM_CPU, USAGE(periods), 1 },
	{ METRIC_CFS_THROTTLED_PERIODS, CGROUP_ITEM_CPU, USAGE(throttled_periods), 1 },
	{ METRIC_CFS_THROTTLED_SECONDS, CGROUP_ITEM_CPU, USAGE(throttled), SECONDS_OF_NS },
	{ METRIC_MEMORY_CACHE, CGROUP_ITEM_MEMORY_STAT, USAGE(cache), 1 },
	{ METRIC_MEMORY_RSS, CGROUP_ITEM_MEMORY_STAT, USAGE(rss), 1 },
	{ METRIC_MEMORY_KERNEL, CGROUP_ITEM_MEMORY_STAT, USAGE(kernel), 1 },
	{ METRIC_MEMORY_MAPPED, CGROUP_ITEM_MEMORY_STAT, USAGE(mapped), 1 },
	{ METRIC_MEMORY_SWAP, CGROUP_ITEM_SWAP, USAGE(swap), 1 },
	{ METRIC_MEMORY_FAILCNT, CGROUP_ITEM_FAILURES, USAGE(failures), 1 },
	{ METRIC_MEMORY_USAGE, CGROUP_ITEM_MEMORY, USAGE(memory), 1 },
	{ METRIC_MEMORY_PEAK, CGROUP_ITEM_MEMORY_PEAK, USAGE(memory_peak), 1 },
	{ METRIC_MEMORY_ACTIVE_FILE, CGROUP_ITEM_MEMORY_STAT, USAGE(active_file), 1 },
	{ METRIC_MEMORY_INACTIVE_FILE, CGROUP_ITEM_MEMORY_STAT, USAGE(inactive_file), 1 },
	{ METRIC_OOM, CGROUP_ITEM_OOM, USAGE(oom_kills), 1 },
	{ METRIC_CPU_STALLED, CGROUP_ITEM_CPU_PRESSURE, USAGE(cpu_pressure.full.total_us), SECONDS_OF_US },
	{ METRIC_CPU_WAITING, CGROUP_ITEM_CPU_PRESSURE, USAGE(cpu_pressure.some.total_us), SECONDS_OF_US },
	{ METRIC_MEMORY_STALLED, CGROUP_ITEM_MEMORY_PRESSURE, USAGE(memory_pressure.full.total_us),
	  SECONDS_OF_US },
	{ METRIC_MEMORY_WAITING, CGROUP_ITEM_MEMORY_PRESSURE, USAGE(memory_pressure.some.total_us),
	  SECONDS_OF_US },
	{ METRIC_IO_STALLED, CGROUP_ITEM_IO_PRESSURE, USAGE(io_pressure.full.total_us), SECONDS_OF_US },
	{ METRIC_IO_WAITING, CGROUP_ITEM_IO_PRESSURE, USAGE(io_pressure.some.total_us), SECONDS_OF_US },
	{ METRIC_PROCESSES, CGROUP_ITEM_PROCS, USAGE(processes), 1 },
	{ METRIC_THREADS, CGROUP_ITEM_PIDS, USAGE(pids), 1 },
};

/* Every item there is. */
#define ITEMS (CGROUP_ITEM_BIT(CGROUP_ITEMS) - 1)

static void put_plain(struct sheet *sheet, const struct cgroup_usage *usage)
{
	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		uint64_t value;

		if (!cgroup_usage_has(usage, plain[i].item))
			continue;
		memcpy(&value, (const char *)usage + plain[i].offset, sizeof(value));
		put(sheet, plain[i].metric, value / (uint64_t)plain[i].divisor, NULL);
	}
}

static void put_failures(struct sheet *sheet, const struct cgroup_usage *usage)
{
	static const char *const scopes[] = { "container", "hierarchy" };

	for (size_t i = 0; i < ARRAY_LEN(scopes); i++) {
		const char *faults[] = { "pgfault", scopes[i] }, *major[] = { "pgmajfault", scopes[i] };

		put(sheet, METRIC_MEMORY_FAILURES, usage->faults, faults);
		put(sheet, METRIC_MEMORY_FAILURES, usage->major_faults, major);
	}
}

static void put_device(struct sheet *sheet, const struct cgroup_device *device)
{
	const char *name = arena_fmt(sheet->arena, "%u:%u", device->major, device->minor);
	const char *labels[] = { name, arena_fmt(sheet->arena, "%u", device->major),
				 arena_fmt(sheet->arena, "%u", device->minor), "read" };

	put(sheet, METRIC_FS_READ_BYTES, device->read_bytes, labels);
	put(sheet, METRIC_FS_READS, device->reads, labels);
	put(sheet, METRIC_FS_WRITE_BYTES, device->write_bytes, labels);
	put(sheet, METRIC_FS_WRITES, device->writes, labels);
	put(sheet, METRIC_BLKIO, device->read_bytes, labels);
	labels[3] = "write";
	put(sheet, METRIC_BLKIO, device->write_bytes, labels);
}

static void put_usage(struct sheet *sheet, const struct cgroup_usage *usage)
{
	static const char *const total[] = { "total" };

	put_plain(sheet, usage);
	if (cgroup_usage_has(usage, CGROUP_ITEM_CPU))
		put(sheet, METRIC_CPU_USAGE, usage->cpu / NS_PER_SEC, total);
	if (cgroup_usage_has(usage, CGROUP_ITEM_MEMORY) && cgroup_usage_has(usage, CGROUP_ITEM_MEMORY_STAT))
		put(sheet, METRIC_MEMORY_WORKING_SET, cgroup_usage_working_set(usage), NULL);
	if (cgroup_usage_has(usage, CGROUP_ITEM_MEMORY_STAT))
		put_failures(sheet, usage);
	if (cgroup_usage_has(usage, CGROUP_ITEM_PIDS_MAX))
		put(sheet, METRIC_THREADS_MAX, usage->pids_max == UINT64_MAX ? 0 : usage->pids_max, NULL);
	for (size_t i = 0; i < usage->io.len; i++)
		put_device(sheet, &usage->io.items[i]);
}

/* ---- other sources ---- */

static void put_disk(struct sheet *sheet, struct container *container)
{
	struct layer_usage layer;
	struct statvfs fs;

	if (!has_group(sheet, METRIC_GROUP_DISK))
		return;
	if (layer_meter_read(container, &layer))
		put(sheet, METRIC_FS_USAGE, layer.bytes, NULL);
	if (statvfs(container->owner->config->root, &fs) < 0)
		return;
	put(sheet, METRIC_FS_LIMIT, (uint64_t)fs.f_blocks * fs.f_frsize, NULL);
	put(sheet, METRIC_FS_INODES_TOTAL, fs.f_files, NULL);
	put(sheet, METRIC_FS_INODES_FREE, fs.f_ffree, NULL);
}

static void put_processes(struct sheet *sheet, struct container *container)
{
	static const char *const files[] = { "max_open_files" };
	CLEANUP(process_done) struct process init = PROCESS_INIT;
	struct process_usage usage;
	uint64_t max;

	if (!has_group(sheet, METRIC_GROUP_PROCESS))
		return;
	if (process_usage_read(container->owner->cgroups, container->cgroup_path, &usage)) {
		put(sheet, METRIC_DESCRIPTORS, usage.descriptors, NULL);
		put(sheet, METRIC_SOCKETS, usage.sockets, NULL);
	}
	init = container_init_process(container);
	if (process_files_max(&init, &max))
		put(sheet, METRIC_ULIMITS, max, files);
}

static void put_huge_pages(struct sheet *sheet, struct container *container)
{
	struct huge_usage usage;

	if (!has_group(sheet, METRIC_GROUP_HUGETLB))
		return;
	huge_usage_read(container->owner->cgroups, container->cgroup_path, &usage);
	for (size_t i = 0; i < usage.len; i++) {
		const struct huge_size *size = &usage.items[i];
		const char *labels[] = { arena_strdup(sheet->arena, size->size) };

		put(sheet, METRIC_HUGETLB_USAGE, size->bytes, labels);
		if (size->has_max)
			put(sheet, METRIC_HUGETLB_PEAK, size->bytes_max, labels);
	}
}

static uint64_t limit_of(int64_t value)
{
	return value > 0 ? (uint64_t)value : 0; /* no limit is 0, as in cAdvisor */
}

static void put_spec(struct sheet *sheet, struct container *container)
{
	const Cri__LinuxContainerResources *resources;
	int64_t started;

	lock_take(&container->lock);
	started = container->started_at;
	lock_drop(&container->lock);
	put(sheet, METRIC_START_TIME, (uint64_t)(started / NS_PER_SEC), NULL);
	resources = container_resources(container, sheet->arena);
	if (!resources)
		return;
	put(sheet, METRIC_SPEC_PERIOD, limit_of(resources->cpu_period), NULL);
	put(sheet, METRIC_SPEC_SHARES, limit_of(resources->cpu_shares), NULL);
	if (resources->cpu_quota > 0)
		put(sheet, METRIC_SPEC_QUOTA, (uint64_t)resources->cpu_quota, NULL);
	put(sheet, METRIC_SPEC_MEMORY, limit_of(resources->memory_limit_in_bytes), NULL);
	put(sheet, METRIC_SPEC_SWAP, limit_of(resources->memory_swap_limit_in_bytes), NULL);
}

static void put_link(struct sheet *sheet, const struct net_link *link)
{
	const char *labels[] = { arena_strdup(sheet->arena, link->name) };

	put(sheet, METRIC_RX_BYTES, link->rx_bytes, labels);
	put(sheet, METRIC_RX_PACKETS, link->rx_packets, labels);
	put(sheet, METRIC_RX_DROPPED, link->rx_dropped, labels);
	put(sheet, METRIC_RX_ERRORS, link->rx_errors, labels);
	put(sheet, METRIC_TX_BYTES, link->tx_bytes, labels);
	put(sheet, METRIC_TX_PACKETS, link->tx_packets, labels);
	put(sheet, METRIC_TX_DROPPED, link->tx_dropped, labels);
	put(sheet, METRIC_TX_ERRORS, link->tx_errors, labels);
}

static void put_network(struct sheet *sheet, struct pod *pod)
{
	CLEANUP(freep) struct net_usage *usage = xnew(struct net_usage);

	if (!has_group(sheet, METRIC_GROUP_NETWORK) || !pod_net_usage(pod, usage))
		return;
	for (size_t i = 0; i < usage->len; i++)
		if (!usage->links[i].loopback)
			put_link(sheet, &usage->links[i]);
}

/* ---- pods and containers ---- */

static struct sheet sheet_of(const struct pod *pod, const struct container *container, struct arena *arena)
{
	const Cri__PodSandboxMetadata *metadata = pod->config->metadata;
	const char *image = container && container->image.name ? container->image.name : "";
	const char *values[METRIC_LABELS_BASE] = {
		container ? container->cgroup_path : pod->cgroup_path,
		container ? container->id : pod->id,
		image,
		metadata->namespace_,
		metadata->name,
		container ? container->config->metadata->name : "POD",
	};
	struct sheet sheet = { .arena = arena,
			       .at = clock_real(),
			       .groups = metric_groups_of(&pod->owner->config->stats.included_pod_metrics) };

	sheet.base = arena_array(arena, METRIC_LABELS_BASE, sizeof(*sheet.base));
	for (size_t i = 0; i < METRIC_LABELS_BASE; i++)
		sheet.base[i] = arena_strdup(arena, values[i]);
	return sheet;
}

static ProtobufCMessage *make_container(void *object, const void *data UNUSED, struct arena *arena)
{
	struct container *container = object;
	Cri__ContainerMetrics *metrics = message_new(arena, &cri__container_metrics__descriptor);
	struct sheet sheet = sheet_of(container->pod, container, arena);
	struct cgroup_usage usage;

	cgroup_meter_read(&container->meter, ITEMS, &usage);
	put(&sheet, METRIC_LAST_SEEN, (uint64_t)(sheet.at / NS_PER_SEC), NULL);
	put_usage(&sheet, &usage);
	put_disk(&sheet, container);
	put_processes(&sheet, container);
	put_huge_pages(&sheet, container);
	put_spec(&sheet, container);
	metrics->container_id = arena_strdup(arena, container->id);
	metrics->metrics = sheet.items;
	metrics->n_metrics = sheet.len;
	return &metrics->base;
}

static ProtobufCMessage *make_pod(void *object, const void *data UNUSED, struct arena *arena)
{
	struct pod *pod = object;
	struct sheet sheet = sheet_of(pod, NULL, arena);
	Cri__PodSandboxMetrics *metrics = message_new(arena, &cri__pod_sandbox_metrics__descriptor);

	put_network(&sheet, pod);
	metrics->pod_sandbox_id = arena_strdup(arena, pod->id);
	metrics->metrics = sheet.items;
	metrics->n_metrics = sheet.len;
	metrics->container_metrics = (Cri__ContainerMetrics **)store_running(pod, make_container, arena,
									     &metrics->n_container_metrics);
	return &metrics->base;
}

static bool is_ready(void *object, const void *filter UNUSED)
{
	return pod_ready(object);
}

static struct lister lister_of(struct sandboxes *sandboxes, struct pod **pods)
{
	return (struct lister){
		.objects = (void *const *)pods, .matches = is_ready, .make = make_pod, .pool = sandboxes->pool
	};
}

void pods_metrics_list(struct sandboxes *sandboxes, struct arena *arena,
		       Cri__ListPodSandboxMetricsResponse *ret)
{
	CLEANUP(store_pods_freep) struct pod **pods = store_pods(sandboxes);
	const struct lister lister = lister_of(sandboxes, pods);

	ret->pod_metrics = (Cri__PodSandboxMetrics **)lister_all(&lister, arena, &ret->n_pod_metrics);
}

int pods_metrics_each(struct sandboxes *sandboxes, const struct list_sink *sink, struct err *err)
{
	CLEANUP(store_pods_freep) struct pod **pods = store_pods(sandboxes);
	const struct lister lister = lister_of(sandboxes, pods);

	return lister_each(&lister, sink, err);
}

void pods_metrics_describe(const struct sandboxes *sandboxes, struct arena *arena,
			   Cri__ListMetricDescriptorsResponse *ret)
{
	unsigned groups = metric_groups_of(&sandboxes->config->stats.included_pod_metrics);

	ret->descriptors = arena_array(arena, METRICS, sizeof(*ret->descriptors));
	for (size_t i = 0; i < METRICS; i++) {
		const struct pod_metric_row *row = &pod_metric_rows[i];

		if (!(groups & (1U << row->group)))
			continue;
		Cri__MetricDescriptor *item = message_new(arena, &cri__metric_descriptor__descriptor);
		item->name = (char *)row->name;
		item->help = (char *)row->help;
		item->label_keys =
			arena_array(arena, METRIC_LABELS_BASE + METRIC_LABELS_MORE, sizeof(char *));
		for (size_t k = 0; k < METRIC_LABELS_BASE; k++)
			item->label_keys[item->n_label_keys++] = (char *)pod_metric_base_labels[k];
		for (size_t k = 0; k < METRIC_LABELS_MORE && row->labels[k]; k++)
			item->label_keys[item->n_label_keys++] = (char *)row->labels[k];
		ret->descriptors[ret->n_descriptors++] = item;
	}
}
