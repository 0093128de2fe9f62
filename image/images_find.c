/*
 * Finding images. What a name is, is decided by its form: a digest and 64 hex digits are an id; hex digits
 * alone may also be a repository's short name, which goes first.
 */
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "image/images_state.h"

enum { PREFIX_MIN = 3 };

/* By the names that a reference may mean. */
static struct image *find_reference(struct images *images, const struct reference *reference)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(snapshot_done) struct snapshot snapshot = images_snapshot(images);
	struct registries_names names;
	char digest[DIGEST_TEXT_SIZE];
	struct err ignored;

	if (pull_names(snapshot.registries, reference, arena, &names, &ignored) < 0)
		return NULL;
	if (reference->has_digest)
		digest_text(&reference->digest, digest);
	for (size_t i = 0; i < names.len; i++) {
		CLEANUP(freep) char *name = reference_text(reference, names.items[i]);
		struct image *image = catalog_by_name(images->catalog, name);

		if (!image && reference->has_digest)
			image = catalog_by_digest(images->catalog, names.items[i], digest);
		if (image)
			return image;
	}
	return NULL;
}

static int find_prefix(struct images *images, const char *hex, struct image **ret, struct err *err)
{
	bool ambiguous = false;

	if (strlen(hex) >= PREFIX_MIN)
		*ret = catalog_by_prefix(images->catalog, hex, &ambiguous);
	if (ambiguous)
		return err_set(err, RPC_INVALID_ARGUMENT, "more than one image id begins with %s", hex);
	return 0;
}

int images_look_up(struct images *images, const char *name, struct image **ret, struct err *err)
{
	static const char scheme[] = "sha256:";
	const char *hex = str_has_prefix(name, scheme) ? name + strlen(scheme) : name;
	CLEANUP(reference_done) struct reference reference = { 0 };
	struct digest id;
	struct err ignored;

	if (digest_parse(name, &id, &ignored) == 0) {
		*ret = catalog_by_id(images->catalog, name);
		return 0;
	}
	if (hex != name && id_plausible(hex))
		return find_prefix(images, hex, ret, err);
	if (id_valid(name))
		return find_prefix(images, name, ret, err);
	if (reference_parse(name, &reference, err) < 0)
		return -1;
	*ret = find_reference(images, &reference);
	if (!*ret && id_plausible(name))
		return find_prefix(images, name, ret, err);
	return 0;
}

int images_find(struct images *images, const char *name, struct image **ret, struct err *err)
{
	CLEANUP(image_unrefp) struct image *image = NULL;

	if (images_look_up(images, name, &image, err) < 0)
		return -1;
	if (!image)
		return err_set(err, RPC_NOT_FOUND, "no image %s", name);
	*ret = TAKE(image);
	return 0;
}

struct image **images_list(struct images *images)
{
	return catalog_list(images->catalog);
}

void images_list_free(struct image **list)
{
	for (size_t i = 0; list && list[i]; i++)
		image_unref(list[i]);
	free(list);
}
