/* Opening and closing of the whole, and the notices of exit files. */
#include "sandbox/sandboxes.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "sandbox/pause.h"
#include "sandbox/cgroup_systemd.h"
#include "sandbox/monitor_cgroup.h"
#include "sandbox/notifier.h"
#include "sandbox/selinux.h"
#include "sandbox/store.h"

/* Containers with a user namespace of their own reach their root filesystem and files through here, as
 * somebody else than the host's root. What lies below is closed to all but them. */
static int let_through(int dir, const char *what, struct err *err)
{
	return fchmod(dir, 0711) < 0 ? err_errno(err, "chmod %s", what) : 0;
}

static int open_dirs(struct sandboxes *sandboxes, struct err *err)
{
	static const char *const run_names[] = { "ns", "pods", "containers" };
	const struct config *config = sandboxes->config;
	CLEANUP(fd_closep) int root = dir_make(AT_FDCWD, config->root, 0700, err);
	CLEANUP(fd_closep) int run = root < 0 ? -1 : dir_make(AT_FDCWD, config->runroot, 0700, err);
	CLEANUP(fd_closep) int exits = -1;
	CLEANUP(fd_closep) int attach = -1;

	if (root < 0 || run < 0 || let_through(root, config->root, err) < 0 ||
	    let_through(run, config->runroot, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(run_names); i++) {
		CLEANUP(fd_closep) int dir = dir_make(run, run_names[i], 0700, err);
		if (dir < 0 || (str_eq(run_names[i], "pods") && let_through(dir, "pods", err) < 0))
			return -1;
	}
	sandboxes->exit_dir = xasprintf("%s/exits", config->runroot);
	sandboxes->attach_dir = xasprintf("%s/attach", config->runroot);
	if ((exits = dir_make(AT_FDCWD, sandboxes->exit_dir, 0700, err)) < 0 ||
	    (attach = dir_make(AT_FDCWD, sandboxes->attach_dir, 0700, err)) < 0 ||
	    (sandboxes->pods_dir = dir_make(root, "pods", 0700, err)) < 0 ||
	    (sandboxes->containers_dir = dir_make(root, "containers", 0700, err)) < 0 ||
	    let_through(sandboxes->containers_dir, "containers", err) < 0 ||
	    (sandboxes->trash_dir = dir_make(root, "trash", 0700, err)) < 0)
		return -1;
	return 0;
}

static int read_boot_id(char **ret, struct err *err)
{
	if (file_read_virtual(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 128, ret, err) < 0)
		return -1;
	(*ret)[strcspn(*ret, "\n")] = '\0';
	return 0;
}

static void exit_noticed(void *data, const char *id)
{
	struct sandboxes *sandboxes = data;

	lock_take(&sandboxes->lock);
	CLEANUP(container_unrefp)
	struct container *container = container_ref(map_get(&sandboxes->containers, id));
	lock_drop(&sandboxes->lock);
	if (container)
		container_check_exit(container, false);
}

static void stop_task(void *data)
{
	CLEANUP(container_unrefp) struct container *container = data;
	struct ctx ctx;
	struct err err;

	ctx_init(&ctx, clock_deadline_in(60 * NS_PER_SEC));
	if (container_stop_now(container, &ctx, &err) < 0)
		log_warn("container %s: %s, ignoring", container->id, err.text);
	ctx_done(&ctx);
}

/* What it used says why it ended. */
static void stop_forbidden(void *data, const char *id, const char *calls)
{
	struct sandboxes *sandboxes = data;
	struct err err;

	lock_take(&sandboxes->lock);
	struct container *container = container_ref(map_get(&sandboxes->containers, id));
	lock_drop(&sandboxes->lock);
	if (!container)
		return;
	log_warn("container %s: stopping it for forbidden system calls: %s", id, calls);
	lock_take(&container->lock);
	free(container->stopped_for);
	container->stopped_for = xasprintf("Used forbidden syscalls: %s", calls);
	lock_drop(&container->lock);
	if (pool_run(sandboxes->pool, stop_task, container, &err) < 0) {
		log_warn("container %s: %s, ignoring", id, err.text);
		container_unref(container);
	}
}

static int open_notifier(struct sandboxes *sandboxes, struct err *err)
{
	const struct notifier_options options = { .loop = sandboxes->loop,
						  .runroot = sandboxes->config->runroot,
						  .stop = stop_forbidden,
						  .data = sandboxes };

	sandboxes->notifier = notifier_new(&options, err);
	return sandboxes->notifier ? 0 : -1;
}

/* Exit files that were there before the watch are seen here. */
static void catch_up(struct sandboxes *sandboxes)
{
	CLEANUP(store_containers_freep) struct container **containers = store_containers(sandboxes, NULL);

	for (size_t i = 0; containers[i]; i++)
		container_check_exit(containers[i], false);
}

/* NULL: nothing can be watched, or there is no inotify instance left, of which each conmon has one. */
static struct oom_watch *watch_ooms(struct sandboxes *sandboxes)
{
	CLEANUP(freep) char *any = cgroup_oom_file(sandboxes->cgroups, "");
	struct oom_watch *watch = NULL;
	struct err err;

	if (any && !(watch = oom_watch_new(sandboxes->loop, &err)))
		log_warn(
			"%s: a container that the kernel kills for lack of memory may end without that reason",
			err.text);
	return watch;
}

static int open_parts(struct sandboxes *sandboxes, struct restore_progress *progress, struct err *err)
{
	if (open_dirs(sandboxes, err) < 0 || read_boot_id(&sandboxes->boot_id, err) < 0 ||
	    pause_find(&sandboxes->pause_path, err) < 0)
		return -1;
	if (monitor_cgroup_check(sandboxes->config, err) < 0 ||
	    (sandboxes->config->runtime.cgroup_manager == CONFIG_SYSTEMD && cgroup_systemd_check(err) < 0))
		return -1;
	sandboxes->cgroups = cgroups_open(NULL, err);
	if (!sandboxes->cgroups)
		return -1;
	sandboxes->moves = move_lock_new(sandboxes->cgroups, sandboxes->pool);
	sandboxes->exits = exit_watch_new(sandboxes->loop, sandboxes->exit_dir, exit_noticed, sandboxes, err);
	if (!sandboxes->exits)
		return -1;
	sandboxes->ooms = watch_ooms(sandboxes);
	sandboxes->reconciler = reconciler_new(sandboxes, err);
	/* The restore comes last: it gives tasks to the pool, which a failure after it would pull the rug
	 * from under. */
	if (!sandboxes->reconciler || open_notifier(sandboxes, err) < 0 ||
	    store_restore(sandboxes, progress, err) < 0)
		return -1;
	catch_up(sandboxes);
	reconciler_look(sandboxes->reconciler, clock_mono());
	return 0;
}

struct sandboxes *sandboxes_open(const struct sandboxes_options *options, struct err *err)
{
	struct sandboxes *sandboxes = xnew(struct sandboxes);

	sandboxes->config = config_ref(options->config);
	sandboxes->images = options->images;
	sandboxes->network = options->network;
	sandboxes->handlers = options->handlers;
	sandboxes->loop = options->loop;
	sandboxes->pool = options->pool;
	sandboxes->listener = options->listener;
	announcer_init(&sandboxes->announcer);
	sandboxes->flights = flights_new(options->pool);
	sandboxes->seccomps = seccomps_new(options->config);
	sandboxes->apparmor = apparmor_new(options->config);
	sandboxes->cdi = cdi_new(options->config);
	sandboxes->hooks = hooks_new(options->config);
	sandboxes->pods_dir = sandboxes->containers_dir = sandboxes->trash_dir = -1;
	sandboxes->walker = layer_walker_new();
	sandboxes->selinux_levels = selinux_levels_new();
	spec_host_read(sandboxes->config, &sandboxes->host);
	lock_init(&sandboxes->lock, "sandboxes", LOCK_SANDBOX);
	map_init(&sandboxes->pods, NULL);
	map_init(&sandboxes->containers, NULL);
	map_init(&sandboxes->pod_names, NULL);
	map_init(&sandboxes->container_names, NULL);
	map_init(&sandboxes->leftovers, NULL);
	atomic_init(&sandboxes->discards, 0);
	cond_init(&sandboxes->leftovers_changed);
	if (open_parts(sandboxes, options->progress, err) < 0)
		return sandboxes_free(sandboxes);
	apparmor_preload(sandboxes->apparmor, sandboxes->pool);
	return sandboxes;
}

static void forget_pod(struct pod *pod)
{
	lock_take(&pod->lock);
	struct watch *watch = TAKE(pod->watch);
	lock_drop(&pod->lock);
	watch_cancel(watch);
}

/* Containers go before the pods they refer to. */
static void forget_all(struct sandboxes *sandboxes)
{
	CLEANUP(store_pods_freep) struct pod **pods = store_pods(sandboxes);
	CLEANUP(store_containers_freep) struct container **containers = store_containers(sandboxes, NULL);

	for (size_t i = 0; containers[i]; i++) {
		container_unwatch(containers[i]);
		store_remove_container(sandboxes, containers[i]);
	}
	for (size_t i = 0; pods[i]; i++) {
		forget_pod(pods[i]);
		store_remove_pod(sandboxes, pods[i]);
	}
	leftovers_free(sandboxes);
}

struct sandboxes *sandboxes_free(struct sandboxes *sandboxes)
{
	if (!sandboxes)
		return NULL;
	reconciler_free(sandboxes->reconciler);
	exit_watch_free(sandboxes->exits);
	notifier_free(sandboxes->notifier);
	flights_free(sandboxes->flights);
	layer_walker_free(sandboxes->walker);
	forget_all(sandboxes);
	oom_watch_free(sandboxes->ooms);
	map_done(&sandboxes->pods);
	map_done(&sandboxes->containers);
	map_done(&sandboxes->pod_names);
	map_done(&sandboxes->container_names);
	lock_done(&sandboxes->lock);
	announcer_done(&sandboxes->announcer);
	move_lock_free(sandboxes->moves);
	cgroups_free(sandboxes->cgroups);
	seccomps_free(sandboxes->seccomps);
	apparmor_free(sandboxes->apparmor);
	selinux_levels_free(sandboxes->selinux_levels);
	cdi_free(sandboxes->cdi);
	hooks_free(sandboxes->hooks);
	fd_close(sandboxes->pods_dir);
	fd_close(sandboxes->containers_dir);
	fd_close(sandboxes->trash_dir);
	strv_done(&sandboxes->warnings);
	strv_done(&sandboxes->strays_told);
	free(sandboxes->pause_path);
	free(sandboxes->boot_id);
	free(sandboxes->exit_dir);
	free(sandboxes->attach_dir);
	config_unref(sandboxes->config);
	free(sandboxes);
	return NULL;
}

void sandboxes_cancel(struct sandboxes *sandboxes)
{
	atomic_store(&sandboxes->ending, true);
	flights_cancel(sandboxes->flights);
}

const struct strv *sandboxes_warnings(const struct sandboxes *sandboxes)
{
	return &sandboxes->warnings;
}

bool sandboxes_layer_in_use(void *data, const char *chain_id)
{
	struct sandboxes **place = data;

	/* While the containers are being loaded nobody knows yet, so every layer counts as used. */
	if (!*place)
		return true;
	CLEANUP(store_containers_freep) struct container **containers = store_containers(*place, NULL);
	for (size_t i = 0; containers[i]; i++)
		if (strv_has(&containers[i]->image.layers, chain_id))
			return true;
	return quarantine_uses_layer(*place, chain_id);
}
