/*
 * Paths as a layer's entries have them, cleaned and held to the limits of image/layer_tree.h. All errors are
 * INVALID_ARGUMENT.
 */
#ifndef IMAGE_LAYER_PATH_H
#define IMAGE_LAYER_PATH_H

#include "base/err.h"
#include "base/mem.h"
#include "image/layer_tree.h"

/* A cleaned path, cut in place: the directory's path, and the last name ("" for the root itself). */
struct layer_place {
	char dir[TREE_PATH_MAX + 1];
	const char *name;
	char name_buffer[TREE_NAME_MAX + 1];
};

/* Sets err: the path, and why it cannot be. -1. */
int layer_path_bad(struct err *err, const char *path, const char *why);
/* Without leading, doubled and trailing slashes and "." components, into clean (TREE_PATH_MAX + 1 bytes). */
int layer_path_clean(const char *path, char *clean, struct err *err) MUST_CHECK;
int layer_path_locate(const char *path, struct layer_place *place, struct err *err) MUST_CHECK;

#endif
