/*
 * One layer, from its blob's bytes to a directory: in one pass the compressed bytes are hashed, inflated,
 * hashed again (the diff_id) and untarred. The caller throws the directory away on failure; it is good only
 * if this returns 0.
 */
#ifndef IMAGE_LAYER_H
#define IMAGE_LAYER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "image/digest.h"
#include "image/inflate.h"
#include "image/layer_tree.h"

struct layer_limits {
	struct tree_limits tree;
	uint64_t unpacked_free; /* decompressed bytes that any layer may have */
	uint64_t expansion_max; /* beyond those: decompressed bytes per compressed byte */
	uint64_t unpacked_max;
};

/* What crispd allows; see the values in layer.c. */
extern const struct layer_limits layer_limits_default;

struct layer_input {
	const struct byte_source *blob;
	const struct digest *digest;  /* of the blob */
	const struct digest *diff_id; /* of the uncompressed tar */
	const struct layer_limits *limits;
	int root;       /* an empty directory opened for reading */
	bool sync_soon; /* see unpack() */
};

struct layer_output {
	struct tree_usage usage;
	struct strv implied; /* see layer_tree_implied() */
};

void layer_output_done(struct layer_output *output); /* also for CLEANUP */

/* DATA_LOSS for a wrong digest or diff_id; INVALID_ARGUMENT for what does not decode or goes over a limit;
 * the source's errors pass through. */
int layer_unpack(const struct layer_input *input, struct layer_output *ret, struct err *err) MUST_CHECK;

/* True for the diff_id of a tar without members, as builders make it of steps that change no file: it needs
 * no blob to be unpacked. */
bool layer_is_empty(const struct digest *diff_id);

#endif
