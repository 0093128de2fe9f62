/*
 * CreateContainer. The steps and what undoes them:
 *
 *   config.json       the record that it may exist: from here on a crash is undone at the next start
 *   rootfs, images    overlay_unmount, image_mounts_undo
 *   bundle, spec      gone with the directory
 *   conmon, create    runtime_delete (monitor_create undoes its own failure)
 *   state.json        the container exists
 *
 * Creating passes the pod's gate, so a pod that is being stopped gets no new container.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/file.h"
#include "image/overlay.h"
#include "proto/message.h"
#include "sandbox/container.h"
#include "sandbox/image_mounts.h"
#include "sandbox/log_place.h"
#include "sandbox/monitor_cgroup.h"
#include "sandbox/notifier.h"
#include "sandbox/pod_check.h"
#include "sandbox/pod_files.h"
#include "sandbox/record.h"
#include "sandbox/selinux.h"
#include "sandbox/store.h"

enum { CREATE_SECONDS = 240, UNDO_SECONDS = 60 };

struct create {
	struct sandboxes *owner;
	struct pod *pod; /* a reference */
	struct arena *arena;
	Cri__CreateContainerRequest *request;
};

static void create_free(void *data)
{
	struct create *create = data;

	pod_unref(create->pod);
	arena_free(create->arena);
	free(create);
}

static int check(const Cri__CreateContainerRequest *request, struct err *err)
{
	const Cri__ContainerConfig *config = request->config;

	if (!config)
		return err_set(err, RPC_INVALID_ARGUMENT, "config is missing");
	if (!config->metadata)
		return err_set(err, RPC_INVALID_ARGUMENT, "config.metadata is missing");
	if (metadata_part_check("config.metadata.name", config->metadata->name, err) < 0)
		return -1;
	if (!config->image || !*config->image->image)
		return err_set(err, RPC_INVALID_ARGUMENT, "config.image is missing");
	return 0;
}

static int make_log_dir(const struct container *container, struct err *err)
{
	if (!container->log_path)
		return 0;
	return log_place_make(container->pod->config->log_directory, container->config->log_path, err);
}

/* The OCI runtime goes through here as the user namespace's root, which owns what the container writes. */
static int give_dirs(const struct container *container, int dir, struct err *err)
{
	uid_t uid = userns_root_uid(&container->pod->userns);
	gid_t gid = userns_root_gid(&container->pod->userns);

	if (fchown(dir, (uid_t)-1, gid) < 0 || fchmod(dir, 0710) < 0 ||
	    fchownat(dir, "rootfs", (uid_t)-1, gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(dir, "rootfs", 0710, 0) < 0 || fchownat(dir, "upper", uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "chown %s", container->dir);
	return 0;
}

static int make_dirs(struct container *container, struct err *err)
{
	static const char *const names[] = { "bundle", "rootfs", "upper", "work" };
	CLEANUP(fd_closep) int dir = dir_make(container->owner->containers_dir, container->id, 0700, err);
	CLEANUP(fd_closep) int run_dir = -1;

	if (dir < 0)
		return -1;
	crash_point("create.folder");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		/* upper becomes the root directory of the container, which everybody in it may enter */
		if (mkdirat(dir, names[i], strcmp(names[i], "upper") == 0 ? 0755 : 0700) < 0)
			return err_errno(err, "make %s/%s", container->dir, names[i]);
	if (fchmodat(dir, "upper", 0755, 0) < 0)
		return err_errno(err, "chmod %s/upper", container->dir);
	if (pod_has_userns(container->pod) && give_dirs(container, dir, err) < 0)
		return -1;
	/* Outside of that folder nothing is made before the record of it is on disk. */
	if (crash_point("create.folders") || container_save_config(container, err) < 0 ||
	    crash_point("create.recorded"))
		return -1;
	run_dir = dir_make(AT_FDCWD, container->run_dir, 0700, err);
	return run_dir < 0 ? -1 : 0;
}

static int mount_rootfs(const struct container *container, const struct image *image, struct err *err)
{
	CLEANUP(strv_done) struct strv lowers = STRV_INIT;
	CLEANUP(freep) char *upper = xasprintf("%s/upper", container->dir);
	CLEANUP(freep) char *work = xasprintf("%s/work", container->dir);

	if (container_layer_dirs(container, image, &lowers, err) < 0)
		return -1;
	const struct pod *pod = container->pod;
	const struct selinux_request request = { container->owner->config, pod->config, container->config,
						 pod->selinux_level };
	struct selinux_labels labels CLEANUP(selinux_labels_done) = { 0 };

	if (container->owner->host.selinux)
		selinux_labels(&request, &labels);
	struct overlay_mount mount = { .lowers = &lowers,
				       .upper = upper,
				       .work = work,
				       .target = container->rootfs,
				       .context = labels.mount };
	return overlay_mount(&mount, err);
}

/* TARGET shares the PID namespace of another container of the same pod. */
static int target_pid_ns(const struct container *container, char **ret, struct err *err)
{
	const Cri__LinuxContainerConfig *config = container->config->linux;
	const Cri__NamespaceOption *options =
		config && config->security_context ? config->security_context->namespace_options : NULL;
	CLEANUP(container_unrefp) struct container *target = NULL;

	if (!options || options->pid != CRI__NAMESPACE_MODE__TARGET)
		return 0;
	if (store_find_container(container->owner, options->target_id, &target, err) < 0)
		return err_prefix(err, "target_id");
	if (target->pod != container->pod)
		return err_set(err, RPC_INVALID_ARGUMENT, "target_id: container %s is in another pod",
			       target->id);
	CLEANUP(process_done) struct process init = container_init_process(target);
	if (container_state(target) != CRI__CONTAINER_STATE__CONTAINER_RUNNING || !process_alive(&init))
		return err_set(err, RPC_FAILED_PRECONDITION, "target_id: container %s is not running",
			       target->id);
	*ret = xasprintf("/proc/%d/ns/pid", init.pid);
	return 0;
}

struct paths { /* what spec_input borrows */
	char *net, *ipc, *uts, *pid, *user, *target;
	char *hosts, *hostname, *resolv_conf, *shm, *volumes;
};

static void paths_done(struct paths *paths)
{
	char **all = (char **)paths;

	for (size_t i = 0; i < sizeof(*paths) / sizeof(char *); i++)
		free(all[i]);
}

static char *own_namespace(const struct pod *pod, enum namespace_kind kind)
{
	return pod->namespaces & kind ? namespace_path(pod->ns_dir, kind) : NULL;
}

static void fill_paths(const struct container *container, struct paths *paths)
{
	const struct pod *pod = container->pod;

	paths->net = own_namespace(pod, NAMESPACE_NET);
	paths->ipc = own_namespace(pod, NAMESPACE_IPC);
	paths->uts = own_namespace(pod, NAMESPACE_UTS);
	paths->pid = own_namespace(pod, NAMESPACE_PID);
	paths->user = own_namespace(pod, NAMESPACE_USER);
	paths->hosts = pod_files_shared(pod->run_dir, "hosts");
	paths->hostname = pod_files_shared(pod->run_dir, "hostname");
	paths->resolv_conf = pod_files_shared(pod->run_dir, "resolv.conf");
	paths->shm =
		pod->namespaces & NAMESPACE_IPC ? pod_files_path(pod->run_dir, "shm") : xstrdup("/dev/shm");
	paths->volumes = xasprintf("%s/volumes", container->dir);
}

static void fill_input(const struct container *container, struct spec_input *ret)
{
	*ret = (struct spec_input){
		.config = container->config,
		.pod_config = container->pod->config,
		.settings = container->owner->config,
		.handler = container->pod->handler,
		.host = &container->owner->host,
		.seccomps = container->owner->seccomps,
		.apparmor = container->owner->apparmor,
		.cdi = container->owner->cdi,
		.hooks = container->owner->hooks,
		.id = container->id,
		.pod_id = container->pod->id,
		.selinux_level = container->pod->selinux_level,
		.cgroups_path = container->oci_cgroups_path,
		.notifier_socket = notifier_socket(container->owner->notifier),
	};
}

static int write_spec(const struct container *container, const char *spec, struct err *err)
{
	CLEANUP(fd_closep) int bundle = dir_open(AT_FDCWD, container->bundle, err);

	/* Made anew for each creation, so it needs no sync: a crash before state.json undoes the container.
	 */
	return bundle < 0 ? -1 : file_replace_volatile(bundle, "config.json", spec, strlen(spec), 0600, err);
}

/* Read when the runtime hands over the container's seccomp filter. */
static int write_notifier_file(const struct container *container, const char *text, struct err *err)
{
	CLEANUP(fd_closep) int dir = text ? dir_open(AT_FDCWD, container->run_dir, err) : -1;

	if (!text)
		return 0;
	return dir < 0 ? -1 : file_replace_volatile(dir, NOTIFIER_FILE, text, strlen(text), 0600, err);
}

static int check_mapped(const struct container *container, struct err *err)
{
	const struct userns *userns = &container->pod->userns;
	const struct user *user = &container->user;

	if (!pod_has_userns(container->pod))
		return 0;
	for (size_t i = 0; i < user->groups_len; i++)
		if (userns_check_id(&userns->gids, user->groups[i], "supplemental group", err) < 0)
			return -1;
	if (userns_check_id(&userns->uids, user->uid, "user", err) < 0)
		return -1;
	return userns_check_id(&userns->gids, user->gid, "group", err);
}

static int build_spec(struct container *container, const struct image *image,
		      const struct image_mounts *mounts, const char *apparmor_profile,
		      struct strv *ret_sources, struct err *err)
{
	CLEANUP(paths_done) struct paths paths = { 0 };
	CLEANUP(fd_closep) int rootfs = dir_open(AT_FDCWD, container->rootfs, err);
	CLEANUP(strv_done) struct strv sources = STRV_INIT;
	CLEANUP(freep) char *spec = NULL;
	CLEANUP(freep) char *notifier_file = NULL;
	struct user_request user = {
		.security = container->config->linux ? container->config->linux->security_context : NULL,
		.image_user = image->config.user,
		.rootfs = rootfs,
	};
	struct spec_input input;

	if (rootfs < 0 || user_resolve(&user, &container->user, err) < 0 ||
	    check_mapped(container, err) < 0 || user_add_entry(rootfs, &container->user, err) < 0 ||
	    crash_point("create.user") || target_pid_ns(container, &paths.target, err) < 0 ||
	    image_mounts_make(container, mounts, &sources, err) < 0 || crash_point("create.image_mounts"))
		return -1;
	fill_paths(container, &paths);
	fill_input(container, &input);
	input.image = &image->config;
	input.user = &container->user;
	input.rootfs = container->rootfs;
	input.rootfs_fd = rootfs;
	input.apparmor_profile = apparmor_profile;
	input.volumes_dir = paths.volumes;
	input.image_mounts = &sources;
	input.net_ns = paths.net;
	input.ipc_ns = paths.ipc;
	input.uts_ns = paths.uts;
	input.pid_ns = paths.pid;
	input.user_ns = paths.user;
	input.userns = paths.user ? &container->pod->userns : NULL;
	input.target_pid_ns = paths.target;
	input.hosts = paths.hosts;
	input.hostname_file = paths.hostname;
	input.resolv_conf = paths.resolv_conf;
	input.shm = paths.shm;
	input.hostname = container->pod->config->hostname;
	input.log_path = container->log_path;
	input.image_name = container->config->image->image;
	input.ret_poststart_hooks = &container->poststart_hooks;
	input.ret_notifier_file = &notifier_file;
	input.ret_sources = ret_sources;
	if (spec_build(&input, &spec, err) < 0 || write_notifier_file(container, notifier_file, err) < 0)
		return -1;
	return write_spec(container, spec, err);
}

/* The runtime joined a target by its pid: if that lives still, nobody else can have had it. And a pod that
 * has ended meanwhile gets no containers. */
static int check_joined(const struct container *container, struct err *err)
{
	CLEANUP(freep) char *target = NULL;

	if (!pod_pause_alive(container->pod))
		return err_set(err, RPC_FAILED_PRECONDITION,
			       "pod sandbox %s is not ready: its pause process has ended",
			       container->pod->id);
	return target_pid_ns(container, &target, err);
}

static int start_monitor(struct container *container, const struct image *image, const struct strv *sources,
			 const struct ctx *ctx, struct err *err)
{
	CLEANUP(monitor_started_done) struct monitor_started started = { PROCESS_INIT, PROCESS_INIT };
	CLEANUP(fd_closep) int cgroup = -1;
	struct monitor_spec spec;
	struct spec_input input;

	fill_input(container, &input);
	input.image = &image->config;
	container_monitor_spec(container, &spec);
	spec.program = spec_program(&input);
	spec.sources = sources->len ? (const char *const *)sources->items : NULL;
	if (monitor_cgroup_open(container, &cgroup, err) < 0)
		return -1;
	spec.cgroup = cgroup;
	int failed = monitor_create(&spec, ctx, &started, err);
	/* Which is also the reason, should it have failed. */
	if (check_joined(container, err) < 0 || failed < 0 || crash_point("create.made") ||
	    monitor_cgroup_enter(container, &started.monitor, err) < 0)
		return -1;
	lock_take(&container->lock);
	container->init = started.container;
	container->monitor = started.monitor;
	lock_drop(&container->lock);
	pid_t init = started.container.pid;
	started = (struct monitor_started){ PROCESS_INIT, PROCESS_INIT };
	/* A runtime that put it elsewhere is not believed: CVE-2025-47291. */
	if (cgroup_check_process(container->owner->cgroups, container->cgroup_path, init, err) < 0 ||
	    container_save(container, err) < 0 || crash_point("create.saved"))
		return -1;
	return container_watch(container, err);
}

int container_undo(struct container *container, const struct ctx *ctx, struct err *err)
{
	struct runtime_target target;

	lock_take(&container->lock);
	container->removed = true;
	lock_drop(&container->lock);
	container_unwatch(container);

	/* First who may still be making what is undone here. */
	if (monitor_end(container->bundle, container->id, ctx, err) < 0 ||
	    cgroup_kill(container->owner->cgroups, container->cgroup_path, ctx, err) < 0 ||
	    crash_point("undo_create.killed") ||
	    (container_target(container, &target) && runtime_delete(&target, ctx, err) < 0))
		return -1;
	return container_destroy(container, ctx, err);
}

/* With time of its own, since the caller's may be what is over. */
static void undo(struct container *container)
{
	struct ctx ctx;
	struct err err;

	ctx_init(&ctx, clock_deadline_in(UNDO_SECONDS * NS_PER_SEC));
	if (record_forget_state(container->dir, &err) < 0 || container_undo(container, &ctx, &err) < 0)
		leftovers_add_container(container, &err);
	ctx_done(&ctx);
}

static struct container *new_container(struct create *create, const struct image *image,
				       const struct image_mounts *mounts)
{
	const Cri__ContainerConfig *config = create->request->config;
	const char *directory = create->pod->config->log_directory;
	struct container_birth birth = {
		.pod = create->pod,
		.arena = TAKE(create->arena),
		.config = config,
		.image = { .id = xstrdup(image->id),
			   .name = container_image_name(config->image, image),
			   .ref = xstrdup(image->repo_digests.len ? image->repo_digests.items[0] : image->id),
			   .stop_signal =
				   xstrdup(image->config.stop_signal ? image->config.stop_signal : "") },
		.log_path = *config->log_path ? xasprintf("%s/%s", directory, config->log_path) : NULL,
	};

	strv_add_all(&birth.image.layers, (const char *const *)image->layers.items, image->layers.len);
	image_mounts_layers(mounts, &birth.image.layers);
	return container_new_take(&birth);
}

static int create_gated(struct create *create, const struct ctx *ctx, char **ret, struct err *err)
{
	CLEANUP(image_unrefp) struct image *image = NULL;
	CLEANUP(image_mounts_done) struct image_mounts mounts = { 0 };

	if (!pod_ready(create->pod))
		return err_set(err, RPC_FAILED_PRECONDITION, "pod sandbox %s is not ready", create->pod->id);
	if (!create->pod->handler || create->pod->handler->problem)
		return err_set(err, RPC_FAILED_PRECONDITION,
			       "runtime handler of pod sandbox %s cannot be used", create->pod->id);
	if (*create->request->config->log_path &&
	    log_place_check(create->pod->config->log_directory, create->request->config->log_path, err) < 0)
		return -1;
	if (images_find(create->owner->images, create->request->config->image->image, &image, err) < 0 ||
	    image_mounts_find(create->owner, create->request->config, &mounts, err) < 0)
		return -1;

	CLEANUP(container_unrefp) struct container *container = new_container(create, image, &mounts);
	CLEANUP(strv_done) struct strv sources = STRV_INIT;
	const char *apparmor_profile;
	struct spec_input input;
	fill_input(container, &input);
	input.image = &image->config;
	if (spec_check(&input, err) < 0 || spec_apparmor_profile(&input, ctx, &apparmor_profile, err) < 0)
		return -1;
	if (make_dirs(container, err) < 0 || crash_point("create.run_folder") ||
	    make_log_dir(container, err) < 0 || crash_point("create.log_folder") ||
	    mount_rootfs(container, image, err) < 0 || crash_point("create.rootfs") ||
	    build_spec(container, image, &mounts, apparmor_profile, &sources, err) < 0 ||
	    crash_point("create.spec") || start_monitor(container, image, &sources, ctx, err) < 0) {
		undo(container);
		return -1;
	}
	store_add_container(create->owner, container);
	announce_new_container(container);
	crash_point("create.told");
	*ret = xstrdup(container->id);
	return 0;
}

/* The joined work: runs on the pool with a context of its own. */
static int create_work(void *data, const struct ctx *ctx, char **ret, struct err *err)
{
	struct create *create = data;
	CLEANUP(freep)
	char *identity = container_identity(create->pod->id, create->request->config->metadata);
	CLEANUP(container_unrefp)
	struct container *found = store_container_by_identity(create->owner, identity);

	if (found) {
		*ret = xstrdup(found->id);
		return 0;
	}
	move_lock_expect(create->owner->moves);
	/* create_free() may drop the last other reference while the gate is still to be left. */
	CLEANUP(pod_unrefp) struct pod *pod = pod_ref(create->pod);
	if (gate_enter(&pod->gate, ctx, "CreateContainer", err) < 0)
		return -1;
	int failed = create_gated(create, ctx, ret, err);
	gate_leave(&pod->gate);
	return failed;
}

int container_create(struct sandboxes *sandboxes, const struct ctx *ctx,
		     const Cri__CreateContainerRequest *request, char **ret_id, struct err *err)
{
	CLEANUP(pod_unrefp) struct pod *pod = NULL;

	if (check(request, err) < 0 || store_find_pod(sandboxes, request->pod_sandbox_id, &pod, err) < 0)
		return -1;

	CLEANUP(freep) char *identity = container_identity(pod->id, request->config->metadata);
	CLEANUP(freep) char *key = xasprintf("container/%s", identity);
	CLEANUP(freep) char *what = xasprintf("CreateContainer %.64s", request->config->metadata->name);
	struct create *data = xnew(struct create);
	data->owner = sandboxes;
	data->pod = pod_ref(pod);
	data->arena = arena_new(0);
	data->request = message_clone(&request->base, data->arena);
	struct flight_work work = {
		.key = key,
		.what = what,
		.run = create_work,
		.free_data = create_free,
		.data = data,
		.deadline = clock_deadline_in(CREATE_SECONDS * NS_PER_SEC),
	};
	return flight_join(sandboxes->flights, ctx, &work, ret_id, err);
}
