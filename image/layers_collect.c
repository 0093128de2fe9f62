/*
 * What goes: layers that nobody holds, nobody wants and the caller doesn't keep, and parked drafts.
 *
 * A want is a promise of a pull in progress to come for a layer: it holds those that it has found, but gets
 * to the others one after the other.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "image/layers_state.h"

void layers_wake_locked(struct layers *layers)
{
	list_for_each (node, &layers->waiters)
		eventfd_write(list_entry(node, struct waiter, node)->fd, 1);
}

void layers_sub_usage_locked(struct layers *layers, const struct tree_usage *usage)
{
	layers->usage.bytes -= usage->bytes;
	layers->usage.inodes -= usage->inodes;
}

static void want_locked(struct layers *layers, const char *chain) REQUIRES(layers->lock)
{
	size_t *wants = map_get(&layers->wanted, chain);

	if (!wants) {
		wants = xnew(size_t);
		map_put(&layers->wanted, chain, wants);
	}
	++*wants;
}

static void unwant_locked(struct layers *layers, const char *chain) REQUIRES(layers->lock)
{
	struct stored *stored = map_get(&layers->known, chain);
	struct parked *parked = map_get(&layers->parked, chain);
	size_t *wants = map_get(&layers->wanted, chain);

	assert(wants);
	if (--*wants == 0)
		map_del(&layers->wanted, chain);
	if (stored)
		stored->idle_since = clock_mono();
	if (parked)
		parked->idle_since = clock_mono();
}

void layers_want(struct layers *layers, const struct digest *chains, size_t len)
{
	lock_take(&layers->lock);
	for (size_t i = 0; i < len; i++) {
		char text[DIGEST_TEXT_SIZE];

		digest_text(&chains[i], text);
		want_locked(layers, text);
	}
	lock_drop(&layers->lock);
}

void layers_unwant(struct layers *layers, const struct digest *chains, size_t len)
{
	lock_take(&layers->lock);
	for (size_t i = 0; i < len; i++) {
		char text[DIGEST_TEXT_SIZE];

		digest_text(&chains[i], text);
		unwant_locked(layers, text);
	}
	lock_drop(&layers->lock);
}

/* Nobody needs it as far as we know, and has not for long enough. */
static bool may_go_locked(const struct layers *layers, const char *chain, int64_t before)
	REQUIRES(layers->lock)
{
	const struct stored *stored = map_get(&layers->known, chain);

	return stored && stored->state == STATE_PRESENT && stored->holds == 0 &&
	       stored->idle_since <= before && !map_get(&layers->wanted, chain);
}

/* Moves one layer out of the store, unless a pull has come for it by now. */
static void remove_layer(struct layers *layers, const char *chain, int64_t before)
{
	CLEANUP(freep) char *name = layers_tmp_name();
	struct stored *stored;
	bool ours, moved;

	lock_take(&layers->lock);
	stored = map_get(&layers->known, chain);
	ours = may_go_locked(layers, chain, before);
	if (ours)
		stored->state = STATE_GOING;
	lock_drop(&layers->lock);
	if (!ours)
		return;
	moved = renameat(layers->dir, strchr(chain, ':') + 1, layers->tmp, name) == 0 || errno == ENOENT;
	crash_point("remove_image.layer");
	lock_take(&layers->lock);
	if (moved) {
		layers_sub_usage_locked(layers, &stored->usage);
		map_del(&layers->known, chain);
	} else {
		stored->state = STATE_PRESENT; /* tried again by the next collect */
		stored->idle_since = clock_mono();
	}
	layers_wake_locked(layers);
	lock_drop(&layers->lock);
	if (moved)
		layers_delete_later(layers, TAKE(name));
}

static void remove_parked(struct layers *layers, const char *chain, int64_t before)
{
	struct parked *parked;

	lock_take(&layers->lock);
	parked = map_get(&layers->parked, chain);
	if (parked && (parked->idle_since > before || map_get(&layers->wanted, chain)))
		parked = NULL;
	if (parked) {
		map_take(&layers->parked, chain);
		layers_sub_usage_locked(layers, &parked->draft.output.usage);
	}
	lock_drop(&layers->lock);
	if (!parked)
		return;
	layers_delete_later(layers, TAKE(parked->draft.name));
	layers_free_parked(parked);
}

/* What nobody holds or wants: chain IDs. */
struct idle {
	struct strv layers, parked;
};

static void list_idle(struct layers *layers, struct idle *ret)
{
	lock_take(&layers->lock);
	map_for_each (slot, &layers->known)
		if (may_go_locked(layers, slot->key, INT64_MAX))
			strv_add(&ret->layers, slot->key);
	map_for_each (slot, &layers->parked)
		if (!map_get(&layers->wanted, slot->key))
			strv_add(&ret->parked, slot->key);
	lock_drop(&layers->lock);
}

/* When the one among them that may still go, and has been idle longest, was let go of. */
static int64_t earliest(struct layers *layers, const struct idle *idle)
{
	int64_t result = NO_DEADLINE;

	lock_take(&layers->lock);
	for (size_t i = 0; i < idle->layers.len; i++) {
		const struct stored *stored = map_get(&layers->known, idle->layers.items[i]);

		if (may_go_locked(layers, idle->layers.items[i], INT64_MAX) && stored->idle_since < result)
			result = stored->idle_since;
	}
	for (size_t i = 0; i < idle->parked.len; i++) {
		const struct parked *parked = map_get(&layers->parked, idle->parked.items[i]);

		if (parked && !map_get(&layers->wanted, idle->parked.items[i]) && parked->idle_since < result)
			result = parked->idle_since;
	}
	lock_drop(&layers->lock);
	return result;
}

int64_t layers_collect_idle(struct layers *layers, int64_t before,
			    bool (*keep)(void *data, const char *chain), void *data)
{
	struct idle idle = { 0 }, left = { 0 };
	int64_t next;

	list_idle(layers, &idle);
	for (size_t i = 0; i < idle.layers.len; i++)
		if (!keep(data, idle.layers.items[i])) {
			remove_layer(layers, idle.layers.items[i], before);
			strv_add(&left.layers, idle.layers.items[i]);
		}
	for (size_t i = 0; i < idle.parked.len; i++)
		remove_parked(layers, idle.parked.items[i], before);
	left.parked = idle.parked;
	next = earliest(layers, &left);
	strv_done(&left.layers);
	strv_done(&idle.layers);
	strv_done(&idle.parked);
	return next;
}

void layers_collect(struct layers *layers, bool (*keep)(void *data, const char *chain), void *data)
{
	(void)layers_collect_idle(layers, INT64_MAX, keep, data);
}
