/*
 * Image configs (OCI image-spec 1.1, config.md; Docker's "container.image.v1" is the same document): what an
 * image says about running it, and the digests of its uncompressed layers.
 *
 * The bytes come from a registry. Malformed parts that a runtime would trip over are dropped: env entries
 * that are no NAME=value (CVE-2026-57231), volumes that are no clean path. Labels are not read at all: they
 * are the image author's words, not control data (CVE-2026-53488).
 */
#ifndef IMAGE_IMAGE_CONFIG_H
#define IMAGE_IMAGE_CONFIG_H

#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "image/digest.h"

struct image_config {
	char *user; /* never NULL, may be "" */
	char *working_dir;
	char *stop_signal;
	struct strv env; /* only well-formed KEY=value */
	struct strv entrypoint;
	struct strv cmd;
	struct strv volumes; /* absolute, without "." and ".." components */
};

void image_config_done(struct image_config *config); /* also for CLEANUP; zeroed storage is fine */

struct diff_ids {
	struct digest *items; /* base layer first */
	size_t len;
};

void diff_ids_done(struct diff_ids *diff_ids); /* also for CLEANUP */

/* INVALID_ARGUMENT when it is no config of a Linux image or lists other than layers_len diff_ids. */
int image_config_parse(const char *data, size_t len, size_t layers_len, struct image_config *ret,
		       struct diff_ids *ret_diff_ids, struct err *err) MUST_CHECK;

/* The chain ID of a layer: of its parent's chain ID (NULL for the base) and its diff_id; config.md, "Layer
 * ChainID". */
void chain_id_next(const struct digest *parent, const struct digest *diff_id, struct digest *ret);

#endif
