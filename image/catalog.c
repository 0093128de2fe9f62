/*
 * by_id owns a reference to each listed image, by_name borrows. `retired` owns references to images that have
 * left by_id; one whose count is down to ours can't be taken by anybody any more and is let go when its
 * layers are asked for.
 *
 * A tag that moves: the new record is written first, then the old one without the tag. A crash between leaves
 * two records with one tag; the one with the later updated_at has it.
 */
#include "image/catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/file.h"
#include "base/lock.h"
#include "image/pinned.h"

struct catalog {
	int root, dir; /* root is borrowed */
	struct lock lock;
	/* under lock */
	struct map by_id;
	struct map by_name;
	struct image **retired;
	size_t retired_len;
	struct strv pinned; /* patterns */
};

static void unref_value(void *value)
{
	image_unref(value);
}

static void retire_locked(struct catalog *catalog, struct image *image_take) REQUIRES(catalog->lock)
{
	if (atomic_load(&image_take->refs) == 1) {
		image_unref(image_take);
		return;
	}
	catalog->retired = xrealloc(catalog->retired, catalog->retired_len + 1, sizeof(*catalog->retired));
	catalog->retired[catalog->retired_len++] = image_take;
}

static void prune_locked(struct catalog *catalog) REQUIRES(catalog->lock)
{
	size_t kept = 0;

	for (size_t i = 0; i < catalog->retired_len; i++)
		if (atomic_load(&catalog->retired[i]->refs) == 1)
			image_unref(catalog->retired[i]);
		else
			catalog->retired[kept++] = catalog->retired[i];
	catalog->retired_len = kept;
}

static void forget_names_locked(struct catalog *catalog, const struct strv *names, const struct image *image)
	REQUIRES(catalog->lock)
{
	for (size_t i = 0; i < names->len; i++)
		if (map_get(&catalog->by_name, names->items[i]) == image)
			map_del(&catalog->by_name, names->items[i]);
}

static void take_out_locked(struct catalog *catalog, const char *id) REQUIRES(catalog->lock)
{
	struct image *image = map_take(&catalog->by_id, id);

	if (!image)
		return;
	forget_names_locked(catalog, &image->repo_tags, image);
	forget_names_locked(catalog, &image->repo_digests, image);
	retire_locked(catalog, image);
}

/* Tags must have been taken from other images before. A digest's name may belong to several ids only if a
 * registry lies; the latest wins. */
static void put_in_locked(struct catalog *catalog, struct image *image_take) REQUIRES(catalog->lock)
{
	take_out_locked(catalog, image_take->id);
	image_take->pinned = pinned(&catalog->pinned, image_take); /* nobody else has it yet */
	map_put(&catalog->by_id, image_take->id, image_take);
	for (size_t i = 0; i < image_take->repo_tags.len; i++)
		map_put(&catalog->by_name, image_take->repo_tags.items[i], image_take);
	for (size_t i = 0; i < image_take->repo_digests.len; i++)
		map_put(&catalog->by_name, image_take->repo_digests.items[i], image_take);
}

/* A copy of an image without the tags that another one has now. */
static struct image *without_tags(const struct image *image, const struct strv *tags)
{
	struct image *copy = image_copy(image);

	strv_done(&copy->repo_tags);
	for (size_t i = 0; i < image->repo_tags.len; i++)
		if (!strv_has(tags, image->repo_tags.items[i]))
			strv_add(&copy->repo_tags, image->repo_tags.items[i]);
	return copy;
}

/* Takes image's tags from one other image; NULL when no (further) image has any. The result is listed, and a
 * reference. */
static struct image *strip_one(struct catalog *catalog, const struct image *image)
{
	struct image *stripped = NULL;

	lock_take(&catalog->lock);
	for (size_t i = 0; i < image->repo_tags.len && !stripped; i++) {
		const struct image *other = map_get(&catalog->by_name, image->repo_tags.items[i]);

		if (other && !str_eq(other->id, image->id))
			stripped = without_tags(other, &image->repo_tags);
	}
	if (stripped)
		put_in_locked(catalog, image_ref(stripped));
	lock_drop(&catalog->lock);
	return stripped;
}

static void list_image(struct catalog *catalog, struct image *image_take)
{
	lock_take(&catalog->lock);
	put_in_locked(catalog, image_take);
	lock_drop(&catalog->lock);
}

/* A failed write may have left the new record in place, of an image that nobody was told of. */
static void forget_record(struct catalog *catalog, const char *id)
{
	CLEANUP(freep) char *name = image_record_name(id);
	bool listed;

	lock_take(&catalog->lock);
	listed = map_get(&catalog->by_id, id) != NULL;
	lock_drop(&catalog->lock);
	if (!listed)
		(void)unlinkat(catalog->dir, name, 0); /* else the next start finds it without its layers */
}

int catalog_put(struct catalog *catalog, struct image *image_take, bool durable, struct err *err)
{
	CLEANUP(image_unrefp) struct image *image = image_take;
	struct image *loser;

	if (image_record_write(catalog->dir, image, durable, err) < 0) {
		forget_record(catalog, image->id);
		return -1;
	}
	while ((loser = strip_one(catalog, image))) {
		struct err ignored;

		/* Should this fail, updated_at settles it at the next start. */
		if (image_record_write(catalog->dir, loser, durable, &ignored) < 0)
			ignored.code = RPC_OK;
		image_unref(loser);
	}
	list_image(catalog, TAKE(image));
	return 0;
}

int catalog_remove(struct catalog *catalog, const char *id, struct err *err)
{
	CLEANUP(freep) char *name = image_record_name(id);

	if (unlinkat(catalog->dir, name, 0) < 0 && errno != ENOENT)
		return err_errno(err, "remove record of %s", id);
	crash_point("remove_image.record");
	if (fsync(catalog->dir) < 0)
		return err_errno(err, "sync the directory of image records");
	lock_take(&catalog->lock);
	take_out_locked(catalog, id);
	lock_drop(&catalog->lock);
	return 0;
}

static struct image *wrongly_pinned_locked(struct catalog *catalog) REQUIRES(catalog->lock)
{
	map_for_each (slot, &catalog->by_id) {
		const struct image *image = slot->value;

		if (image->pinned != pinned(&catalog->pinned, image))
			return image_copy(image);
	}
	return NULL;
}

void catalog_pin(struct catalog *catalog, const char *const *patterns, size_t len)
{
	struct image *copy;

	lock_take(&catalog->lock);
	strv_done(&catalog->pinned);
	strv_add_all(&catalog->pinned, patterns, len);
	while ((copy = wrongly_pinned_locked(catalog)))
		put_in_locked(catalog, copy);
	lock_drop(&catalog->lock);
}

struct image *catalog_by_id(struct catalog *catalog, const char *id)
{
	struct image *image;

	lock_take(&catalog->lock);
	image = image_ref(map_get(&catalog->by_id, id));
	lock_drop(&catalog->lock);
	return image;
}

struct image *catalog_by_name(struct catalog *catalog, const char *name)
{
	struct image *image;

	lock_take(&catalog->lock);
	image = image_ref(map_get(&catalog->by_name, name));
	lock_drop(&catalog->lock);
	return image;
}

static bool names_repository(const struct strv *names, const char *repository)
{
	size_t len = strlen(repository);

	for (size_t i = 0; i < names->len; i++)
		if (strncmp(names->items[i], repository, len) == 0 &&
		    (names->items[i][len] == '@' ||
		     (names->items[i][len] == ':' && !strchr(names->items[i] + len, '/'))))
			return true;
	return false;
}

struct image *catalog_by_digest(struct catalog *catalog, const char *repository, const char *digest)
{
	struct image *found = NULL;

	lock_take(&catalog->lock);
	map_for_each (slot, &catalog->by_id) {
		struct image *image = slot->value;

		if (!found && str_eq(image->digest, digest) &&
		    (names_repository(&image->repo_tags, repository) ||
		     names_repository(&image->repo_digests, repository)))
			found = image_ref(image);
	}
	lock_drop(&catalog->lock);
	return found;
}

struct image *catalog_by_prefix(struct catalog *catalog, const char *hex, bool *ambiguous)
{
	struct image *found = NULL;

	*ambiguous = false;
	lock_take(&catalog->lock);
	map_for_each (slot, &catalog->by_id) {
		if (!str_has_prefix(strchr(slot->key, ':') + 1, hex))
			continue;
		*ambiguous = found != NULL;
		if (*ambiguous)
			break;
		found = image_ref(slot->value);
	}
	lock_drop(&catalog->lock);
	return *ambiguous ? image_unref(found) : found;
}

static int by_creation(const void *a, const void *b)
{
	const struct image *left = *(struct image *const *)a, *right = *(struct image *const *)b;

	if (left->created_at != right->created_at)
		return left->created_at < right->created_at ? -1 : 1;
	return strcmp(left->id, right->id);
}

struct image **catalog_list(struct catalog *catalog)
{
	struct image **list;
	size_t len = 0;

	lock_take(&catalog->lock);
	list = xcalloc(map_len(&catalog->by_id) + 1, sizeof(*list));
	map_for_each (slot, &catalog->by_id)
		list[len++] = image_ref(slot->value);
	lock_drop(&catalog->lock);
	qsort(list, len, sizeof(*list), by_creation);
	return list;
}

static void add_layers(const struct image *image, struct map *set)
{
	for (size_t i = 0; i < image->layers.len; i++)
		map_put(set, image->layers.items[i], set);
}

bool catalog_layers(struct catalog *catalog, struct map *ret)
{
	bool retired;

	lock_take(&catalog->lock);
	prune_locked(catalog);
	retired = catalog->retired_len > 0;
	map_for_each (slot, &catalog->by_id)
		add_layers(slot->value, ret);
	for (size_t i = 0; i < catalog->retired_len; i++)
		add_layers(catalog->retired[i], ret);
	lock_drop(&catalog->lock);
	return retired;
}

void catalog_blobs(struct catalog *catalog, struct map *ret)
{
	lock_take(&catalog->lock);
	map_for_each (slot, &catalog->by_id) {
		const struct image *image = slot->value;

		map_put(ret, image->id, ret);
		map_put(ret, image->digest, ret);
	}
	lock_drop(&catalog->lock);
}

static int check_layers(const struct image *image, struct layers *layers, struct err *err)
{
	for (size_t i = 0; i < image->layers.len; i++)
		if (!layers_has(layers, image->layers.items[i]))
			return err_set(err, RPC_DATA_LOSS, "layer %s is missing", image->layers.items[i]);
	return 0;
}

/* Keeps a bad record for inspection, out of the way of a new pull. */
static int quarantine(struct catalog *catalog, const char *name, const char *why, struct strv *warnings,
		      struct err *err)
{
	CLEANUP(fd_closep) int dir = dir_make(catalog->root, "quarantine", 0700, err);
	char stamp[CLOCK_RFC3339_SIZE];
	CLEANUP(freep) char *to = NULL;

	if (dir < 0)
		return -1;
	clock_rfc3339(clock_real(), stamp);
	to = xasprintf("image-%s-%s", stamp, name);
	if (renameat(catalog->dir, name, dir, to) < 0)
		return err_errno(err, "move record %s to quarantine", name);
	strv_addf(warnings, "image record %s is moved to quarantine/%s: %s", name, to, why);
	return 0;
}

static int by_update(const void *a, const void *b)
{
	const struct image *left = *(struct image *const *)a, *right = *(struct image *const *)b;

	return left->updated_at < right->updated_at ? -1 : left->updated_at > right->updated_at;
}

struct loading {
	struct blobs *blobs;
	struct layers *layers;
	struct strv *warnings;
	struct image **images;
	size_t len;
};

static int load_one(struct catalog *catalog, const char *name, struct loading *loading, struct err *err)
{
	CLEANUP(image_unrefp) struct image *image = NULL;
	struct err why;

	if (!str_has_suffix(name, ".json"))
		return 0;
	if (image_record_read(catalog->dir, name, loading->blobs, &image, &why) < 0 ||
	    check_layers(image, loading->layers, &why) < 0) {
		if (why.code == RPC_FAILED_PRECONDITION) /* of a newer crisp: left alone */
			return err_set(err, why.code, "image record %s: %s", name, why.text);
		return quarantine(catalog, name, why.text, loading->warnings, err);
	}
	loading->images[loading->len++] = TAKE(image);
	return 0;
}

static int load(struct catalog *catalog, struct loading *loading, struct err *err)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	int result = 0;

	file_sweep(catalog->dir);
	if (dir_list(catalog->dir, ".", &names, err) < 0)
		return -1;
	loading->images = xcalloc(names.len + 1, sizeof(struct image *));
	for (size_t i = 0; i < names.len && result == 0; i++)
		result = load_one(catalog, names.items[i], loading, err);
	qsort(loading->images, loading->len, sizeof(struct image *), by_update);
	for (size_t i = 0; i < loading->len; i++) {
		struct image *loser;

		while ((loser = strip_one(catalog, loading->images[i])))
			image_unref(loser);
		list_image(catalog, loading->images[i]);
	}
	free(loading->images);
	return result;
}

int catalog_open(int root, struct blobs *blobs, struct layers *layers, struct strv *warnings,
		 struct catalog **ret, struct err *err)
{
	struct loading loading = { .blobs = blobs, .layers = layers, .warnings = warnings };
	struct catalog *catalog = xnew(struct catalog);

	catalog->root = root;
	lock_init(&catalog->lock, "catalog", LOCK_IMAGES);
	map_init(&catalog->by_id, unref_value);
	map_init(&catalog->by_name, NULL);
	catalog->dir = dir_make(root, "images", 0700, err);
	if (catalog->dir < 0 || load(catalog, &loading, err) < 0) {
		catalog_free(catalog);
		return -1;
	}
	*ret = catalog;
	return 0;
}

struct catalog *catalog_free(struct catalog *catalog)
{
	if (!catalog)
		return NULL;
	map_done(&catalog->by_name);
	map_done(&catalog->by_id);
	for (size_t i = 0; i < catalog->retired_len; i++)
		image_unref(catalog->retired[i]);
	free(catalog->retired);
	strv_done(&catalog->pinned);
	fd_closep(&catalog->dir);
	lock_done(&catalog->lock);
	free(catalog);
	return NULL;
}
