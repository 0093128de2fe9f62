/*
 * Life and persistence of struct pod. state.json is written from a snapshot taken under the lock; writers are
 * inside the gate, so two of them never race. The pause process is watched on the loop: its end only flips
 * `ready` there. The state on disk may go on saying "ready": a start looks whether the process lives.
 */
#include "sandbox/pod.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "proto/message_json.h"
#include "sandbox/cgroup.h"
#include "sandbox/pause.h"
#include "sandbox/pod_resources.h"
#include "sandbox/record.h"
#include "sandbox/selinux.h"
#include "sandbox/store.h"

char *pod_identity(const Cri__PodSandboxMetadata *metadata)
{
	CLEANUP(freep) char *attempt = xasprintf("%u", metadata->attempt);
	const char *parts[] = { metadata->namespace_, metadata->name, metadata->uid, attempt };

	return record_join(parts, ARRAY_LEN(parts));
}

const Cri__NamespaceOption *pod_namespace_options(const Cri__PodSandboxConfig *config)
{
	static const Cri__NamespaceOption defaults = CRI__NAMESPACE_OPTION__INIT;

	if (config->linux && config->linux->security_context &&
	    config->linux->security_context->namespace_options)
		return config->linux->security_context->namespace_options;
	return &defaults;
}

static unsigned int namespaces_of(const Cri__PodSandboxConfig *config)
{
	const Cri__NamespaceOption *options = pod_namespace_options(config);
	unsigned int set = 0;

	if (options->network == CRI__NAMESPACE_MODE__POD)
		set |= NAMESPACE_NET | NAMESPACE_UTS;
	if (options->ipc == CRI__NAMESPACE_MODE__POD)
		set |= NAMESPACE_IPC;
	if (options->pid == CRI__NAMESPACE_MODE__POD)
		set |= NAMESPACE_PID;
	if (options->userns_options && options->userns_options->mode == CRI__NAMESPACE_MODE__POD)
		set |= NAMESPACE_USER;
	return set;
}

struct pod *pod_new_take(struct sandboxes *owner, const char *id, struct arena *arena,
			 const Cri__RunPodSandboxRequest *request)
{
	struct pod *pod = xnew(struct pod);
	const char *parent = request->config->linux ? request->config->linux->cgroup_parent : "";

	atomic_init(&pod->refs, 1);
	pod->owner = owner;
	if (id)
		memcpy(pod->id, id, ID_SIZE);
	else
		id_new(pod->id);
	pod->arena = arena;
	pod->request = request;
	pod->config = request->config;
	pod->identity = pod_identity(pod->config->metadata);
	pod->handler = handlers_find(owner->handlers, request->runtime_handler);
	pod->namespaces = namespaces_of(pod->config);
	userns_of(pod_namespace_options(pod->config)->userns_options, &pod->userns);
	pod->dir = xasprintf("%s/pods/%s", owner->config->root, pod->id);
	pod->run_dir = xasprintf("%s/pods/%s", owner->config->runroot, pod->id);
	pod->ns_dir = xasprintf("%s/ns/%s", owner->config->runroot, pod->id);
	pod->cgroup_path = cgroup_pod_path(owner->config->runtime.cgroup_manager, parent, pod->id);
	pod->created_at = clock_real();
	pod->overhead = pod->config->linux ? pod->config->linux->overhead : NULL;
	pod->resources = pod->config->linux ? pod->config->linux->resources : NULL;
	pod->pause = (struct process)PROCESS_INIT;
	pod->halt_due = NO_DEADLINE;
	cgroup_meter_init(&pod->meter, owner->cgroups, pod->cgroup_path);
	net_meter_init(&pod->net);
	list_init(&pod->containers);
	gate_init(&pod->gate);
	lock_init(&pod->lock, "pod", LOCK_POD);
	return pod;
}

struct pod *pod_ref(struct pod *pod)
{
	if (pod)
		atomic_fetch_add(&pod->refs, 1);
	return pod;
}

struct pod *pod_unref(struct pod *pod)
{
	if (!pod || atomic_fetch_sub(&pod->refs, 1) != 1)
		return NULL;
	assert(!pod->watch && list_empty(&pod->containers));
	listed_done(&pod->listed);
	cgroup_meter_done(&pod->meter);
	net_meter_done(&pod->net);
	process_done(&pod->pause);
	strv_done(&pod->ips);
	free(pod->network_problem);
	gate_done(&pod->gate);
	lock_done(&pod->lock);
	free(pod->identity);
	free(pod->dir);
	free(pod->run_dir);
	free(pod->ns_dir);
	free(pod->cgroup_path);
	selinux_levels_drop(pod->selinux_levels, pod->selinux_level);
	free(pod->selinux_level);
	arena_free(pod->resources_arena);
	arena_free(pod->arena);
	free(pod);
	return NULL;
}

void pod_unrefp(struct pod **pod)
{
	pod_unref(*pod);
}

bool pod_ready(struct pod *pod)
{
	lock_take(&pod->lock);
	bool ready = pod->ready;
	lock_drop(&pod->lock);
	return ready;
}

bool pod_pause_alive(struct pod *pod)
{
	lock_take(&pod->lock);
	bool alive = process_alive(&pod->pause);
	lock_drop(&pod->lock);
	return alive;
}

bool pod_host_network(const struct pod *pod)
{
	return !(pod->namespaces & NAMESPACE_NET);
}

bool pod_has_userns(const struct pod *pod)
{
	return pod->namespaces & NAMESPACE_USER;
}

int pod_save_config(struct pod *pod, struct err *err)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	Cri__RunPodSandboxRequest now = *pod->request;

	now.config = pod_resources_config(pod, arena);
	CLEANUP(json_decrefp) json_t *request = message_to_json(&now.base, MESSAGE_JSON_SECRETS);
	struct pod_config_record record = {
		.version = RECORD_VERSION,
		.created_at = pod->created_at,
		.request = request,
		.selinux_level = pod->selinux_level,
	};

	return record_write(pod->dir, "config.json", pod_config_fields, &record, err);
}

int pod_save(struct pod *pod, struct err *err)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct pod_state_record record = { .version = RECORD_VERSION, .boot_id = pod->owner->boot_id };

	lock_take(&pod->lock);
	record.ready = pod->ready;
	record.stopped = pod->stopped;
	record.pause.pid = pod->pause.pid;
	record.pause.start_time = pod->pause.start_time;
	record.ips.len = pod->ips.len;
	record.ips.items = arena_array(arena, pod->ips.len + 1, sizeof(char *));
	for (size_t i = 0; i < pod->ips.len; i++)
		record.ips.items[i] = arena_strdup(arena, pod->ips.items[i]);
	lock_drop(&pod->lock);
	return record_write(pod->dir, "state.json", pod_state_fields, &record, err);
}

void pod_pause_ended(struct pod *pod)
{
	lock_take(&pod->lock);
	pod->ready = false;
	if (pod->pause.pidfd >= 0) { /* else somebody is stopping it and reaps */
		pause_reap(&pod->pause);
		pod->down = true;
	}
	process_done(&pod->pause);
	pod->pause = (struct process)PROCESS_INIT;
	lock_drop(&pod->lock);
	announce_pod(pod);
}

static void pause_ended(void *data)
{
	pod_pause_ended(data);
}

static void release(void *data)
{
	pod_unref(data);
}

int pod_watch(struct pod *pod, struct err *err)
{
	struct watch_target target = { .fn = pause_ended, .release = release };

	lock_take(&pod->lock);
	target.process = &pod->pause;
	target.data = pod_ref(pod);
	pod->watch = watch_process(pod->owner->loop, &target, err);
	bool watched = pod->watch != NULL;
	lock_drop(&pod->lock);
	if (!watched) {
		pod_unref(pod);
		return -1;
	}
	return 0;
}
