/*
 * What a creation left that failed, or was cut short by crispd's end, and that could not be undone at once: a
 * runtime that hangs, something still mounted, a network plugin that fails. It is tried again on the pool,
 * after ten seconds, then at twice the distance up to five minutes; each attempt has a deadline of its own.
 * The record on disk (config.json without state.json) stays until it is undone, so a restart goes on with it.
 *
 * Who tries a leftover has claimed it (`busy`, under the lock); only that one may free it. A task on the pool
 * claims when it runs, so that nobody waits for one that has not started.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "sandbox/store.h"

static const int64_t first_delay = 10 * NS_PER_SEC, last_delay = 300 * NS_PER_SEC;
static const int64_t patience = 60 * NS_PER_SEC;

struct leftover {
	struct sandboxes *owner;
	struct pod *pod; /* one of these is a reference, the other NULL */
	struct container *container;
	bool told; /* a failure has been logged */
	/* under the owner's lock */
	bool queued; /* a task will look at it */
	bool busy;
	int64_t delay, due; /* due: clock_mono() ns */
};

static void leftover_free(struct leftover *leftover)
{
	pod_unref(leftover->pod);
	container_unref(leftover->container);
	free(leftover);
}

static const char *id_of(const struct leftover *leftover)
{
	return leftover->pod ? leftover->pod->id : leftover->container->id;
}

static const char *kind_of(const struct leftover *leftover)
{
	return leftover->pod ? "pod sandbox" : "container";
}

static void tell(struct leftover *leftover, const struct err *why)
{
	if (leftover->told)
		log_debug("%s %s: undo: %s, trying again", kind_of(leftover), id_of(leftover), why->text);
	else
		log_warn(
			"%s %s was not created, and what it left cannot be undone: %s; trying again in the background",
			kind_of(leftover), id_of(leftover), why->text);
	leftover->told = true;
}

static void add(struct leftover *leftover, const struct err *why)
{
	if (why) {
		tell(leftover, why);
		leftover->delay = first_delay;
		leftover->due = clock_deadline_in(first_delay);
	}
	lock_take(&leftover->owner->lock);
	map_put(&leftover->owner->leftovers, id_of(leftover), leftover);
	lock_drop(&leftover->owner->lock);
}

void leftovers_add_pod(struct pod *pod, const struct err *why)
{
	struct leftover *leftover = xnew(struct leftover);

	leftover->owner = pod->owner;
	leftover->pod = pod_ref(pod);
	add(leftover, why);
}

void leftovers_add_container(struct container *container, const struct err *why)
{
	struct leftover *leftover = xnew(struct leftover);

	leftover->owner = container->owner;
	leftover->container = container_ref(container);
	add(leftover, why);
}

struct pod *leftovers_find_pod(struct sandboxes *sandboxes, const char *id)
{
	lock_take(&sandboxes->lock);
	const struct leftover *leftover = map_get(&sandboxes->leftovers, id);
	struct pod *pod = leftover ? pod_ref(leftover->pod) : NULL;
	lock_drop(&sandboxes->lock);
	return pod;
}

static int undo_pod(struct pod *pod, const struct ctx *ctx, struct err *err)
{
	if (gate_enter(&pod->gate, ctx, "undo", err) < 0)
		return -1;
	int failed = pod_destroy(pod, ctx, err);
	gate_leave(&pod->gate);
	return failed;
}

/* Of one that is claimed: it is gone or given back. */
static int attempt(struct leftover *leftover, const struct ctx *ctx, struct err *err)
{
	struct sandboxes *owner = leftover->owner;
	struct ctx bounded;

	ctx_init_child(&bounded, ctx, clock_deadline_in(patience));
	int failed = leftover->pod ? undo_pod(leftover->pod, &bounded, err)
				   : container_undo(leftover->container, &bounded, err);
	ctx_done(&bounded);
	if (failed)
		tell(leftover, err);
	lock_take(&owner->lock);
	if (failed) {
		leftover->delay = leftover->delay ? 2 * leftover->delay : first_delay;
		if (leftover->delay > last_delay)
			leftover->delay = last_delay;
		leftover->due = clock_deadline_in(leftover->delay);
		leftover->busy = false;
	} else {
		map_del(&owner->leftovers, id_of(leftover));
	}
	cond_broadcast(&owner->leftovers_changed);
	lock_drop(&owner->lock);
	if (failed)
		return -1;
	if (leftover->told)
		log_info("%s %s: what it left is undone", kind_of(leftover), id_of(leftover));
	leftover_free(leftover);
	return 0;
}

struct task {
	struct sandboxes *owner;
	char id[ID_SIZE];
};

static void attempt_task(void *data)
{
	struct task *task = data;
	struct sandboxes *owner = task->owner;
	struct leftover *leftover;
	struct err err;

	lock_take(&owner->lock);
	leftover = map_get(&owner->leftovers, task->id);
	if (leftover) {
		leftover->queued = false;
		if (leftover->busy)
			leftover = NULL;
		else
			leftover->busy = true;
	}
	lock_drop(&owner->lock);
	free(task);
	if (leftover) /* a failure has been told, and is tried again */
		(void)!attempt(leftover, NULL, &err);
}

/* Marks one that is due as queued. */
static struct task *next_due(struct sandboxes *sandboxes, int64_t now)
{
	struct task *task = NULL;

	lock_take(&sandboxes->lock);
	map_for_each (slot, &sandboxes->leftovers) {
		struct leftover *leftover = slot->value;

		if (task || leftover->busy || leftover->queued || leftover->due > now)
			continue;
		leftover->queued = true;
		task = xnew(struct task);
		task->owner = sandboxes;
		memcpy(task->id, id_of(leftover), ID_SIZE);
	}
	lock_drop(&sandboxes->lock);
	return task;
}

/* The pool had no room for it. */
static void give_back(struct task *task)
{
	lock_take(&task->owner->lock);
	struct leftover *leftover = map_get(&task->owner->leftovers, task->id);
	if (leftover)
		leftover->queued = false;
	lock_drop(&task->owner->lock);
	free(task);
}

void leftovers_retry(struct sandboxes *sandboxes, int64_t now)
{
	struct task *task;
	struct err err;

	while ((task = next_due(sandboxes, now)))
		if (pool_run(sandboxes->pool, attempt_task, task, &err) < 0) {
			give_back(task);
			return;
		}
}

/* *ret is claimed, or NULL when there is none. Waits for who is at one of them just now. */
static int claim_of_pod(const struct pod *pod, const struct ctx *ctx, struct leftover **ret, struct err *err)
{
	struct sandboxes *owner = pod->owner;
	struct leftover *found = NULL;
	bool busy = true;
	int failed = 0;

	lock_take(&owner->lock);
	while (!found && busy && !failed) {
		busy = false;
		map_for_each (slot, &owner->leftovers) {
			struct leftover *leftover = slot->value;

			if (!leftover->container || leftover->container->pod != pod)
				continue;
			if (leftover->busy)
				busy = true;
			else
				found = leftover;
		}
		if (!found && busy) {
			cond_wait_until(&owner->leftovers_changed, &owner->lock,
					clock_deadline_in(250 * NS_PER_MS));
			failed = ctx_check(ctx, "waiting for the end of a container that was not created",
					   err);
		}
	}
	if (found)
		found->busy = true;
	lock_drop(&owner->lock);
	*ret = found;
	return failed && !found ? -1 : 0;
}

int leftovers_undo_of_pod(const struct pod *pod, const struct ctx *ctx, struct err *err)
{
	struct leftover *leftover;

	for (;;) {
		if (claim_of_pod(pod, ctx, &leftover, err) < 0)
			return -1;
		if (!leftover)
			return 0;
		if (attempt(leftover, ctx, err) < 0)
			return err_prefix(err, "a container that was not created");
	}
}

/* The pods among them may be watched. */
void leftovers_free(struct sandboxes *sandboxes)
{
	map_for_each (slot, &sandboxes->leftovers) {
		struct leftover *leftover = slot->value;

		if (leftover->pod) {
			lock_take(&leftover->pod->lock);
			struct watch *watch = TAKE(leftover->pod->watch);
			lock_drop(&leftover->pod->lock);
			watch_cancel(watch);
		}
		leftover_free(leftover);
	}
	map_done(&sandboxes->leftovers);
	cond_done(&sandboxes->leftovers_changed);
}
