/* A round is one task on the pool; what may take long in it (stopping a pod, settling a container) gets tasks
 * of its own, so that one pod whose network plugin hangs keeps nobody else waiting. */
#include "sandbox/reconciler.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "image/overlay.h"
#include "sandbox/store.h"

static const int64_t first_delay = 10 * NS_PER_SEC, last_delay = 300 * NS_PER_SEC;
static const int64_t halt_patience = 60 * NS_PER_SEC;

struct reconciler {
	struct sandboxes *owner;
	struct source *timer;
	int64_t interval;
	/* under the owner's lock */
	bool busy;
	int64_t due, delay; /* clock_mono() ns; ns, 0: the last round left nothing */
};

static int64_t longer(const struct sandboxes *owner, int64_t delay)
{
	int64_t interval = owner->config->runtime.reconcile_interval;

	if (!delay)
		return interval < first_delay ? interval : first_delay;
	return 2 * delay < last_delay ? 2 * delay : last_delay;
}

/* ---- pods whose stop failed ---- */

void reconciler_halt_later(struct pod *pod)
{
	lock_take(&pod->lock);
	pod->halt_delay = longer(pod->owner, pod->halt_delay);
	pod->halt_due = clock_deadline_in(pod->halt_delay);
	lock_drop(&pod->lock);
}

static bool still_to_halt(struct pod *pod)
{
	lock_take(&pod->lock);
	bool needed = !pod->stopped && !pod->removed;
	lock_drop(&pod->lock);
	return needed;
}

static void halted(struct pod *pod)
{
	struct err err;

	lock_take(&pod->lock);
	pod->halt_due = NO_DEADLINE;
	pod->halt_delay = 0;
	lock_drop(&pod->lock);
	log_info("pod sandbox %s: stopped at last", pod->id);
	if (pod_save(pod, &err) < 0) /* a start would stop it once more */
		log_debug("pod sandbox %s: %s, ignoring", pod->id, err.text);
}

static void halt_task(void *data)
{
	CLEANUP(pod_unrefp) struct pod *pod = data;
	struct ctx ctx;
	struct err err;
	int failed;

	ctx_init(&ctx, clock_deadline_in(halt_patience));
	failed = gate_enter(&pod->gate, &ctx, "stop again", &err);
	if (!failed) {
		if (still_to_halt(pod) && (failed = pod_halt(pod, &ctx, &err)) == 0)
			halted(pod);
		gate_leave(&pod->gate);
	}
	ctx_done(&ctx);
	if (failed) {
		log_debug("pod sandbox %s: stop again: %s", pod->id, err.text);
		reconciler_halt_later(pod);
	}
}

static void halt_due(struct sandboxes *owner, int64_t now)
{
	CLEANUP(store_pods_freep) struct pod **pods = store_pods(owner);
	struct err err;

	for (size_t i = 0; pods[i]; i++) {
		lock_take(&pods[i]->lock);
		bool due = pods[i]->halt_due <= now;
		if (due)
			pods[i]->halt_due = NO_DEADLINE;
		lock_drop(&pods[i]->lock);
		if (due && pool_run(owner->pool, halt_task, pod_ref(pods[i]), &err) < 0) {
			reconciler_halt_later(pods[i]);
			pod_unref(pods[i]);
		}
	}
}

/* ---- processes ---- */

static void look_at_pods(struct sandboxes *owner)
{
	CLEANUP(store_pods_freep) struct pod **pods = store_pods(owner);

	for (size_t i = 0; pods[i]; i++) {
		lock_take(&pods[i]->lock);
		bool dead = pods[i]->pause.pidfd >= 0 && !process_alive(&pods[i]->pause);
		lock_drop(&pods[i]->lock);
		if (dead)
			pod_pause_ended(pods[i]);
	}
}

static void look_at_containers(struct sandboxes *owner)
{
	CLEANUP(store_containers_freep) struct container **containers = store_containers(owner, NULL);

	for (size_t i = 0; containers[i]; i++) {
		struct container *container = containers[i];

		lock_take(&container->lock);
		bool exited = container->state == CRI__CONTAINER_STATE__CONTAINER_EXITED;
		bool unsettled = exited && !container->settled && !container->removed;
		bool alone = container->monitor.pidfd >= 0 && !process_alive(&container->monitor);
		lock_drop(&container->lock);
		if (!exited)
			container_check_exit(container, alone);
		else if (unsettled)
			container_settle_later(container);
	}
}

/* ---- the trash ---- */

/* What is mounted in it is a root filesystem that came back, or one that was never taken down. */
static int empty_one(struct sandboxes *owner, const char *name, struct err *err)
{
	CLEANUP(freep) char *rootfs = xasprintf("%s/trash/%s/rootfs", owner->config->root, name);

	if (tree_remove(owner->trash_dir, name, err) == 0)
		return 0;
	if (err->code != RPC_FAILED_PRECONDITION || !id_valid(name) || overlay_unmount(rootfs, err) < 0)
		return -1;
	return tree_remove(owner->trash_dir, name, err);
}

/* Not while others are deleting there. */
static int empty_trash(struct sandboxes *owner, struct err *err)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	int failed = 0;

	if (atomic_load(&owner->discards))
		return 0;
	if (dir_list(owner->trash_dir, ".", &names, err) < 0)
		return -1;
	for (size_t i = 0; i < names.len; i++)
		if (empty_one(owner, names.items[i], err) < 0)
			failed = err_prefix(err, "trash");
	return failed;
}

/* ---- rounds ---- */

static void told(struct reconciler *reconciler, const struct err *why)
{
	struct sandboxes *owner = reconciler->owner;

	lock_take(&owner->lock);
	bool first = why && !reconciler->delay;
	reconciler->delay = why ? longer(owner, reconciler->delay) : 0;
	reconciler->due = clock_deadline_in(why ? reconciler->delay : reconciler->interval);
	reconciler->busy = false;
	lock_drop(&owner->lock);
	if (first)
		log_warn("cleaning up: %s; trying again in the background", why->text);
}

static void round_task(void *data)
{
	struct reconciler *reconciler = data;
	struct sandboxes *owner = reconciler->owner;
	struct err trash, strays;

	look_at_pods(owner);
	look_at_containers(owner);
	apparmor_keep(owner->apparmor);
	int failed = empty_trash(owner, &trash);
	if (strays_remove(owner, &strays) < 0)
		told(reconciler, &strays);
	else
		told(reconciler, failed ? &trash : NULL);
}

void reconciler_look(struct reconciler *reconciler, int64_t now)
{
	struct sandboxes *owner = reconciler->owner;
	struct err full;

	leftovers_retry(owner, now);
	attachments_retry(owner, now);
	halt_due(owner, now);
	lock_take(&owner->lock);
	bool due = !reconciler->busy && reconciler->due <= now;
	reconciler->busy = reconciler->busy || due;
	lock_drop(&owner->lock);
	if (due && pool_run(owner->pool, round_task, reconciler, &full) < 0)
		told(reconciler, &full);
}

static void tick(struct source *source UNUSED, void *data)
{
	reconciler_look(data, clock_mono());
}

struct reconciler *reconciler_new(struct sandboxes *owner, struct err *err)
{
	struct reconciler *reconciler = xnew(struct reconciler);
	int64_t interval = owner->config->runtime.reconcile_interval;
	int64_t every = interval < first_delay ? interval : first_delay;

	reconciler->owner = owner;
	reconciler->interval = interval;
	reconciler->timer = loop_add_timer(owner->loop, every, every, tick, reconciler, err);
	return reconciler->timer ? reconciler : reconciler_free(reconciler);
}

struct reconciler *reconciler_free(struct reconciler *reconciler)
{
	if (reconciler)
		source_free(reconciler->timer);
	free(reconciler);
	return NULL;
}
