/*
 * Steps of a traced call: a plugin that was run, a runtime's verb, a layer that was fetched. Whoever did one
 * tells of it afterwards; when the thread works for a call that is traced, the listener (server/trace) makes
 * a span of it, else nothing happens.
 *
 * Whom a thread works for is its own: a task of a pool (base/pool.h) works for whom the thread worked that
 * gave it, which is how joined requests and parallel work are traced, too.
 *
 * Threads: any. The listener is called on the thread that tells, which may hold no lock.
 */
#ifndef BASE_STEP_H
#define BASE_STEP_H

#include <stdbool.h>
#include <stdint.h>

enum { STEP_TRACE_SIZE = 16, STEP_SPAN_SIZE = 8 };

/* Whose steps: ids as OpenTelemetry has them. */
struct step_scope {
	bool traced; /* else nothing below is meant */
	uint8_t trace_id[STEP_TRACE_SIZE];
	uint8_t span_id[STEP_SPAN_SIZE];
};

struct step {
	const char *name; /* "cni ADD" */
	const char *what; /* of several alike: "bridge"; NULL: there is one */
	int64_t took;     /* ns, until now */
	bool failed;
};

/* Of this thread; not traced before the first step_enter(). */
struct step_scope step_scope(void);
/* Until it is called again; NULL: for no call. */
void step_enter(const struct step_scope *scope);

/* began: clock_mono() ns. */
void step_ended(const char *name, const char *what, int64_t began, bool failed);

/* There is one listener; fn NULL: none, and the last one is in no call any more. */
void step_listen(void (*fn)(void *data, const struct step_scope *scope, const struct step *step), void *data);

#endif
