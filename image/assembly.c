/*
 * Each item (layer) goes WAITING -> WORKING -> READY (unpacked, a draft) -> DONE (published or found, held),
 * or to ELSEWHERE when another pull has claimed it; then the caller, once nothing is WAITING, waits for the
 * lowest such item and claims it anew. Two pulls can't wait for each other in a circle: of the layers they
 * share, the owner of the lowest unpublished one finds all below it present and publishes it.
 *
 * The struct is shared with helpers and lives until the last of them has let go; everything it points to is
 * the caller's and is out of bounds for a helper that starts after `finished`.
 */
#include "image/assembly.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/step.h"
#include "image/pull_metrics.h"

enum item_state { ITEM_WAITING, ITEM_WORKING, ITEM_READY, ITEM_DONE, ITEM_ELSEWHERE };

struct item {
	enum item_state state;
	struct layer_draft draft; /* when READY */
};

struct assembly {
	const struct assembly_job *job;
	struct ctx ctx; /* cancelled by the first failure */
	struct lock lock;
	struct cond changed;
	/* all under lock */
	unsigned int users;   /* the caller and accepted helpers */
	unsigned int running; /* helpers at work */
	bool finished;
	bool publishing;
	size_t published; /* items below are DONE */
	bool failed;
	struct err err;
	struct item *items;
};

static struct assembly *assembly_new(const struct assembly_job *job, const struct ctx *ctx)
{
	struct assembly *assembly = xnew(struct assembly);

	assembly->job = job;
	ctx_init_child(&assembly->ctx, ctx, NO_DEADLINE);
	lock_init(&assembly->lock, "assembly", LOCK_PULL);
	cond_init(&assembly->changed);
	assembly->users = 1;
	assembly->items = xcalloc(job->manifest->layers_len, sizeof(*assembly->items));
	for (size_t i = 0; i < job->manifest->layers_len; i++)
		assembly->items[i].draft.root = -1;
	return assembly;
}

static void unref(struct assembly *assembly)
{
	bool last;

	lock_take(&assembly->lock);
	last = --assembly->users == 0;
	lock_drop(&assembly->lock);
	if (!last)
		return;
	free(assembly->items);
	cond_done(&assembly->changed);
	lock_done(&assembly->lock);
	free(assembly);
}

static void fail(struct assembly *assembly, const struct err *err)
{
	lock_take(&assembly->lock);
	if (!assembly->failed)
		assembly->err = *err;
	assembly->failed = true;
	lock_drop(&assembly->lock);
	ctx_cancel(&assembly->ctx);
}

/* The lowest item in a state becomes WORKING; false when there is none, or all is lost. */
static bool take_item(struct assembly *assembly, enum item_state state, size_t *ret)
{
	bool found = false;

	lock_take(&assembly->lock);
	for (size_t i = 0; i < assembly->job->manifest->layers_len && !assembly->failed && !found; i++)
		if (assembly->items[i].state == state) {
			assembly->items[i].state = ITEM_WORKING;
			*ret = i;
			found = true;
		}
	lock_drop(&assembly->lock);
	return found;
}

static void set_state(struct assembly *assembly, size_t i, enum item_state state)
{
	lock_take(&assembly->lock);
	assembly->items[i].state = state;
	lock_drop(&assembly->lock);
}

struct blob_reader {
	struct registry_conn *conn;
	const struct ctx *ctx;
};

static int read_blob(void *data, const uint8_t **ret, size_t *ret_len, struct err *err)
{
	struct blob_reader *reader = data;
	int result = registry_read_blob(reader->conn, reader->ctx, ret, ret_len, err);

	if (result == 0)
		pull_count_bytes(*ret_len);
	return result;
}

static int read_split(void *data, const uint8_t **ret, size_t *ret_len, struct err *err)
{
	int result = split_read(data, ret, ret_len, err);

	if (result == 0)
		pull_count_bytes(*ret_len);
	return result;
}

static int unpack_from(struct assembly *assembly, size_t i, const struct byte_source *source,
		       struct layer_draft *draft, struct err *err)
{
	const struct layer_input input = {
		.blob = source,
		.digest = &assembly->job->manifest->layers[i].digest,
		.diff_id = &assembly->job->diff_ids->items[i],
		.limits = &layer_limits_default,
		.root = draft->root,
		.sync_soon = assembly->job->sync_soon,
	};

	return layer_unpack(&input, &draft->output, err);
}

static int fetch_split(struct assembly *assembly, size_t i, struct registry_conn *conn,
		       struct layer_draft *draft, struct err *err)
{
	const struct split_job job = { &assembly->job->split, conn, &assembly->job->manifest->layers[i] };
	CLEANUP(split_freep) struct split *split = NULL;

	if (split_open(&job, &assembly->ctx, &split, err) < 0)
		return -1;
	const struct byte_source source = { read_split, split };

	return unpack_from(assembly, i, &source, draft, err);
}

static int fetch_from(struct assembly *assembly, size_t i, struct registry_conn *conn,
		      struct layer_draft *draft, struct err *err)
{
	const struct descriptor *descriptor = &assembly->job->manifest->layers[i];
	struct blob_reader reader = { conn, &assembly->ctx };
	const struct byte_source source = { read_blob, &reader };

	if (split_is_wanted(&assembly->job->split, descriptor))
		return fetch_split(assembly, i, conn, draft, err);
	if (registry_open_blob(conn, &assembly->ctx, descriptor, err) < 0)
		return -1;
	return unpack_from(assembly, i, &source, draft, err);
}

/* Worth asking the next endpoint: this one failed, not the layer and not the node. */
static bool endpoint_failed(const struct err *err)
{
	switch (err->code) {
	case RPC_UNAVAILABLE:
	case RPC_NOT_FOUND:
	case RPC_DATA_LOSS:
	case RPC_UNAUTHENTICATED:
	case RPC_PERMISSION_DENIED:
		return true;
	default:
		return false;
	}
}

/* conn is to repos[0]. What is known beforehand is not fetched. */
static int fetch_layer(struct assembly *assembly, size_t i, struct registry_conn *conn,
		       struct layer_draft *draft, struct err *err)
{
	const struct assembly_job *job = assembly->job;

	if (layers_unpark(job->layers, &job->chains[i], draft))
		return 0;
	if (layer_is_empty(&job->diff_ids->items[i]))
		return layers_draft(job->layers, draft, err);
	for (size_t at = 0;; at++) {
		CLEANUP(registry_conn_freep) struct registry_conn *other = NULL;

		if (at > 0)
			other = registry_conn_new(job->repos[at]);
		if (layers_draft(job->layers, draft, err) < 0)
			return -1;
		if (fetch_from(assembly, i, other ? other : conn, draft, err) == 0) {
			pull_count_layer(job->manifest->layers[i].size, false);
			return 0;
		}
		layers_discard(job->layers, draft);
		if (!endpoint_failed(err) || at + 1 == job->repos_len)
			return err_prefix(err, "layer %zu", i);
	}
}

static int fetch_told(struct assembly *assembly, size_t i, struct registry_conn *conn,
		      struct layer_draft *draft, struct err *err)
{
	int64_t began = clock_mono();
	int failed = fetch_layer(assembly, i, conn, draft, err);
	char text[DIGEST_TEXT_SIZE];

	digest_text(&assembly->job->manifest->layers[i].digest, text);
	step_ended("image layer", text, began, failed);
	return failed;
}

static void make_item(struct assembly *assembly, size_t i, struct registry_conn *conn)
{
	const struct assembly_job *job = assembly->job;
	struct layer_draft draft = LAYER_DRAFT_INIT;
	struct err err;

	switch (layers_claim(job->layers, &job->chains[i])) {
	case LAYER_PRESENT:
		pull_count_layer(job->manifest->layers[i].size, true);
		set_state(assembly, i, ITEM_DONE);
		return;
	case LAYER_BUSY:
		set_state(assembly, i, ITEM_ELSEWHERE);
		return;
	case LAYER_YOURS:
		break;
	}
	if (fetch_told(assembly, i, conn, &draft, &err) < 0) {
		layers_abandon(job->layers, &job->chains[i]);
		set_state(assembly, i, ITEM_ELSEWHERE); /* no longer ours */
		fail(assembly, &err);
		return;
	}
	lock_take(&assembly->lock);
	assembly->items[i].draft = draft;
	assembly->items[i].state = ITEM_READY;
	lock_drop(&assembly->lock);
}

/* The next item to publish, if it is ready and nobody else publishes; found ones are passed over. */
static bool take_ready(struct assembly *assembly, size_t *ret)
{
	bool taken = false;

	lock_take(&assembly->lock);
	while (!assembly->publishing && assembly->published < assembly->job->manifest->layers_len &&
	       assembly->items[assembly->published].state == ITEM_DONE)
		assembly->published++;
	if (!assembly->publishing && !assembly->failed &&
	    assembly->published < assembly->job->manifest->layers_len &&
	    assembly->items[assembly->published].state == ITEM_READY) {
		*ret = assembly->published;
		assembly->publishing = taken = true;
	}
	lock_drop(&assembly->lock);
	return taken;
}

static void publish_ready(struct assembly *assembly)
{
	const struct assembly_job *job = assembly->job;
	size_t i;

	while (take_ready(assembly, &i)) {
		const struct layers_place place = { &job->chains[i], job->chains, i };
		struct err err;
		bool good = layers_publish(job->layers, &place, &assembly->items[i].draft, &err) == 0;

		lock_take(&assembly->lock);
		assembly->items[i].state = good ? ITEM_DONE : ITEM_ELSEWHERE;
		assembly->publishing = false;
		lock_drop(&assembly->lock);
		if (!good)
			fail(assembly, &err);
	}
}

static void work(struct assembly *assembly, struct registry_conn *conn)
{
	size_t i;

	while (take_item(assembly, ITEM_WAITING, &i)) {
		make_item(assembly, i, conn);
		publish_ready(assembly);
	}
}

static bool helper_enter(struct assembly *assembly)
{
	bool entered;

	lock_take(&assembly->lock);
	entered = !assembly->finished;
	if (entered)
		assembly->running++;
	lock_drop(&assembly->lock);
	return entered;
}

static void helper_leave(struct assembly *assembly)
{
	lock_take(&assembly->lock);
	assembly->running--;
	cond_broadcast(&assembly->changed);
	lock_drop(&assembly->lock);
}

static void run_helper(void *data)
{
	struct assembly *assembly = data;

	if (helper_enter(assembly)) {
		struct registry_conn *conn = registry_conn_new(assembly->job->repos[0]);

		work(assembly, conn);
		registry_conn_free(conn);
		helper_leave(assembly);
	}
	unref(assembly);
}

static size_t count_missing(const struct assembly_job *job)
{
	size_t missing = 0;

	for (size_t i = 0; i < job->manifest->layers_len; i++) {
		char text[DIGEST_TEXT_SIZE];

		digest_text(&job->chains[i], text);
		missing += !layers_has(job->layers, text);
	}
	return missing;
}

static void start_helpers(struct assembly *assembly)
{
	const struct assembly_job *job = assembly->job;
	size_t missing = count_missing(job);
	size_t threads = missing < job->parallel_max ? missing : job->parallel_max;
	struct err ignored;

	for (size_t n = 1; n < threads; n++) {
		lock_take(&assembly->lock);
		assembly->users++;
		lock_drop(&assembly->lock);
		if (pool_run(job->pool, run_helper, assembly, &ignored) < 0) {
			unref(assembly); /* the pool is full: we do it alone */
			return;
		}
	}
}

/* Claims anew, one after the other, what other pulls were fetching. */
static void work_elsewhere(struct assembly *assembly)
{
	size_t i;

	while (take_item(assembly, ITEM_ELSEWHERE, &i)) {
		struct err err;

		if (layers_wait(assembly->job->layers, &assembly->ctx, &assembly->job->chains[i], &err) < 0) {
			set_state(assembly, i, ITEM_ELSEWHERE);
			fail(assembly, &err);
			return;
		}
		make_item(assembly, i, assembly->job->conn);
		publish_ready(assembly);
	}
}

static void wait_helpers(struct assembly *assembly)
{
	lock_take(&assembly->lock);
	assembly->finished = true;
	while (assembly->running > 0)
		cond_wait(&assembly->changed, &assembly->lock);
	lock_drop(&assembly->lock);
}

/* After a failure: holds are given back, and drafts for a retry to find. No helper runs any more. */
static void give_back(struct assembly *assembly)
{
	const struct assembly_job *job = assembly->job;

	for (size_t i = 0; i < job->manifest->layers_len; i++) {
		struct item *item = &assembly->items[i];

		if (item->state == ITEM_READY) {
			layers_park(job->layers, &job->chains[i], &item->draft);
		} else if (item->state == ITEM_DONE) {
			layers_release(job->layers, &job->chains[i]);
		}
	}
}

int assembly_run(const struct assembly_job *job, const struct ctx *ctx, struct err *err)
{
	struct assembly *assembly = assembly_new(job, ctx);
	bool failed;

	layers_want(job->layers, job->chains, job->manifest->layers_len);
	start_helpers(assembly);
	work(assembly, job->conn);
	work_elsewhere(assembly);
	wait_helpers(assembly);
	work_elsewhere(assembly); /* what helpers have put there since */
	publish_ready(assembly);
	failed = assembly->failed;
	if (failed) {
		give_back(assembly);
		*err = assembly->err;
	} else {
		assert(assembly->published == job->manifest->layers_len);
	}
	layers_unwant(job->layers, job->chains, job->manifest->layers_len);
	ctx_done(&assembly->ctx);
	unref(assembly);
	return failed ? -1 : 0;
}
