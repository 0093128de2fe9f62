/*
 * Overlay mounts of a container's root filesystem, through the new mount API (fsopen, fsconfig lowerdir+,
 * fsmount, move_mount; Documentation/filesystems/overlayfs.rst), falling back to mount(2) with /proc/self/fd
 * names where the kernel is older. Upper layers are "volatile" where the kernel knows it: no syncfs of the
 * disk at unmount.
 */
#ifndef IMAGE_OVERLAY_H
#define IMAGE_OVERLAY_H

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

struct overlay_mount {
	const struct strv *lowers; /* absolute directories, top first; 1 to 500 */
	const char *upper, *work;  /* NULL: read-only mount */
	const char *target;        /* existing directory */
	const char *context;       /* SELinux label of all files; NULL: their own. Not of one layer alone */
};

int overlay_mount(const struct overlay_mount *mount, struct err *err) MUST_CHECK;
/* Detaches (MNT_DETACH). Not mounted or absent: success. */
int overlay_unmount(const char *target, struct err *err) MUST_CHECK;
bool overlay_mounted(const char *target);
/* Removes the leftover "incompat/volatile" mark of a work directory so that it can be mounted again after a
 * crash of the machine is ruled out (same boot). */
int overlay_reuse_work(const char *work, struct err *err) MUST_CHECK;

#endif
