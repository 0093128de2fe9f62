/*
 * The walker is one thread that lives while its queue has something. What it is asked for is a reference to
 * the container, so that the layer's folder may vanish under it but the meter does not.
 */
#include "sandbox/layer_meter.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "base/thread.h"
#include "sandbox/store.h"
#include "sandbox/layer_walk.h"

#define AGE_MIN (10 * NS_PER_SEC)

enum {
	SMALL = 128, /* entries that may be walked while a client waits */
	ENTRIES_MAX = 50 * 1000 * 1000,
	SHARE = 20, /* of the time is not spent in walking */
	THREAD_STACK = 256 * 1024,
};

struct layer_walker {
	struct lock lock;
	/* under lock */
	struct list queue; /* struct job */
	bool running;      /* a thread is, and will look at the queue again */
	bool join;         /* `thread` is to be joined */
	pthread_t thread;

	atomic_bool stop;
};

struct job {
	struct list node;
	struct container *container; /* a reference */
};

void layer_meter_init(struct layer_meter *meter)
{
	*meter = (struct layer_meter){ 0 };
	lock_init(&meter->lock, "layer meter", LOCK_METER);
}

void layer_meter_done(struct layer_meter *meter)
{
	lock_done(&meter->lock);
}

/* ---- measuring ---- */

static void publish(struct layer_meter *meter, const struct layer_walk *tree, int64_t took)
{
	int64_t age = took * SHARE > AGE_MIN ? took * SHARE : AGE_MIN;

	lock_take(&meter->lock);
	meter->usage =
		(struct layer_usage){ .at = clock_real(), .bytes = tree->bytes, .inodes = tree->inodes };
	meter->due = clock_deadline_in(age);
	lock_drop(&meter->lock);
}

/* False when the layer has more entries than that, or cannot be read. */
static bool measure(struct container *container, size_t entries_max, const atomic_bool *stop)
{
	CLEANUP(freep) char *upper = xasprintf("%s/upper", container->dir);
	struct layer_walk tree;
	struct err err = { 0 };
	int64_t began = clock_mono();

	if (layer_walk(upper, entries_max, stop, &tree, &err) < 0) {
		log_debug("container %s: writable layer: %s", container->id, err.text);
		return false;
	}
	if (!tree.whole && entries_max == SMALL)
		return false;
	publish(&container->layer, &tree, clock_mono() - began);
	return true;
}

/* ---- the walker ---- */

static struct container *next(struct layer_walker *walker)
{
	struct container *container = NULL;

	lock_take(&walker->lock);
	if (list_empty(&walker->queue) || atomic_load(&walker->stop)) {
		walker->running = false;
	} else {
		struct job *job = list_entry(walker->queue.next, struct job, node);

		list_del(&job->node);
		container = job->container;
		free(job);
	}
	lock_drop(&walker->lock);
	return container;
}

static void *walk_queue(void *data)
{
	struct layer_walker *walker = data;
	struct container *container;

	while ((container = next(walker))) {
		measure(container, ENTRIES_MAX, &walker->stop);
		lock_take(&container->layer.lock);
		container->layer.queued = false;
		lock_drop(&container->layer.lock);
		container_unref(container);
	}
	return NULL;
}

/* The one before has let go of the lock for the last time. */
static bool start_thread(struct layer_walker *walker, bool join)
{
	int error;

	if (join)
		pthread_join(walker->thread, NULL);
	error = thread_start(&walker->thread, "layers", THREAD_STACK, walk_queue, walker);
	if (error)
		log_warn("writable layers are not measured: no thread (error %d)", error);
	return !error;
}

/* Queued jobs are not lost when no thread starts: the next one to be queued tries again. */
static void queue(struct layer_walker *walker, struct container *container)
{
	struct job *job = xnew(struct job);
	bool start, join, started;

	job->container = container_ref(container);
	lock_take(&walker->lock);
	list_add_tail(&walker->queue, &job->node);
	start = !walker->running;
	join = start && walker->join;
	if (start) {
		walker->running = true; /* nobody else starts one */
		walker->join = false;
	}
	lock_drop(&walker->lock);
	if (!start)
		return;
	started = start_thread(walker, join);
	lock_take(&walker->lock);
	walker->join = started;
	if (!started)
		walker->running = false;
	lock_drop(&walker->lock);
}

/* ---- asking ---- */

/* Whether the caller is to see to a measurement. */
static bool claim(struct layer_meter *meter, struct layer_usage *ret)
{
	bool claimed;

	lock_take(&meter->lock);
	*ret = meter->usage;
	claimed = !meter->queued && clock_mono() >= meter->due;
	if (claimed)
		meter->queued = true;
	lock_drop(&meter->lock);
	return claimed;
}

static void unclaim(struct layer_meter *meter, struct layer_usage *ret)
{
	lock_take(&meter->lock);
	*ret = meter->usage;
	meter->queued = false;
	lock_drop(&meter->lock);
}

bool layer_meter_read(struct container *container, struct layer_usage *ret)
{
	struct layer_meter *meter = &container->layer;

	if (claim(meter, ret)) {
		bool measured = !ret->at && measure(container, SMALL, NULL);

		if (measured)
			unclaim(meter, ret);
		else
			queue(container->owner->walker, container);
	}
	return ret->at != 0;
}

/* ---- life ---- */

struct layer_walker *layer_walker_new(void)
{
	struct layer_walker *walker = xnew(struct layer_walker);

	list_init(&walker->queue);
	atomic_init(&walker->stop, false);
	lock_init(&walker->lock, "layers", LOCK_METER);
	return walker;
}

static void empty(struct layer_walker *walker)
{
	list_for_each_safe (node, &walker->queue) {
		struct job *job = list_entry(node, struct job, node);

		list_del(&job->node);
		container_unref(job->container);
		free(job);
	}
}

struct layer_walker *layer_walker_free(struct layer_walker *walker)
{
	if (!walker)
		return NULL;
	atomic_store(&walker->stop, true);
	if (walker->join)
		pthread_join(walker->thread, NULL);
	empty(walker);
	lock_done(&walker->lock);
	free(walker);
	return NULL;
}
