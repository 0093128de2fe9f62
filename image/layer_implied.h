/*
 * Directories that a layer's entries lie in but that the layer does not name (layer_tree_implied()): they
 * take owner, mode, times and xattrs from the topmost layer below that shows them, as if the layer had been
 * unpacked on top of the others.
 */
#ifndef IMAGE_LAYER_IMPLIED_H
#define IMAGE_LAYER_IMPLIED_H

#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

struct layer_below {
	int store;                /* the directory that the paths are below */
	const struct strv *diffs; /* paths of the diff directories, base first */
};

/* root: of the new layer. What a later entry has replaced, or no layer below shows, stays as it is. */
int layer_implied_inherit(int root, const struct strv *implied, const struct layer_below *below,
			  struct err *err) MUST_CHECK;

#endif
