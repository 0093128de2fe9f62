/*
 * The kernel's lock for moving processes between cgroups, kept quick while pods are made.
 *
 * Each move takes one lock for the whole host (kernel/cgroup/cgroup.c, cgroup_attach_lock), which waits for a
 * grace period of RCU, some 8 to 25 ms, when nothing was moved for about as long (kernel/rcu/sync.c), and for
 * nothing else. An OCI runtime that makes a container moves its process, and would wait. So, from the time
 * that one is expected on, a thread is moved to where it is already, again and again for a short time: the
 * grace period passes while network plugins and the runtime start. Forks and exits of the host are slower by
 * nanoseconds meanwhile. On kernels and hosts where there is no such wait (cgroup2's favordynmods), or where
 * our own cgroup cannot be seen, nothing comes of it, and no error either.
 *
 * Thread-safe. The work is a task on the pool, one at a time.
 */
#ifndef SANDBOX_MOVE_LOCK_H
#define SANDBOX_MOVE_LOCK_H

#include <stdint.h>

#include "base/pool.h"
#include "sandbox/cgroup.h"

/* ns; a move is expected for so long */
#define MOVE_LOCK_KEPT (INT64_C(80) * 1000 * 1000)

struct move_lock;

/* Both are borrowed; the pool is freed before the lock is, cgroups after. */
struct move_lock *move_lock_new(const struct cgroups *cgroups, struct pool *pool);
struct move_lock *move_lock_free(struct move_lock *lock); /* accepts NULL, returns NULL */
/* Something will be moved soon. Returns at once; a pool without room is no error. */
void move_lock_expect(struct move_lock *lock);
/* How often the lock was taken so far. */
uint64_t move_lock_taken(const struct move_lock *lock);

#endif
