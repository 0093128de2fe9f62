/*
 * Opening and closing the store of layers, and what runs behind its back: deletions.
 *
 * A layer found at open without a readable layer.json is the trace of a crash in the middle of a power-loss
 * window or of a removal, or the disk has failed. It counts as lost: the first layers_collect() removes it,
 * unless a container runs on it. What is in tmp/ is removed at once: in the background, since it may be
 * large. Only what a container may run on, old files of layers that were made anew, waits there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "image/layer_record.h"
#include "image/layers_state.h"

static void remove_tmp(struct layers *layers, const char *name)
{
	struct err ignored;

	if (tree_remove(layers->tmp, name, &ignored) < 0)
		return; /* swept at the next start */
}

struct deletion {
	struct layers *layers;
	char *name;
};

static void run_deletion(void *data)
{
	struct deletion *deletion = data;
	struct layers *layers = deletion->layers;

	remove_tmp(layers, deletion->name);
	lock_take(&layers->lock);
	layers->deleting--;
	cond_broadcast(&layers->deleted);
	lock_drop(&layers->lock);
	free(deletion->name);
	free(deletion);
}

/* Deletes tmp/name on the pool, or right here when the pool is full. */
void layers_delete_later(struct layers *layers, char *name_take)
{
	struct deletion *deletion = xnew(struct deletion);
	struct err ignored;

	deletion->layers = layers;
	deletion->name = name_take;
	lock_take(&layers->lock);
	layers->deleting++;
	lock_drop(&layers->lock);
	if (pool_run(layers->pool, run_deletion, deletion, &ignored) < 0)
		run_deletion(deletion);
}

char *layers_tmp_name(void)
{
	char id[ID_SIZE];

	id_new(id);
	id[16] = '\0';
	return xasprintf("layer-%s", id);
}

/* "old-<hex of the chain ID>-<random>" */
static const char old_prefix[] = "old-";

static void add_replaced(struct layers *layers, const char *name, const char *chain)
{
	lock_take(&layers->lock);
	map_put(&layers->replaced, name, xstrdup(chain));
	lock_drop(&layers->lock);
}

int layers_set_aside(struct layers *layers, const char *chain)
{
	CLEANUP(freep) char *random = layers_tmp_name();
	const char *hex = strchr(chain, ':') + 1;
	CLEANUP(freep) char *name = xasprintf("%s%s-%s", old_prefix, hex, random);

	if (renameat(layers->dir, hex, layers->tmp, name) < 0)
		return -1;
	add_replaced(layers, name, chain);
	return 0;
}

bool layers_any_replaced(struct layers *layers)
{
	bool any;

	lock_take(&layers->lock);
	any = map_len(&layers->replaced) > 0;
	lock_drop(&layers->lock);
	return any;
}

static void delete_replaced(struct layers *layers, const char *name)
{
	bool ours;

	lock_take(&layers->lock);
	ours = map_del(&layers->replaced, name);
	lock_drop(&layers->lock);
	if (ours)
		layers_delete_later(layers, xstrdup(name));
}

void layers_collect_replaced(struct layers *layers, bool (*in_use)(void *data, const char *chain), void *data)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	CLEANUP(strv_done) struct strv chains = STRV_INIT;

	lock_take(&layers->lock);
	map_for_each (slot, &layers->replaced) {
		strv_add(&names, slot->key);
		strv_add(&chains, slot->value);
	}
	lock_drop(&layers->lock);
	for (size_t i = 0; i < names.len; i++)
		if (!in_use(data, chains.items[i]))
			delete_replaced(layers, names.items[i]);
}

/* The digest in a directory's name: sha256 and sha512 differ in length. */
static bool chain_of_name(const char *name, char text[DIGEST_TEXT_SIZE])
{
	struct digest digest;
	struct err ignored;

	if (strlen(name) >= DIGEST_HEX_SIZE)
		return false;
	snprintf(text, DIGEST_TEXT_SIZE, "%s:%s", strlen(name) == 128 ? "sha512" : "sha256", name);
	return digest_parse(text, &digest, &ignored) == 0;
}

/* Whether a container uses it is not known yet. */
static bool is_replaced(const char *name, char chain[DIGEST_TEXT_SIZE])
{
	CLEANUP(freep) char *hex = NULL;

	if (!str_has_prefix(name, old_prefix))
		return false;
	name += strlen(old_prefix);
	hex = xstrndup(name, strcspn(name, "-"));
	return chain_of_name(hex, chain);
}

static int sweep(struct layers *layers, struct err *err)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	char chain[DIGEST_TEXT_SIZE];

	if (dir_list(layers->tmp, ".", &names, err) < 0)
		return -1;
	for (size_t i = 0; i < names.len; i++)
		if (is_replaced(names.items[i], chain))
			add_replaced(layers, names.items[i], chain);
		else
			layers_delete_later(layers, xstrdup(names.items[i]));
	return 0;
}

/* Moves what is no layer out of the way. */
static void throw_out(struct layers *layers, const char *name)
{
	CLEANUP(freep) char *to = layers_tmp_name();

	if (renameat(layers->dir, name, layers->tmp, to) == 0) /* else the next start tries again */
		layers_delete_later(layers, TAKE(to));
}

static int load_one(struct layers *layers, const char *name, const char *chain, struct err *err)
{
	CLEANUP(fd_closep) int dir = dir_open(layers->dir, name, err);
	struct tree_usage usage = { 0 };
	struct stored *stored;
	bool lost = dir < 0 || layer_record_read(dir, chain, &usage, err) < 0;

	if (lost && err->code == RPC_FAILED_PRECONDITION)
		return -1; /* of a newer crisp */
	stored = xnew(struct stored);
	stored->state = STATE_PRESENT;
	stored->usage = usage;
	stored->idle_since = clock_mono();
	stored->synced = true; /* else no image has it, and it goes with the first collection */
	stored->lost = lost;
	layers->usage.bytes += usage.bytes;
	layers->usage.inodes += usage.inodes;
	map_put(&layers->known, chain, stored);
	return 0;
}

static int load(struct layers *layers, struct err *err)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;

	if (dir_list(layers->dir, ".", &names, err) < 0)
		return -1;
	for (size_t i = 0; i < names.len; i++) {
		char chain[DIGEST_TEXT_SIZE];

		if (!chain_of_name(names.items[i], chain))
			throw_out(layers, names.items[i]);
		else if (load_one(layers, names.items[i], chain, err) < 0)
			return -1;
	}
	return 0;
}

void layers_free_parked(void *value)
{
	struct parked *parked = value;

	free(parked->draft.name);
	fd_closep(&parked->draft.root);
	layer_output_done(&parked->draft.output);
	free(parked);
}

int layers_open(int root, struct pool *pool, struct layers **ret, struct err *err)
{
	struct layers *layers = xnew(struct layers);

	layers->root = root;
	layers->pool = pool;
	layers->tmp = layers->dir = -1;
	lock_init(&layers->lock, "layers", LOCK_IMAGES);
	cond_init(&layers->deleted);
	gate_init(&layers->syncer);
	list_init(&layers->waiters);
	map_init(&layers->known, free);
	map_init(&layers->parked, layers_free_parked);
	map_init(&layers->wanted, free);
	map_init(&layers->replaced, free);
	layers->tmp = dir_make(root, "tmp", 0700, err);
	if (layers->tmp >= 0)
		layers->dir = dir_make(root, "layers", 0700, err);
	if (layers->dir < 0 || sweep(layers, err) < 0 || load(layers, err) < 0) {
		layers_free(layers);
		return -1;
	}
	*ret = layers;
	return 0;
}

struct layers *layers_free(struct layers *layers)
{
	if (!layers)
		return NULL;
	lock_take(&layers->lock);
	while (layers->deleting > 0)
		cond_wait(&layers->deleted, &layers->lock);
	lock_drop(&layers->lock);
	map_done(&layers->parked); /* their files are swept at the next start */
	map_done(&layers->wanted);
	map_done(&layers->replaced);
	map_done(&layers->known);
	gate_done(&layers->syncer);
	fd_closep(&layers->tmp);
	fd_closep(&layers->dir);
	cond_done(&layers->deleted);
	lock_done(&layers->lock);
	free(layers);
	return NULL;
}
