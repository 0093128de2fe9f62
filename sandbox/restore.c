/*
 * Start: what is on disk is compared with the kernel.
 *
 * A pod or container without state.json never came to be: it is undone; so is a pod that is still marked
 * (pod_files_mark()). A process counts as alive only in the
 * same boot and with the same start time. A container whose monitor is gone has its exit file, or lost its
 * monitor; a pod whose pause or namespaces are gone is not ready. No binary is run here: what has to be
 * undone is undone on the pool, after the start. What cannot be read is moved to <root>/quarantine, one
 * object at a time, and told in the warnings. State of a newer crisp is another matter: nothing is touched
 * then, and crispd does not start.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/file.h"
#include "proto/message_json.h"
#include "sandbox/container_exec.h"
#include "sandbox/pod_files.h"
#include "sandbox/record.h"
#include "sandbox/selinux.h"
#include "sandbox/store.h"

struct loaded { /* one object being read */
	struct sandboxes *owner;
	const char *id;
	struct arena *arena;
	json_t *config, *state; /* documents that RAW fields point into */
	bool unfinished;        /* no state.json */
};

static void loaded_done(struct loaded *loaded)
{
	json_decref(loaded->config);
	json_decref(loaded->state);
	arena_free(loaded->arena);
}

/* Of a creation cut short before its record was whole: nothing was made but the folder. */
static bool is_bare(int dir, const char *id)
{
	CLEANUP(fd_closep) int fd = openat(dir, id, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 && faccessat(fd, "config.json", F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
	       faccessat(fd, "state.json", F_OK, AT_SYMLINK_NOFOLLOW) < 0;
}

static bool same_boot(const struct sandboxes *owner, const char *boot_id)
{
	return str_eq(owner->boot_id, boot_id);
}

/* *ret gets a pidfd when the recorded process is alive. */
static bool reopen(const struct record_process *record, struct process *ret)
{
	struct err err;

	if (record->pid <= 0 || record->pid > INT32_MAX ||
	    process_open((pid_t)record->pid, record->start_time, ret, &err) < 0)
		return false;
	return process_alive(ret);
}

/* state.json; without one the creation did not finish. */
static int read_state(struct loaded *loaded, const struct record_source *source,
		      const struct json_field *fields, void *state, struct err *err)
{
	if (record_read(source, fields, state, loaded->arena, &loaded->state, err) == 0)
		return 0;
	loaded->unfinished = err->code == RPC_NOT_FOUND;
	return loaded->unfinished ? 0 : -1;
}

/* An object that cannot be read. */
static void set_aside(struct sandboxes *owner, int dir, const char *kind, const char *id, const char *why)
{
	struct err err;

	if (!is_bare(dir, id) || store_discard(owner, dir, id, &err) < 0)
		quarantine_put(owner, dir, kind, id, why);
}

/* ---- pods ---- */

static int read_pod(struct loaded *loaded, struct pod_config_record *config, struct pod_state_record *state,
		    Cri__RunPodSandboxRequest **ret, struct err *err)
{
	struct record_source source = { loaded->owner->pods_dir, loaded->id, "config.json" };
	ProtobufCMessage *message = NULL;

	if (record_read(&source, pod_config_fields, config, loaded->arena, &loaded->config, err) < 0 ||
	    message_from_json(&cri__run_pod_sandbox_request__descriptor, config->request, 0, loaded->arena,
			      &message, err) < 0)
		return -1;
	Cri__RunPodSandboxRequest *request = (Cri__RunPodSandboxRequest *)message;
	if (!request->config || !request->config->metadata)
		return err_set(err, RPC_DATA_LOSS, "config.json has no metadata");
	source.name = "state.json";
	if (read_state(loaded, &source, pod_state_fields, state, err) < 0)
		return -1;
	*ret = request;
	return 0;
}

static bool namespaces_there(const struct pod *pod)
{
	static const enum namespace_kind kinds[] = { NAMESPACE_NET, NAMESPACE_IPC, NAMESPACE_UTS,
						     NAMESPACE_PID, NAMESPACE_USER };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if ((pod->namespaces & kinds[i]) && !namespace_pinned(pod->ns_dir, kinds[i]))
			return false;
	return true;
}

static void revive_pod(struct pod *pod, const struct pod_state_record *state)
{
	struct err err;
	bool alive = !state->stopped && same_boot(pod->owner, state->boot_id) &&
		     reopen(&state->pause, &pod->pause);

	pod->stopped = state->stopped;
	pod->ready = state->ready && alive && namespaces_there(pod);
	strv_add_all(&pod->ips, (const char *const *)state->ips.items, state->ips.len);
	if (alive && pod_watch(pod, &err) < 0)
		strv_addf(&pod->owner->warnings, "pod sandbox %s: %s", pod->id, err.text);
}

/* Its record is there, but its creation was cut short before it could be answered. Its pause may have ended
 * with crispd, or not: that is seen to before the record, which is all that knows of it, is forgotten. */
static bool was_cut_short(struct pod *pod, const struct pod_state_record *state)
{
	struct err err;

	if (state->stopped || !same_boot(pod->owner, state->boot_id) || !pod_files_marked(pod->run_dir))
		return false;
	if (reopen(&state->pause, &pod->pause) && process_signal(&pod->pause, SIGKILL, &err) < 0)
		strv_addf(&pod->owner->warnings, "pod sandbox %s: %s", pod->id, err.text);
	else if (record_forget_state(pod->dir, &err) < 0)
		strv_addf(&pod->owner->warnings, "pod sandbox %s: %s", pod->id, err.text);
	return true;
}

static void restore_level(struct pod *pod, const char *level)
{
	if (str_empty(level))
		return;
	pod->selinux_level = xstrdup(level);
	pod->selinux_levels = pod->owner->selinux_levels;
	selinux_levels_keep(pod->selinux_levels, level);
}

static void restore_pod(struct sandboxes *owner, const char *id)
{
	CLEANUP(loaded_done) struct loaded loaded = { .owner = owner, .id = id, .arena = arena_new(0) };
	struct pod_config_record config = { 0 };
	struct pod_state_record state = { 0 };
	Cri__RunPodSandboxRequest *request = NULL;
	struct err err;

	if (!id_valid(id)) {
		quarantine_put(owner, owner->pods_dir, "pod", id, "not an id");
		return;
	}
	if (read_pod(&loaded, &config, &state, &request, &err) < 0) {
		set_aside(owner, owner->pods_dir, "pod", id, err.text);
		return;
	}
	CLEANUP(pod_unrefp) struct pod *pod = pod_new_take(owner, id, TAKE(loaded.arena), request);
	pod->created_at = config.created_at;
	restore_level(pod, config.selinux_level);
	if (loaded.unfinished || was_cut_short(pod, &state)) {
		leftovers_add_pod(pod, NULL);
		return;
	}
	revive_pod(pod, &state);
	pod->down = !pod->ready;
	store_add_pod(owner, pod);
	announce_old_pod(pod);
}

/* ---- containers ---- */

static int read_container(struct loaded *loaded, struct container_config_record *config,
			  struct container_state_record *state, Cri__ContainerConfig **ret, struct err *err)
{
	struct record_source source = { loaded->owner->containers_dir, loaded->id, "config.json" };
	ProtobufCMessage *message = NULL;

	if (record_read(&source, container_config_fields, config, loaded->arena, &loaded->config, err) < 0 ||
	    message_from_json(&cri__container_config__descriptor, config->config, 0, loaded->arena, &message,
			      err) < 0)
		return -1;
	Cri__ContainerConfig *request = (Cri__ContainerConfig *)message;
	if (!request->metadata || !request->image)
		return err_set(err, RPC_DATA_LOSS, "config.json has no metadata or image");
	source.name = "state.json";
	if (read_state(loaded, &source, container_state_fields, state, err) < 0)
		return -1;
	*ret = request;
	return 0;
}

static void restore_user(struct user *user, const struct container_state_record *state)
{
	user->uid = (uint32_t)state->uid;
	user->gid = (uint32_t)state->gid;
	user->name = xstrdup("");
	user->home = xstrdup("/");
	user->groups_len = json_array_size(state->groups);
	user->groups = xcalloc(user->groups_len + 1, sizeof(*user->groups));
	for (size_t i = 0; i < user->groups_len; i++)
		user->groups[i] = (uint32_t)json_integer_value(json_array_get(state->groups, i));
}

/* What ended with the machine has nobody left to tell its exit code. */
static void lost_with_boot(struct container *container)
{
	struct container_exit exit = { .code = 255,
				       .reason = "Unknown",
				       .message = "the machine was restarted while the container existed",
				       .finished_at = clock_real() };

	container_set_exited(container, &exit);
	container_settle_later(container); /* so that the next start tells the same */
}

/* crispd may have been killed between the start and the saving of that. */
static void look_whether_started(struct container *container)
{
	struct runtime_target target;

	if (container_target(container, &target) &&
	    runtime_has_started(&target, &container->init, &container->started_at))
		container->state = CRI__CONTAINER_STATE__CONTAINER_RUNNING;
}

static void revive_container(struct container *container, const struct container_state_record *state)
{
	struct err err;

	container->started_at = state->started_at;
	if (str_eq(state->state, "exited")) {
		struct container_exit exit = { .code = (int32_t)state->exit_code,
					       .reason = state->reason ? state->reason : "",
					       .message = state->message ? state->message : "",
					       .finished_at = state->finished_at };
		container_set_exited(container, &exit);
		return;
	}
	if (str_eq(state->state, "running"))
		container->state = CRI__CONTAINER_STATE__CONTAINER_RUNNING;
	if (!same_boot(container->owner, state->boot_id)) {
		lost_with_boot(container);
		return;
	}
	if (reopen(&state->init, &container->init) &&
	    container->state == CRI__CONTAINER_STATE__CONTAINER_CREATED)
		look_whether_started(container);
	if (!reopen(&state->monitor, &container->monitor))
		container_check_exit(container, true);
	else if (container_watch(container, &err) < 0)
		strv_addf(&container->owner->warnings, "container %s: %s", container->id, err.text);
}

static struct container *container_of(struct loaded *loaded, const struct container_config_record *config,
				      Cri__ContainerConfig *request, struct pod *pod)
{
	struct container_birth birth = {
		.pod = pod,
		.id = loaded->id,
		.arena = TAKE(loaded->arena),
		.config = request,
		.image = { .id = xstrdup(config->image_id),
			   .name = xstrdup_null(config->image_name),
			   .ref = xstrdup(config->image_ref),
			   .stop_signal =
				   xstrdup(config->image_stop_signal ? config->image_stop_signal : "") },
		.log_path = xstrdup_null(config->log_path),
	};

	strv_add_all(&birth.image.layers, (const char *const *)config->layers.items, config->layers.len);
	struct container *container = container_new_take(&birth);
	container->created_at = config->created_at;
	return container;
}

static struct pod *pod_for(struct sandboxes *owner, const char *id)
{
	lock_take(&owner->lock);
	struct pod *pod = pod_ref(map_get(&owner->pods, id));
	lock_drop(&owner->lock);
	return pod ? pod : leftovers_find_pod(owner, id);
}

static void restore_container(struct sandboxes *owner, const char *id)
{
	CLEANUP(loaded_done) struct loaded loaded = { .owner = owner, .id = id, .arena = arena_new(0) };
	struct container_config_record config = { 0 };
	struct container_state_record state = { 0 };
	Cri__ContainerConfig *request = NULL;
	struct err err;

	if (!id_valid(id)) {
		quarantine_put(owner, owner->containers_dir, "container", id, "not an id");
		return;
	}
	if (read_container(&loaded, &config, &state, &request, &err) < 0) {
		set_aside(owner, owner->containers_dir, "container", id, err.text);
		return;
	}
	CLEANUP(pod_unrefp) struct pod *pod = pod_for(owner, config.pod_id);
	if (!pod) {
		quarantine_put(owner, owner->containers_dir, "container", id, "its pod sandbox is not there");
		return;
	}
	CLEANUP(container_unrefp) struct container *container = container_of(&loaded, &config, request, pod);
	restore_user(&container->user, &state);
	container->poststart_hooks = state.poststart_hooks;
	if (loaded.unfinished) {
		leftovers_add_container(container, NULL);
		return;
	}
	revive_container(container, &state);
	container_end_old_execs(container);
	container->ran = container->started_at > 0;
	store_add_container(owner, container);
	announce_old_container(container);
}

static int check_versions(int dir, const struct strv *ids, const char *kind, struct err *err)
{
	static const char *const names[] = { "config.json", "state.json" };

	for (size_t i = 0; i < ids->len; i++)
		for (size_t j = 0; j < ARRAY_LEN(names); j++) {
			const struct record_source source = { dir, ids->items[i], names[j] };
			if (id_valid(ids->items[i]) && record_check_version(&source, err) < 0)
				return err_prefix(err, "%s", kind);
		}
	return 0;
}

static void restored_one(struct restore_progress *progress)
{
	atomic_fetch_add(&progress->done, 1);
	hold_point("restore.one");
}

int store_restore(struct sandboxes *sandboxes, struct restore_progress *progress, struct err *err)
{
	struct restore_progress nobody_asks = { 0 };
	CLEANUP(strv_done) struct strv pods = STRV_INIT;
	CLEANUP(strv_done) struct strv containers = STRV_INIT;
	CLEANUP(strv_done) struct strv trash = STRV_INIT;

	/* All that can fail as a whole comes first: what follows leaves tasks on the pool. */
	if (dir_list(sandboxes->pods_dir, ".", &pods, err) < 0 ||
	    dir_list(sandboxes->containers_dir, ".", &containers, err) < 0 ||
	    dir_list(sandboxes->trash_dir, ".", &trash, err) < 0 ||
	    check_versions(sandboxes->pods_dir, &pods, "pods", err) < 0 ||
	    check_versions(sandboxes->containers_dir, &containers, "containers", err) < 0)
		return -1;
	progress = progress ? progress : &nobody_asks;
	atomic_store(&progress->all, pods.len + containers.len);
	for (size_t i = 0; i < trash.len; i++)
		store_empty_trash(sandboxes, trash.items[i]);
	for (size_t i = 0; i < pods.len; i++, restored_one(progress))
		restore_pod(sandboxes, pods.items[i]);
	for (size_t i = 0; i < containers.len; i++, restored_one(progress))
		restore_container(sandboxes, containers.items[i]);
	return 0;
}
