/*
 * The systemd cgroup manager: slices of pods as transient units of the service manager, over D-Bus
 * (org.freedesktop.systemd1(5), systemd.slice(5)). Scopes of containers are the OCI runtime's business
 * (--systemd-cgroup).
 *
 * Each call has a connection of its own and is bounded (30 s), so all functions are thread-safe. Nothing is
 * asked for what exists: with a kubelet, which makes its pods' slices, the bus is not used at all.
 */
#ifndef SANDBOX_CGROUP_SYSTEMD_H
#define SANDBOX_CGROUP_SYSTEMD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/mem.h"

/* FAILED_PRECONDITION when this host's service manager is not systemd. */
int cgroup_systemd_check(struct err *err) MUST_CHECK;

/* name: "a-b.slice". Existing is success, and absent for stop. UNAVAILABLE when the bus cannot be reached. */
int cgroup_systemd_start(const char *name, struct err *err) MUST_CHECK;
int cgroup_systemd_stop(const char *name, struct err *err) MUST_CHECK;

/* A scope around a process that is there; it ends with the process. name: "x.scope". */
int cgroup_systemd_scope(const char *name, const char *slice, pid_t pid, struct err *err) MUST_CHECK;

struct cgroup_property {
	const char *name; /* "MemoryMax" */
	uint64_t value;   /* UINT64_MAX: infinity */
};
/* So that a later daemon-reload does not bring old limits back. */
int cgroup_systemd_set(const char *name, const struct cgroup_property *properties, size_t len,
		       struct err *err) MUST_CHECK;

/* "/a.slice/a-b.slice" of "a-b.slice", "" of "-.slice"; malloc'd. INVALID_ARGUMENT for what is no slice's
 * name. */
int cgroup_slice_path(const char *name, char **ret, struct err *err) MUST_CHECK;

#endif
