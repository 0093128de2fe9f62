/*
 * What the processes of a cgroup hold open, from /proc, and the limit on that; which page sizes it has in
 * use. For the metrics of kubelets that ask for them; nothing is kept between two readings.
 *
 * The processes are those of the cgroup itself, as its count of processes is. One that ends meanwhile counts
 * as far as it was read. Any thread; files are read.
 */
#ifndef SANDBOX_PROCESS_METER_H
#define SANDBOX_PROCESS_METER_H

#include "base/spawn.h"
#include "sandbox/cgroup.h"

enum {
	/* Of one cgroup. With more the answer would take long, and is left out. */
	PROCESS_DESCRIPTORS_MAX = 65536,
	HUGE_SIZES_MAX = 8,
	HUGE_SIZE_LEN = 16,
};

struct process_usage {
	uint64_t descriptors, sockets;
};
/* False when it cannot be told: no processes, no permission, too many. */
bool process_usage_read(const struct cgroups *cgroups, const char *path, struct process_usage *ret);

/* The soft limit on open files (RLIMIT_NOFILE), UINT64_MAX: none; false when it cannot be read or the process
 * has ended. */
bool process_files_max(const struct process *process, uint64_t *ret);

struct huge_usage {
	size_t len;
	struct huge_size {
		char size[HUGE_SIZE_LEN]; /* as the kernel names it: "2MB" */
		uint64_t bytes, bytes_max;
		bool has_max; /* v2 does not tell it */
	} items[HUGE_SIZES_MAX];
};
/* For each page size of this host, where there is a hugetlb controller; else none. */
void huge_usage_read(const struct cgroups *cgroups, const char *path, struct huge_usage *ret);

#endif
