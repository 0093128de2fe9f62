/*
 * One pass over the components; ".." is refused, not resolved: no layer needs it.
 */
#include "image/layer_path.h"

#include <string.h>

int layer_path_bad(struct err *err, const char *path, const char *why)
{
	return err_set(err, RPC_INVALID_ARGUMENT, "\"%.200s\": %s", path, why);
}

int layer_path_clean(const char *path, char *clean, struct err *err)
{
	size_t used = 0, depth = 0;
	const char *at = path;

	while (*at) {
		size_t len = strcspn(at, "/");

		if (len == 2 && at[0] == '.' && at[1] == '.')
			return layer_path_bad(err, path, "path with \"..\"");
		if (len > TREE_NAME_MAX || used + len + 1 > TREE_PATH_MAX)
			return layer_path_bad(err, path, "path is too long");
		if (len > 0 && !(len == 1 && at[0] == '.')) {
			if (++depth > TREE_DEPTH_MAX)
				return layer_path_bad(err, path, "path is too deep");
			if (used > 0)
				clean[used++] = '/';
			memcpy(clean + used, at, len);
			used += len;
		}
		at += len + (at[len] == '/');
	}
	clean[used] = '\0';
	return 0;
}

int layer_path_locate(const char *path, struct layer_place *place, struct err *err)
{
	char *slash;

	if (layer_path_clean(path, place->dir, err) < 0)
		return -1;
	slash = strrchr(place->dir, '/');
	memcpy(place->name_buffer, slash ? slash + 1 : place->dir,
	       strlen(slash ? slash + 1 : place->dir) + 1);
	place->name = place->name_buffer;
	*(slash ? slash : place->dir) = '\0';
	return 0;
}
