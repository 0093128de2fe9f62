/*
 * The image service: pull, find, list, remove, disk usage. State lives under <root>: blobs, layers, images,
 * tmp (see DESIGN: State on disk). An image is visible only when whole: every digest verified, every layer
 * unpacked, its record written last.
 *
 * `struct image` is immutable and shared by reference. All functions are thread-safe. Layers are shared
 * between images by chain ID (OCI image-spec, "Layer ChainID"); who uses which layer is derived from image
 * records and from the in-use function given at open, never counted on disk.
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
#include "image/image_config.h"

struct images;

struct image {
	char *id;                 /* "sha256:<hex>" of the config blob */
	char *digest;             /* of the image manifest */
	struct strv repo_tags;    /* "docker.io/library/busybox:latest" */
	struct strv repo_digests; /* "docker.io/library/busybox@sha256:.." (as requested: an index's digest
				     when by index) */
	uint64_t size;            /* bytes: compressed layers + config */
	int64_t created_at;       /* pull time, real ns */
	struct image_config config;
	char *config_json;  /* the config blob as pulled, for verbose status */
	struct strv layers; /* chain IDs "sha256:..", base first */
	bool pinned;
};

struct images_options {
	const struct config *config; /* a reference is taken */
	struct pool *pool;           /* for layers in parallel and joined pulls; outlives images */
	/* True while a container's rootfs is built on this layer. Called under no lock of images. */
	bool (*layer_in_use)(void *data, const char *chain_id);
	void *data;
};

/* Opens the store, sweeps tmp/, loads records; a record that cannot be read is moved to quarantine/ and
 * logged by the caller through images_warnings(). */
struct images *images_open(const struct images_options *options, struct err *err);
struct images *images_free(struct images *images);
/* Takes over new registries/auth configuration for pulls that start from now on. */
int images_reload(struct images *images, const struct config *config, struct err *err) MUST_CHECK;

struct image_auth { /* CRI AuthConfig; all may be NULL or "" */
	const char *username, *password, *auth, *server_address, *identity_token, *registry_token;
};

struct image_pull {
	const char *reference;         /* as the client wrote it */
	const struct image_auth *auth; /* may be NULL */
};

/* Joins with an equal pull in progress; *ret_id is malloc'd. INVALID_ARGUMENT for a bad reference, NOT_FOUND
 * when the registry has no such image, UNAVAILABLE (text with "RegistryUnavailable") when no endpoint
 * answered, UNAUTHENTICATED/PERMISSION_DENIED, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED (disk). Nothing half
 * done is left. */
int images_pull(struct images *images, const struct ctx *ctx, const struct image_pull *pull, char **ret_id,
		struct err *err) MUST_CHECK;

/* By reference (short names normalised), "sha256:<hex>", 64 hex digits or an unambiguous hex prefix (>= 3
 * digits), or reference@digest. NOT_FOUND; INVALID_ARGUMENT for a malformed or ambiguous name. *ret is a
 * reference. */
int images_find(struct images *images, const char *name, struct image **ret, struct err *err) MUST_CHECK;
struct image *image_ref(struct image *image);
struct image *image_unref(struct image *image); /* accepts NULL, returns NULL */
void image_unrefp(struct image **image);

/* All images, oldest pull first: a NULL-terminated array of references; free with images_list_free. */
struct image **images_list(struct images *images);
void images_list_free(struct image **list);

/* Removes the image with all its names (CRI RemoveImage). Unknown: success. Layers no other image nor a
 * container uses are deleted; those in use go with images_collect(). */
int images_remove(struct images *images, const char *name, struct err *err) MUST_CHECK;
/* Deletes layers nobody uses any more. Cheap when there is nothing to do. */
void images_collect(struct images *images);

/* Absolute paths of the layers' diff directories, top layer first (overlay lowerdir order). RPC_DATA_LOSS
 * when one is missing on disk. */
int images_layer_dirs(struct images *images, const struct image *image, struct strv *ret,
		      struct err *err) MUST_CHECK;

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
