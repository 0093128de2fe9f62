/*
 * What a pod as a whole may use (CRI LinuxPodSandboxConfig.overhead and .resources,
 * UpdatePodSandboxResources).
 *
 * The sum of both is the limit of the pod's cgroup where that is crisp's own (no cgroup_parent, or "/"). A
 * cgroup that is named after the pod's uid was made for this pod by the kubelet, which has set the limits by
 * its own rules before it asks (a pod with one container without a memory limit has none, though the
 * resources it sends sum up the others'): there an update moves the limits that are in force and adds none.
 * Any other parent is shared with others and is left alone. Private to sandbox/.
 */
#ifndef SANDBOX_POD_RESOURCES_H
#define SANDBOX_POD_RESOURCES_H

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "sandbox/pod.h"

/* INVALID_ARGUMENT for numbers out of range, and what else spec_resources() refuses. */
int pod_resources_check(const struct pod *pod, struct err *err) MUST_CHECK;
/* For a new pod, whose cgroup exists. */
int pod_resources_apply(struct pod *pod, struct err *err) MUST_CHECK;
/* The pod's config with what was last updated; in arena. */
Cri__PodSandboxConfig *pod_resources_config(struct pod *pod, struct arena *arena);

/* overhead and resources together, in arena; never NULL. Either may be NULL. */
Cri__LinuxContainerResources *pod_resources_sum(const Cri__LinuxContainerResources *overhead,
						const Cri__LinuxContainerResources *resources,
						struct arena *arena);

#endif
