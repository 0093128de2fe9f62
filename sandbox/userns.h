/*
 * The user namespace of a pod (CRI UserNamespace, mode POD; user_namespaces(7)): one range of user ids and
 * one of group ids, in which the container's id 0 is.
 *
 * The pause process makes it before all others, so that they belong to it; crispd, which may, writes the
 * maps. Image layers are owned by the host's ids: containers see them through an idmapped mount of all
 * layers, one per pod (mount_setattr(2), "ID-mapped mounts"). What crispd makes for a container is given to
 * the owner that the container knows as root.
 *
 * Values without identity; all functions are thread-safe.
 */
#ifndef SANDBOX_USERNS_H
#define SANDBOX_USERNS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "proto/cri.pb-c.h"

struct userns_range {
	uint32_t container, host, length;
};

struct userns {
	struct userns_range uids, gids;
};

/* False: the host's user namespace. options may be NULL and must have been checked. */
bool userns_of(const Cri__UserNamespace *options, struct userns *ret);
/* INVALID_ARGUMENT for another mode, for mappings with NODE, for not exactly one range each, for ranges that
 * end beyond 32 bits, have no id 0 inside or are the host's root. NULL is fine. */
int userns_check(const Cri__UserNamespace *options, struct err *err) MUST_CHECK;
bool userns_equal(const Cri__UserNamespace *a, const Cri__UserNamespace *b);

/* The host's id of the container's root. */
uid_t userns_root_uid(const struct userns *userns);
gid_t userns_root_gid(const struct userns *userns);
/* INVALID_ARGUMENT when an id has no counterpart on the host. what: "run_as_user". */
int userns_check_id(const struct userns_range *range, uint32_t id, const char *what,
		    struct err *err) MUST_CHECK;

/* Writes uid_map and gid_map of a process that has just unshared. */
int userns_write_maps(const struct userns *userns, const struct process *process, struct err *err) MUST_CHECK;

/* Mounts the directory source at target (made if missing, 0700), with ids mapped as in the namespace at the
 * path `ns`. FAILED_PRECONDITION when the file system or the kernel has no idmapped mounts. */
int userns_mount_mapped(const char *source, const char *ns, const char *target, struct err *err) MUST_CHECK;

/* Whether this kernel has what a pod's user namespace needs: overlayfs on idmapped layers (Linux 5.19), and
 * user namespaces not switched off. */
bool userns_supported(void);

#endif
