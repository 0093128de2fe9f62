/*
 * After a crash between the last step of an undo and that of the network, or when records were lost, the
 * network may hold addresses, ports and interfaces for a pod that nobody knows. They are released once what
 * is on disk has been read. What counts as a pod here: those in the store, leftovers (which release what they
 * have themselves) and pods in quarantine, which may still run.
 *
 * Then the plugins are asked (CHECK) whether the pods that were there before the start still have the network
 * they were given: nobody watched meanwhile, and a firewall that was reloaded or an interface that was
 * removed is told by nothing else. What they say is logged and shown by the pod's verbose status; the pod is
 * left as it is, since a plugin may be wrong (portmap 1.1.1 misses rules of an address family that the pod
 * has not).
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "sandbox/store.h"

static const int64_t first_delay = 10 * NS_PER_SEC, last_delay = 300 * NS_PER_SEC;
static const int64_t patience = 60 * NS_PER_SEC;

/* due while a task is at work, and for ever after one that succeeded */
static const int64_t never = NO_DEADLINE;

static void pod_ids(struct sandboxes *sandboxes, struct strv *ret)
{
	lock_take(&sandboxes->lock);
	map_for_each (slot, &sandboxes->pods)
		strv_add(ret, slot->key);
	map_for_each (slot, &sandboxes->leftovers)
		strv_add(ret, slot->key);
	lock_drop(&sandboxes->lock);
	quarantine_pods(sandboxes, ret);
}

static void try_again_later(struct sandboxes *sandboxes)
{
	lock_take(&sandboxes->lock);
	int64_t delay = sandboxes->attachments_delay ? 2 * sandboxes->attachments_delay : first_delay;
	sandboxes->attachments_delay = delay < last_delay ? delay : last_delay;
	sandboxes->attachments_due = clock_deadline_in(sandboxes->attachments_delay);
	lock_drop(&sandboxes->lock);
}

static void check_pod(struct pod *pod, const struct ctx *ctx)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct network_pod network;
	struct err err, over;

	/* Inside the gate nobody takes the network away under the plugins' eyes. */
	if (pod_host_network(pod) || gate_enter(&pod->gate, ctx, "network check", &err) < 0)
		return;
	pod_network(pod, arena, &network);
	int failed = pod_ready(pod) ? network_check(pod->owner->network, ctx, &network, &err) : 0;
	gate_leave(&pod->gate);
	if (!failed || ctx_check(ctx, "network check", &over) < 0)
		return;
	log_info("pod sandbox %s: its network is not as it was made, says %s", pod->id, err.text);
	lock_take(&pod->lock);
	free(pod->network_problem);
	pod->network_problem = xstrdup(err.text);
	lock_drop(&pod->lock);
}

static void check_pods(struct sandboxes *sandboxes, struct pod **pods)
{
	struct ctx ctx;

	ctx_init(&ctx, clock_deadline_in(patience));
	for (size_t i = 0; pods[i] && !atomic_load(&sandboxes->ending); i++)
		check_pod(pods[i], &ctx);
	ctx_done(&ctx);
}

static void release(void *data)
{
	struct sandboxes *sandboxes = data;
	CLEANUP(strv_done) struct strv ids = STRV_INIT;
	CLEANUP(store_pods_freep) struct pod **pods = store_pods(sandboxes);
	bool first = !atomic_exchange(&sandboxes->checked, true);
	struct ctx ctx;
	struct err err;

	pod_ids(sandboxes, &ids);
	ctx_init(&ctx, clock_deadline_in(patience));
	int failed = network_gc(sandboxes->network, &ctx, &ids, &err);
	ctx_done(&ctx);
	if (first)
		check_pods(sandboxes, pods);
	if (!failed)
		return;
	log_warn(
		"what the pod network holds for no pod cannot be released: %s; trying again in the background",
		err.text);
	try_again_later(sandboxes);
}

void attachments_retry(struct sandboxes *sandboxes, int64_t now)
{
	struct err err;

	lock_take(&sandboxes->lock);
	bool due = sandboxes->attachments_due <= now;
	if (due)
		sandboxes->attachments_due = never;
	lock_drop(&sandboxes->lock);
	if (due && pool_run(sandboxes->pool, release, sandboxes, &err) < 0)
		try_again_later(sandboxes);
}
