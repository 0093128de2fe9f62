/*
 * How much the writable layers of containers take. Nobody waits for a walk over a large tree: a poll gets
 * what was last measured, with its own time, and a thread measures again what has become old, one layer after
 * the other. How old depends on how long the measuring took: it never takes more than a twentieth of a CPU.
 * Project quotas, which some filesystems have, are not used.
 *
 * Threads: any. Walkers are asked to stop, and joined, by layer_walker_free().
 */
#ifndef SANDBOX_LAYER_METER_H
#define SANDBOX_LAYER_METER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"
#include "base/mem.h"

struct container;
struct layer_walker;

struct layer_usage {
	int64_t at; /* clock_real() ns of the measurement */
	uint64_t bytes, inodes;
};

struct layer_meter {
	struct lock lock;
	/* under lock */
	struct layer_usage usage; /* at 0: not measured yet */
	int64_t due;              /* clock_mono() ns */
	bool queued;
};

void layer_meter_init(struct layer_meter *meter);
void layer_meter_done(struct layer_meter *meter);
/* The last measurement of the container's layer; false while there is none. A small layer that was never
 * measured is measured at once; else what is old is queued. */
bool layer_meter_read(struct container *container, struct layer_usage *ret);

struct layer_walker *layer_walker_new(void);
struct layer_walker *layer_walker_free(struct layer_walker *walker); /* accepts NULL, returns NULL */

#endif
