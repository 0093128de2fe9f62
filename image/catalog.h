/*
 * The images there are, by id and by name, in memory and as records under <root>/images/.
 *
 * Readers are thread-safe among themselves and with a writer. Writers (put, remove) must not run at the same
 * time as each other: the caller has a gate for them. Images that were replaced or removed while somebody
 * held a reference are remembered until it is dropped, since their layers are still wanted.
 */
#ifndef IMAGE_CATALOG_H
#define IMAGE_CATALOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "image/blobs.h"
#include "image/digest.h"
#include "image/image.h"
#include "image/layers.h"

struct catalog;

/* Loads all records; one that can't be read, or whose layers are not all there, is moved to
 * <root>/quarantine/ and a line about it is added to warnings. */
int catalog_open(int root, struct blobs *blobs, struct layers *layers, struct strv *warnings,
		 struct catalog **ret, struct err *err) MUST_CHECK;
struct catalog *catalog_free(struct catalog *catalog); /* accepts NULL, returns NULL */

/* References, or NULL. name: "repo:tag" or "repo@digest", full. */
struct image *catalog_by_id(struct catalog *catalog, const char *id);
struct image *catalog_by_name(struct catalog *catalog, const char *name);
/* The image whose manifest or index has this digest in a repository it has a name in. */
struct image *catalog_by_digest(struct catalog *catalog, const char *repository, const char *digest);
/* The one image whose hex id begins with hex; *ambiguous when there are more. */
struct image *catalog_by_prefix(struct catalog *catalog, const char *hex, bool *ambiguous);
/* Oldest first, NULL-terminated; each a reference. malloc'd. */
struct image **catalog_list(struct catalog *catalog);

/* Writes the record and makes the image visible in place of one with the same id. Other images lose the tags
 * it has. The reference is taken over, on failure too. */
int catalog_put(struct catalog *catalog, struct image *image_take, bool durable, struct err *err) MUST_CHECK;
/* 0 also when there is none. */
int catalog_remove(struct catalog *catalog, const char *id, struct err *err) MUST_CHECK;

/* From now on the images whose names match one of these patterns (image/pinned.h) are the pinned ones. */
void catalog_pin(struct catalog *catalog, const char *const *patterns, size_t len);

/* Adds every chain ID of an image that is listed or still referenced as a key of *ret. True when some are
 * only referenced. */
bool catalog_layers(struct catalog *catalog, struct map *ret);
/* The same for the digests of manifests and configs. */
void catalog_blobs(struct catalog *catalog, struct map *ret);

#endif
