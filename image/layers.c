/*
 * `known` maps the text of a chain ID to a struct stored, whose state is BUSY (a claim), PRESENT or GOING
 * (being removed). Waiters poll an eventfd of their own beside their context and look again. The lock is
 * never held over I/O: a layer is claimed under it, made without it, and becomes PRESENT under it.
 *
 * A layer found at open without a readable layer.json is the trace of a crash in the middle of a power-loss
 * window or of a removal, and is removed.
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
#include <sys/xattr.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/id.h"
#include "base/json.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/map.h"

enum { RECORD_MAX = 4096, RECORD_VERSION = 1, XATTR_NAMES_MAX = 64 * 1024 };

enum state { STATE_BUSY, STATE_PRESENT, STATE_GOING };

struct stored {
	enum state state;
	unsigned int holds;
	struct tree_usage usage;
};

struct layers {
	int root, tmp, dir; /* root is borrowed */
	struct pool *pool;
	struct lock lock;
	struct cond deleted;
	struct list waiters;     /* under lock: struct waiter */
	struct map known;        /* under lock: chain ID text -> struct stored */
	struct tree_usage usage; /* under lock: of all present ones */
	size_t deleting;         /* under lock: background deletions */
};

struct waiter {
	struct list node;
	int fd; /* eventfd */
};

struct record {
	int64_t version;
	char *chain;
	uint64_t bytes, inodes;
};

static const struct json_field record_fields[] = {
	{ "version", JSON_FIELD_INT, offsetof(struct record, version), JSON_NEEDED, NULL, 0 },
	{ "chainID", JSON_FIELD_STRING, offsetof(struct record, chain), JSON_NEEDED, NULL, 0 },
	{ "usedBytes", JSON_FIELD_UINT, offsetof(struct record, bytes), JSON_NEEDED, NULL, 0 },
	{ "inodesUsed", JSON_FIELD_UINT, offsetof(struct record, inodes), JSON_NEEDED, NULL, 0 },
	{ 0 },
};

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
static void delete_later(struct layers *layers, char *name_take)
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

static char *tmp_name(void)
{
	char id[ID_SIZE];

	id_new(id);
	id[16] = '\0';
	return xasprintf("layer-%s", id);
}

static int sweep(struct layers *layers, struct err *err)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;

	if (dir_list(layers->tmp, ".", &names, err) < 0)
		return -1;
	for (size_t i = 0; i < names.len; i++)
		if (tree_remove(layers->tmp, names.items[i], err) < 0)
			return -1;
	return 0;
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

static int load_record(struct layers *layers, const char *name, const char *chain, struct tree_usage *ret,
		       struct err *err)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(json_decrefp) json_t *json = NULL;
	CLEANUP(fd_closep) int dir = dir_open(layers->dir, name, err);
	CLEANUP(freep) char *text = NULL;
	struct record record = { 0 };
	struct stat st;
	size_t len;

	if (dir < 0 || file_read(dir, "layer.json", RECORD_MAX, &text, &len, err) < 0 ||
	    json_parse(text, len, RECORD_MAX, &json, err) < 0)
		return -1;
	if (json_integer_value(json_object_get(json, "version")) > RECORD_VERSION)
		return err_set(err, RPC_FAILED_PRECONDITION, "layer %s: written by a newer crisp", name);
	if (json_decode(json, record_fields, &record, arena, err) < 0)
		return -1;
	if (record.version != RECORD_VERSION || !str_eq(record.chain, chain) ||
	    fstatat(dir, "diff", &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
		return err_set(err, RPC_DATA_LOSS, "layer %s is broken", name);
	*ret = (struct tree_usage){ record.bytes, record.inodes };
	return 0;
}

static int load(struct layers *layers, struct err *err)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;

	if (dir_list(layers->dir, ".", &names, err) < 0)
		return -1;
	for (size_t i = 0; i < names.len; i++) {
		char chain[DIGEST_TEXT_SIZE];
		struct tree_usage usage;
		struct stored *stored;
		struct err broken = { 0 };

		if (!chain_of_name(names.items[i], chain) ||
		    load_record(layers, names.items[i], chain, &usage, &broken) < 0) {
			if (broken.code == RPC_FAILED_PRECONDITION)
				return err_set(err, broken.code, "%s", broken.text);
			if (tree_remove(layers->dir, names.items[i], err) < 0)
				return -1;
			continue;
		}
		stored = xnew(struct stored);
		stored->state = STATE_PRESENT;
		stored->usage = usage;
		layers->usage.bytes += usage.bytes;
		layers->usage.inodes += usage.inodes;
		map_put(&layers->known, chain, stored);
	}
	return 0;
}

int layers_open(int root, struct pool *pool, struct layers **ret, struct err *err)
{
	struct layers *layers = xnew(struct layers);

	layers->root = root;
	layers->pool = pool;
	layers->tmp = layers->dir = -1;
	lock_init(&layers->lock, "layers", LOCK_IMAGES);
	cond_init(&layers->deleted);
	list_init(&layers->waiters);
	map_init(&layers->known, free);
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
	map_done(&layers->known);
	fd_closep(&layers->tmp);
	fd_closep(&layers->dir);
	cond_done(&layers->deleted);
	lock_done(&layers->lock);
	free(layers);
	return NULL;
}

enum layers_claim layers_claim(struct layers *layers, const struct digest *chain)
{
	enum layers_claim claim = LAYER_BUSY;
	char text[DIGEST_TEXT_SIZE];
	struct stored *stored;

	digest_text(chain, text);
	lock_take(&layers->lock);
	stored = map_get(&layers->known, text);
	if (!stored) {
		stored = xnew(struct stored);
		stored->state = STATE_BUSY;
		map_put(&layers->known, text, stored);
		claim = LAYER_YOURS;
	} else if (stored->state == STATE_PRESENT) {
		stored->holds++;
		claim = LAYER_PRESENT;
	}
	lock_drop(&layers->lock);
	return claim;
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

static void wake_locked(struct layers *layers) REQUIRES(layers->lock)
{
	list_for_each (node, &layers->waiters)
		eventfd_write(list_entry(node, struct waiter, node)->fd, 1);
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
	CLEANUP(freep) char *name = tmp_name();
	CLEANUP(fd_closep) int dir = dir_make(layers->tmp, name, 0700, err);
	int root;

	if (dir < 0)
		return -1;
	if (mkdirat(dir, "diff", 0755) < 0 || fchmodat(dir, "diff", 0755, 0) < 0)
		return err_errno(err, "make tmp/%s/diff", name);
	root = openat(dir, "diff", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (root < 0)
		return err_errno(err, "open tmp/%s/diff", name);
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
	if (draft->name)
		remove_tmp(layers, draft->name);
	forget_draft(draft);
}

void layers_abandon(struct layers *layers, const struct digest *chain)
{
	char text[DIGEST_TEXT_SIZE];

	digest_text(chain, text);
	lock_take(&layers->lock);
	map_del(&layers->known, text);
	wake_locked(layers);
	lock_drop(&layers->lock);
}

char *layers_path(const struct digest *chain)
{
	char hex[DIGEST_HEX_SIZE];

	digest_hex(chain, hex);
	return xasprintf("layers/%s/diff", hex);
}

/* Copies the xattrs that unpack() keeps; the rest (overlayfs's own) must not travel. */
static int copy_xattrs(int from, int to, struct err *err)
{
	CLEANUP(freep) char *names = xmalloc(XATTR_NAMES_MAX);
	CLEANUP(freep) char *value = xmalloc(XATTR_NAMES_MAX);
	ssize_t len = flistxattr(from, names, XATTR_NAMES_MAX);

	if (len < 0)
		return errno == ENOTSUP ? 0 : err_errno(err, "list xattrs");
	for (const char *name = names; name < names + len; name += strlen(name) + 1) {
		ssize_t n;

		if (!str_has_prefix(name, "user."))
			continue;
		n = fgetxattr(from, name, value, XATTR_NAMES_MAX);
		if (n < 0 || fsetxattr(to, name, value, (size_t)n, 0) < 0)
			return err_errno(err, "copy xattr %.100s", name);
	}
	return 0;
}

static int copy_dir_meta(int from, int to, struct err *err)
{
	struct stat st;

	if (fstat(from, &st) < 0 || fchown(to, st.st_uid, st.st_gid) < 0 ||
	    fchmod(to, st.st_mode & 07777) < 0)
		return err_errno(err, "copy owner and mode of a directory below");
	if (copy_xattrs(from, to, err) < 0)
		return -1;
	const struct timespec times[2] = { st.st_atim, st.st_mtim };

	return futimens(to, times) < 0 ? err_errno(err, "copy times of a directory below") : 0;
}

/* Gives an implied directory what the topmost layer below that has it says. */
static int inherit(struct layers *layers, const struct layers_place *place, int root, const char *path,
		   struct err *err)
{
	CLEANUP(fd_closep) int to = open_in_root(root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

	if (to < 0)
		return 0; /* replaced by a later entry */
	for (size_t i = place->parents_len; i-- > 0;) {
		CLEANUP(freep) char *diff = layers_path(&place->parents[i]);
		CLEANUP(fd_closep) int below = dir_open(layers->root, diff, err);
		CLEANUP(fd_closep) int from = -1;

		if (below < 0)
			return -1;
		from = open_in_root(below, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		if (from >= 0)
			return copy_dir_meta(from, to, err);
		if (errno != ENOENT)
			return 0; /* a whiteout or a file: nothing below it shows through */
	}
	return 0;
}

static int write_record(struct layers *layers, const char *chain, const struct layer_draft *draft,
			struct err *err)
{
	CLEANUP(fd_closep) int dir = dir_open(layers->tmp, draft->name, err);
	CLEANUP(json_decrefp) json_t *json = NULL;
	CLEANUP(freep) char *text = NULL;
	const struct record record = {
		.version = RECORD_VERSION,
		.chain = (char *)chain,
		.bytes = draft->output.usage.bytes,
		.inodes = draft->output.usage.inodes,
	};

	if (dir < 0)
		return -1;
	json = json_encode(record_fields, &record);
	text = json_text(json);
	/* One syncfs() covers the whole pull: no fsync here. */
	return file_replace_volatile(dir, "layer.json", text, strlen(text), 0600, err);
}

static int put_in_place(struct layers *layers, const struct layers_place *place, const char *chain,
			struct layer_draft *draft, struct err *err)
{
	const char *hex = strchr(chain, ':') + 1;

	for (size_t i = 0; i < draft->output.implied.len; i++)
		if (inherit(layers, place, draft->root, draft->output.implied.items[i], err) < 0)
			return -1;
	if (write_record(layers, chain, draft, err) < 0)
		return -1;
	if (renameat(layers->tmp, draft->name, layers->dir, hex) < 0)
		return err_errno(err, "move layer %s into place", hex);
	return 0;
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
	lock_take(&layers->lock);
	stored = map_get(&layers->known, text);
	assert(stored && stored->state == STATE_BUSY);
	stored->state = STATE_PRESENT;
	stored->holds = 1;
	stored->usage = draft->output.usage;
	layers->usage.bytes += stored->usage.bytes;
	layers->usage.inodes += stored->usage.inodes;
	wake_locked(layers);
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
	lock_drop(&layers->lock);
}

bool layers_has(struct layers *layers, const char *chain)
{
	const struct stored *stored;
	bool has;

	lock_take(&layers->lock);
	stored = map_get(&layers->known, chain);
	has = stored && stored->state == STATE_PRESENT;
	lock_drop(&layers->lock);
	return has;
}

void layers_usage(struct layers *layers, struct tree_usage *ret)
{
	lock_take(&layers->lock);
	*ret = layers->usage;
	lock_drop(&layers->lock);
}

/* Moves one layer out of the store, unless a pull holds it by now. */
static void remove_layer(struct layers *layers, const char *chain)
{
	CLEANUP(freep) char *name = tmp_name();
	struct stored *stored;
	bool ours, moved;

	lock_take(&layers->lock);
	stored = map_get(&layers->known, chain);
	ours = stored && stored->state == STATE_PRESENT && stored->holds == 0;
	if (ours)
		stored->state = STATE_GOING;
	lock_drop(&layers->lock);
	if (!ours)
		return;
	moved = renameat(layers->dir, strchr(chain, ':') + 1, layers->tmp, name) == 0 || errno == ENOENT;
	lock_take(&layers->lock);
	if (moved) {
		layers->usage.bytes -= stored->usage.bytes;
		layers->usage.inodes -= stored->usage.inodes;
		map_del(&layers->known, chain);
	} else {
		stored->state = STATE_PRESENT; /* tried again by the next collect */
	}
	wake_locked(layers);
	lock_drop(&layers->lock);
	if (moved)
		delete_later(layers, TAKE(name));
}

void layers_collect(struct layers *layers, bool (*keep)(void *data, const char *chain), void *data)
{
	CLEANUP(strv_done) struct strv idle = STRV_INIT;

	lock_take(&layers->lock);
	map_for_each (slot, &layers->known) {
		const struct stored *stored = slot->value;

		if (stored->state == STATE_PRESENT && stored->holds == 0)
			strv_add(&idle, slot->key);
	}
	lock_drop(&layers->lock);
	for (size_t i = 0; i < idle.len; i++)
		if (!keep(data, idle.items[i]))
			remove_layer(layers, idle.items[i]);
}
