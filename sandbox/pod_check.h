/*
 * What of a RunPodSandbox request can be refused before anything is made (lessons: bad input 1-9), and the
 * small lists that are derived from it. Pure functions over the request but for pod_check_host().
 */
#ifndef SANDBOX_POD_CHECK_H
#define SANDBOX_POD_CHECK_H

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "cni/annotations.h"
#include "config/config.h"
#include "proto/cri.pb-c.h"
#include "sandbox/pause.h"

enum {
	METADATA_PART_MAX = 1024,
	PORTS_MAX = 4096,
	POD_SYSCTLS_MAX = PAUSE_SYSCTLS_MAX - 1
}; /* one is ours */

int pod_check(const Cri__RunPodSandboxRequest *request, const struct config *config,
	      struct err *err) MUST_CHECK;
/* What depends on this host as it is now: a port mapping's host IP must be one of its addresses, and
 * log_directory must not lead over other people's links (log_place.h). INVALID_ARGUMENT. */
int pod_check_host(const Cri__PodSandboxConfig *pod, struct err *err) MUST_CHECK;
/* One part of a metadata: not empty, at most METADATA_PART_MAX bytes, all printable. */
int metadata_part_check(const char *what, const char *value, struct err *err) MUST_CHECK;
/* An absolute host path without "." and ".." components. */
int host_path_check(const char *what, const char *path, struct err *err) MUST_CHECK;

/* The annotations as the pod network has them: pod->n_annotations items in arena. */
struct network_annotation *pod_network_annotations(const Cri__PodSandboxConfig *pod, struct arena *arena);

/* The sysctls to be written in the pod's namespaces: the configured defaults, then the pod's own; those of a
 * namespace shared with the host are left out. Lives in arena. */
struct pod_sysctls {
	struct pause_sysctl *items;
	size_t len;
	const char *skipped; /* the last whose namespace is the host's: it must never land there; else NULL */
};
int pod_sysctls(const Cri__PodSandboxConfig *pod, const struct config *config, unsigned int namespaces,
		struct arena *arena, struct pod_sysctls *ret, struct err *err) MUST_CHECK;

#endif
