/*
 * RemoveContainer: kill if need be, settle, take the root filesystem down, and hand what is on disk to the
 * trash. The rename into the trash is the point of no return; until then a crash or failure leaves a
 * container that can be removed again. Deleting a large writable layer happens outside the call.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/file.h"
#include "image/images.h"
#include "image/overlay.h"
#include "sandbox/container.h"
#include "sandbox/image_mounts.h"
#include "sandbox/store.h"

/* It ends by itself once it has written what the container's end left in its pipes. */
static const int64_t monitor_patience = 500 * NS_PER_MS;

/* Removes a folder on tmpfs that may never have been made, or be gone with a reboot. */
static int remove_volatile(const char *parent, const char *name, struct err *err)
{
	CLEANUP(fd_closep) int dir = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return errno == ENOENT ? 0 : err_errno(err, "open %s", parent);
	return tree_remove(dir, name, err);
}

static int remove_run_dir(const struct container *container, struct err *err)
{
	const char *slash = strrchr(container->run_dir, '/');
	CLEANUP(freep) char *parent = xstrndup(container->run_dir, (size_t)(slash - container->run_dir));

	return remove_volatile(parent, slash + 1, err);
}

/* A monitor that was stopped, or cannot write its log, would outlive its container. */
static int end_monitor(struct container *container, const struct ctx *ctx, struct err *err)
{
	CLEANUP(process_done) struct process monitor = container_monitor_process(container);
	struct ctx soon;
	struct err ignored;

	if (monitor.pidfd < 0)
		return 0;
	ctx_init_child(&soon, ctx, clock_deadline_in(monitor_patience));
	int waiting = process_wait_gone(&monitor, &soon, &ignored);
	ctx_done(&soon);
	if (waiting == 0)
		return 0;
	if (process_signal(&monitor, SIGKILL, err) < 0)
		return -1;
	return process_wait_gone(&monitor, ctx, err);
}

int container_destroy(struct container *container, const struct ctx *ctx, struct err *err)
{
	struct sandboxes *owner = container->owner;

	if (end_monitor(container, ctx, err) < 0 || crash_point("remove.monitor") ||
	    overlay_unmount(container->rootfs, err) < 0 || crash_point("remove.rootfs") ||
	    image_mounts_undo(container, err) < 0 || crash_point("remove.image_mounts") ||
	    cgroup_remove(owner->cgroups, container->cgroup_path, ctx, err) < 0 ||
	    crash_point("remove.cgroup") || remove_run_dir(container, err) < 0 ||
	    crash_point("remove.run_folder") ||
	    remove_volatile(owner->attach_dir, container->id, err) < 0) /* conmon's socket */
		return -1;
	crash_point("remove.socket");
	exit_status_remove(owner->exit_dir, container->id);
	crash_point("remove.exit_file");
	return store_discard(owner, owner->containers_dir, container->id, err);
}

static int remove_gated(struct container *container, const struct ctx *ctx, struct err *err)
{
	lock_take(&container->lock);
	bool removed = container->removed;
	container->doomed = true;
	lock_drop(&container->lock);
	if (removed)
		return 0;
	if (container_kill(container, ctx, err) < 0 || crash_point("remove.killed") ||
	    container_destroy(container, ctx, err) < 0)
		return -1;

	lock_take(&container->lock);
	container->removed = true;
	lock_drop(&container->lock);
	container_unwatch(container);
	store_remove_container(container->owner, container);
	announce_container(container);
	crash_point("remove.told");
	images_release(container->owner->images);
	return 0;
}

int container_remove_object(struct container *container, const struct ctx *ctx, struct err *err)
{
	container_stop_begin(container, 0);
	int failed = gate_enter(&container->gate, ctx, "RemoveContainer", err);
	if (!failed) {
		failed = remove_gated(container, ctx, err);
		gate_leave(&container->gate);
	}
	container_stop_end(container);
	return failed;
}

int container_remove(struct sandboxes *sandboxes, const struct ctx *ctx, const char *id, struct err *err)
{
	CLEANUP(container_unrefp) struct container *container = NULL;
	struct err find;

	if (store_find_container(sandboxes, id, &container, &find) < 0)
		return find.code == RPC_NOT_FOUND ? 0 : err_set(err, find.code, "%s", find.text);
	return container_remove_object(container, ctx, err);
}
