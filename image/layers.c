/*
 * `known` maps the text of a chain ID to a struct stored, whose state is BUSY (a claim), PRESENT or GOING
 * (being removed). Waiters poll an eventfd of their own beside their context and look again. The lock is
 * never held over I/O: a layer is claimed under it, made without it, and becomes PRESENT under it.
 *
 * A `lost` layer is one whose files are gone, or were written before a syncfs() that failed: the kernel tells
 * of a failed write once, so syncing again would prove nothing. It stays PRESENT for those who hold it, but
 * the next claim gets to make it anew.
 */
#include "image/layers.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/file.h"
#include "image/layer_implied.h"
#include "image/layer_record.h"
#include "image/layers_state.h"

static bool on_disk(struct layers *layers, const struct digest *chain)
{
	CLEANUP(freep) char *diff = layers_path(chain);

	return faccessat(layers->root, diff, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

static enum layers_claim claim_locked(struct layers *layers, const char *chain) REQUIRES(layers->lock)
{
	struct stored *stored = map_get(&layers->known, chain);

	if (!stored) {
		stored = xnew(struct stored);
		stored->state = STATE_BUSY;
		map_put(&layers->known, chain, stored);
		return LAYER_YOURS;
	}
	if (stored->state != STATE_PRESENT)
		return LAYER_BUSY;
	if (stored->lost) {
		stored->state = STATE_BUSY;
		return LAYER_YOURS;
	}
	stored->holds++;
	return LAYER_PRESENT;
}

enum layers_claim layers_claim(struct layers *layers, const struct digest *chain)
{
	enum layers_claim claim;
	char text[DIGEST_TEXT_SIZE];

	digest_text(chain, text);
	for (;;) {
		lock_take(&layers->lock);
		claim = claim_locked(layers, text);
		lock_drop(&layers->lock);
		if (claim != LAYER_PRESENT || on_disk(layers, chain))
			return claim;
		layers_lose(layers, text);
		layers_release(layers, chain);
	}
}

void layers_lose(struct layers *layers, const char *chain)
{
	struct stored *stored;

	lock_take(&layers->lock);
	stored = map_get(&layers->known, chain);
	if (stored && stored->state == STATE_PRESENT)
		stored->lost = true;
	lock_drop(&layers->lock);
}

static bool settled_locked(struct layers *layers, const char *chain) REQUIRES(layers->lock)
{
	const struct stored *stored = map_get(&layers->known, chain);

	return !stored || stored->state == STATE_PRESENT;
}

static bool settled(struct layers *layers, const char *chain)
{
	bool result;

	lock_take(&layers->lock);
	result = settled_locked(layers, chain);
	lock_drop(&layers->lock);
	return result;
}

int layers_wait(struct layers *layers, const struct ctx *ctx, const struct digest *chain, struct err *err)
{
	static const char what[] = "waiting for a layer that another pull fetches";
	struct waiter waiter = { .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	CLEANUP(fd_closep) int fd = waiter.fd;
	char text[DIGEST_TEXT_SIZE];
	eventfd_t ignored;
	int result = 0;

	if (fd < 0)
		return err_errno(err, "%s", what);
	digest_text(chain, text);
	lock_take(&layers->lock);
	list_add_tail(&layers->waiters, &waiter.node);
	lock_drop(&layers->lock);
	while (result == 0 && !settled(layers, text)) {
		result = ctx_poll(ctx, fd, POLLIN, what, err);
		eventfd_read(fd, &ignored);
	}
	lock_take(&layers->lock);
	list_del(&waiter.node);
	lock_drop(&layers->lock);
	return result;
}

int layers_draft(struct layers *layers, struct layer_draft *ret, struct err *err)
{
	CLEANUP(freep) char *name = layers_tmp_name();
	CLEANUP(fd_closep) int dir = dir_make(layers->tmp, name, 0700, err);
	int root;

	if (dir < 0)
		return -1;
	if (mkdirat(dir, "diff", 0755) < 0 || fchmodat(dir, "diff", 0755, 0) < 0)
		return err_errno(err, "make tmp/%s/diff", name);
	root = openat(dir, "diff", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (root < 0)
		return err_errno(err, "open tmp/%s/diff", name);
	crash_point("pull.draft");
	ret->name = TAKE(name);
	ret->root = root;
	ret->output = (struct layer_output){ 0 };
	return 0;
}

static void forget_draft(struct layer_draft *draft)
{
	free(draft->name);
	draft->name = NULL;
	fd_closep(&draft->root);
	draft->root = -1;
	layer_output_done(&draft->output);
}

void layers_discard(struct layers *layers, struct layer_draft *draft)
{
	struct err ignored;

	if (draft->name && tree_remove(layers->tmp, draft->name, &ignored) < 0)
		ignored.code = RPC_OK; /* swept at the next start */
	forget_draft(draft);
}

static void abandon_locked(struct layers *layers, const char *chain) REQUIRES(layers->lock)
{
	struct stored *stored = map_get(&layers->known, chain);

	assert(stored && stored->state == STATE_BUSY);
	if (stored->lost)
		stored->state = STATE_PRESENT; /* there may be holders, and files to be collected */
	else
		map_del(&layers->known, chain);
	layers_wake_locked(layers);
}

void layers_abandon(struct layers *layers, const struct digest *chain)
{
	char text[DIGEST_TEXT_SIZE];

	digest_text(chain, text);
	lock_take(&layers->lock);
	abandon_locked(layers, text);
	lock_drop(&layers->lock);
}

static void add_usage_locked(struct layers *layers, const struct tree_usage *usage) REQUIRES(layers->lock)
{
	layers->usage.bytes += usage->bytes;
	layers->usage.inodes += usage->inodes;
}

void layers_park(struct layers *layers, const struct digest *chain, struct layer_draft *draft)
{
	struct parked *parked = xnew(struct parked);
	char text[DIGEST_TEXT_SIZE];

	parked->draft = *draft;
	parked->idle_since = clock_mono();
	digest_text(chain, text);
	lock_take(&layers->lock);
	add_usage_locked(layers, &parked->draft.output.usage);
	map_put(&layers->parked, text, parked);
	abandon_locked(layers, text);
	lock_drop(&layers->lock);
	*draft = (struct layer_draft)LAYER_DRAFT_INIT;
}

bool layers_unpark(struct layers *layers, const struct digest *chain, struct layer_draft *ret)
{
	struct parked *parked;
	char text[DIGEST_TEXT_SIZE];

	digest_text(chain, text);
	lock_take(&layers->lock);
	parked = map_take(&layers->parked, text);
	if (parked)
		layers_sub_usage_locked(layers, &parked->draft.output.usage);
	lock_drop(&layers->lock);
	if (!parked)
		return false;
	*ret = parked->draft;
	free(parked);
	return true;
}

char *layers_path(const struct digest *chain)
{
	char hex[DIGEST_HEX_SIZE];

	digest_hex(chain, hex);
	return xasprintf("layers/%s/diff", hex);
}

static int inherit(struct layers *layers, const struct layers_place *place, const struct layer_draft *draft,
		   struct err *err)
{
	CLEANUP(strv_done) struct strv diffs = STRV_INIT;
	const struct layer_below below = { layers->root, &diffs };

	for (size_t i = 0; i < place->parents_len; i++)
		strv_add_take(&diffs, layers_path(&place->parents[i]));
	return layer_implied_inherit(draft->root, &draft->output.implied, &below, err);
}

static int write_record(struct layers *layers, const char *chain, const struct layer_draft *draft,
			struct err *err)
{
	CLEANUP(fd_closep) int dir = dir_open(layers->tmp, draft->name, err);

	return dir < 0 ? -1 : layer_record_write(dir, chain, &draft->output.usage, err);
}

static int put_in_place(struct layers *layers, const struct layers_place *place, const char *chain,
			struct layer_draft *draft, struct err *err)
{
	const char *hex = strchr(chain, ':') + 1;

	if (crash_point("pull.unpacked") || inherit(layers, place, draft, err) < 0 ||
	    write_record(layers, chain, draft, err) < 0 || crash_point("pull.layer_recorded"))
		return -1;
	if (renameat(layers->tmp, draft->name, layers->dir, hex) == 0)
		return 0;
	/* Remains of a layer that is lost, or that could not be removed. */
	if ((errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR) &&
	    layers_set_aside(layers, chain) == 0 && renameat(layers->tmp, draft->name, layers->dir, hex) == 0)
		return 0;
	return err_errno(err, "move layer %s into place", hex);
}

int layers_publish(struct layers *layers, const struct layers_place *place, struct layer_draft *draft,
		   struct err *err)
{
	char text[DIGEST_TEXT_SIZE];
	struct stored *stored;

	digest_text(place->chain, text);
	if (put_in_place(layers, place, text, draft, err) < 0) {
		layers_discard(layers, draft);
		layers_abandon(layers, place->chain);
		return -1;
	}
	crash_point("pull.layer");
	lock_take(&layers->lock);
	stored = map_get(&layers->known, text);
	assert(stored && stored->state == STATE_BUSY);
	stored->state = STATE_PRESENT;
	stored->holds++; /* of a lost layer there may be holders */
	stored->lost = stored->synced = false;
	layers_sub_usage_locked(layers, &stored->usage);
	stored->usage = draft->output.usage;
	add_usage_locked(layers, &stored->usage);
	layers_wake_locked(layers);
	lock_drop(&layers->lock);
	forget_draft(draft);
	return 0;
}

void layers_release(struct layers *layers, const struct digest *chain)
{
	char text[DIGEST_TEXT_SIZE];
	struct stored *stored;

	digest_text(chain, text);
	lock_take(&layers->lock);
	stored = map_get(&layers->known, text);
	assert(stored && stored->holds > 0);
	stored->holds--;
	stored->idle_since = clock_mono();
	lock_drop(&layers->lock);
}

bool layers_has(struct layers *layers, const char *chain)
{
	const struct stored *stored;
	bool has;

	lock_take(&layers->lock);
	stored = map_get(&layers->known, chain);
	has = stored && stored->state == STATE_PRESENT && !stored->lost;
	lock_drop(&layers->lock);
	return has;
}

void layers_usage(struct layers *layers, struct tree_usage *ret)
{
	lock_take(&layers->lock);
	*ret = layers->usage;
	lock_drop(&layers->lock);
}

enum sync_need { SYNC_DONE, SYNC_NEEDED, SYNC_LOST };

static enum sync_need sync_need(struct layers *layers, const struct digest *chains, size_t len)
{
	enum sync_need need = SYNC_DONE;

	lock_take(&layers->lock);
	for (size_t i = 0; i < len; i++) {
		char text[DIGEST_TEXT_SIZE];
		const struct stored *stored;

		digest_text(&chains[i], text);
		stored = map_get(&layers->known, text);
		assert(stored && stored->holds > 0);
		if (stored->lost)
			need = SYNC_LOST;
		else if (!stored->synced && need == SYNC_DONE)
			need = SYNC_NEEDED;
	}
	lock_drop(&layers->lock);
	return need;
}

/* Inside the syncer gate. */
static int sync_all(struct layers *layers, struct err *err)
{
	CLEANUP(strv_done) struct strv published = STRV_INIT; /* by now, so that the sync covers them */
	int result;

	lock_take(&layers->lock);
	map_for_each (slot, &layers->known) {
		const struct stored *stored = slot->value;

		if (stored->state == STATE_PRESENT && !stored->synced)
			strv_add(&published, slot->key);
	}
	lock_drop(&layers->lock);
	result = syncfs(layers->root);
	if (result < 0) {
		err_errno(err, "sync the image store");
		if (err->code == RPC_INTERNAL)
			err->code = RPC_DATA_LOSS;
	}
	lock_take(&layers->lock);
	for (size_t i = 0; result == 0 && i < published.len; i++) {
		struct stored *stored = map_get(&layers->known, published.items[i]);

		if (stored && stored->state == STATE_PRESENT)
			stored->synced = true;
	}
	map_for_each (slot, &layers->known) {
		struct stored *stored = slot->value;

		if (result < 0 && stored->state == STATE_PRESENT && !stored->synced)
			stored->lost = true;
	}
	lock_drop(&layers->lock);
	return result;
}

int layers_sync(struct layers *layers, const struct digest *chains, size_t len, struct err *err)
{
	enum sync_need need = sync_need(layers, chains, len);
	struct err ignored;
	int result = 0;

	if (need == SYNC_NEEDED) {
		/* Without a context the gate can only be entered. */
		if (gate_enter(&layers->syncer, NULL, "sync", &ignored) < 0)
			abort();
		need = sync_need(layers, chains, len); /* the one before may have done it */
		if (need == SYNC_NEEDED)
			result = sync_all(layers, err);
		gate_leave(&layers->syncer);
	}
	if (need == SYNC_LOST)
		return err_set(err, RPC_DATA_LOSS, "writing a layer to the disk failed");
	return result;
}
