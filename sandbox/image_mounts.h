/*
 * Images as volumes of a container (CRI Mount.image and image_sub_path; Kubernetes' image volumes): a
 * read-only overlay of the image's layers at <container dir>/image-mounts/<number of the mount>, of which the
 * container gets the whole or one path, read-only, without programs, devices or set-id bits.
 *
 * Errors begin with "ImageVolumeMountFailed", the word the kubelet looks for. Private to sandbox/; one caller
 * per container.
 */
#ifndef SANDBOX_IMAGE_MOUNTS_H
#define SANDBOX_IMAGE_MOUNTS_H

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "sandbox/container.h"

bool image_mount_wanted(const Cri__Mount *mount);
/* INVALID_ARGUMENT: a host path beside the image, a sub path that is absolute or has "..". */
int image_mount_check(const Cri__Mount *mount, struct err *err) MUST_CHECK;

/* The images that a config mounts, held. */
struct image_mounts {
	struct image **items; /* by the number of the mount; NULL where that is no image */
	size_t len;
};

/* NOT_FOUND when an image is not there: it has to be pulled first. */
int image_mounts_find(struct sandboxes *owner, const Cri__ContainerConfig *config, struct image_mounts *ret,
		      struct err *err) MUST_CHECK;
void image_mounts_done(struct image_mounts *mounts); /* also for CLEANUP */
/* Adds their layers, which are kept as long as the container. */
void image_mounts_layers(const struct image_mounts *mounts, struct strv *layers);
/* Mounts them. *ret: as many as there are mounts: what to bind, "" where that is no image. */
int image_mounts_make(const struct container *container, const struct image_mounts *mounts, struct strv *ret,
		      struct err *err) MUST_CHECK;
/* Detaches all that are there. Idempotent. */
int image_mounts_undo(const struct container *container, struct err *err) MUST_CHECK;

/* The directories to mount of an image, as the pod's user namespace sees them. */
int container_layer_dirs(const struct container *container, const struct image *image, struct strv *ret,
			 struct err *err) MUST_CHECK;

#endif
