/*
 * Mount namespaces with only what an OCI runtime needs, instead of all that is mounted on the host.
 *
 * crun looks through all of /proc/mounts at each create and exec (for SELinux's file system), and a container
 * begins with a copy of all mounts there are, which it then takes away. On a node with 250 pods that is a
 * quarter of a megabyte that the kernel writes line by line, and 1,500 mounts that are copied and undone:
 * more time than everything else the runtime does. A runtime that is started in here finds ten to forty.
 *
 * The base namespace is made once, for execs: the root file system, /proc, /dev, cgroups, and whatever holds
 * the runtime and its state. Nothing is unmounted late on the host because of it: volumes, images and pods
 * are not in it, nothing mounted later comes in, and what is mounted in it stays in it (every mount is
 * private; mount_namespaces(7)).
 *
 * For a create it is copied and gets what the container is made of: its root file system, the sources of its
 * bind mounts, the pod's namespaces. Those are as a bind mount of each would be: with all below it, and still
 * of the same peer group, so that the container gets what is mounted on the host later, or passes on what is
 * mounted in it, just as if it had come from the host's namespace. It goes when the runtime has.
 *
 * All functions are thread-safe; the caller's own namespace stays as it is.
 */
#ifndef CONMON_SLIM_MOUNTS_H
#define CONMON_SLIM_MOUNTS_H

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

struct slim_mounts {
	int namespace;      /* close-on-exec, for setns(2); it lives as long as that; -1: there is none */
	struct strv places; /* its mount points */
};

#define SLIM_MOUNTS_INIT                             \
	{                                            \
		.namespace = -1, .places = STRV_INIT \
	}

/* paths (NULL-terminated, absolute; they need not exist yet) are to be found in it. On failure none can be
 * made: open_tree(2) and move_mount(2) are needed, and CAP_SYS_ADMIN. */
int slim_mounts_open(const char *const *paths, struct slim_mounts *ret, struct err *err) MUST_CHECK;
void slim_mounts_close(struct slim_mounts *mounts); /* also for CLEANUP */

/* A copy of base in which paths are found, as above, and sources (NULL-terminated, absolute, there) with all
 * that is mounted on and below them. Its descriptor, close-on-exec, or -1: FAILED_PRECONDITION when one
 * source is below another, or they are too many, among others; then the host's own namespace is the one to
 * use. */
int slim_mounts_extend(const struct slim_mounts *base, const char *const *paths, const char *const *sources,
		       struct err *err) MUST_CHECK;

#endif
