/*
 * A flight is in the map while its work has not ended, and lives until the last of its users is gone: each
 * waiter is one and the work itself is one. The eventfd `landed` becomes readable when the work has ended and
 * stays so; all waiters poll it beside their own contexts, so nobody waits longer than it wants to and no
 * thread polls in intervals.
 *
 * The key leaves the map before the result is told: who asks later starts afresh. A run that was given up by
 * all (its context cancelled) leaves the map at once, so that a newcomer does not join work that is about to
 * fail: it starts its own run; objects keep the two apart by their gates.
 *
 * The last user of a flight may be the work, on its way out after all have been told; flights_free() waits
 * until every flight has let go of what they share.
 */
#include "base/flight.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/file.h"
#include "base/map.h"

METRIC(metric_requests_joined, 1, .name = "requests_joined_total",
       .help = "Requests that waited for the same work in progress instead of doing it again.",
       .type = METRIC_COUNTER);

struct flight {
	struct flights *flights;
	char *key;
	struct flight_work work;
	struct ctx ctx; /* of the work */
	int landed;
	/* under flights->lock */
	size_t users;
	size_t waiters;
	bool in_map;
	/* written by the work before `done`, read by waiters after it */
	bool done; /* under flights->lock */
	int failed;
	char *result;
	struct err err;
};

struct flights {
	struct pool *pool;
	struct lock lock;
	struct cond gone; /* no flight is left */
	/* under lock */
	struct map by_key; /* borrowed flights */
	size_t count;      /* flights whose work has not ended */
	size_t living;     /* flights that still have users */
	bool cancelled;
};

struct flights *flights_new(struct pool *pool)
{
	struct flights *flights = xnew(struct flights);

	flights->pool = pool;
	lock_init(&flights->lock, "flights", LOCK_FLIGHT);
	cond_init(&flights->gone);
	map_init(&flights->by_key, NULL);
	return flights;
}

struct flights *flights_free(struct flights *flights)
{
	if (!flights)
		return NULL;
	lock_take(&flights->lock);
	assert(!flights->count);
	while (flights->living)
		cond_wait(&flights->gone, &flights->lock);
	lock_drop(&flights->lock);
	map_done(&flights->by_key);
	cond_done(&flights->gone);
	lock_done(&flights->lock);
	free(flights);
	return NULL;
}

size_t flights_count(struct flights *flights)
{
	lock_take(&flights->lock);
	size_t count = flights->count;
	lock_drop(&flights->lock);
	return count;
}

void flights_cancel(struct flights *flights)
{
	lock_take(&flights->lock);
	flights->cancelled = true;
	map_for_each (slot, &flights->by_key) {
		struct flight *flight = slot->value;
		ctx_cancel(&flight->ctx);
	}
	lock_drop(&flights->lock);
}

static void free_work_data(const struct flight_work *work)
{
	if (work->free_data)
		work->free_data(work->data);
}

static struct flight *flight_new(struct flights *flights, const struct flight_work *work, struct err *err)
{
	int landed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (landed < 0) {
		err_errno(err, "%s", work->what);
		return NULL;
	}
	struct flight *flight = xnew(struct flight);
	flight->flights = flights;
	flight->key = xstrdup(work->key);
	flight->work = *work;
	flight->work.key = flight->key;
	flight->work.what = NULL; /* the caller's text, and errors of the work speak for themselves */
	flight->landed = landed;
	ctx_init(&flight->ctx, work->deadline);
	return flight;
}

static void flight_free(struct flight *flight)
{
	ctx_done(&flight->ctx);
	fd_closep(&flight->landed);
	free(flight->result);
	free(flight->key);
	free(flight);
}

static void leave_map_locked(struct flights *flights, struct flight *flight) REQUIRES(flights->lock)
{
	if (flight->in_map)
		map_take(&flights->by_key, flight->key);
	flight->in_map = false;
}

static void drop_user(struct flight *flight)
{
	struct flights *flights = flight->flights;

	lock_take(&flights->lock);
	bool last = --flight->users == 0;
	if (last && --flights->living == 0)
		cond_broadcast(&flights->gone);
	lock_drop(&flights->lock); /* flights may be gone after this */
	if (last)
		flight_free(flight);
}

/* The work has ended: tells everybody. */
static void land(struct flight *flight)
{
	struct flights *flights = flight->flights;

	lock_take(&flights->lock);
	leave_map_locked(flights, flight);
	flight->done = true;
	flights->count--;
	eventfd_write(flight->landed, 1);
	lock_drop(&flights->lock);
	drop_user(flight);
}

static void fly(void *data)
{
	struct flight *flight = data;

	flight->failed = flight->work.run(flight->work.data, &flight->ctx, &flight->result, &flight->err);
	free_work_data(&flight->work);
	land(flight);
}

/* Joins the flight under this key, or makes `fresh` the one: then *ret is fresh. */
static struct flight *join_or_add(struct flights *flights, struct flight *fresh, const char *key)
{
	lock_take(&flights->lock);
	struct flight *flight = map_get(&flights->by_key, key);
	if (!flight && fresh) {
		flight = fresh;
		flight->in_map = true;
		flight->users = 1; /* the work */
		map_put(&flights->by_key, flight->key, flight);
		flights->count++;
		flights->living++;
		if (flights->cancelled)
			ctx_cancel(&flight->ctx);
	}
	if (flight) {
		flight->users++;
		flight->waiters++;
	}
	lock_drop(&flights->lock);
	return flight;
}

/* The pool did not take it: it has landed before it started. The caller is still a user. */
static void crash(struct flight *flight, const struct err *why)
{
	flight->failed = -1;
	flight->err = *why;
	free_work_data(&flight->work);
	land(flight);
}

/* Finds or starts the flight for this work and makes the caller a waiter of it. */
static struct flight *board(struct flights *flights, const struct flight_work *work, struct err *err)
{
	struct flight *flight = join_or_add(flights, NULL, work->key);
	struct err why;

	if (flight) {
		metric_add(&metric_requests_joined, 1);
		free_work_data(work);
		return flight;
	}
	struct flight *fresh = flight_new(flights, work, err);
	if (!fresh) {
		free_work_data(work);
		return NULL;
	}
	flight = join_or_add(flights, fresh, work->key);
	if (flight != fresh) {
		metric_add(&metric_requests_joined, 1);
		free_work_data(work);
		flight_free(fresh);
	} else if (pool_run(flights->pool, fly, flight, &why) < 0) {
		crash(flight, &why);
	}
	return flight;
}

/* No longer a waiter. True when the work has ended, and its result may be read. */
static bool stop_waiting(struct flight *flight)
{
	struct flights *flights = flight->flights;

	lock_take(&flights->lock);
	bool done = flight->done;
	bool abandoned = --flight->waiters == 0 && !done && flight->work.abandon;
	if (abandoned)
		leave_map_locked(flights, flight);
	lock_drop(&flights->lock);
	if (abandoned)
		ctx_cancel(&flight->ctx); /* alive: we are still a user */
	return done;
}

int flight_join(struct flights *flights, const struct ctx *ctx, const struct flight_work *work, char **ret,
		struct err *err)
{
	if (ctx_check(ctx, work->what, err) < 0) {
		free_work_data(work);
		return -1;
	}
	/* What the caller gave belongs to the flight from here on; work->what stays the caller's. */
	struct flight *flight = board(flights, work, err);
	if (!flight)
		return -1;
	int failed = ctx_poll(ctx, flight->landed, POLLIN, work->what, err);
	if (stop_waiting(flight)) {
		failed = flight->failed;
		if (failed && err)
			*err = flight->err;
		else if (!failed)
			*ret = xstrdup_null(flight->result);
	}
	drop_user(flight);
	return failed ? -1 : 0;
}
