/*
 * Reads what one cgroup has used, again and again: the files that every poll wants are kept open, the others
 * are opened by path each time.
 *
 * Kept descriptors are bounded over all meters of the process (meter_descriptors_max()); past that, and when
 * descriptors run out, files are opened for one reading. Descriptors are taken at the first reading and given
 * back by cgroup_meter_close(), when the cgroup's object has ended, or done.
 *
 * Threads: all but init and done, any; no lock is held while files are read. path and cgroups are borrowed.
 */
#ifndef SANDBOX_CGROUP_METER_H
#define SANDBOX_CGROUP_METER_H

#include "base/lock.h"
#include "sandbox/cgroup.h"
#include "sandbox/cgroup_usage.h"

struct meter_files;

struct cgroup_meter {
	const struct cgroups *cgroups;
	const char *path;
	struct lock lock;
	/* under lock */
	struct meter_files *files; /* a reference; NULL: none are kept */
	bool closed;
	struct cgroup_rate rate;
};

/* Sets of items. */
#define CGROUP_METER_STATS                                                                          \
	(CGROUP_ITEM_BIT(CGROUP_ITEM_CPU) | CGROUP_ITEM_BIT(CGROUP_ITEM_MEMORY) |                   \
	 CGROUP_ITEM_BIT(CGROUP_ITEM_MEMORY_STAT) | CGROUP_ITEM_BIT(CGROUP_ITEM_MEMORY_MAX) |       \
	 CGROUP_ITEM_BIT(CGROUP_ITEM_SWAP) | CGROUP_ITEM_BIT(CGROUP_ITEM_SWAP_MAX) |                \
	 CGROUP_ITEM_BIT(CGROUP_ITEM_CPU_PRESSURE) | CGROUP_ITEM_BIT(CGROUP_ITEM_MEMORY_PRESSURE) | \
	 CGROUP_ITEM_BIT(CGROUP_ITEM_IO_PRESSURE))
#define CGROUP_METER_POD (CGROUP_METER_STATS | CGROUP_ITEM_BIT(CGROUP_ITEM_PIDS))

void cgroup_meter_init(struct cgroup_meter *meter, const struct cgroups *cgroups, const char *path);
void cgroup_meter_done(struct cgroup_meter *meter);
/* Nothing is kept any more, now and later. */
void cgroup_meter_close(struct cgroup_meter *meter);

/* items: CGROUP_ITEM_BITs. What the host does not have, or the cgroup no more, is not in ret->known. */
void cgroup_meter_read(struct cgroup_meter *meter, unsigned int items, struct cgroup_usage *ret);
/* CPU time per second up to this reading; false: not known yet. */
bool cgroup_meter_rate(struct cgroup_meter *meter, const struct cgroup_usage *usage, uint64_t *ret);

/* For all who keep descriptors between polls: false when count more would be too many. */
size_t meter_descriptors_max(void);
bool meter_descriptors_take(size_t count);
void meter_descriptors_give(size_t count);

#endif
