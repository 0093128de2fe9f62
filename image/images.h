/*
 * The image service: pull, find, list, remove, disk usage. State lives under <root>: blobs, layers, images,
 * tmp (see DESIGN: State on disk). An image is visible only when whole: every digest verified, every layer
 * unpacked, its record written last.
 *
 * `struct image` (image/image.h) is immutable and shared by reference. All functions are thread-safe. Layers
 * are shared between images by chain ID (OCI image-spec, "Layer ChainID"); who uses which layer is derived
 * from image records and from the in-use function given at open, never counted on disk.
 */
#ifndef IMAGE_IMAGES_H
#define IMAGE_IMAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/str.h"
#include "config/config.h"
#include "image/auth.h"
#include "image/image.h"

struct images;

struct images_options {
	const struct config *config; /* a reference is taken */
	struct pool *pool;           /* for layers in parallel and joined pulls; outlives images */
	/* True while a container's rootfs is built on this layer. Called under no lock of images, but must
	 * not call back into them. */
	bool (*layer_in_use)(void *data, const char *chain_id);
	void *data;
	/* ns that complete layers of a pull that has failed or been cancelled wait for a retry; 0: 10 minutes
	 */
	int64_t leftover_time;
};

/* Opens the store, sweeps tmp/, loads records; a record that cannot be read, or that misses a layer, is moved
 * to quarantine/ and logged by the caller through images_warnings(). Layers without an image (of a pull that
 * was cut short) stay until images_collect(): call it once containers are restored. NULL and err on failure.
 */
struct images *images_open(const struct images_options *options, struct err *err);
/* Waits until the pool has nothing to do: pulls whose callers have left, deletions, and whatever else runs
 * there. */
struct images *images_free(struct images *images);
/* For the end: cancels all pulls, also those that come later. */
void images_cancel(struct images *images);
/* Takes over new registries/auth configuration for pulls that start from now on, and pinned_images at once.
 */
int images_reload(struct images *images, const struct config *config, struct err *err) MUST_CHECK;

struct image_pull {
	const char *reference;         /* as the client wrote it */
	const struct image_auth *auth; /* may be NULL */
};

/* Joins with an equal pull (same reference, same credentials) in progress; *ret_id is malloc'd. The pull
 * stops when its last caller has left; layers that are complete by then stay for the next try,
 * for some minutes: then they are collected in the background.
 * INVALID_ARGUMENT for a bad reference, credentials or image; NOT_FOUND when the registry has no such image,
 * or none for this platform; UNKNOWN when no endpoint served it, with a text that begins with
 * "RegistryUnavailable", or policy.json is against it, "SignatureValidationFailed": the kubelet knows these
 * words at the beginning of errors of that code only (image/policy.h), so put nothing in front;
 * UNAUTHENTICATED, PERMISSION_DENIED (also: blocked by registries.conf); DATA_LOSS for content of another
 * digest; DEADLINE_EXCEEDED, CANCELLED; RESOURCE_EXHAUSTED (disk). */
int images_pull(struct images *images, const struct ctx *ctx, const struct image_pull *pull, char **ret_id,
		struct err *err) MUST_CHECK;

/* By reference (short names normalised), "sha256:<hex>", 64 hex digits or an unambiguous hex prefix (>= 3
 * digits), or reference@digest. NOT_FOUND; INVALID_ARGUMENT for a malformed or ambiguous name. *ret is a
 * reference. */
int images_find(struct images *images, const char *name, struct image **ret, struct err *err) MUST_CHECK;

/* All images, oldest pull first: a NULL-terminated array of references; free with images_list_free. */
struct image **images_list(struct images *images);
void images_list_free(struct image **list);

/* Removes the image with all its names (CRI RemoveImage), whichever of them is given. Unknown: success;
 * pinned: removed like others.
 *
 * An image that containers use is removed, too: it is no longer found or listed, and what containers need of
 * it, its layers, stays until the last of them is removed (images_release()), also across restarts. Layers
 * that no other image and no container uses are deleted. */
int images_remove(struct images *images, const char *name, struct err *err) MUST_CHECK;
/* Deletes layers nobody uses any more. Cheap when there is nothing to do. */
void images_collect(struct images *images);
/* A container is gone: what only it used is deleted in the background. NULL is fine. */
void images_release(struct images *images);

/* Absolute paths of the layers' diff directories, top layer first (overlay lowerdir order). RPC_DATA_LOSS
 * when one is missing on disk: then the image is no longer listed, and the next pull brings what is missing.
 */
int images_layer_dirs(struct images *images, const struct image *image, struct strv *ret,
		      struct err *err) MUST_CHECK;

/* The folder that all of these directories are below; malloc'd. */
char *images_layers_path(const struct images *images);

struct image_fs_usage {
	char *mountpoint; /* of the directory <root>: what CRI calls fs_id.mountpoint; malloc'd */
	uint64_t used_bytes, inodes_used;
	int64_t timestamp; /* real ns */
};
/* Image content usage (kept up to date as layers come and go; no walk in the call). */
int images_usage(struct images *images, struct image_fs_usage *ret, struct err *err) MUST_CHECK;

/* Warnings collected at open (quarantined records); borrowed. */
const struct strv *images_warnings(const struct images *images);

#endif
