/*
 * StopContainer: the stop signal, the grace the client gives, then SIGKILL to everything in the container.
 * Idempotent; a second caller waits at the gate and finds it done. The grace ends with the exit, or with the
 * shortest grace of all who are waiting: a kubelet in a hurry sends a second StopContainer, RemoveContainer
 * and StopPodSandbox come with none. When the client's own deadline comes first, it is told so; the stop goes
 * on, with SIGKILL when the grace is over, and who asks again joins it.
 */
#include <signal.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/crash.h"
#include "sandbox/container.h"
#include "sandbox/stop_signal.h"
#include "sandbox/store.h"

/* Beside the grace; a stop of the same container may be ahead in the gate. */
enum { WORK_SECONDS = 120 };
enum { KILL_WAIT_SECONDS = 20, TIMEOUT_MAX_SECONDS = 365 * 24 * 3600 };

/* After SIGKILL only a process stuck in the kernel stays: that wait has a bound of its own. */
static int kill_bounded(struct container *container, const struct ctx *ctx, struct err *err)
{
	struct ctx bounded;

	ctx_init_child(&bounded, ctx, clock_deadline_in(KILL_WAIT_SECONDS * NS_PER_SEC));
	int failed = container_kill(container, &bounded, err);
	ctx_done(&bounded);
	return failed;
}

/* 0: exited or the grace is over; -1: the call is over. */
static int ask_and_wait(struct container *container, const struct ctx *ctx, struct err *err)
{
	int signal = stop_signal_number(container->config->stop_signal, container->image.stop_signal);

	if (container_signal(container, signal, ctx, err) < 0 || crash_point("stop.signalled"))
		return -1;
	return container_wait_grace(container, ctx, err);
}

static int stop_gated(struct container *container, const struct ctx *ctx, struct err *err)
{
	/* A container that was never started has nobody to hear a signal. */
	if (!container_grace_over(container) &&
	    container_state(container) == CRI__CONTAINER_STATE__CONTAINER_RUNNING &&
	    ask_and_wait(container, ctx, err) < 0)
		return -1;
	crash_point("stop.asked");
	if (kill_bounded(container, ctx, err) < 0)
		return -1;
	crash_point("stop.ended");
	return 0;
}

static int stop(struct container *container, int64_t grace, const struct ctx *ctx, struct err *err)
{
	container_stop_begin(container, grace);
	int failed = gate_enter(&container->gate, ctx, "StopContainer", err);
	if (!failed) {
		failed = stop_gated(container, ctx, err);
		gate_leave(&container->gate);
	}
	container_stop_end(container);
	return failed;
}

int container_stop_now(struct container *container, const struct ctx *ctx, struct err *err)
{
	return stop(container, 0, ctx, err);
}

/* The joined work: it ends the container also when the client goes away, and is found by those who ask
 * again. */
struct stop_work {
	struct container *container; /* a reference */
	int64_t grace;
};

static void stop_free(void *data)
{
	struct stop_work *work = data;

	container_unref(work->container);
	free(work);
}

static int stop_run(void *data, const struct ctx *ctx, char **ret UNUSED, struct err *err)
{
	const struct stop_work *work = data;

	return stop(work->container, work->grace, ctx, err);
}

static int stop_joined(struct container *container, int64_t grace, const struct ctx *ctx, struct err *err)
{
	CLEANUP(freep) char *key = xasprintf("stop-container/%s", container->id);
	CLEANUP(freep) char *nothing = NULL;
	struct stop_work *data = xnew(struct stop_work);

	data->container = container_ref(container);
	data->grace = grace;
	struct flight_work work = { .key = key,
				    .what = "StopContainer",
				    .run = stop_run,
				    .free_data = stop_free,
				    .data = data,
				    .deadline = clock_deadline_in(grace + WORK_SECONDS * NS_PER_SEC) };
	container_stop_begin(container, grace); /* a shorter grace than that of the work counts */
	int failed = flight_join(container->owner->flights, ctx, &work, &nothing, err);
	container_stop_end(container);
	return failed;
}

int container_stop(struct sandboxes *sandboxes, const struct ctx *ctx, const char *id, int64_t timeout,
		   struct err *err)
{
	CLEANUP(container_unrefp) struct container *container = NULL;
	struct err find;

	if (timeout < 0)
		return err_set(err, RPC_INVALID_ARGUMENT, "timeout is negative");
	if (timeout > TIMEOUT_MAX_SECONDS)
		timeout = TIMEOUT_MAX_SECONDS;
	if (store_find_container(sandboxes, id, &container, &find) < 0)
		return find.code == RPC_NOT_FOUND ? 0 : err_set(err, find.code, "%s", find.text);
	return stop_joined(container, timeout * NS_PER_SEC, ctx, err);
}
