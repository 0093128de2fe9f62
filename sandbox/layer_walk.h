/*
 * How much a directory and all below it take: what du(1) counts. A file with several names counts once.
 *
 * The tree may be changed while it is walked, also by somebody hostile: links are not followed, other mounts
 * not entered, one descriptor is open at a time however deep it goes, and the number of entries is bounded.
 * Where a directory is moved away under the walk it stops with what it has. Pure but for the file system; any
 * thread.
 */
#ifndef SANDBOX_LAYER_WALK_H
#define SANDBOX_LAYER_WALK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

struct layer_walk {
	uint64_t bytes; /* of blocks allocated */
	uint64_t inodes;
	bool whole; /* false: stopped at entries_max, by `stop`, or because the tree moved */
};

/* path: absolute. NOT_FOUND when it is not there. stop may be NULL. */
int layer_walk(const char *path, size_t entries_max, const atomic_bool *stop, struct layer_walk *ret,
	       struct err *err) MUST_CHECK;

#endif
