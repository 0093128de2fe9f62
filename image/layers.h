/*
 * The store of unpacked layers: <root>/layers/<hex of the chain ID>/{diff/, layer.json}. A layer is unpacked
 * as a draft under <root>/tmp/ and renamed into place, so what is in layers/ is whole. Disk usage is counted
 * when a layer is made and kept in its layer.json: nothing here walks a tree.
 *
 * A pull claims each of its layers: it finds it present, gets the right to make it, or learns that another
 * pull is at it and may wait. Present and published layers are held until released; layers_collect() removes
 * what is neither held, nor wanted by a pull in progress, nor kept by its caller. All functions are
 * thread-safe; a draft belongs to who claimed it.
 *
 * Layers must be published from the base up: implied directories of a draft take what the layers below say
 * of them (image/layer_implied.h). A finished draft whose turn does not come, because the pull ends before,
 * can be parked for the next one.
 */
#ifndef IMAGE_LAYERS_H
#define IMAGE_LAYERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/str.h"
#include "image/digest.h"
#include "image/layer.h"

struct layers;

/* root: the directory fd, borrowed. pool runs deletions in the background: also of what is found in tmp/ and
 * of broken layers. */
int layers_open(int root, struct pool *pool, struct layers **ret, struct err *err) MUST_CHECK;
struct layers *layers_free(struct layers *layers); /* waits for deletions; accepts NULL, returns NULL */

enum layers_claim { LAYER_PRESENT, LAYER_YOURS, LAYER_BUSY };

/* PRESENT: held, and there on disk. YOURS: make it, then layers_publish(), layers_park() or layers_abandon().
 * BUSY: somebody else does. */
enum layers_claim layers_claim(struct layers *layers, const struct digest *chain);
/* Waits until nobody works on the layer any more; claim again then. */
int layers_wait(struct layers *layers, const struct ctx *ctx, const struct digest *chain,
		struct err *err) MUST_CHECK;

struct layer_draft {
	char *name; /* below tmp/; NULL: none */
	int root;   /* of diff/, opened for reading; -1: none */
	struct layer_output output;
};

#define LAYER_DRAFT_INIT   \
	{                  \
		.root = -1 \
	}

int layers_draft(struct layers *layers, struct layer_draft *ret, struct err *err) MUST_CHECK;
/* Throws a draft away; zeroed by LAYER_DRAFT_INIT is fine. The claim stays. */
void layers_discard(struct layers *layers, struct layer_draft *draft);

/* Puts a draft in place and holds the layer. parents: the chain IDs below, base first, all present. On
 * failure the draft and the claim are gone. Takes the draft over. */
struct layers_place {
	const struct digest *chain;
	const struct digest *parents;
	size_t parents_len;
};
int layers_publish(struct layers *layers, const struct layers_place *place, struct layer_draft *draft,
		   struct err *err) MUST_CHECK;
/* Gives a claim back without a layer. */
void layers_abandon(struct layers *layers, const struct digest *chain);
/* Gives a claim back and keeps the (complete) draft, in memory of this process, for whoever claims the layer
 * next; layers_collect() removes it. Takes the draft over. */
void layers_park(struct layers *layers, const struct digest *chain, struct layer_draft *draft);
/* After a claim: true and the draft that was parked, if there is one. */
bool layers_unpark(struct layers *layers, const struct digest *chain, struct layer_draft *ret);
void layers_release(struct layers *layers, const struct digest *chain);
/* Sees to it that these (held) layers survive a power cut: by one syncfs(), or none if one has covered them.
 * When it fails, they and all others that it should have covered are lost: a later sync would succeed without
 * them.
 */
int layers_sync(struct layers *layers, const struct digest *chains, size_t len, struct err *err) MUST_CHECK;
/* Its files are missing or not to be trusted: the next claim makes it anew. */
void layers_lose(struct layers *layers, const char *chain);

/* chain: "sha256:..", as struct image has it. False for a lost one. */
bool layers_has(struct layers *layers, const char *chain);
/* "layers/<hex>/diff" below root. malloc'd. */
char *layers_path(const struct digest *chain);

/* A pull that will claim these: they and drafts parked for them are not collected until layers_unwant(). */
void layers_want(struct layers *layers, const struct digest *chains, size_t len);
void layers_unwant(struct layers *layers, const struct digest *chains, size_t len);
/* Removes layers that are not held and for which keep() is false, and parked drafts, except wanted ones; keep
 * runs under no lock of layers. A layer is gone from the store when this returns, its files go in the
 * background. */
void layers_collect(struct layers *layers, bool (*keep)(void *data, const char *chain), void *data);
/* The same for what has not been held or wanted since `before` (clock_mono()); returns that time of whichever
 * of the others has been idle longest, NO_DEADLINE when nothing is left to be collected. */
int64_t layers_collect_idle(struct layers *layers, int64_t before,
			    bool (*keep)(void *data, const char *chain), void *data);
/* When a lost layer is made anew, a container may still run on its old files: those are set aside, and
 * deleted by this once in_use() is false for the layer; it runs under no lock of layers. Across restarts,
 * too. */
void layers_collect_replaced(struct layers *layers, bool (*in_use)(void *data, const char *chain),
			     void *data);
bool layers_any_replaced(struct layers *layers);
void layers_usage(struct layers *layers, struct tree_usage *ret);

#endif
