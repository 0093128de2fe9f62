/* Life and persistence of struct container, and what ends it. How its end is noticed: container_exit.c. */
#include "sandbox/container.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/file.h"
#include "proto/message.h"
#include "proto/message_json.h"
#include "sandbox/record.h"
#include "sandbox/store.h"

char *container_identity(const char *pod_id, const Cri__ContainerMetadata *metadata)
{
	CLEANUP(freep) char *attempt = xasprintf("%u", metadata->attempt);
	const char *parts[] = { pod_id, metadata->name, attempt };

	return record_join(parts, ARRAY_LEN(parts));
}

struct container *container_new_take(struct container_birth *birth)
{
	struct container *container = xnew(struct container);
	struct sandboxes *owner = birth->pod->owner;

	atomic_init(&container->refs, 1);
	container->owner = owner;
	container->pod = pod_ref(birth->pod);
	if (birth->id)
		memcpy(container->id, birth->id, ID_SIZE);
	else
		id_new(container->id);
	container->arena = TAKE(birth->arena);
	container->config = birth->config;
	container->identity = container_identity(birth->pod->id, birth->config->metadata);
	container->image = birth->image;
	birth->image = (struct container_image){ 0 };
	container->log_path = TAKE(birth->log_path);
	container->dir = xasprintf("%s/containers/%s", owner->config->root, container->id);
	container->run_dir = xasprintf("%s/containers/%s", owner->config->runroot, container->id);
	container->bundle = xasprintf("%s/bundle", container->dir);
	container->rootfs = xasprintf("%s/rootfs", container->dir);
	container->cgroup_path = cgroup_container_path(birth->pod->cgroup_path, container->id);
	container->oci_cgroups_path = cgroup_runtime_path(birth->pod->cgroup_path, container->id);
	container->created_at = clock_real();
	container->state = CRI__CONTAINER_STATE__CONTAINER_CREATED;
	container->kill_at = NO_DEADLINE;
	container->resources = birth->config->linux ? birth->config->linux->resources : NULL;
	container->reason = xstrdup("");
	container->message = xstrdup("");
	container->init = (struct process)PROCESS_INIT;
	container->monitor = (struct process)PROCESS_INIT;
	cgroup_meter_init(&container->meter, owner->cgroups, container->cgroup_path);
	layer_meter_init(&container->layer);
	gate_init(&container->gate);
	lock_init(&container->lock, "container", LOCK_CONTAINER);
	cond_init(&container->changed);
	list_init(&container->of_pod);
	return container;
}

struct container *container_ref(struct container *container)
{
	if (container)
		atomic_fetch_add(&container->refs, 1);
	return container;
}

void container_image_done(struct container_image *image)
{
	free(image->id);
	free(image->name);
	free(image->ref);
	free(image->stop_signal);
	strv_done(&image->layers);
	*image = (struct container_image){ 0 };
}

struct container *container_unref(struct container *container)
{
	if (!container || atomic_fetch_sub(&container->refs, 1) != 1)
		return NULL;
	assert(!container->watch && !container->init_watch && !container->oom);
	listed_done(&container->listed);
	cgroup_meter_done(&container->meter);
	layer_meter_done(&container->layer);
	process_done(&container->init);
	process_done(&container->monitor);
	cond_done(&container->changed);
	lock_done(&container->lock);
	gate_done(&container->gate);
	container_image_done(&container->image);
	user_done(&container->user);
	free(container->identity);
	free(container->log_path);
	free(container->dir);
	free(container->run_dir);
	free(container->bundle);
	free(container->rootfs);
	free(container->cgroup_path);
	free(container->oci_cgroups_path);
	free(container->reason);
	free(container->message);
	free(container->stopped_for);
	arena_free(container->resources_arena);
	arena_free(container->arena);
	pod_unref(container->pod);
	free(container);
	return NULL;
}

void container_unrefp(struct container **container)
{
	container_unref(*container);
}

Cri__LinuxContainerResources *container_resources(struct container *container, struct arena *arena)
{
	lock_take(&container->lock);
	Cri__LinuxContainerResources *copy =
		container->resources ? message_clone(&container->resources->base, arena) : NULL;
	lock_drop(&container->lock);
	return copy;
}

Cri__ContainerState container_state(struct container *container)
{
	lock_take(&container->lock);
	Cri__ContainerState state = container->state;
	lock_drop(&container->lock);
	return state;
}

static struct process copy_process(struct container *container, const struct process *process)
{
	struct process copy = PROCESS_INIT;

	lock_take(&container->lock);
	if (process->pidfd >= 0) {
		copy = *process;
		copy.pidfd = fcntl(process->pidfd, F_DUPFD_CLOEXEC, 3);
	}
	lock_drop(&container->lock);
	return copy;
}

struct process container_init_process(struct container *container)
{
	return copy_process(container, &container->init);
}

struct process container_monitor_process(struct container *container)
{
	return copy_process(container, &container->monitor);
}

bool container_target(const struct container *container, struct runtime_target *ret)
{
	*ret = (struct runtime_target){
		.handler = container->pod->handler,
		.config = container->owner->config,
		.id = container->id,
		.bundle = container->bundle,
		.systemd_cgroup = cgroup_path_is_slice(container->pod->cgroup_path),
		.poststart_hooks = container->poststart_hooks,
	};
	return ret->handler && ret->handler->path;
}

void container_monitor_spec(const struct container *container, struct monitor_spec *ret)
{
	*ret = (struct monitor_spec){
		.handler = container->pod->handler,
		.config = container->owner->config,
		.id = container->id,
		.name = container->config->metadata->name,
		.bundle = container->bundle,
		.run_dir = container->run_dir,
		.exit_dir = container->owner->exit_dir,
		.attach_dir = container->owner->attach_dir,
		.log_path = container->log_path,
		.log_size_max = container->owner->config->runtime.log_size_max,
		.tty = container->config->tty,
		.stdin = container->config->stdin,
		.stdin_once = container->config->stdin_once,
		.cgroup = -1,
		.systemd_cgroup = cgroup_path_is_slice(container->pod->cgroup_path),
	};
}

/* The request's, with resources as last updated. */
static Cri__LinuxContainerConfig *container_linux_now(struct container *container, struct arena *arena)
{
	const Cri__LinuxContainerConfig *config = container->config->linux;

	if (!config && !container->resources)
		return NULL;
	Cri__LinuxContainerConfig *now =
		config ? message_clone(&config->base, arena)
		       : message_new(arena, &cri__linux_container_config__descriptor);
	now->resources = container_resources(container, arena);
	return now;
}

int container_save_config(struct container *container, struct err *err)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	Cri__ContainerConfig now = *container->config;

	now.linux = container_linux_now(container, arena);
	CLEANUP(json_decrefp) json_t *config = message_to_json(&now.base, MESSAGE_JSON_SECRETS);
	struct container_config_record record = {
		.version = RECORD_VERSION,
		.created_at = container->created_at,
		.pod_id = container->pod->id,
		.image_id = container->image.id,
		.image_name = container->image.name,
		.image_ref = container->image.ref,
		.image_stop_signal = container->image.stop_signal,
		.layers = { .items = container->image.layers.items, .len = container->image.layers.len },
		.log_path = container->log_path,
		.config = config,
	};

	return record_write(container->dir, "config.json", container_config_fields, &record, err);
}

static const char *state_name(Cri__ContainerState state)
{
	switch (state) {
	case CRI__CONTAINER_STATE__CONTAINER_CREATED:
		return "created";
	case CRI__CONTAINER_STATE__CONTAINER_RUNNING:
		return "running";
	default:
		return "exited";
	}
}

static json_t *groups_json(const struct user *user)
{
	json_t *groups = json_array();

	for (size_t i = 0; i < user->groups_len; i++)
		json_array_append_new(groups, json_integer(user->groups[i]));
	return groups;
}

int container_save(struct container *container, struct err *err)
{
	CLEANUP(freep) char *reason = NULL;
	CLEANUP(freep) char *message = NULL;
	CLEANUP(json_decrefp) json_t *groups = groups_json(&container->user);
	struct container_state_record record = {
		.version = RECORD_VERSION,
		.boot_id = container->owner->boot_id,
		.uid = container->user.uid,
		.gid = container->user.gid,
		.groups = groups,
		.poststart_hooks = container->poststart_hooks,
	};

	lock_take(&container->lock);
	record.state = (char *)state_name(container->state);
	record.started_at = container->started_at;
	record.finished_at = container->finished_at;
	record.exit_code = container->exit_code;
	reason = record.reason = xstrdup(container->reason);
	message = record.message = xstrdup(container->message);
	record.init = (struct record_process){ container->init.pid, container->init.start_time };
	record.monitor = (struct record_process){ container->monitor.pid, container->monitor.start_time };
	lock_drop(&container->lock);
	return record_write(container->dir, "state.json", container_state_fields, &record, err);
}

void container_stop_begin(struct container *container, int64_t grace)
{
	int64_t kill_at = clock_deadline_in(grace);

	lock_take(&container->lock);
	container->stops++;
	if (kill_at < container->kill_at) {
		container->kill_at = kill_at;
		cond_broadcast(&container->changed);
	}
	lock_drop(&container->lock);
}

void container_stop_end(struct container *container)
{
	lock_take(&container->lock);
	if (--container->stops == 0)
		container->kill_at = NO_DEADLINE;
	lock_drop(&container->lock);
}

bool container_grace_over(struct container *container)
{
	lock_take(&container->lock);
	bool over = container->kill_at <= clock_mono();
	lock_drop(&container->lock);
	return over;
}

int container_signal(struct container *container, int signal, const struct ctx *ctx, struct err *err)
{
	CLEANUP(process_done) struct process init = container_init_process(container);
	struct runtime_target target;

	if (!container_target(container, &target) && init.pidfd < 0)
		return 0; /* nobody can reach it, if there is anybody; its cgroup can still be killed */
	return runtime_kill(&target, &init, signal, false, ctx, err);
}

int container_settle(struct container *container, const struct ctx *ctx, struct err *err)
{
	struct runtime_target target;
	struct err full;

	lock_take(&container->lock);
	bool doomed = container->doomed;
	bool needed = container->state == CRI__CONTAINER_STATE__CONTAINER_EXITED && !container->settled &&
		      !container->removed;
	lock_drop(&container->lock);
	if (!needed)
		return 0;
	/* Without a PID namespace of its own its children live on: the cgroup knows them. */
	if (cgroup_kill(container->owner->cgroups, container->cgroup_path, ctx, err) < 0 ||
	    crash_point("settle.killed") ||
	    (container_target(container, &target) && runtime_delete(&target, ctx, err) < 0) ||
	    crash_point("settle.deleted"))
		return -1;
	/* Until this is on disk the exit file tells the same. A full disk does not keep it from being
	 * removed. */
	if (container_save(container, doomed ? &full : err) < 0 && !doomed)
		return -1;
	crash_point("settle.saved");
	lock_take(&container->lock);
	container->settled = true;
	lock_drop(&container->lock);
	return 0;
}

int container_kill(struct container *container, const struct ctx *ctx, struct err *err)
{
	if (container_state(container) != CRI__CONTAINER_STATE__CONTAINER_EXITED &&
	    (container_signal(container, SIGKILL, ctx, err) < 0 || crash_point("kill.init") ||
	     cgroup_kill(container->owner->cgroups, container->cgroup_path, ctx, err) < 0 ||
	     crash_point("kill.cgroup") || container_wait_exit(container, ctx, err) < 0))
		return -1;
	return container_settle(container, ctx, err);
}
