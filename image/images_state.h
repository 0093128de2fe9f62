/*
 * The inside of struct images, shared by the files that implement image/images.h.
 */
#ifndef IMAGE_IMAGES_STATE_H
#define IMAGE_IMAGES_STATE_H

#include <stdatomic.h>

#include "base/flight.h"
#include "base/gate.h"
#include "base/lock.h"
#include "image/blobs.h"
#include "image/catalog.h"
#include "image/images.h"
#include "image/layers.h"
#include "image/pull.h"
#include "image/sweeper.h"

struct images {
	struct images_options options; /* config is not used after open */
	char *root_path;
	int root;
	struct blobs *blobs;
	struct layers *layers;
	struct catalog *catalog;
	struct registry *registry;
	struct flights *flights;
	struct split_budget split_budget;
	struct sweeper *sweeper;
	struct gate writer;
	struct strv warnings;
	atomic_bool leftovers; /* a collection kept layers that no image has any more */
	struct lock lock;
	struct config *config;         /* under lock */
	struct registries *registries; /* under lock */
};

/* A consistent pair of configurations. */
struct snapshot {
	struct config *config;
	struct registries *registries;
};

struct snapshot images_snapshot(struct images *images);
void snapshot_done(struct snapshot *snapshot);

/* *ret stays NULL when there is none. INVALID_ARGUMENT for a malformed or ambiguous name. */
int images_look_up(struct images *images, const char *name, struct image **ret, struct err *err) MUST_CHECK;

#endif
