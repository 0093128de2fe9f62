/*
 * A list's parts are taken by a counter, by the caller and by whatever helpers the pool gives in time. The
 * caller waits for the helpers that are at work, never for one that has not begun: that one finds the list
 * closed and touches nothing but the crowd, which it holds a reference to. A helper has an arena of its own,
 * which the caller's adopts.
 */
#include "sandbox/lister.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/lock.h"

enum { HELPERS_MAX = 3 };

/* ---- by several threads ---- */

struct crowd {
	atomic_uint refs;
	atomic_size_t next; /* object */
	const struct lister *lister;
	size_t objects;
	ProtobufCMessage **items; /* one for each object; NULL: left out */

	struct lock lock;
	struct cond idle;
	/* under lock */
	size_t working; /* helpers */
	bool closed;
	struct arena *arenas[HELPERS_MAX]; /* of helpers that are done */
	size_t arenas_len;
};

static ProtobufCMessage *make(const struct lister *lister, size_t at, struct arena *arena)
{
	void *object = lister->objects[at];

	return lister->matches(object, lister->filter) ? lister->make(object, lister->data, arena) : NULL;
}

static void take_parts(struct crowd *crowd, struct arena *arena)
{
	size_t first;

	while ((first = atomic_fetch_add(&crowd->next, LISTER_BATCH)) < crowd->objects)
		for (size_t i = first; i < crowd->objects && i < first + LISTER_BATCH; i++)
			crowd->items[i] = make(crowd->lister, i, arena);
}

static void crowd_unref(struct crowd *crowd)
{
	if (atomic_fetch_sub(&crowd->refs, 1) != 1)
		return;
	cond_done(&crowd->idle);
	lock_done(&crowd->lock);
	free(crowd);
}

static bool begin(struct crowd *crowd)
{
	bool begun;

	lock_take(&crowd->lock);
	begun = !crowd->closed;
	crowd->working += begun;
	lock_drop(&crowd->lock);
	return begun;
}

static void end(struct crowd *crowd, struct arena *arena)
{
	lock_take(&crowd->lock);
	crowd->arenas[crowd->arenas_len++] = arena;
	crowd->working--;
	cond_signal(&crowd->idle);
	lock_drop(&crowd->lock);
}

static void help(void *data)
{
	struct crowd *crowd = data;

	if (begin(crowd)) {
		struct arena *arena = arena_new(0);

		take_parts(crowd, arena);
		end(crowd, arena);
	}
	crowd_unref(crowd);
}

static size_t helpers_for(size_t objects)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t most = cpus > 1 ? (size_t)cpus - 1 : 0, parts = objects / LISTER_BATCH;

	if (most > HELPERS_MAX)
		most = HELPERS_MAX;
	return parts <= 1 ? 0 : parts - 1 < most ? parts - 1 : most;
}

static struct crowd *crowd_new(const struct lister *lister, size_t objects, ProtobufCMessage **items)
{
	struct crowd *crowd = xnew(struct crowd);

	atomic_init(&crowd->refs, 1);
	crowd->lister = lister;
	crowd->objects = objects;
	crowd->items = items;
	lock_init(&crowd->lock, "lister", LOCK_LISTER);
	cond_init(&crowd->idle);
	return crowd;
}

static void call_helpers(struct crowd *crowd, size_t helpers)
{
	struct err busy; /* the pool: then there is no help */

	while (helpers-- > 0) {
		atomic_fetch_add(&crowd->refs, 1);
		if (pool_run(crowd->lister->pool, help, crowd, &busy) == 0)
			continue;
		atomic_fetch_sub(&crowd->refs, 1);
		return;
	}
}

static void close_crowd(struct crowd *crowd)
{
	lock_take(&crowd->lock);
	crowd->closed = true;
	while (crowd->working > 0)
		cond_wait(&crowd->idle, &crowd->lock);
	lock_drop(&crowd->lock);
}

static void make_together(const struct lister *lister, size_t objects, ProtobufCMessage **items,
			  struct arena *arena)
{
	struct crowd *crowd = crowd_new(lister, objects, items);

	call_helpers(crowd, helpers_for(objects));
	take_parts(crowd, arena);
	close_crowd(crowd);
	for (size_t i = 0; i < crowd->arenas_len; i++)
		arena_adopt(arena, crowd->arenas[i]);
	crowd_unref(crowd);
}

/* ---- all at once ---- */

ProtobufCMessage **lister_all(const struct lister *lister, struct arena *arena, size_t *ret_count)
{
	ProtobufCMessage **items;
	size_t objects = 0, count = 0;

	while (lister->objects[objects])
		objects++;
	items = arena_array(arena, objects + 1, sizeof(*items));
	if (lister->pool && helpers_for(objects) > 0)
		make_together(lister, objects, items, arena);
	else
		for (size_t i = 0; i < objects; i++)
			items[i] = make(lister, i, arena);
	for (size_t i = 0; i < objects; i++)
		if (items[i])
			items[count++] = items[i];
	for (size_t i = count; i < objects; i++)
		items[i] = NULL;
	*ret_count = count;
	return items;
}

/* ---- in batches ---- */

/* The next batch from *at on; 0: the end. */
static size_t fill(const struct lister *lister, size_t *at, struct arena *arena, ProtobufCMessage **items)
{
	size_t count = 0;

	for (; count < LISTER_BATCH && lister->objects[*at]; (*at)++) {
		items[count] = make(lister, *at, arena);
		count += items[count] != NULL;
	}
	return count;
}

int lister_each(const struct lister *lister, const struct list_sink *sink, struct err *err)
{
	for (size_t at = 0, count;;) {
		CLEANUP(arena_freep) struct arena *arena = arena_new(0);
		ProtobufCMessage *items[LISTER_BATCH];

		count = fill(lister, &at, arena, items);
		if (!count)
			return 0;
		if (sink->take(sink->data, items, count, err) < 0)
			return -1;
	}
}
