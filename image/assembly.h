/*
 * The layers of one image, brought into the store: those that are missing are fetched and unpacked in
 * parallel, on the calling thread and on helpers from the pool, and published from the base up. Layers that
 * another pull is fetching are waited for.
 *
 * A helper that the pool starts late finds nothing to do; the caller never depends on one, so that pulls that
 * fill the pool still make progress. The first failure cancels the rest.
 */
#ifndef IMAGE_ASSEMBLY_H
#define IMAGE_ASSEMBLY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/pool.h"
#include "image/image_config.h"
#include "image/layers.h"
#include "image/manifest.h"
#include "image/registry.h"
#include "image/split.h"

struct assembly_job {
	struct layers *layers;
	struct pool *pool;
	struct registry_repo *const *repos; /* where to get blobs, in order of trying; at least one */
	size_t repos_len;
	struct registry_conn *conn; /* an idle connection to repos[0] */
	const struct manifest *manifest;
	const struct diff_ids *diff_ids; /* as many as the manifest has layers */
	const struct digest *chains;     /* their chain IDs */
	size_t parallel_max;             /* threads, the caller's included; at least 1 */
	struct split_options split;      /* of large layers */
	bool sync_soon;                  /* the caller will wait for the layers to be on the disk */
};

/* On success every layer is held: the caller releases them. On failure none is; those that were complete stay
 * for a retry, published or parked, until layers_collect(). */
int assembly_run(const struct assembly_job *job, const struct ctx *ctx, struct err *err) MUST_CHECK;

#endif
