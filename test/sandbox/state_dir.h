/*
 * A state directory of a test's own and what opens it: sandboxes with a real network (without configuration),
 * real handlers, loop and pool, on a temporary root. Records are written as an earlier crispd would have.
 *
 * The process gets mount and network namespaces of its own first, so nothing that is pinned is seen outside.
 */
#ifndef TEST_SANDBOX_STATE_DIR_H
#define TEST_SANDBOX_STATE_DIR_H

#include <jansson.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/str.h"
#include "proto/message.h"
#include "sandbox/sandboxes.h"
#include "test/base/check.h"

struct state_dir {
	struct scratch scratch;
	char boot_id[64];
	struct config *config;
	struct arena *arena; /* of answers */
	struct sandbox_listener listener;
	struct restore_progress progress;
	/* while open */
	struct loop *loop;
	struct pool *pool;
	struct network *network;
	struct handlers *handlers;
	struct sandboxes *sandboxes;
	bool looping;
	pthread_t thread;
};

static inline int state_dir_isolate(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNS | CLONE_NEWNET) < 0)
		return -1;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

static inline char *state_dir_path(const struct state_dir *state, const char *name)
{
	return xasprintf("%s/%s", state->scratch.path, name);
}

static inline bool state_dir_has(const struct state_dir *state, const char *name)
{
	return faccessat(state->scratch.dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static inline void state_dir_mkdir(const struct state_dir *state, const char *name)
{
	struct err err = { 0 };
	int dir = dir_make(state->scratch.dir, name, 0700, &err);

	if (dir < 0)
		fail_msg("%s", err.text);
	close(dir);
}

static inline void state_dir_put(const struct state_dir *state, const char *name, const char *content)
{
	put_file(state->scratch.dir, name, content);
}

static inline struct state_dir *state_dir_new(void)
{
	struct state_dir *state = xnew(struct state_dir);
	CLEANUP(freep) char *boot_id = NULL;
	struct err err = { 0 };

	scratch_init(&state->scratch);
	CLEANUP(freep)
	char *toml =
		xasprintf("[crisp]\nroot = \"%s/root\"\nrunroot = \"%s/run\"\n"
			  "[crisp.network]\nnetwork_dir = \"%s/net.d\"\nplugin_dirs = [\"%s/cni\"]\n",
			  state->scratch.path, state->scratch.path, state->scratch.path, state->scratch.path);
	const struct config_paths paths = { .file = "/nonexistent/crisp.toml",
					    .dropins = "/nonexistent/crisp.toml.d",
					    .overrides = toml };
	assert_ok(config_load(&paths, &state->config, &err));
	assert_ok(file_read_virtual(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 128, &boot_id, &err));
	boot_id[strcspn(boot_id, "\n")] = '\0';
	snprintf(state->boot_id, sizeof(state->boot_id), "%s", boot_id);
	state_dir_mkdir(state, "root/pods");
	state_dir_mkdir(state, "root/containers");
	state_dir_mkdir(state, "root/trash");
	state_dir_mkdir(state, "run/exits");
	assert_int_equal(setenv("CRISP_PAUSE", "/bin/true", 1), 0); /* never run here */
	state->arena = arena_new(0);
	return state;
}

static inline int state_dir_try_open(struct state_dir *state, struct err *err)
{
	struct sandboxes_options options = { .config = state->config,
					     .listener = state->listener,
					     .progress = &state->progress };

	state->loop = options.loop = loop_new(err);
	state->pool = options.pool = pool_new(&(struct pool_options){
		.name = "test", .threads_max = 2, .queue_max = 1000, .idle_ns = NS_PER_SEC });
	state->handlers = options.handlers = handlers_open(state->config, false, err);
	state->network = options.network = network_open(state->config, state->loop, err);
	if (!options.network || !options.handlers)
		fail_msg("%s", err->text);
	state->sandboxes = sandboxes_open(&options, err);
	return state->sandboxes ? 0 : -1;
}

static inline void state_dir_open(struct state_dir *state)
{
	struct err err = { 0 };

	assert_ok(state_dir_try_open(state, &err));
}

static inline void *state_dir_loop(void *data)
{
	struct err err = { 0 };

	assert_ok(loop_run(data, &err));
	return NULL;
}

static inline void state_dir_run(struct state_dir *state)
{
	assert_int_equal(pthread_create(&state->thread, NULL, state_dir_loop, state->loop), 0);
	state->looping = true;
}

/* Ends the loop and waits for all work on the pool, as crispd does at its end. */
static inline void state_dir_close(struct state_dir *state)
{
	if (state->looping) {
		loop_stop(state->loop);
		pthread_join(state->thread, NULL);
	}
	state->looping = false;
	state->pool = pool_free(state->pool);
	state->sandboxes = sandboxes_free(state->sandboxes);
	state->network = network_free(state->network);
	state->handlers = handlers_free(state->handlers);
	state->loop = loop_free(state->loop);
}

static inline void state_dir_free(struct state_dir *state)
{
	arena_free(state->arena);
	config_unref(state->config);
	scratch_done(&state->scratch);
	free(state);
}

static inline void state_dir_put_json(const struct state_dir *state, const char *name, json_t *json)
{
	char *text = json_dumps(json, 0);

	assert_non_null(text);
	state_dir_put(state, name, text);
	free(text);
	json_decref(json);
}

/* An id of one repeated digit, with a tail to tell apart those that begin alike. */
static inline const char *state_dir_id(char id[ID_SIZE], const char *start, char fill)
{
	memset(id, fill, ID_LEN);
	memcpy(id, start, strlen(start));
	id[ID_LEN] = '\0';
	return id;
}

struct pod_on_disk {
	const char *id, *name;
	const char *namespaces; /* JSON of namespaceOptions; NULL: all the host's, which need no pins */
	const char *boot_id;    /* NULL: this one */
	bool not_ready, stopped, no_state;
	const struct process *pause; /* NULL: none */
};

static inline json_t *process_json(const struct process *process)
{
	return process ? json_pack("{sisI}", "pid", (int)process->pid, "startTime",
				   (json_int_t)process->start_time)
		       : json_pack("{sisi}", "pid", 0, "startTime", 0);
}

static inline void state_dir_add_pod(const struct state_dir *state, const struct pod_on_disk *pod)
{
	const char *options = pod->namespaces ? pod->namespaces
					      : "{\"network\":\"NODE\",\"ipc\":\"NODE\",\"pid\":\"NODE\"}";
	CLEANUP(freep) char *dir = xasprintf("root/pods/%s", pod->id);
	CLEANUP(freep) char *config = xasprintf("%s/config.json", dir);
	CLEANUP(freep) char *file = xasprintf("%s/state.json", dir);

	state_dir_mkdir(state, dir);
	state_dir_put_json(state, config,
			   json_pack("{sisIs{s{s{sssssssi}s{ssss}s{ss}s{s{so}}}}}", "version", 1, "createdAt",
				     (json_int_t)1700000000000000000, "request", "config", "metadata", "name",
				     pod->name, "uid", "uid-1", "namespace", "default", "attempt", 2,
				     "labels", "app", pod->name, "tier", "front", "annotations", "note",
				     "kept", "linux", "securityContext", "namespaceOptions",
				     json_loads(options, 0, NULL)));
	if (pod->no_state)
		return;
	state_dir_put_json(state, file,
			   json_pack("{sisssbsbsos[ss]}", "version", 1, "bootId",
				     pod->boot_id ? pod->boot_id : state->boot_id, "ready", !pod->not_ready,
				     "stopped", pod->stopped, "pause", process_json(pod->pause), "ips",
				     "10.9.8.7", "fd00::7"));
}

struct container_on_disk {
	const char *id, *pod_id, *name;
	const char *state;   /* "created", "running", "exited" */
	const char *boot_id; /* NULL: this one */
	bool no_state;
	const struct process *init, *monitor; /* NULL: none */
};

static inline void state_dir_add_container(const struct state_dir *state,
					   const struct container_on_disk *container)
{
	CLEANUP(freep) char *dir = xasprintf("root/containers/%s", container->id);
	CLEANUP(freep) char *config = xasprintf("%s/config.json", dir);
	CLEANUP(freep) char *file = xasprintf("%s/state.json", dir);
	bool exited = str_eq(container->state, "exited"), created = str_eq(container->state, "created");

	state_dir_mkdir(state, dir);
	state_dir_put_json(state, config,
			   json_pack("{sisIsssssssss[s]sss{s{sssi}s{ss}s{ssss}}}", "version", 1, "createdAt",
				     (json_int_t)1700000000000000001, "podId", container->pod_id, "imageId",
				     "sha256:1234", "imageRef", "registry/app@sha256:abcd", "stopSignal",
				     "SIGQUIT", "layers", "sha256:layer", "logPath", "/var/log/pods/a/0.log",
				     "config", "metadata", "name", container->name, "attempt", 3, "image",
				     "image", "registry/app", "labels", "app", container->name, "tier",
				     "back"));
	if (container->no_state)
		return;
	state_dir_put_json(
		state, file,
		json_pack("{sisssssIsIsissssso?so?sisis[ii]}", "version", 1, "bootId",
			  container->boot_id ? container->boot_id : state->boot_id, "state", container->state,
			  "startedAt", (json_int_t)(created ? 0 : 1700000000000000002), "finishedAt",
			  (json_int_t)(exited ? 1700000000000000003 : 0), "exitCode", exited ? 42 : 0,
			  "reason", exited ? "Error" : "", "message", exited ? "told before" : "", "init",
			  process_json(container->init), "monitor", process_json(container->monitor), "uid",
			  1000, "gid", 100, "groups", 5, 100));
}

/* A process that stands for a pause, a monitor or an init. */
static inline struct process state_dir_process(void)
{
	const char *const argv[] = { "sleep", "300", NULL };
	const struct command command = { .path = "sleep", .argv = argv };
	struct process process = PROCESS_INIT;
	struct err err = { 0 };

	assert_ok(command_start(&command, &process, &err));
	return process;
}

static inline void state_dir_end_process(struct process *process)
{
	struct err err = { 0 };
	int status;

	if (process->pidfd < 0)
		return;
	assert_ok(process_signal(process, SIGKILL, &err));
	assert_ok(process_wait(process, NULL, &status, &err));
	process_done(process);
}

static inline const Cri__PodSandboxStatus *pod_status_of(const struct state_dir *state, const char *id)
{
	Cri__PodSandboxStatusResponse *response = arena_alloc(state->arena, sizeof(*response));
	struct err err = { 0 };

	assert_ok(pod_status(state->sandboxes, id, false, state->arena, response, &err));
	return response->status;
}

static inline const Cri__ContainerStatus *container_status_of(const struct state_dir *state, const char *id)
{
	Cri__ContainerStatusResponse *response = arena_alloc(state->arena, sizeof(*response));
	struct err err = { 0 };

	assert_ok(container_status(state->sandboxes, id, false, state->arena, response, &err));
	return response->status;
}

/* An encoded list, in an arena. */
struct state_dir_answer {
	struct arena *arena;
	uint8_t *bytes;
	size_t len;
};

static inline uint8_t *state_dir_room(void *data, size_t len, struct err *err UNUSED)
{
	struct state_dir_answer *answer = data;

	answer->len = len;
	answer->bytes = arena_alloc(answer->arena, len + 1);
	return answer->bytes;
}

/* What a client makes of the list. */
static inline void *state_dir_decoded(const struct state_dir_answer *answer,
				      const ProtobufCMessageDescriptor *desc)
{
	ProtobufCMessage *message;
	struct err err = { 0 };

	assert_ok(message_unpack(desc, answer->bytes, answer->len, answer->arena, &message, &err));
	return message;
}

static inline const Cri__ListPodSandboxResponse *pods_listed(const struct state_dir *state,
							     const Cri__PodSandboxFilter *filter)
{
	struct state_dir_answer answer = { .arena = state->arena };
	const struct list_room room = { .take = state_dir_room, .data = &answer };
	struct err err = { 0 };

	assert_ok(pods_list(state->sandboxes, filter, &room, &err));
	return state_dir_decoded(&answer, &cri__list_pod_sandbox_response__descriptor);
}

static inline const Cri__ListContainersResponse *containers_listed(const struct state_dir *state,
								   const Cri__ContainerFilter *filter)
{
	struct state_dir_answer answer = { .arena = state->arena };
	const struct list_room room = { .take = state_dir_room, .data = &answer };
	struct err err = { 0 };

	assert_ok(containers_list(state->sandboxes, filter, &room, &err));
	return state_dir_decoded(&answer, &cri__list_containers_response__descriptor);
}

static inline size_t pods_count(const struct state_dir *state, const Cri__PodSandboxFilter *filter)
{
	return pods_listed(state, filter)->n_items;
}

static inline size_t containers_count(const struct state_dir *state, const Cri__ContainerFilter *filter)
{
	return containers_listed(state, filter)->n_containers;
}

static inline void state_dir_assert_no_warnings(const struct state_dir *state)
{
	const struct strv *warnings = sandboxes_warnings(state->sandboxes);

	if (warnings->len)
		fail_msg("%s", warnings->items[0]);
}

static inline bool state_dir_warned(const struct state_dir *state, const char *part)
{
	const struct strv *warnings = sandboxes_warnings(state->sandboxes);

	for (size_t i = 0; i < warnings->len; i++)
		if (strstr(warnings->items[i], part))
			return true;
	return false;
}

static inline void state_dir_damage(const struct state_dir *state, const char *kind, const char *id,
				    const char *file, const char *content)
{
	CLEANUP(freep) char *name = xasprintf("root/%s/%s/%s", kind, id, file);

	state_dir_put(state, name, content);
}

#endif
