/*
 * The inside of struct layers, shared by the files that implement image/layers.h.
 */
#ifndef IMAGE_LAYERS_STATE_H
#define IMAGE_LAYERS_STATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/gate.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/map.h"
#include "image/layers.h"

enum state { STATE_BUSY, STATE_PRESENT, STATE_GOING };

struct stored {
	enum state state;
	unsigned int holds;
	struct tree_usage usage; /* counted in layers->usage */
	int64_t idle_since;      /* clock_mono(): when it was let go of last */
	bool synced;             /* a syncfs() since it was published has succeeded */
	bool lost;
};

struct parked {
	struct layer_draft draft;
	int64_t idle_since;
};

struct layers {
	int root, tmp, dir; /* root is borrowed */
	struct pool *pool;
	struct lock lock;
	struct cond deleted;
	struct gate syncer;  /* one syncfs() at a time: the kernel tells each failure to one caller only */
	struct list waiters; /* under lock: struct waiter */
	struct map known;    /* under lock: chain ID text -> struct stored */
	struct map parked;   /* under lock: chain ID text -> struct parked, finished but unpublished */
	struct map wanted;   /* under lock: chain ID text -> size_t, see layers_want() */
	struct map replaced; /* under lock: name below tmp/ -> chain ID text, of lost files that were made
				anew */
	struct tree_usage usage; /* under lock: of all present and parked ones */
	size_t deleting;         /* under lock: background deletions */
};

struct waiter {
	struct list node;
	int fd; /* eventfd */
};

/* Deletes tmp/name on the pool, or right here when the pool is full. */
void layers_delete_later(struct layers *layers, char *name_take);
/* A free name below tmp/. malloc'd. */
char *layers_tmp_name(void);
/* Moves what has a layer's name in layers/ into tmp/, for layers_collect_replaced(). -1 with errno. */
int layers_set_aside(struct layers *layers, const char *chain);
void layers_free_parked(void *parked); /* malloc'd struct parked; its files stay */
void layers_sub_usage_locked(struct layers *layers, const struct tree_usage *usage) REQUIRES(layers->lock);
/* Lets layers_wait() look again. */
void layers_wake_locked(struct layers *layers) REQUIRES(layers->lock);

#endif
