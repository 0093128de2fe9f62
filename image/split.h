/*
 * A blob fetched as several Range requests at once, each on a connection of its own, and read as one stream
 * in order: for registries that give one connection less than the line can carry.
 *
 * The first request is for the first part. Only when it is answered with just that are others asked for,
 * ahead of the reader, by tasks of the pool, into memory; so a registry that ignores Range costs nothing, and
 * one that gets it wrong costs one request. Whatever fails ahead of the reader (after the repetitions of
 * image/registry.h) ends the splitting, not the stream: the reader fetches what is missing itself, as one
 * stream, and only its errors count.
 *
 * Memory is bounded by a budget that all splits of a process share; one that gets nothing of it goes on with
 * the reader's own connection. Nor does it depend on the pool having a free thread.
 */
#ifndef IMAGE_SPLIT_H
#define IMAGE_SPLIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/pool.h"
#include "image/manifest.h"
#include "image/registry.h"

enum {
	SPLIT_PARTS_MIN = 2,
	SPLIT_PARTS_MAX = 8,
	SPLIT_AHEAD = 12 << 20,  /* bytes that a split asks for at once, in equal parts */
	SPLIT_BUDGET = 18 << 20, /* bytes that all splits may have asked for and not given to their readers */
};

struct split_budget { /* zeroed: all of it is there */
	atomic_size_t used;
};

struct split_options {
	int64_t above; /* larger blobs are split; 0: none */
	size_t parts;  /* at once; held to the bounds above */
	struct pool *pool;
	struct split_budget *budget;
};

struct split_job { /* borrowed until split_free() */
	const struct split_options *options;
	struct registry_conn *conn; /* idle; the others are to the same repo */
	const struct descriptor *descriptor;
};

struct split;

bool split_is_wanted(const struct split_options *options, const struct descriptor *descriptor);
/* ctx is that of the reading, too. Errors are those of registry_open_blob() and registry_read_blob(). */
int split_open(const struct split_job *job, const struct ctx *ctx, struct split **ret,
	       struct err *err) MUST_CHECK;
/* The next piece, valid until the next call on split; *ret_len 0 at the end. One thread at a time. */
int split_read(struct split *split, const uint8_t **ret, size_t *ret_len, struct err *err) MUST_CHECK;
/* Cancels what is being fetched and waits for it. Accepts NULL, returns NULL. */
struct split *split_free(struct split *split);
void split_freep(struct split **split);

#endif
