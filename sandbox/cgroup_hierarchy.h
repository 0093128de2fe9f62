/*
 * The hierarchies behind sandbox/cgroup.h, for cgroup*.c and the meters only: one on cgroup v2, one per
 * mounted controller on v1, and the walk over a subtree of one.
 */
#ifndef SANDBOX_CGROUP_HIERARCHY_H
#define SANDBOX_CGROUP_HIERARCHY_H

#include "sandbox/cgroup.h"

/* Levels below a pod's cgroup. Only a container with a writable cgroup filesystem can go deeper than a few.
 */
enum { CGROUP_HIERARCHIES_MAX = 32, CGROUP_DEPTH_MAX = 128 };

struct cgroup_hierarchy {
	char *name; /* the folder below the mount: "memory", "cpu,cpuacct", "unified"; "" on v2 */
	int root;   /* directory fd */
	bool unified;
};

struct cgroups {
	enum cgroup_view view;
	struct cgroup_hierarchy items[CGROUP_HIERARCHIES_MAX];
	size_t len;
};

/* The one of a controller: on v2 the only one, on v1 NULL where that is not mounted. */
const struct cgroup_hierarchy *cgroup_hierarchy_of(const struct cgroups *cgroups,
						   const char *controller) MUST_CHECK;
/* Opens path (absolute, checked) in one hierarchy; -1 with errno. */
int cgroup_hierarchy_open(const struct cgroup_hierarchy *hierarchy, const char *path) MUST_CHECK;

/* fn gets an open directory, where it is (parent, name) and data; -1 and err end the walk. */
typedef int cgroup_walk_fn(int dir, int parent, const char *name, void *data, struct err *err);
/* Calls fn for each cgroup below and including `path`, children before parents; absent is success. What
 * vanishes meanwhile is skipped. */
int cgroup_walk(const struct cgroup_hierarchy *hierarchy, const char *path, cgroup_walk_fn *fn, void *data,
		struct err *err) MUST_CHECK;

#endif
