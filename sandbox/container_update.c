/*
 * UpdateContainerResources. The kubelet sends only what changes, so the request is merged into what holds;
 * the OCI runtime is told all of it, by its update verb, and the merged whole is what the status shows and a
 * restart finds. oom_score_adj is that of the container's processes, not a limit: it stays as the container
 * was created.
 */
#include <string.h>

#include "base/crash.h"
#include "base/json.h"
#include "base/str.h"
#include "proto/message.h"
#include "sandbox/cgroup_limits.h"
#include "sandbox/container.h"
#include "sandbox/store.h"

static void merge_numbers(Cri__LinuxContainerResources *now, const Cri__LinuxContainerResources *asked)
{
	int64_t *const to[] = { &now->cpu_period, &now->cpu_quota, &now->cpu_shares,
				&now->memory_limit_in_bytes, &now->memory_swap_limit_in_bytes };
	const int64_t from[] = { asked->cpu_period, asked->cpu_quota, asked->cpu_shares,
				 asked->memory_limit_in_bytes, asked->memory_swap_limit_in_bytes };

	for (size_t i = 0; i < ARRAY_LEN(to); i++)
		if (from[i])
			*to[i] = from[i];
}

static Cri__HugepageLimit *find_pages(const Cri__LinuxContainerResources *now, const char *size)
{
	for (size_t i = 0; i < now->n_hugepage_limits; i++)
		if (str_eq(now->hugepage_limits[i]->page_size, size))
			return now->hugepage_limits[i];
	return NULL;
}

static void merge_pages(Cri__LinuxContainerResources *now, const Cri__LinuxContainerResources *asked,
			struct arena *arena)
{
	size_t most = now->n_hugepage_limits + asked->n_hugepage_limits;
	Cri__HugepageLimit **list = arena_array(arena, most + 1, sizeof(*list));

	for (size_t i = 0; i < now->n_hugepage_limits; i++)
		list[i] = now->hugepage_limits[i];
	now->hugepage_limits = list;
	for (size_t i = 0; i < asked->n_hugepage_limits; i++) {
		Cri__HugepageLimit *known = find_pages(now, asked->hugepage_limits[i]->page_size);

		if (known)
			known->limit = asked->hugepage_limits[i]->limit;
		else
			list[now->n_hugepage_limits++] =
				message_clone(&asked->hugepage_limits[i]->base, arena);
	}
}

typedef Cri__LinuxContainerResources__UnifiedEntry unified_entry;

static unified_entry *find_unified(const Cri__LinuxContainerResources *now, const char *key)
{
	for (size_t i = 0; i < now->n_unified; i++)
		if (str_eq(now->unified[i]->key, key))
			return now->unified[i];
	return NULL;
}

static void merge_unified(Cri__LinuxContainerResources *now, const Cri__LinuxContainerResources *asked,
			  struct arena *arena)
{
	unified_entry **list = arena_array(arena, now->n_unified + asked->n_unified + 1, sizeof(*list));

	for (size_t i = 0; i < now->n_unified; i++)
		list[i] = now->unified[i];
	now->unified = list;
	for (size_t i = 0; i < asked->n_unified; i++) {
		unified_entry *known = find_unified(now, asked->unified[i]->key);

		if (known)
			known->value = arena_strdup(arena, asked->unified[i]->value);
		else
			list[now->n_unified++] = message_clone(&asked->unified[i]->base, arena);
	}
}

Cri__LinuxContainerResources *container_resources_merged(const Cri__LinuxContainerResources *held,
							 const Cri__LinuxContainerResources *asked,
							 struct arena *arena)
{
	Cri__LinuxContainerResources *now =
		held ? message_clone(&held->base, arena)
		     : message_new(arena, &cri__linux_container_resources__descriptor);

	merge_numbers(now, asked);
	merge_pages(now, asked, arena);
	merge_unified(now, asked, arena);
	if (*asked->cpuset_cpus)
		now->cpuset_cpus = arena_strdup(arena, asked->cpuset_cpus);
	if (*asked->cpuset_mems)
		now->cpuset_mems = arena_strdup(arena, asked->cpuset_mems);
	return now;
}

/* As it was, as far as the runtime can. What was not limited has no value to go back to. */
static void take_back(const struct container *container, const struct runtime_target *target)
{
	CLEANUP(json_decrefp) json_t *json = NULL;
	struct err ignored;
	struct ctx ctx;

	if (!container->resources ||
	    spec_resources(container->resources, &container->owner->host, &json, &ignored) < 0)
		return;
	CLEANUP(freep) char *text = json_text(json);
	ctx_init(&ctx, NO_DEADLINE); /* runtime_timeout bounds it */
	(void)!runtime_update(target, text, &ctx, &ignored);
	ctx_done(&ctx);
}

static int apply(struct container *container, const Cri__LinuxContainerResources *resources,
		 const struct ctx *ctx, struct err *err)
{
	struct sandboxes *owner = container->owner;
	CLEANUP(json_decrefp) json_t *json = NULL;
	struct runtime_target target;

	if (spec_resources(resources, &owner->host, &json, err) < 0 ||
	    cgroup_limit_check_usage(owner->cgroups, container->cgroup_path, json, err) < 0)
		return -1;
	if (!container_target(container, &target))
		return err_set(err, RPC_FAILED_PRECONDITION, "container %s: its runtime handler is not there",
			       container->id);
	CLEANUP(freep) char *text = json_text(json);
	if (runtime_update(&target, text, ctx, err) == 0)
		return 0;
	take_back(container, &target);
	return -1;
}

static void swap(struct container *container, struct arena **arena,
		 const Cri__LinuxContainerResources **resources)
{
	struct arena *old_arena = container->resources_arena;
	const Cri__LinuxContainerResources *old = container->resources;

	lock_take(&container->lock);
	container->resources_arena = *arena;
	container->resources = *resources;
	lock_drop(&container->lock);
	*arena = old_arena;
	*resources = old;
}

static int update_gated(struct container *container, const Cri__LinuxContainerResources *asked,
			const struct ctx *ctx, struct err *err)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	const Cri__LinuxContainerResources *resources =
		container_resources_merged(container->resources, asked, arena);
	struct runtime_target target;

	if (container_state(container) == CRI__CONTAINER_STATE__CONTAINER_EXITED)
		return err_set(err, RPC_FAILED_PRECONDITION, "container %s has ended", container->id);
	if (apply(container, resources, ctx, err) < 0 || crash_point("update.applied"))
		return -1;
	swap(container, &arena, &resources);
	if (container_save_config(container, err) == 0)
		return crash_point("update.saved");
	swap(container, &arena, &resources);
	if (container_target(container, &target))
		take_back(container, &target);
	return -1;
}

int container_update_resources(struct sandboxes *sandboxes, const struct ctx *ctx,
			       const Cri__UpdateContainerResourcesRequest *request, struct err *err)
{
	CLEANUP(container_unrefp) struct container *container = NULL;
	CLEANUP(json_decrefp) json_t *checked = NULL;

	if (store_find_container(sandboxes, request->container_id, &container, err) < 0)
		return -1;
	if (!request->linux)
		return 0;
	if (spec_resources(request->linux, &sandboxes->host, &checked, err) < 0 ||
	    gate_enter(&container->gate, ctx, "UpdateContainerResources", err) < 0)
		return -1;
	int failed = update_gated(container, request->linux, ctx, err);
	gate_leave(&container->gate);
	return failed;
}
