/*
 * A directory that layers are unpacked into, for the tests of image/layer.h: <scratch>/root, with a canary
 * tree beside it that must be the same afterwards, and nothing else may have appeared.
 */
#ifndef TEST_IMAGE_LAYER_SCENE_H
#define TEST_IMAGE_LAYER_SCENE_H

#include "test/base/check.h"

#include <sys/stat.h>

#include "image/layer.h"
#include "test/image/tar_stream.h"

struct scene {
	struct scratch scratch;
	int root;
	struct str tar;
	struct layer_output output;
	struct layer_limits limits;
	struct err err;
};

/* For cmocka; the latter checks the canary. */
int layer_setup(void **state);
int layer_teardown(void **state);

/* Unpacks blob; digests are those of blob and of scene->tar unless given. The error is in scene->err. */
int unpack_blob(struct scene *scene, const struct str *blob, const struct digest *diff_id,
		const struct digest *digest);
int unpack_tar(struct scene *scene);
void check_good(const struct scene *scene, int result);
void check_code(const struct scene *scene, int result, enum rpc_code code);
void check_runs(struct scene *scene);
void check_refused(struct scene *scene, const char *why);
struct stat stat_of(struct scene *scene, const char *path);
bool exists(struct scene *scene, const char *path);
bool is_whiteout(struct scene *scene, const char *path);
bool is_opaque(struct scene *scene, const char *path);
void check_content(struct scene *scene, const char *path, const char *expected);

#endif
