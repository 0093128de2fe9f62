/*
 * Where a container's monitor runs: monitor_cgroup of its runtime handler, so that what the workload uses up
 * is not the monitor's (CVE-2019-14891). On cgroup v2 it is born there; on v1, and in a systemd scope of its
 * own, it is moved there once it has made its container. Thread-safe.
 */
#ifndef SANDBOX_MONITOR_CGROUP_H
#define SANDBOX_MONITOR_CGROUP_H

#include "sandbox/container.h"

/* What the configuration says fits the cgroup manager; FAILED_PRECONDITION names the handler. */
int monitor_cgroup_check(const struct config *config, struct err *err) MUST_CHECK;
/* *ret: a folder's fd for monitor_spec.cgroup; -1 when it is not born anywhere but here. */
int monitor_cgroup_open(const struct container *container, int *ret, struct err *err) MUST_CHECK;
/* After its start. One that has ended meanwhile is success. */
int monitor_cgroup_enter(const struct container *container, const struct process *monitor,
			 struct err *err) MUST_CHECK;

#endif
