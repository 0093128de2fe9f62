/*
 * Which images are pinned: by patterns over their names (repo tags and repo digests), as in crio.conf(5). The
 * kubelet's garbage collection leaves pinned images alone; RemoveImage does not.
 *
 * In a pattern "*" stands for any text, "/" and ":" included; without one it is the whole name, where a name
 * without tag and digest means ":latest".
 */
#ifndef IMAGE_PINNED_H
#define IMAGE_PINNED_H

#include <stdbool.h>

#include "base/str.h"
#include "image/image.h"

bool pinned_matches(const char *pattern, const char *name);
bool pinned(const struct strv *patterns, const struct image *image);

#endif
