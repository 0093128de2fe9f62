/*
 * What a cgroup has used so far, whichever view the host has: numbers of cgroup v1 and v2 files by one name
 * and in one unit. Pure functions; any thread.
 *
 * Meanings are those of the peers: the working set is what is used less the inactive page cache, rss is
 * anonymous memory (v2) or total_rss (v1).
 */
#ifndef SANDBOX_CGROUP_USAGE_H
#define SANDBOX_CGROUP_USAGE_H

#include "sandbox/cgroup_text.h"

/* One file's content each; not every view has all. */
enum cgroup_item {
	CGROUP_ITEM_CPU,        /* v2 cpu.stat, v1 cpuacct.usage */
	CGROUP_ITEM_CPU_USER,   /* v1 cpuacct.usage_user; v2 has it in CPU */
	CGROUP_ITEM_CPU_SYSTEM, /* v1 cpuacct.usage_sys */
	CGROUP_ITEM_THROTTLED,  /* v1 cpu.stat */
	CGROUP_ITEM_MEMORY,
	CGROUP_ITEM_MEMORY_STAT,
	CGROUP_ITEM_MEMORY_MAX, /* v2; v1 has it in MEMORY_STAT */
	CGROUP_ITEM_MEMORY_PEAK,
	CGROUP_ITEM_SWAP,     /* v2 */
	CGROUP_ITEM_SWAP_MAX, /* v2 */
	CGROUP_ITEM_FAILURES, /* v2 memory.events, v1 memory.failcnt */
	CGROUP_ITEM_OOM,      /* v1 memory.oom_control; v2 has it in FAILURES */
	CGROUP_ITEM_KERNEL,   /* v1 memory.kmem.usage_in_bytes; v2 has it in MEMORY_STAT */
	CGROUP_ITEM_PIDS,
	CGROUP_ITEM_PIDS_MAX,
	CGROUP_ITEM_PROCS,
	CGROUP_ITEM_CPU_PRESSURE, /* v2, as the next two */
	CGROUP_ITEM_MEMORY_PRESSURE,
	CGROUP_ITEM_IO_PRESSURE,
	CGROUP_ITEM_IO,     /* v2 io.stat, v1 blkio.throttle.io_service_bytes_recursive */
	CGROUP_ITEM_IO_OPS, /* v1 blkio.throttle.io_serviced_recursive */
	CGROUP_ITEMS,
};
#define CGROUP_ITEM_BIT(item) (1u << (item))

struct cgroup_usage {
	unsigned int known; /* CGROUP_ITEM_BITs of what could be read */
	int64_t at;         /* clock_real() ns */
	/* CPU; times in ns */
	uint64_t cpu, cpu_user, cpu_system;
	uint64_t periods, throttled_periods, throttled;
	/* memory, in bytes; UINT64_MAX is no limit */
	uint64_t memory, memory_max, memory_peak;
	uint64_t rss, cache, mapped, inactive_file, active_file, kernel;
	uint64_t faults, major_faults;
	uint64_t swap, swap_max;
	uint64_t failures, oom_kills;
	/* tasks, as the kernel counts them; processes of this cgroup without those below */
	uint64_t pids, pids_max, processes;
	struct cgroup_pressure cpu_pressure, memory_pressure, io_pressure;
	struct cgroup_devices io;
};

/* Takes one file's text; what can't be understood leaves usage as it is. */
void cgroup_usage_take(struct cgroup_usage *usage, enum cgroup_item item, bool v2, const char *text);
bool cgroup_usage_has(const struct cgroup_usage *usage, enum cgroup_item item);
/* Bytes; needs MEMORY and MEMORY_STAT. */
uint64_t cgroup_usage_working_set(const struct cgroup_usage *usage);
/* False when there is no limit on memory. Never below 0. */
bool cgroup_usage_available(const struct cgroup_usage *usage, uint64_t *ret);

/*
 * CPU time per second, from samples: the last that is at least CGROUP_RATE_WINDOW old is kept, so that
 * callers who poll often do not spoil each other's numbers. Not thread-safe.
 */
#define CGROUP_RATE_WINDOW (INT64_C(1000000000))
struct cgroup_rate {
	int64_t at; /* clock_mono() ns; 0: no sample */
	uint64_t cpu;
	bool known;
	uint64_t nano_cores;
};
/* False while there is no rate yet. */
bool cgroup_rate_take(struct cgroup_rate *rate, int64_t at, uint64_t cpu, uint64_t *ret);

#endif
