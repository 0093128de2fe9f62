/*
 * Limits of a cgroup, written as the OCI runtime spec's linux.resources object means them (config-linux.md,
 * "Control groups"): cpu, memory, hugepageLimits, unified. Containers get theirs from the OCI runtime; this
 * is for pods (kernel Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/).
 *
 * Either all of it is in force afterwards or, after an error, what was before. Thread-safe for different
 * paths.
 */
#ifndef SANDBOX_CGROUP_LIMITS_H
#define SANDBOX_CGROUP_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "sandbox/cgroup.h"

enum cgroup_limit_mode {
	CGROUP_LIMIT_ALL,
	CGROUP_LIMIT_MOVE, /* limits that are in force are moved, others stay away; weights are set */
};

/* resources: from spec_resources(). FAILED_PRECONDITION when a controller is not there, when the kernel
 * refuses a value for now, or when a memory limit would be below what is in use; NOT_FOUND without path. */
int cgroup_limit(const struct cgroups *cgroups, const char *path, const json_t *resources,
		 enum cgroup_limit_mode mode, struct err *err) MUST_CHECK;

/* FAILED_PRECONDITION when the memory limit in resources is below what path's cgroup uses now: the kernel
 * would make room by killing. */
int cgroup_limit_check_usage(const struct cgroups *cgroups, const char *path, const json_t *resources,
			     struct err *err) MUST_CHECK;

/* cpu.weight of cpu.shares, as the kubelet converts them: 2..262144 to 1..10000. */
uint64_t cgroup_weight_of_shares(uint64_t shares);

#endif
