/*
 * An intrusive list under one lock. Entries are registered when gRPC hands a call over and leave when its
 * last event has happened, so "none" also means that every answer has been written out.
 */
#include "server/grpc/calls.h"

#include <assert.h>
#include <string.h>

void calls_init(struct calls *calls)
{
	lock_init(&calls->lock, "calls", LOCK_SERVER);
	cond_init(&calls->fewer);
	list_init(&calls->list);
	list_init(&calls->feeds);
	memset(calls->served_of, 0, sizeof(calls->served_of));
	calls->count = calls->served = calls->arrived = calls->asked = 0;
	calls->cancelled = calls->feeds_stopped = false;
}

void calls_done(struct calls *calls)
{
	assert(list_empty(&calls->list) && !calls->asked);
	cond_done(&calls->fewer);
	lock_done(&calls->lock);
}

static enum calls_room room_locked(struct calls *calls, const struct calls_entry *entry)
{
	if (calls->served >= calls->count_max)
		return CALLS_FULL;
	if (entry->connection >= 0 &&
	    calls->served_of[entry->connection % CALLS_CONNECTIONS] >= calls->connection_max)
		return CALLS_CONNECTION_FULL;
	return CALLS_ROOM;
}

static void serve_locked(struct calls *calls, const struct calls_entry *entry, int change)
{
	calls->served += (size_t)change;
	if (entry->connection >= 0)
		calls->served_of[entry->connection % CALLS_CONNECTIONS] += (uint16_t)change;
}

enum calls_room calls_add(struct calls *calls, struct calls_entry *entry)
{
	enum calls_room room;

	lock_take(&calls->lock);
	list_add_tail(&calls->list, &entry->node);
	calls->count++;
	calls->arrived++;
	room = room_locked(calls, entry);
	entry->served = room == CALLS_ROOM;
	if (entry->served)
		serve_locked(calls, entry, 1);
	if (calls->cancelled)
		ctx_cancel(entry->ctx);
	lock_drop(&calls->lock);
	return room;
}

void calls_remove(struct calls *calls, struct calls_entry *entry)
{
	lock_take(&calls->lock);
	list_del(&entry->node);
	if (entry->served)
		serve_locked(calls, entry, -1);
	assert(calls->count > 0);
	if (--calls->count == 0)
		cond_broadcast(&calls->fewer);
	lock_drop(&calls->lock);
}

size_t calls_count(struct calls *calls)
{
	size_t count;

	lock_take(&calls->lock);
	count = calls->count;
	lock_drop(&calls->lock);
	return count;
}

void calls_cancel(struct calls *calls)
{
	lock_take(&calls->lock);
	calls->cancelled = true;
	list_for_each (node, &calls->list)
		ctx_cancel(list_entry(node, struct calls_entry, node)->ctx);
	lock_drop(&calls->lock);
}

bool calls_cancelled(struct calls *calls)
{
	bool cancelled;

	lock_take(&calls->lock);
	cancelled = calls->cancelled;
	lock_drop(&calls->lock);
	return cancelled;
}

size_t calls_take_arrived(struct calls *calls)
{
	size_t arrived;

	lock_take(&calls->lock);
	arrived = calls->arrived;
	calls->arrived = 0;
	lock_drop(&calls->lock);
	return arrived;
}

void calls_ask(struct calls *calls)
{
	lock_take(&calls->lock);
	calls->asked++;
	lock_drop(&calls->lock);
}

void calls_asked(struct calls *calls)
{
	lock_take(&calls->lock);
	assert(calls->asked > 0);
	if (--calls->asked == 0)
		cond_broadcast(&calls->fewer);
	lock_drop(&calls->lock);
}

static bool busy_locked(const struct calls *calls, bool all)
{
	return calls->count || (all && calls->asked);
}

bool calls_wait(struct calls *calls, bool all, int64_t deadline)
{
	bool none;

	lock_take(&calls->lock);
	while (busy_locked(calls, all) && cond_wait_until(&calls->fewer, &calls->lock, deadline))
		;
	none = !busy_locked(calls, all);
	lock_drop(&calls->lock);
	return none;
}
