/*
 * Stats as the CRI asks for them: a few reads of cgroup files per object, one question to the pod's network
 * namespace, and what the layers' walker measured last. What a host or a cgroup does not have is left unset,
 * and an object that ends meanwhile has what could still be read.
 */
#include <stdlib.h>

#include "base/log.h"
#include "proto/map_entry.h"
#include "proto/message.h"
#include "sandbox/store.h"

static Cri__UInt64Value *number(uint64_t value, struct arena *arena)
{
	Cri__UInt64Value *number = message_new(arena, &cri__uint64_value__descriptor);

	number->value = value;
	return number;
}

/* ---- one cgroup ---- */

static Cri__PsiData *stall_message(const struct cgroup_stall *stall, struct arena *arena)
{
	Cri__PsiData *data = message_new(arena, &cri__psi_data__descriptor);

	data->total = stall->total_us * 1000; /* ns */
	data->avg10 = stall->avg10;
	data->avg60 = stall->avg60;
	data->avg300 = stall->avg300;
	return data;
}

static Cri__PsiStats *pressure_message(const struct cgroup_usage *usage, enum cgroup_item item,
				       const struct cgroup_pressure *pressure, struct arena *arena)
{
	Cri__PsiStats *psi;

	if (!cgroup_usage_has(usage, item))
		return NULL;
	psi = message_new(arena, &cri__psi_stats__descriptor);
	psi->some = stall_message(&pressure->some, arena);
	psi->full = stall_message(&pressure->full, arena);
	return psi;
}

static Cri__CpuUsage *cpu_message(struct cgroup_meter *meter, const struct cgroup_usage *usage,
				  struct arena *arena)
{
	Cri__CpuUsage *cpu;
	uint64_t nano_cores;

	if (!cgroup_usage_has(usage, CGROUP_ITEM_CPU))
		return NULL;
	cpu = message_new(arena, &cri__cpu_usage__descriptor);
	cpu->timestamp = usage->at;
	cpu->usage_core_nano_seconds = number(usage->cpu, arena);
	if (cgroup_meter_rate(meter, usage, &nano_cores))
		cpu->usage_nano_cores = number(nano_cores, arena);
	cpu->psi = pressure_message(usage, CGROUP_ITEM_CPU_PRESSURE, &usage->cpu_pressure, arena);
	return cpu;
}

static Cri__MemoryUsage *memory_message(const struct cgroup_usage *usage, struct arena *arena)
{
	Cri__MemoryUsage *memory;
	uint64_t available;

	if (!cgroup_usage_has(usage, CGROUP_ITEM_MEMORY) || !cgroup_usage_has(usage, CGROUP_ITEM_MEMORY_STAT))
		return NULL;
	memory = message_new(arena, &cri__memory_usage__descriptor);
	memory->timestamp = usage->at;
	memory->usage_bytes = number(usage->memory, arena);
	memory->working_set_bytes = number(cgroup_usage_working_set(usage), arena);
	if (cgroup_usage_available(usage, &available))
		memory->available_bytes = number(available, arena);
	memory->rss_bytes = number(usage->rss, arena);
	memory->page_faults = number(usage->faults, arena);
	memory->major_page_faults = number(usage->major_faults, arena);
	memory->psi = pressure_message(usage, CGROUP_ITEM_MEMORY_PRESSURE, &usage->memory_pressure, arena);
	return memory;
}

static Cri__SwapUsage *swap_message(const struct cgroup_usage *usage, struct arena *arena)
{
	Cri__SwapUsage *swap;

	if (!cgroup_usage_has(usage, CGROUP_ITEM_SWAP))
		return NULL;
	swap = message_new(arena, &cri__swap_usage__descriptor);
	swap->timestamp = usage->at;
	swap->swap_usage_bytes = number(usage->swap, arena);
	if (cgroup_usage_has(usage, CGROUP_ITEM_SWAP_MAX) && usage->swap_max != UINT64_MAX)
		swap->swap_available_bytes =
			number(usage->swap_max > usage->swap ? usage->swap_max - usage->swap : 0, arena);
	return swap;
}

static Cri__IoUsage *io_message(const struct cgroup_usage *usage, struct arena *arena)
{
	Cri__IoUsage *io;

	if (!cgroup_usage_has(usage, CGROUP_ITEM_IO_PRESSURE))
		return NULL;
	io = message_new(arena, &cri__io_usage__descriptor);
	io->timestamp = usage->at;
	io->psi = pressure_message(usage, CGROUP_ITEM_IO_PRESSURE, &usage->io_pressure, arena);
	return io;
}

/* ---- containers ---- */

static Cri__ContainerAttributes *container_attributes(const struct container *container, struct arena *arena)
{
	const Cri__ContainerConfig *config = container->config;
	Cri__ContainerAttributes *attributes = message_new(arena, &cri__container_attributes__descriptor);

	attributes->id = arena_strdup(arena, container->id);
	attributes->metadata = message_clone(&config->metadata->base, arena);
	attributes->n_labels = config->n_labels;
	attributes->labels = map_entries_clone(arena, config->labels, config->n_labels);
	attributes->n_annotations = config->n_annotations;
	attributes->annotations = map_entries_clone(arena, config->annotations, config->n_annotations);
	return attributes;
}

static Cri__FilesystemUsage *writable_layer(struct container *container, struct arena *arena)
{
	struct layer_usage usage;
	Cri__FilesystemUsage *layer;

	if (!layer_meter_read(container, &usage))
		return NULL;
	layer = message_new(arena, &cri__filesystem_usage__descriptor);
	layer->timestamp = usage.at;
	layer->fs_id = message_new(arena, &cri__filesystem_identifier__descriptor);
	layer->fs_id->mountpoint = arena_strdup(arena, container->owner->config->root);
	layer->used_bytes = number(usage.bytes, arena);
	layer->inodes_used = number(usage.inodes, arena);
	return layer;
}

static bool container_runs(struct container *container)
{
	return container_state(container) == CRI__CONTAINER_STATE__CONTAINER_RUNNING;
}

static Cri__ContainerStats *container_message(struct container *container, struct arena *arena)
{
	Cri__ContainerStats *stats = message_new(arena, &cri__container_stats__descriptor);
	struct cgroup_usage usage;

	stats->attributes = container_attributes(container, arena);
	stats->writable_layer = writable_layer(container, arena);
	if (!container_runs(container))
		return stats;
	cgroup_meter_read(&container->meter, CGROUP_METER_STATS, &usage);
	stats->cpu = cpu_message(&container->meter, &usage, arena);
	stats->memory = memory_message(&usage, arena);
	stats->swap = swap_message(&usage, arena);
	stats->io = io_message(&usage, arena);
	return stats;
}

static bool container_matches(void *object, const void *wanted)
{
	const Cri__ContainerStatsFilter *filter = wanted;
	struct container *container = object;
	const Cri__ContainerConfig *config = container->config;

	if (!container_runs(container))
		return false;
	if (!filter)
		return true;
	if (*filter->id && !str_has_prefix(container->id, filter->id))
		return false;
	if (*filter->pod_sandbox_id && !str_has_prefix(container->pod->id, filter->pod_sandbox_id))
		return false;
	return map_entries_match(config->labels, config->n_labels, filter->label_selector,
				 filter->n_label_selector);
}

static ProtobufCMessage *make_container(void *object, const void *data UNUSED, struct arena *arena)
{
	return &container_message(object, arena)->base;
}

static struct lister containers_lister(struct sandboxes *sandboxes, struct container **containers,
				       const Cri__ContainerStatsFilter *filter)
{
	return (struct lister){ .objects = (void *const *)containers,
				.matches = container_matches,
				.filter = filter,
				.make = make_container,
				.pool = sandboxes->pool };
}

int container_stats(struct sandboxes *sandboxes, const char *id, struct arena *arena,
		    Cri__ContainerStatsResponse *ret, struct err *err)
{
	CLEANUP(container_unrefp) struct container *container = NULL;

	if (store_find_container(sandboxes, id, &container, err) < 0)
		return -1;
	ret->stats = container_message(container, arena);
	return 0;
}

int containers_stats_list(struct sandboxes *sandboxes, const Cri__ContainerStatsFilter *filter,
			  struct arena *arena, Cri__ListContainerStatsResponse *ret, struct err *err UNUSED)
{
	CLEANUP(store_containers_freep) struct container **containers = store_containers(sandboxes, NULL);
	const struct lister lister = containers_lister(sandboxes, containers, filter);

	ret->stats = (Cri__ContainerStats **)lister_all(&lister, arena, &ret->n_stats);
	return 0;
}

int containers_stats_each(struct sandboxes *sandboxes, const Cri__ContainerStatsFilter *filter,
			  const struct list_sink *sink, struct err *err)
{
	CLEANUP(store_containers_freep) struct container **containers = store_containers(sandboxes, NULL);
	const struct lister lister = containers_lister(sandboxes, containers, filter);

	return lister_each(&lister, sink, err);
}

/* ---- pods ---- */

static Cri__PodSandboxAttributes *pod_attributes(const struct pod *pod, struct arena *arena)
{
	const Cri__PodSandboxConfig *config = pod->config;
	Cri__PodSandboxAttributes *attributes = message_new(arena, &cri__pod_sandbox_attributes__descriptor);

	attributes->id = arena_strdup(arena, pod->id);
	attributes->metadata = message_clone(&config->metadata->base, arena);
	attributes->n_labels = config->n_labels;
	attributes->labels = map_entries_clone(arena, config->labels, config->n_labels);
	attributes->n_annotations = config->n_annotations;
	attributes->annotations = map_entries_clone(arena, config->annotations, config->n_annotations);
	return attributes;
}

static Cri__NetworkInterfaceUsage *link_message(const struct net_link *link, struct arena *arena)
{
	Cri__NetworkInterfaceUsage *usage = message_new(arena, &cri__network_interface_usage__descriptor);

	usage->name = arena_strdup(arena, link->name);
	usage->rx_bytes = number(link->rx_bytes, arena);
	usage->rx_errors = number(link->rx_errors, arena);
	usage->tx_bytes = number(link->tx_bytes, arena);
	usage->tx_errors = number(link->tx_errors, arena);
	return usage;
}

/* The loopback is nobody's traffic but the pod's own, and is left out. */
static Cri__NetworkUsage *network_message(struct pod *pod, struct arena *arena)
{
	CLEANUP(freep) struct net_usage *usage = xnew(struct net_usage);
	const struct net_link *main;
	Cri__NetworkUsage *network;

	if (!pod_net_usage(pod, usage))
		return NULL;
	network = message_new(arena, &cri__network_usage__descriptor);
	network->timestamp = usage->at;
	network->interfaces = arena_array(arena, usage->len + 1, sizeof(*network->interfaces));
	main = net_usage_default(usage);
	for (size_t i = 0; i < usage->len; i++) {
		const struct net_link *link = &usage->links[i];

		if (link == main)
			network->default_interface = link_message(link, arena);
		else if (!link->loopback)
			network->interfaces[network->n_interfaces++] = link_message(link, arena);
	}
	return network;
}

bool pod_net_usage(struct pod *pod, struct net_usage *ret)
{
	CLEANUP(freep) char *path = NULL;
	struct err err;

	if (pod_host_network(pod))
		return false; /* the host's counters are not the pod's */
	path = namespace_path(pod->ns_dir, NAMESPACE_NET);
	if (net_meter_read(&pod->net, path, ret, &err) == 0)
		return true;
	log_debug("pod %s: ignoring its interfaces: %s", pod->id, err.text);
	return false;
}

/* Where no pids controller is in the view, processes are counted. */
static bool task_count(const struct pod *pod, const struct cgroup_usage *usage, uint64_t *ret)
{
	CLEANUP(cgroup_pids_done) struct cgroup_pids pids = { 0 };
	struct err ignored;

	*ret = usage->pids;
	if (cgroup_usage_has(usage, CGROUP_ITEM_PIDS))
		return true;
	if (cgroup_pids(pod->owner->cgroups, pod->cgroup_path, &pids, &ignored) < 0)
		return false;
	*ret = pids.len;
	return true;
}

static Cri__ProcessUsage *process_message(const struct pod *pod, const struct cgroup_usage *usage,
					  struct arena *arena)
{
	Cri__ProcessUsage *process;
	uint64_t count;

	if (!task_count(pod, usage, &count))
		return NULL;
	process = message_new(arena, &cri__process_usage__descriptor);
	process->timestamp = usage->at;
	process->process_count = number(count, arena);
	return process;
}

static Cri__PodSandboxStats *pod_message(struct pod *pod, struct arena *arena)
{
	Cri__PodSandboxStats *stats = message_new(arena, &cri__pod_sandbox_stats__descriptor);
	struct cgroup_usage usage;

	stats->attributes = pod_attributes(pod, arena);
	stats->linux = message_new(arena, &cri__linux_pod_sandbox_stats__descriptor);
	if (!pod_ready(pod))
		return stats;
	cgroup_meter_read(&pod->meter, CGROUP_METER_POD, &usage);
	stats->linux->cpu = cpu_message(&pod->meter, &usage, arena);
	stats->linux->memory = memory_message(&usage, arena);
	stats->linux->io = io_message(&usage, arena);
	stats->linux->process = process_message(pod, &usage, arena);
	stats->linux->network = network_message(pod, arena);
	stats->linux->containers = (Cri__ContainerStats **)store_running(pod, make_container, arena,
									 &stats->linux->n_containers);
	return stats;
}

static bool pod_matches(void *object, const void *wanted)
{
	const Cri__PodSandboxStatsFilter *filter = wanted;
	struct pod *pod = object;

	if (!pod_ready(pod))
		return false;
	if (!filter)
		return true;
	if (*filter->id && !str_has_prefix(pod->id, filter->id))
		return false;
	return map_entries_match(pod->config->labels, pod->config->n_labels, filter->label_selector,
				 filter->n_label_selector);
}

static ProtobufCMessage *make_pod(void *object, const void *data UNUSED, struct arena *arena)
{
	return &pod_message(object, arena)->base;
}

static struct lister pods_lister(struct sandboxes *sandboxes, struct pod **pods,
				 const Cri__PodSandboxStatsFilter *filter)
{
	return (struct lister){
		.objects = (void *const *)pods,
		.matches = pod_matches,
		.filter = filter,
		.make = make_pod,
		.pool = sandboxes->pool,
	};
}

int pod_stats(struct sandboxes *sandboxes, const char *id, struct arena *arena,
	      Cri__PodSandboxStatsResponse *ret, struct err *err)
{
	CLEANUP(pod_unrefp) struct pod *pod = NULL;

	if (store_find_pod(sandboxes, id, &pod, err) < 0)
		return -1;
	ret->stats = pod_message(pod, arena);
	return 0;
}

int pods_stats_list(struct sandboxes *sandboxes, const Cri__PodSandboxStatsFilter *filter,
		    struct arena *arena, Cri__ListPodSandboxStatsResponse *ret, struct err *err UNUSED)
{
	CLEANUP(store_pods_freep) struct pod **pods = store_pods(sandboxes);
	const struct lister lister = pods_lister(sandboxes, pods, filter);

	ret->stats = (Cri__PodSandboxStats **)lister_all(&lister, arena, &ret->n_stats);
	return 0;
}

int pods_stats_each(struct sandboxes *sandboxes, const Cri__PodSandboxStatsFilter *filter,
		    const struct list_sink *sink, struct err *err)
{
	CLEANUP(store_pods_freep) struct pod **pods = store_pods(sandboxes);
	const struct lister lister = pods_lister(sandboxes, pods, filter);

	return lister_each(&lister, sink, err);
}
