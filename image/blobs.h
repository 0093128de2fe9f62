/*
 * Small blobs kept as they were pulled: manifests and image configs, under <root>/blobs/<algorithm>/<hex>.
 * They are verified by digest whenever they are read. Layer blobs are not kept. Thread-safe: a blob never
 * changes under its name.
 */
#ifndef IMAGE_BLOBS_H
#define IMAGE_BLOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "image/digest.h"
#include "image/layer_tree.h"

struct blobs;

int blobs_open(int root, struct blobs **ret, struct err *err) MUST_CHECK;
struct blobs *blobs_free(struct blobs *blobs); /* accepts NULL, returns NULL */

/* At most max bytes; *ret is malloc'd and NUL-terminated. NOT_FOUND; DATA_LOSS when the bytes are others. */
int blobs_get(struct blobs *blobs, const struct digest *digest, size_t max, char **ret, size_t *ret_len,
	      struct err *err) MUST_CHECK;
/* durable: survives a power cut when this returns. */
int blobs_put(struct blobs *blobs, const struct digest *digest, const struct str *data, bool durable,
	      struct err *err) MUST_CHECK;
/* Removes the blobs for which keep() is false. The caller sees to it that nobody puts one meanwhile. */
void blobs_collect(struct blobs *blobs, bool (*keep)(void *data, const char *digest), void *data);
void blobs_usage(struct blobs *blobs, struct tree_usage *ret);

#endif
