/*
 * SELinux labels of pods and containers: which they get, the MCS levels that keep pods apart, and
 * relabelling.
 *
 * A label is "user:role:type:level". Where the host has SELinux (and `selinux` in [crisp.runtime] is not
 * false) a container runs with the policy's own label for containers (selinux_lxc_contexts_path(3)), changed
 * by the pod's options, then by the container's; its files get the policy's label for containers' files with
 * the same user and level. A pod whose options name no level gets one of its own, "s0:c1,c2", as long as it
 * is there; it is kept with the pod's record. On other hosts options are without meaning, as in other
 * engines: a kubelet sends them whatever the node has.
 *
 * Without a label, so that the policy's default holds (spc_t): a privileged container, and one in the host's
 * PID or IPC namespace; in the host's network its process only (`hostnetwork_disable_selinux`), as CRI-O has
 * it.
 */
#ifndef SANDBOX_SELINUX_H
#define SANDBOX_SELINUX_H

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/config.h"
#include "proto/cri.pb-c.h"

enum { SELINUX_LABEL_MAX = 250 }; /* bytes: what a mount option can hold */

bool selinux_enabled(const struct config *config);

/* INVALID_ARGUMENT: a part that is malformed, or all are too long. options may be NULL. */
int selinux_check(const Cri__SELinuxOption *options, struct err *err) MUST_CHECK;

struct selinux_request {
	const struct config *config;
	const Cri__PodSandboxConfig *pod;
	const Cri__ContainerConfig *container; /* NULL: the pod itself, for its files */
	const char *level;                     /* the pod's own; NULL: "s0" */
};
struct selinux_labels {
	char *process, *mount; /* malloc'd; NULL: none */
};
/* Does not ask whether the host has SELinux. */
void selinux_labels(const struct selinux_request *request, struct selinux_labels *ret);
void selinux_labels_done(struct selinux_labels *labels);

/* The levels in use. Thread-safe. It lives until it was freed and every level was dropped. */
struct selinux_levels;
struct selinux_levels *selinux_levels_new(void);
struct selinux_levels *selinux_levels_free(struct selinux_levels *levels); /* accepts NULL, returns NULL */
/* One that nobody has, malloc'd. RESOURCE_EXHAUSTED. */
int selinux_levels_take(struct selinux_levels *levels, char **ret, struct err *err) MUST_CHECK;
/* One that a pod was found to have. */
void selinux_levels_keep(struct selinux_levels *levels, const char *level);
void selinux_levels_drop(struct selinux_levels *levels, const char *level); /* accepts NULL */

/* Labels a file of ours, not following a link. A filesystem without labels is success. */
int selinux_label(int dir, const char *name, const char *label, struct err *err) MUST_CHECK;
/*
 * Labels a volume and all that is in it, links themselves and not what they lead to. INVALID_ARGUMENT: a
 * place of the host that everything else lives in (/, /etc, /usr, ...), where it would do harm. path is
 * absolute and clean. Filesystems without labels, and what vanishes meanwhile, are passed over.
 */
int selinux_relabel(const char *path, const char *label, struct err *err) MUST_CHECK;

#endif
