/*
 * What `crispd check` finds about what only this floor can read: CDI specs, hooks, seccomp profiles, the
 * cgroups of monitors, labels. One of struct check_options' `more`.
 */
#ifndef SANDBOX_HOST_CHECK_H
#define SANDBOX_HOST_CHECK_H

#include "config/check.h"

/* sandbox.cdi, sandbox.hooks, sandbox.seccomp, sandbox.apparmor, sandbox.monitor-cgroup, sandbox.selinux. */
void host_check(struct check *check);

#endif
