/*
 * Control groups as a pod sees them: the parent the kubelet names (or one of ours), the path handed to the
 * OCI runtime, kill, remove, and the few counters needed (cgroups(7), kernel
 * Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/).
 *
 * The host has one of three views. v2: one unified hierarchy. v1: one hierarchy per controller. Hybrid: v1
 * controllers plus an empty v2 hierarchy at <mount>/unified; it is treated as v1 with one more hierarchy.
 * Paths ("/kubepods/burstable/podX") are the same in each hierarchy and relative to its mount. This
 * module makes folders and delegates controllers; limits are the OCI runtime's and cgroup_limits.h's.
 *
 * A struct cgroups is immutable after open: all functions are thread-safe. Waits are bounded by ctx.
 */
#ifndef SANDBOX_CGROUP_H
#define SANDBOX_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h"

enum cgroup_view { CGROUP_VIEW_V1, CGROUP_VIEW_V2, CGROUP_VIEW_HYBRID };

enum { CGROUP_PATH_MAX = 2048 };

struct cgroups;

/* mount: NULL for /sys/fs/cgroup. FAILED_PRECONDITION when no cgroup filesystem is mounted there. */
struct cgroups *cgroups_open(const char *mount, struct err *err);
struct cgroups *cgroups_free(struct cgroups *cgroups); /* accepts NULL, returns NULL */
void cgroups_freep(struct cgroups **cgroups);
enum cgroup_view cgroups_view(const struct cgroups *cgroups);
const char *cgroup_view_name(enum cgroup_view view); /* "v1", "v2", "hybrid" */

/*
 * The CRI's cgroup_parent. For the cgroupfs manager: "" (ours), "/a/b" or "a/b" (below the root). For
 * systemd: "" (ours) or a slice, "a-b.slice", also behind the slices it is in ("/a.slice/a-b.slice").
 * INVALID_ARGUMENT for "..", ".", empty or overlong components, bytes that are not printable, and for the
 * form of the other manager.
 */
int cgroup_parent_check(enum config_cgroup_manager manager, const char *parent, struct err *err) MUST_CHECK;
/* The absolute path of a pod's cgroup, malloc'd: parent (checked) as given, with the leading slash;
 * "/crisp.pods/pod<pod id>" for "", "/pod<pod id>" for "/". */
char *cgroup_pod_path(enum config_cgroup_manager manager, const char *parent, const char *pod_id);
/* A slice: systemd makes and removes it, and the OCI runtime asks systemd for scopes in it. */
bool cgroup_path_is_slice(const char *path);
/* True for ".../pod<pod id>" and ".../crisp-pods-pod<pod id>.slice": made by us, so removed by us. What the
 * kubelet named is never removed. */
bool cgroup_pod_path_is_ours(const char *path, const char *pod_id);
/* "<pod path>/crisp-<id>", in slices "<pod path>/crisp-<id>.scope"; malloc'd. */
char *cgroup_container_path(const char *pod_path, const char *id);
/* The same for the OCI spec's linux.cgroupsPath: in slices "a-b.slice:crisp:<id>"; malloc'd. */
char *cgroup_runtime_path(const char *pod_path, const char *id);

/* Makes path with all missing ancestors, in every hierarchy; on v2 hands the available controllers down to it
 * and to its children (cgroup.subtree_control), on v1 fills an empty cpuset from its parent. Existing is
 * success. A controller that cannot be handed down is left out silently: the OCI runtime tells when a limit
 * needs it. */
int cgroup_make(const struct cgroups *cgroups, const char *path, struct err *err) MUST_CHECK;
/* The same for one (no slice) that processes are put into, not further cgroups. */
int cgroup_make_leaf(const struct cgroups *cgroups, const char *path, struct err *err) MUST_CHECK;
/* A directory fd for CLONE_INTO_CGROUP (struct command's cgroup). FAILED_PRECONDITION when the view is not
 * v2. */
int cgroup_open(const struct cgroups *cgroups, const char *path, struct err *err) MUST_CHECK;
bool cgroup_exists(const struct cgroups *cgroups, const char *path);

/* Says whose path is (the root folder of a crispd): an extended attribute. Where there are none nothing is
 * marked, and nothing said. */
void cgroup_mark(const struct cgroups *cgroups, const char *path, const char *owner);
bool cgroup_is_marked(const struct cgroups *cgroups, const char *path, const char *owner);
/* The ids of pods that have a cgroup where pods without a parent get theirs (not as slices), anybody's. */
void cgroup_list_pods(const struct cgroups *cgroups, struct strv *ret);

/* Puts a process into path (not a slice), in every hierarchy; its children stay where they are. */
int cgroup_move(const struct cgroups *cgroups, const char *path, pid_t pid, struct err *err) MUST_CHECK;

/* Is the process in path or below, in all hierarchies that limit something (memory, cpu, pids, devices)?
 * INTERNAL, naming where it is instead, when not; UNAVAILABLE when it has ended. */
int cgroup_check_process(const struct cgroups *cgroups, const char *path, pid_t pid,
			 struct err *err) MUST_CHECK;

/* Kills every process in path and below and waits until none is left; absent is success. v2: cgroup.kill;
 * else freeze, signal through pidfds, thaw, again until empty. DEADLINE_EXCEEDED when something does not die
 * in time (state D). */
int cgroup_kill(const struct cgroups *cgroups, const char *path, const struct ctx *ctx,
		struct err *err) MUST_CHECK;
/* Removes path and everything below in every hierarchy; absent is success. The kernel's EBUSY just after the
 * last exit is waited out within ctx (one second at most); FAILED_PRECONDITION when processes are still in
 * it. */
int cgroup_remove(const struct cgroups *cgroups, const char *path, const struct ctx *ctx,
		  struct err *err) MUST_CHECK;

/* How many processes of path and below the OOM killer has killed; 0 without a memory controller. NOT_FOUND
 * when path does not exist. */
int cgroup_oom_kills(const struct cgroups *cgroups, const char *path, uint64_t *ret,
		     struct err *err) MUST_CHECK;

/* The file of v2 that counts them, malloc'd, and changes when one is killed (inotify(7)); NULL on v1. */
char *cgroup_oom_file(const struct cgroups *cgroups, const char *path);
/* The number after "oom_kill " in memory.events or memory.oom_control; 0 when it cannot be read. */
uint64_t cgroup_oom_kills_in(int dir, const char *file);
/* The same of an open file; false: its cgroup is gone. */
bool cgroup_oom_kills_read(int fd, uint64_t *ret);

struct cgroup_pids {
	pid_t *items; /* malloc'd */
	size_t len;
};
/* The processes in path and below (at most 65536, more is RESOURCE_EXHAUSTED); absent gives none. */
int cgroup_pids(const struct cgroups *cgroups, const char *path, struct cgroup_pids *ret,
		struct err *err) MUST_CHECK;
void cgroup_pids_done(struct cgroup_pids *pids); /* also for CLEANUP */

#endif
