/*
 * The image's USER is told as a number or as a name, never both: kubelet judges runAsNonRoot by it. What
 * consists of digits but is no 32-bit id stays a name, which kubelet refuses there, so nothing out of range
 * can pass for a number.
 */
#include "server/rpc/image_message.h"

#include <string.h>

#include "proto/message.h"

static char **copy_strings(const struct strv *strv, struct arena *arena)
{
	char **copy = arena_array(arena, strv->len + 1, sizeof(*copy));

	for (size_t i = 0; i < strv->len; i++)
		copy[i] = arena_strdup(arena, strv->items[i]);
	return copy;
}

static void set_user(Cri__Image *message, const char *user, struct arena *arena)
{
	char *name = arena_strndup(arena, user, strcspn(user, ":"));
	uint64_t uid;

	if (parse_u64(name, INT32_MAX, &uid)) {
		message->uid = message_new(arena, &cri__int64_value__descriptor);
		message->uid->value = (int64_t)uid;
	} else {
		message->username = name;
	}
}

Cri__Image *image_message(const struct image *image, struct arena *arena)
{
	Cri__Image *message = message_new(arena, &cri__image__descriptor);

	message->id = arena_strdup(arena, image->id);
	message->n_repo_tags = image->repo_tags.len;
	message->repo_tags = copy_strings(&image->repo_tags, arena);
	message->n_repo_digests = image->repo_digests.len;
	message->repo_digests = copy_strings(&image->repo_digests, arena);
	message->size = image->size;
	message->pinned = image->pinned;
	set_user(message, image->config.user, arena);
	return message;
}

static int list_one(struct images *images, const char *name, struct image ***ret, struct err *err)
{
	struct image *image = NULL;
	struct err find_err = { 0 };

	if (images_find(images, name, &image, &find_err) < 0 && find_err.code != RPC_NOT_FOUND) {
		*err = find_err;
		return -1;
	}
	*ret = xcalloc(2, sizeof(struct image *));
	(*ret)[0] = image;
	return 0;
}

int image_list(struct images *images, const Cri__ImageFilter *filter, struct image ***ret, struct err *err)
{
	if (filter && filter->image && !str_empty(filter->image->image))
		return list_one(images, filter->image->image, ret, err);
	*ret = images_list(images);
	return 0;
}
