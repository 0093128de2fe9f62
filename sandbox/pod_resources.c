/* See pod_resources.h; and UpdatePodSandboxResources. */
#include "sandbox/pod_resources.h"

#include <string.h>

#include "base/crash.h"
#include "base/json.h"
#include "base/str.h"
#include "proto/message.h"
#include "sandbox/cgroup_limits.h"
#include "sandbox/store.h"

enum { DEFAULT_PERIOD = 100000 }; /* microseconds: the kernel's */

/* kubelet: "/kubepods/burstable/pod<uid>", "kubepods-burstable-pod<uid, - as _>.slice". */
static bool named_after(const struct pod *pod)
{
	const char *name = strrchr(pod->cgroup_path, '/') + 1, *uid = pod->config->metadata->uid;
	CLEANUP(freep) char *part = xasprintf("pod%s", uid);

	if (str_empty(uid))
		return false;
	if (strstr(name, part))
		return true;
	for (char *c = part; *c; c++)
		if (*c == '-')
			*c = '_';
	return strstr(name, part);
}

static int64_t period_of(const Cri__LinuxContainerResources *resources)
{
	return resources->cpu_period > 0 ? resources->cpu_period : DEFAULT_PERIOD;
}

/* What the pod is given beside its containers: only where these are limited at all. */
static void add_overhead(Cri__LinuxContainerResources *sum, const Cri__LinuxContainerResources *overhead)
{
	sum->cpu_shares += overhead->cpu_shares;
	if (sum->cpu_quota > 0 && overhead->cpu_quota > 0)
		sum->cpu_quota += overhead->cpu_quota * period_of(sum) / period_of(overhead);
	if (sum->memory_limit_in_bytes > 0)
		sum->memory_limit_in_bytes += overhead->memory_limit_in_bytes;
	if (sum->memory_swap_limit_in_bytes > 0)
		sum->memory_swap_limit_in_bytes += overhead->memory_limit_in_bytes;
}

Cri__LinuxContainerResources *pod_resources_sum(const Cri__LinuxContainerResources *overhead,
						const Cri__LinuxContainerResources *resources,
						struct arena *arena)
{
	Cri__LinuxContainerResources *sum =
		resources ? message_clone(&resources->base, arena)
			  : message_new(arena, &cri__linux_container_resources__descriptor);

	sum->oom_score_adj = 0; /* of processes, not of the pod */
	if (overhead)
		add_overhead(sum, overhead);
	return sum;
}

/* Each for itself and then the sum, which may be too much. */
static int check_parts(const struct spec_host *host, const Cri__LinuxContainerResources *overhead,
		       const Cri__LinuxContainerResources *resources, struct err *err)
{
	CLEANUP(json_decrefp) json_t *first = NULL;
	CLEANUP(json_decrefp) json_t *second = NULL;

	if (spec_resources(overhead, host, &first, err) < 0)
		return err_prefix(err, "overhead");
	if (spec_resources(resources, host, &second, err) < 0)
		return err_prefix(err, "resources");
	if (overhead && resources &&
	    overhead->memory_limit_in_bytes > INT64_MAX - resources->memory_limit_in_bytes)
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "overhead and resources: the memory is out of range");
	return 0;
}

int pod_resources_check(const struct pod *pod, struct err *err)
{
	return check_parts(&pod->owner->host, pod->overhead, pod->resources, err);
}

/* Containers may swap what their own limits allow: without a word about it the pod has no limit of it. */
static int limit(const struct pod *pod, const Cri__LinuxContainerResources *overhead,
		 const Cri__LinuxContainerResources *resources, enum cgroup_limit_mode mode, struct err *err)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(json_decrefp) json_t *json = NULL;
	const Cri__LinuxContainerResources *sum = pod_resources_sum(overhead, resources, arena);
	struct spec_host host = pod->owner->host;

	host.swap_accounting = host.swap_accounting && sum->memory_swap_limit_in_bytes;
	if (spec_resources(sum, &host, &json, err) < 0)
		return -1;
	return cgroup_limit(pod->owner->cgroups, pod->cgroup_path, json, mode, err);
}

int pod_resources_apply(struct pod *pod, struct err *err)
{
	if (!cgroup_pod_path_is_ours(pod->cgroup_path, pod->id))
		return 0;
	return limit(pod, pod->overhead, pod->resources, CGROUP_LIMIT_ALL, err);
}

Cri__PodSandboxConfig *pod_resources_config(struct pod *pod, struct arena *arena)
{
	Cri__PodSandboxConfig *config = message_clone(&pod->config->base, arena);

	lock_take(&pod->lock);
	if (!config->linux && (pod->overhead || pod->resources))
		config->linux = message_new(arena, &cri__linux_pod_sandbox_config__descriptor);
	if (pod->overhead)
		config->linux->overhead = message_clone(&pod->overhead->base, arena);
	if (pod->resources)
		config->linux->resources = message_clone(&pod->resources->base, arena);
	lock_drop(&pod->lock);
	return config;
}

/* ---- UpdatePodSandboxResources ---- */

struct update {
	struct arena *arena; /* of the two; the pod's in the end */
	const Cri__LinuxContainerResources *overhead, *resources;
};

static void swap(struct pod *pod, struct update *update)
{
	struct update now = *update;

	lock_take(&pod->lock);
	*update = (struct update){ pod->resources_arena, pod->overhead, pod->resources };
	pod->resources_arena = now.arena;
	pod->overhead = now.overhead;
	pod->resources = now.resources;
	lock_drop(&pod->lock);
}

static int limit_updated(const struct pod *pod, const struct update *update, struct err *err)
{
	if (cgroup_pod_path_is_ours(pod->cgroup_path, pod->id))
		return limit(pod, update->overhead, update->resources, CGROUP_LIMIT_ALL, err);
	if (named_after(pod))
		return limit(pod, update->overhead, update->resources, CGROUP_LIMIT_MOVE, err);
	return 0;
}

/* update then holds what goes: after a failure the new values, else the old ones. */
static int update_gated(struct pod *pod, struct update *update, struct err *err)
{
	struct err ignored;

	if (!pod_ready(pod))
		return err_set(err, RPC_FAILED_PRECONDITION, "pod sandbox %s is not ready", pod->id);
	if (limit_updated(pod, update, err) < 0 || crash_point("update_pod.applied"))
		return -1;
	swap(pod, update);
	if (pod_save_config(pod, err) == 0)
		return crash_point("update_pod.saved");
	(void)!limit_updated(pod, update, &ignored);
	swap(pod, update);
	return -1;
}

/* What the request does not mention stays. */
static const Cri__LinuxContainerResources *pick(const Cri__LinuxContainerResources *asked,
						const Cri__LinuxContainerResources *now, struct arena *arena)
{
	const Cri__LinuxContainerResources *from = asked ? asked : now;

	return from ? message_clone(&from->base, arena) : NULL;
}

static int update(struct pod *pod, const Cri__UpdatePodSandboxResourcesRequest *request, struct err *err)
{
	struct update update = { .arena = arena_new(0) };

	/* Inside the gate nobody else changes them. */
	update.overhead = pick(request->overhead, pod->overhead, update.arena);
	update.resources = pick(request->resources, pod->resources, update.arena);
	int failed = update_gated(pod, &update, err);
	arena_free(update.arena);
	return failed;
}

int pod_update_resources(struct sandboxes *sandboxes, const struct ctx *ctx,
			 const Cri__UpdatePodSandboxResourcesRequest *request, struct err *err)
{
	CLEANUP(pod_unrefp) struct pod *pod = NULL;

	if (store_find_pod(sandboxes, request->pod_sandbox_id, &pod, err) < 0 ||
	    check_parts(&sandboxes->host, request->overhead, request->resources, err) < 0 ||
	    gate_enter(&pod->gate, ctx, "UpdatePodSandboxResources", err) < 0)
		return -1;
	int failed = update(pod, request, err);
	gate_leave(&pod->gate);
	return failed;
}
