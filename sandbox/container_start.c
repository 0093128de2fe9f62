/*
 * StartContainer: `RUNTIME start` of a created container, once. started_at is set before the runtime runs, so
 * that an exit that overtakes its answer is never earlier than the start.
 */
#include "base/clock.h"
#include "base/crash.h"
#include "sandbox/container.h"
#include "sandbox/store.h"

static int check_startable(struct container *container, struct runtime_target *ret_target, struct err *err)
{
	static const char *const names[] = {
		[CRI__CONTAINER_STATE__CONTAINER_CREATED] = "created",
		[CRI__CONTAINER_STATE__CONTAINER_RUNNING] = "running already",
		[CRI__CONTAINER_STATE__CONTAINER_EXITED] = "exited",
		[CRI__CONTAINER_STATE__CONTAINER_UNKNOWN] = "in an unknown state",
	};
	Cri__ContainerState state = container_state(container);

	if (state != CRI__CONTAINER_STATE__CONTAINER_CREATED)
		return err_set(err, RPC_FAILED_PRECONDITION, "container %s is %s", container->id,
			       names[state]);
	if (!pod_ready(container->pod))
		return err_set(err, RPC_FAILED_PRECONDITION, "pod sandbox %s of container %s is not ready",
			       container->pod->id, container->id);
	if (!container_target(container, ret_target))
		return err_set(err, RPC_FAILED_PRECONDITION,
			       "runtime handler \"%s\" is not configured any more or its program is missing",
			       container->pod->request->runtime_handler);
	return 0;
}

/* Nothing runs after a failed start: the container ends as exited, with the runtime's own words. */
static void failed_start(struct container *container, const struct err *why)
{
	struct container_exit exit = {
		.code = 128, .reason = "StartError", .message = why->text, .finished_at = clock_real()
	};
	struct ctx ctx;
	struct err err;

	container_set_exited(container, &exit);
	ctx_init(&ctx, clock_deadline_in(20 * NS_PER_SEC));
	if (cgroup_kill(container->owner->cgroups, container->cgroup_path, &ctx, &err) < 0 ||
	    container_settle(container, &ctx, &err) < 0)
		log_debug("container %s: %s, ignoring until it is removed", container->id, err.text);
	ctx_done(&ctx);
}

static void begin(struct container *container)
{
	lock_take(&container->lock);
	container->started_at = clock_real();
	container->starting = true;
	lock_drop(&container->lock);
}

/* An exit may have been noticed already. */
static void ended(struct container *container, bool started)
{
	lock_take(&container->lock);
	container->starting = false;
	container->ran = started;
	if (started && container->state == CRI__CONTAINER_STATE__CONTAINER_CREATED) {
		container->state = CRI__CONTAINER_STATE__CONTAINER_RUNNING;
		cond_broadcast(&container->changed);
	}
	lock_drop(&container->lock);
}

static int start_gated(struct container *container, const struct ctx *ctx, struct err *err)
{
	struct runtime_target target;

	if (check_startable(container, &target, err) < 0)
		return -1;
	begin(container);
	crash_point("start.begun");
	int failed = runtime_start(&target, ctx, err);
	if (failed)
		failed_start(container, err);
	crash_point("start.started");
	ended(container, !failed);
	announce_container(container);
	crash_point("start.told");
	if (failed || container_save(container, err) < 0)
		return -1;
	crash_point("start.saved");
	return 0;
}

int container_start(struct sandboxes *sandboxes, const struct ctx *ctx, const char *id, struct err *err)
{
	CLEANUP(container_unrefp) struct container *container = NULL;

	if (store_find_container(sandboxes, id, &container, err) < 0 ||
	    gate_enter(&container->gate, ctx, "StartContainer", err) < 0)
		return -1;
	int failed = start_gated(container, ctx, err);
	gate_leave(&container->gate);
	return failed;
}
