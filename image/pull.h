/*
 * A pull, up to the point where everything the image consists of is in the store: the reference is resolved
 * through registries.conf, the manifest of this node's platform fetched from the first endpoint that has it,
 * its config fetched and checked, its layers assembled. What to call the result and to record it is up to
 * image/images.h.
 */
#ifndef IMAGE_PULL_H
#define IMAGE_PULL_H

#include "base/arena.h"
#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/pool.h"
#include "config/config.h"
#include "config/registries.h"
#include "image/auth.h"
#include "image/blobs.h"
#include "image/layers.h"
#include "image/reference.h"
#include "image/registry.h"
#include "image/split.h"

struct pull_env { /* everything is borrowed */
	const struct config *config;
	const struct registries *registries;
	struct registry *registry;
	struct layers *layers;
	struct blobs *blobs;
	struct pool *pool;
	struct split_budget *split_budget;
};

struct pull_request {
	const struct reference *reference;
	const struct image_auth *auth; /* NULL: none */
};

struct pulled {
	char *tag;            /* "repo:tag"; NULL when pulled by digest */
	char *repo_digest;    /* "repo@digest": of what the reference names, be it an index */
	struct digest id;     /* of the config */
	struct digest digest; /* of the image manifest */
	struct str manifest;  /* as fetched */
	struct str config;
	uint64_t size;         /* bytes: compressed layers + config */
	struct digest *chains; /* held in layers until pulled_done() */
	size_t chains_len;
};

int pull_run(const struct pull_env *env, const struct ctx *ctx, const struct pull_request *request,
	     struct pulled *ret, struct err *err) MUST_CHECK;
/* Releases the layers. Zeroed storage is fine. */
void pulled_done(struct layers *layers, struct pulled *pulled);

/* The full repository names a reference may mean, in order: one, unless it is short and registries.conf
 * allows more. In the arena. */
int pull_names(const struct registries *registries, const struct reference *reference, struct arena *arena,
	       struct registries_names *ret, struct err *err) MUST_CHECK;

#endif
