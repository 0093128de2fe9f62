/*
 * What is kept about a layer beside its files: layer.json, in the layer's directory. It is written last, so a
 * directory without a readable one is no layer.
 */
#ifndef IMAGE_LAYER_RECORD_H
#define IMAGE_LAYER_RECORD_H

#include "base/err.h"
#include "base/mem.h"
#include "image/layer_tree.h"

/* dir: the layer's directory; chain: its chain ID. No fsync: one syncfs() covers the whole pull. */
int layer_record_write(int dir, const char *chain, const struct tree_usage *usage,
		       struct err *err) MUST_CHECK;
/* FAILED_PRECONDITION when a newer crisp has written it; DATA_LOSS and others when it is broken, of another
 * layer, or without the layer's files beside it. */
int layer_record_read(int dir, const char *chain, struct tree_usage *ret, struct err *err) MUST_CHECK;

#endif
