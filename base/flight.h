/*
 * Requests join, never collide: work known by a key runs once, on a pool, with a context of its own;
 * everybody who asks for the same key meanwhile waits for that run and gets its result. A waiter that runs
 * into its own deadline leaves; the work goes on, so a retry finds it or its result. When `abandon` is set,
 * the work's context is cancelled once the last waiter has left (used where unfinished work must not complete
 * behind the client's back).
 *
 * The result is a string (an id) or an error; both are copied to every waiter.
 */
#ifndef BASE_FLIGHT_H
#define BASE_FLIGHT_H

#include "base/ctx.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/pool.h"

struct flights;

extern struct metric metric_requests_joined; /* requests that waited for another's run */

struct flight_work {
	const char *key;
	const char *what; /* for error texts: "RunPodSandbox default/nginx" */
	/* Runs on the pool. Returns 0 and *ret (malloc'd, may be NULL) or -1 and err. */
	int (*run)(void *data, const struct ctx *ctx, char **ret, struct err *err);
	/* Called exactly once in every case, also when another run was joined. */
	void (*free_data)(void *data);
	void *data;
	int64_t deadline; /* of the work itself; NO_DEADLINE for none */
	bool abandon;
};

struct flights *flights_new(struct pool *pool);
/* No work may be in flight; returns NULL. Who is just leaving is waited for. */
struct flights *flights_free(struct flights *flights);
/* For the end: cancels the work of all flights, also of those that are started from now on. */
void flights_cancel(struct flights *flights);
/* Joins or starts; waits for the result within ctx. *ret is malloc'd and owned by the caller. */
int flight_join(struct flights *flights, const struct ctx *ctx, const struct flight_work *work, char **ret,
		struct err *err) MUST_CHECK;
size_t flights_count(struct flights *flights);

#endif
