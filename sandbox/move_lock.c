/*
 * The thread that is moved is the pool's own: by its id into `tasks` of a v1 hierarchy without limits, or
 * into `cgroup.threads` on v2, which no thread leaves its process's cgroup by. So it does no harm when
 * somebody moves crispd between the reading of /proc/thread-self/cgroup and the writing.
 */
#include "sandbox/move_lock.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "sandbox/cgroup_hierarchy.h"

enum { CGROUP_FILE_MAX = 256 * 1024, EVERY_MS = 4 };

struct move_lock {
	const struct cgroups *cgroups;
	struct pool *pool;
	atomic_llong until; /* clock_mono() ns */
	atomic_bool kept;   /* by a task */
	atomic_ullong taken;
};

/* The hierarchy of a line of /proc/PID/cgroup (cgroups(7)), and where in it; NULL: one that is not for this.
 */
static const struct cgroup_hierarchy *hierarchy_of(const struct cgroups *cgroups, char *line,
						   const char **ret_where)
{
	char *controllers = strchr(line, ':');
	char *where = controllers ? strchr(controllers + 1, ':') : NULL;

	if (!where || where[1] != '/')
		return NULL;
	*where++ = '\0';
	controllers++;
	*ret_where = where;
	for (size_t i = 0; i < cgroups->len; i++) {
		const struct cgroup_hierarchy *hierarchy = &cgroups->items[i];

		if (hierarchy->unified ? !*controllers
				       : str_eq(controllers, "freezer") && str_eq(hierarchy->name, "freezer"))
			return hierarchy;
	}
	return NULL;
}

static bool move_within(const struct cgroup_hierarchy *hierarchy, const char *where)
{
	CLEANUP(fd_closep) int dir = cgroup_hierarchy_open(hierarchy, where);
	char number[16];
	struct err ignored;

	snprintf(number, sizeof(number), "%d", (int)gettid());
	return dir >= 0 && file_write_virtual(dir, hierarchy->unified ? "cgroup.threads" : "tasks", number,
					      &ignored) == 0;
}

/* Moves this thread to where it is; false: that cannot be done here. */
static bool take(struct move_lock *lock)
{
	CLEANUP(freep) char *text = NULL;
	struct err ignored;

	if (file_read_virtual(AT_FDCWD, "/proc/thread-self/cgroup", CGROUP_FILE_MAX, &text, &ignored) < 0)
		return false;
	for (char *rest = text, *line; (line = strtok_r(rest, "\n", &rest));) {
		const char *where;
		const struct cgroup_hierarchy *hierarchy = hierarchy_of(lock->cgroups, line, &where);

		if (hierarchy && move_within(hierarchy, where)) {
			atomic_fetch_add(&lock->taken, 1);
			return true;
		}
	}
	return false;
}

static bool expected(struct move_lock *lock)
{
	return clock_mono() < atomic_load(&lock->until);
}

static void keep(void *data)
{
	const struct timespec pause = { .tv_nsec = EVERY_MS * 1000 * 1000 };
	struct move_lock *lock = data;
	bool can = true;

	do {
		while (can && expected(lock) && (can = take(lock)))
			nanosleep(&pause, NULL);
		atomic_store(&lock->kept, false);
		/* Expected anew between the last look and the line above: then it is ours again, or
		 * another's. */
	} while (can && expected(lock) && !atomic_exchange(&lock->kept, true));
}

void move_lock_expect(struct move_lock *lock)
{
	struct err busy; /* the pool: then the runtime waits by itself */

	atomic_store(&lock->until, clock_mono() + MOVE_LOCK_KEPT);
	if (!atomic_exchange(&lock->kept, true) && pool_run(lock->pool, keep, lock, &busy) < 0)
		atomic_store(&lock->kept, false);
}

uint64_t move_lock_taken(const struct move_lock *lock)
{
	return atomic_load(&lock->taken);
}

struct move_lock *move_lock_new(const struct cgroups *cgroups, struct pool *pool)
{
	struct move_lock *lock = xnew(struct move_lock);

	lock->cgroups = cgroups;
	lock->pool = pool;
	return lock;
}

struct move_lock *move_lock_free(struct move_lock *lock)
{
	free(lock);
	return NULL;
}
