/*
 * How the end of a container is noticed.
 *
 * conmon writes the exit file and then ends. Two notices lead to container_check_exit(): inotify on the exits
 * folder (early) and the monitor's pidfd (certain). Whichever comes first reads the exit file and sets EXITED
 * in memory, so that waiters go on at once; what takes time (deleting the runtime's container, state.json) is
 * done by whoever is inside the gate, or by a task on the pool.
 *
 * A monitor may be killed, or stopped. Without one the container has lost its log and stdio: it is killed too
 * and says so. One that is silent although the container's init has ended (stopped, or stuck in a write of
 * its log) is waited for monitor_patience; then the kernel is asked how the init ended. A silent monitor is
 * left alone until the container is removed, as it may still have output to write; but not a stopped one.
 */
#include "sandbox/container.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "sandbox/sandbox_metrics.h"
#include "sandbox/store.h"

/* A container's end is known within 2 s, whatever its monitor does. */
static const int64_t monitor_patience = NS_PER_SEC;

static const char *exit_reason(int code, bool oom)
{
	if (oom)
		return "OOMKilled";
	return code == 0 ? "Completed" : "Error";
}

bool container_set_exited(struct container *container, const struct container_exit *exit)
{
	lock_take(&container->lock);
	bool first = container->state != CRI__CONTAINER_STATE__CONTAINER_EXITED;
	if (first) {
		container->state = CRI__CONTAINER_STATE__CONTAINER_EXITED;
		container->exit_code = exit->code;
		/* The wall clock may have been set back meanwhile. */
		container->finished_at =
			exit->finished_at > container->started_at ? exit->finished_at : container->started_at;
		free(container->reason);
		free(container->message);
		/* CRI-O's word for it. */
		container->reason = xstrdup(container->stopped_for ? "seccomp killed" : exit->reason);
		container->message = xstrdup(container->stopped_for ? container->stopped_for : exit->message);
		cond_broadcast(&container->changed);
	}
	lock_drop(&container->lock);
	cgroup_meter_close(&container->meter);
	return first;
}

/* On the pool: whoever had the gate at the time of the exit may have settled already. */
static void settle_task(void *data)
{
	CLEANUP(container_unrefp) struct container *container = data;
	struct ctx ctx;
	struct err err;

	ctx_init(&ctx, clock_deadline_in(60 * NS_PER_SEC));
	/* A failure here is not lost: stop, remove and the next start settle again. */
	if (gate_enter(&container->gate, &ctx, "settle", &err) == 0) {
		if (container_settle(container, &ctx, &err) < 0)
			log_debug("container %s: %s, ignoring until it is removed", container->id, err.text);
		gate_leave(&container->gate);
	}
	ctx_done(&ctx);
}

void container_settle_later(struct container *container)
{
	struct err err;

	container_ref(container);
	if (pool_run(container->owner->pool, settle_task, container, &err) < 0)
		container_unref(container);
}

static bool cgroup_had_oom(const struct container *container)
{
	uint64_t kills = 0;
	struct err err;

	return cgroup_oom_kills(container->owner->cgroups, container->cgroup_path, &kills, &err) == 0 &&
	       kills > 0;
}

/* Whether the OOM killer was there while we watched, which is over now. */
static bool saw_oom(struct container *container, bool killed)
{
	lock_take(&container->lock);
	struct oom_watched *watched = TAKE(container->oom);
	bool unexplained = killed && container->stops == 0;
	lock_drop(&container->lock);
	bool seen = watched && oom_watch_killed(watched, unexplained);

	oom_watch_drop(watched);
	return seen;
}

/* One thread finds out how it ended. */
static bool first_to_find(struct container *container)
{
	lock_take(&container->lock);
	bool first = !container->exit_found;
	container->exit_found = true;
	lock_drop(&container->lock);
	return first;
}

static void set_exited(struct container *container, int code, bool oom, int64_t finished_at)
{
	if (!first_to_find(container))
		return;
	const bool seen = saw_oom(container, code == 137);

	oom = oom || (code == 137 && (seen || cgroup_had_oom(container)));
	struct container_exit exit = {
		.code = code, .reason = exit_reason(code, oom), .message = "", .finished_at = finished_at
	};

	if (container_set_exited(container, &exit) && oom)
		metric_add(&metric_containers_oom, 1);
	announce_container(container);
	container_settle_later(container);
}

static bool exit_file_told(struct container *container)
{
	struct exit_status status = { 0 };
	struct err err;

	if (exit_status_read(container->owner->exit_dir, container->id, &status, &err) < 0)
		return false;
	set_exited(container, status.code, status.oom_killed, status.finished_at);
	return true;
}

/* How the init ended, from the kernel. */
static bool kernel_told(struct container *container)
{
	CLEANUP(process_done) struct process init = container_init_process(container);
	int status;

	if (!process_exit_status(&init, &status))
		return false;
	set_exited(container, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), false,
		   clock_real());
	return true;
}

static void set_lost(struct container *container)
{
	struct container_exit exit = { .code = 137,
				       .reason = "MonitorLost",
				       .message = "the container's monitor ended without reporting an exit",
				       .finished_at = clock_real() };
	CLEANUP(process_done) struct process init = container_init_process(container);
	struct err err;

	if (init.pidfd >= 0 && process_signal(&init, SIGKILL, &err) < 0)
		log_debug("container %s: %s, ignoring", container->id, err.text);
	container_set_exited(container, &exit);
	announce_container(container);
	container_settle_later(container);
}

void container_check_exit(struct container *container, bool monitor_gone)
{
	if (container_state(container) == CRI__CONTAINER_STATE__CONTAINER_EXITED ||
	    exit_file_told(container) || !monitor_gone)
		return;
	log_warn("container %s: its monitor is gone without a word", container->id);
	metric_add(&metric_monitor_deaths, 1);
	if (!kernel_told(container))
		set_lost(container);
}

static void monitor_ended(void *data)
{
	container_check_exit(data, true);
}

/* A zombie that a stopped monitor does not reap keeps the PID namespace it is in, and the pod's pause with
 * it, from ending. */
static void end_stopped_monitor(struct container *container)
{
	CLEANUP(process_done) struct process monitor = container_monitor_process(container);
	struct err err;

	if (monitor.pidfd >= 0 && process_stopped(&monitor) && process_signal(&monitor, SIGKILL, &err) < 0)
		log_debug("container %s: %s, ignoring until it is removed", container->id, err.text);
}

/* Of an init that ended a while ago. */
static void monitor_silent(void *data)
{
	struct container *container = data;

	if (container_state(container) == CRI__CONTAINER_STATE__CONTAINER_EXITED ||
	    exit_file_told(container) || !kernel_told(container))
		return;
	log_warn("container %s: its monitor does not tell its end; the kernel did", container->id);
	end_stopped_monitor(container);
}

static void release(void *data)
{
	container_unref(data);
}

static struct watch *watch(struct container *container, const struct process *process, void (*fn)(void *data),
			   int64_t delay, struct err *err)
{
	struct watch_target target = { .process = process,
				       .fn = fn,
				       .release = release,
				       .data = container_ref(container),
				       .delay = delay };
	struct watch *watch = watch_process(container->owner->loop, &target, err);

	if (!watch)
		container_unref(container);
	return watch;
}

int container_watch(struct container *container, struct err *err)
{
	CLEANUP(freep) char *file = cgroup_oom_file(container->owner->cgroups, container->cgroup_path);
	struct oom_watched *oom = oom_watch_add(container->owner->ooms, file);
	bool watched;

	lock_take(&container->lock);
	container->oom = oom;
	container->watch = watch(container, &container->monitor, monitor_ended, 0, err);
	watched = container->watch != NULL;
	if (watched && container->init.pidfd >= 0) {
		container->init_watch =
			watch(container, &container->init, monitor_silent, monitor_patience, err);
		watched = container->init_watch != NULL;
	}
	lock_drop(&container->lock);
	return watched ? 0 : -1;
}

void container_unwatch(struct container *container)
{
	lock_take(&container->lock);
	struct watch *monitor = TAKE(container->watch);
	struct watch *init = TAKE(container->init_watch);
	struct oom_watched *oom = TAKE(container->oom);
	lock_drop(&container->lock);
	oom_watch_drop(oom);
	watch_cancel(monitor);
	watch_cancel(init);
}

/* A client that goes away cannot wake this condition, so the wait is cut into slices that look. */
static int wait_exit(struct container *container, bool grace, const struct ctx *ctx, struct err *err)
{
	int failed = 0;

	lock_take(&container->lock);
	while (container->state != CRI__CONTAINER_STATE__CONTAINER_EXITED && !failed) {
		int64_t until = clock_deadline_in(250 * NS_PER_MS);
		int64_t deadline = ctx_deadline(ctx);

		if (grace && container->kill_at <= clock_mono())
			break;
		if (grace && container->kill_at < until)
			until = container->kill_at;
		cond_wait_until(&container->changed, &container->lock, deadline < until ? deadline : until);
		if (container->state != CRI__CONTAINER_STATE__CONTAINER_EXITED)
			failed = ctx_check(ctx, "waiting for the container to exit", err);
	}
	lock_drop(&container->lock);
	return failed;
}

int container_wait_exit(struct container *container, const struct ctx *ctx, struct err *err)
{
	return wait_exit(container, false, ctx, err);
}

int container_wait_grace(struct container *container, const struct ctx *ctx, struct err *err)
{
	return wait_exit(container, true, ctx, err);
}
