/*
 * A mount namespace with only what an OCI runtime needs to join a running container: the root file system,
 * /proc, /dev, cgroups, and whatever holds the runtime and its state.
 *
 * crun looks through all of /proc/mounts at each exec (for SELinux's file system), which on a node with 250
 * pods is a quarter of a megabyte that the kernel writes line by line: more time than everything else it
 * does. A runtime that is started in here finds ten lines. Nothing is unmounted late on the host because of
 * it: volumes, images and pods are not in it, nothing mounted later comes in, and what is mounted in it
 * stays in it (every mount is private; mount_namespaces(7)).
 */
#ifndef CONMON_SLIM_MOUNTS_H
#define CONMON_SLIM_MOUNTS_H

#include "base/err.h"
#include "base/mem.h"

/* The namespace's descriptor, close-on-exec, for setns(2); it lives as long as that. paths (NULL-terminated,
 * absolute; they need not exist yet) are to be found in it. -1: none can be made (open_tree(2) and
 * move_mount(2) are needed, and CAP_SYS_ADMIN). Thread-safe; the caller's own namespace stays as it is. */
int slim_mounts_open(const char *const *paths, struct err *err) MUST_CHECK;

#endif
