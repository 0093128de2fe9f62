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
 *
 * Objects are read side by side, by a few threads that end with the restore; they get into the store one
 * after the other, in the order of their ids. Containers come after all pods.
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

enum {
	READERS_MAX = 4,
	OBJECTS_EACH = 8,               /* for fewer a thread does not pay */
	READER_STACK = 2 * 1024 * 1024, /* address space: documents may be deep */
};

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

static void warn(struct sandboxes *owner, const char *kind, const char *id, const struct err *err)
{
	store_warn(owner, xasprintf("%s %s: %s", kind, id, err->text));
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
	/* What is saved as not ready was to be stopped, and that failed. */
	if (!state->ready && !state->stopped)
		pod->halt_due = 0;
	strv_add_all(&pod->ips, (const char *const *)state->ips.items, state->ips.len);
	if (alive && pod_watch(pod, &err) < 0)
		warn(pod->owner, "pod sandbox", pod->id, &err);
}

/* Its record is there, but its creation was cut short before it could be answered. Its pause may have ended
 * with crispd, or not: that is seen to before the record, which is all that knows of it, is forgotten. */
static bool was_cut_short(struct pod *pod, const struct pod_state_record *state)
{
	struct err err;

	if (state->stopped || !same_boot(pod->owner, state->boot_id) || !pod_files_marked(pod->run_dir))
		return false;
	if (reopen(&state->pause, &pod->pause) && process_signal(&pod->pause, SIGKILL, &err) < 0)
		warn(pod->owner, "pod sandbox", pod->id, &err);
	else if (record_forget_state(pod->dir, &err) < 0)
		warn(pod->owner, "pod sandbox", pod->id, &err);
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

/* A reference, for add_pod(); NULL: it is none, and that has been seen to. */
static void *read_one_pod(struct sandboxes *owner, const char *id)
{
	CLEANUP(loaded_done) struct loaded loaded = { .owner = owner, .id = id, .arena = arena_new(0) };
	struct pod_config_record config = { 0 };
	struct pod_state_record state = { 0 };
	Cri__RunPodSandboxRequest *request = NULL;
	struct err err;

	if (!id_valid(id)) {
		quarantine_put(owner, owner->pods_dir, "pod", id, "not an id");
		return NULL;
	}
	if (read_pod(&loaded, &config, &state, &request, &err) < 0) {
		set_aside(owner, owner->pods_dir, "pod", id, err.text);
		return NULL;
	}
	CLEANUP(pod_unrefp) struct pod *pod = pod_new_take(owner, id, TAKE(loaded.arena), request);
	pod->created_at = config.created_at;
	restore_level(pod, config.selinux_level);
	if (loaded.unfinished || was_cut_short(pod, &state)) {
		leftovers_add_pod(pod, NULL);
		return NULL;
	}
	revive_pod(pod, &state);
	pod->down = !pod->ready;
	return TAKE(pod);
}

static void add_pod(struct sandboxes *owner, void *object)
{
	CLEANUP(pod_unrefp) struct pod *pod = object;

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
		warn(container->owner, "container", container->id, &err);
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

/* As read_one_pod(). */
static void *read_one_container(struct sandboxes *owner, const char *id)
{
	CLEANUP(loaded_done) struct loaded loaded = { .owner = owner, .id = id, .arena = arena_new(0) };
	struct container_config_record config = { 0 };
	struct container_state_record state = { 0 };
	Cri__ContainerConfig *request = NULL;
	struct err err;

	if (!id_valid(id)) {
		quarantine_put(owner, owner->containers_dir, "container", id, "not an id");
		return NULL;
	}
	if (read_container(&loaded, &config, &state, &request, &err) < 0) {
		set_aside(owner, owner->containers_dir, "container", id, err.text);
		return NULL;
	}
	CLEANUP(pod_unrefp) struct pod *pod = pod_for(owner, config.pod_id);
	if (!pod) {
		quarantine_put(owner, owner->containers_dir, "container", id, "its pod sandbox is not there");
		return NULL;
	}
	CLEANUP(container_unrefp) struct container *container = container_of(&loaded, &config, request, pod);
	restore_user(&container->user, &state);
	container->poststart_hooks = state.poststart_hooks;
	if (loaded.unfinished) {
		leftovers_add_container(container, NULL);
		return NULL;
	}
	revive_container(container, &state);
	container_end_old_execs(container);
	container->ran = container->started_at > 0;
	return TAKE(container);
}

static void add_container(struct sandboxes *owner, void *object)
{
	CLEANUP(container_unrefp) struct container *container = object;

	store_add_container(owner, container);
	announce_old_container(container);
}

/* ---- all of them ---- */

struct restore {
	struct sandboxes *owner;
	struct restore_progress *progress;
	struct pool *readers;
	size_t readers_len; /* this thread is one of them */
};

/* One pass over the objects of a kind. */
struct pass {
	const struct restore *restore;
	const struct strv *ids;
	void (*one)(struct pass *pass, size_t number);
	atomic_size_t next;

	int dir; /* check_version() */
	atomic_bool failed;
	struct err *errs;

	void *(*read)(struct sandboxes *owner, const char *id); /* read_object() */
	void **objects;
};

static void take_part(void *data)
{
	struct pass *pass = data;
	size_t number;

	while ((number = atomic_fetch_add(&pass->next, 1)) < pass->ids->len)
		pass->one(pass, number);
}

static void run_pass(struct pass *pass)
{
	const struct restore *restore = pass->restore;
	size_t helpers = pass->ids->len / OBJECTS_EACH;
	struct err few; /* readers: the others do their work */

	if (helpers > restore->readers_len - 1)
		helpers = restore->readers_len - 1;
	while (helpers-- > 0 && pool_run(restore->readers, take_part, pass, &few) == 0)
		;
	take_part(pass);
	(void)!pool_wait_quiet(restore->readers, NO_DEADLINE);
}

static void check_version(struct pass *pass, size_t number)
{
	static const char *const names[] = { "config.json", "state.json" };
	const char *id = pass->ids->items[number];

	for (size_t i = 0; i < ARRAY_LEN(names) && id_valid(id); i++) {
		const struct record_source source = { pass->dir, id, names[i] };
		if (record_check_version(&source, &pass->errs[number]) < 0) {
			atomic_store(&pass->failed, true);
			return;
		}
	}
}

static int check_versions(const struct restore *restore, int dir, const struct strv *ids, const char *kind,
			  struct err *err)
{
	CLEANUP(freep) struct err *errs = xcalloc(ids->len + 1, sizeof(*errs));
	struct pass pass = { .restore = restore, .ids = ids, .one = check_version, .dir = dir, .errs = errs };

	run_pass(&pass);
	if (!atomic_load(&pass.failed))
		return 0;
	for (size_t i = 0; i < ids->len; i++)
		if (errs[i].code != RPC_OK)
			return err_set(err, errs[i].code, "%s: %s", kind, errs[i].text);
	return -1;
}

static void read_object(struct pass *pass, size_t number)
{
	const struct restore *restore = pass->restore;

	pass->objects[number] = pass->read(restore->owner, pass->ids->items[number]);
	atomic_fetch_add(&restore->progress->done, 1);
	hold_point("restore.one");
}

static void restore_all(const struct restore *restore, const struct strv *ids,
			void *(*read)(struct sandboxes *owner, const char *id),
			void (*add)(struct sandboxes *owner, void *object))
{
	CLEANUP(freep) void **objects = xcalloc(ids->len + 1, sizeof(*objects));
	struct pass pass = {
		.restore = restore, .ids = ids, .one = read_object, .read = read, .objects = objects
	};

	run_pass(&pass);
	for (size_t i = 0; i < ids->len; i++)
		if (objects[i])
			add(restore->owner, objects[i]);
}

static int restore_with(const struct restore *restore, struct err *err)
{
	struct sandboxes *owner = restore->owner;
	CLEANUP(strv_done) struct strv pods = STRV_INIT;
	CLEANUP(strv_done) struct strv containers = STRV_INIT;
	CLEANUP(strv_done) struct strv trash = STRV_INIT;

	/* All that can fail as a whole comes first: what follows leaves tasks on the pool. */
	if (dir_list(owner->pods_dir, ".", &pods, err) < 0 ||
	    dir_list(owner->containers_dir, ".", &containers, err) < 0 ||
	    dir_list(owner->trash_dir, ".", &trash, err) < 0 ||
	    check_versions(restore, owner->pods_dir, &pods, "pods", err) < 0 ||
	    check_versions(restore, owner->containers_dir, &containers, "containers", err) < 0)
		return -1;
	atomic_store(&restore->progress->all, pods.len + containers.len);
	for (size_t i = 0; i < trash.len; i++)
		store_empty_trash(owner, trash.items[i]);
	restore_all(restore, &pods, read_one_pod, add_pod);
	restore_all(restore, &containers, read_one_container, add_container);
	return 0;
}

static size_t reader_count(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return cpus < 1 ? 1 : cpus > READERS_MAX ? READERS_MAX : (size_t)cpus;
}

int store_restore(struct sandboxes *sandboxes, struct restore_progress *progress, struct err *err)
{
	struct restore_progress nobody_asks = { 0 };
	struct restore restore = { .owner = sandboxes,
				   .progress = progress ? progress : &nobody_asks,
				   .readers_len = reader_count() };

	restore.readers = pool_new(&(struct pool_options){ .name = "restore",
							   .threads_max = READERS_MAX,
							   .queue_max = READERS_MAX,
							   .idle_ns = NS_PER_SEC,
							   .stack_size = READER_STACK });
	int failed = restore_with(&restore, err);
	pool_free(restore.readers);
	return failed;
}
