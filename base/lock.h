/*
 * Ranked locks. enum lock_rank is the only place where the order is written: a thread may take a lock only if
 * its rank is higher than every lock it holds. Debug builds (no NDEBUG and LOCK_CHECK) keep a per-thread
 * stack and abort on a violation; all builds check owner on drop. clang checks REQUIRES/EXCLUDES on function
 * parameters.
 *
 * Take, touch, drop, in a small function, without return in between; never hold a lock over I/O, exec or a
 * wait. What must be held over such things is a gate (base/gate.h), not a lock.
 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#if defined(__clang__)
#define LOCK_ATTR(x) __attribute__((x))
#else
#define LOCK_ATTR(x)
#endif
#define CAPABILITY(x) LOCK_ATTR(capability(x))
#define ACQUIRE(...) LOCK_ATTR(acquire_capability(__VA_ARGS__))
#define RELEASE(...) LOCK_ATTR(release_capability(__VA_ARGS__))
#define REQUIRES(...) LOCK_ATTR(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) LOCK_ATTR(locks_excluded(__VA_ARGS__))
#define NO_LOCK_ANALYSIS LOCK_ATTR(no_thread_safety_analysis)

/* Outermost first. */
enum lock_rank {
	LOCK_SERVER = 1, /* server: calls in progress, drain */
	LOCK_CONFIG,     /* current configuration snapshot */
	LOCK_ANNOUNCE,   /* the order in which events are told (sandbox/announce.h) */
	LOCK_SANDBOX,    /* sandbox store: maps of pods and containers */
	LOCK_POD,        /* one pod's fields */
	LOCK_CONTAINER,  /* one container's fields */
	LOCK_IMAGES,     /* image store maps */
	LOCK_PULL,       /* one pull's progress */
	LOCK_NETWORK,    /* CNI lists and readiness */
	LOCK_MONITOR,    /* runtime handlers, exit watcher */
	LOCK_SECCOMP,    /* compiled profiles */
	LOCK_SELINUX,    /* levels in use */
	LOCK_DOCS,       /* CDI specs and hooks as last read */
	LOCK_METER,      /* kept descriptors and samples of one pod or container */
	LOCK_OOM,        /* cgroups watched for the OOM killer (sandbox/oom_watch.h) */
	LOCK_LISTER,     /* who works at one list (sandbox/lister.h) */
	LOCK_EVENTS,     /* event subscribers */
	LOCK_FEED,       /* what waits for one subscriber (server/grpc/feed.h) */
	LOCK_STREAMING,  /* streaming: tokens, sessions */
	LOCK_CREW,       /* counted threads (base/crew.h) */
	LOCK_FLIGHT,     /* joined requests (base/flight.h) */
	LOCK_GATE,       /* per-object queues (base/gate.h) */
	LOCK_POOL,       /* worker pool queue */
	LOCK_TRACE,      /* spans to be sent (server/trace) */
	LOCK_LOOP,       /* event loop's posted tasks */
	LOCK_CTX,        /* one call's cancellation */
	LOCK_LOG,        /* innermost: anything may log */
};

struct CAPABILITY("lock") lock {
	pthread_mutex_t mutex;
	const char *name;
	enum lock_rank rank;
	pthread_t owner; /* meaningful while held */
	bool held;
};

void lock_init(struct lock *lock, const char *name, enum lock_rank rank);
void lock_done(struct lock *lock);
void lock_take(struct lock *lock) ACQUIRE(*lock);
void lock_drop(struct lock *lock) RELEASE(*lock);
void lock_assert_held(const struct lock *lock);

struct cond {
	pthread_cond_t cond;
};

void cond_init(struct cond *cond); /* waits on CLOCK_MONOTONIC */
void cond_done(struct cond *cond);
void cond_wait(struct cond *cond, struct lock *lock) REQUIRES(*lock);
/* deadline: clock_mono() ns, INT64_MAX for none. False when the deadline has passed. */
bool cond_wait_until(struct cond *cond, struct lock *lock, int64_t deadline) REQUIRES(*lock);
void cond_signal(struct cond *cond);
void cond_broadcast(struct cond *cond);

#endif
