/*
 * A store on disk beside two fake registries, for the tests of image/images.h: team/app:v1, an image of three
 * layers (gzip, plain, zstd), is served as plain.test/team/app:v1, and as reg.test/team/app:v1 behind an
 * (empty) mirror; so it is under its own name, that of the server. blocked.test is blocked. The scratch
 * directory has the store's policy.json, which accepts all, and is where auth.json may be put.
 */
#ifndef TEST_IMAGE_STORE_SCENE_H
#define TEST_IMAGE_STORE_SCENE_H

#include "test/base/check.h"

#include "image/images.h"
#include "test/image/fake_image.h"

enum { LAYERS = 3 };

struct scene {
	struct scratch scratch;
	struct fake_content content, mirror_content;
	struct fake_server *server, *mirror;
	struct pool *pool;
	struct config *config;
	struct images *images;
	struct str tars[LAYERS];
	struct fake_image app;
	struct ctx ctx;
	int64_t leftover_time;         /* for the next opening; 0: the default */
	char in_use[DIGEST_TEXT_SIZE]; /* the layer that a container uses */
};

/* For cmocka. */
int scene_setup(void **state);
int scene_teardown(void **state);

void scene_reopen(struct scene *scene);
void scene_build(struct scene *scene, const char *repository, const char *tag, const char *run, size_t layers,
		 struct fake_image *ret);
int scene_pull(struct scene *scene, const char *reference, const struct image_auth *auth, char **id,
	       struct err *err);
void check_pull(struct scene *scene, const char *reference, const char *expected);
void check_pull_fails(struct scene *scene, const char *reference, enum rpc_code code, const char *why);
size_t count_images(struct scene *scene);
struct image *scene_find(struct scene *scene, const char *name);
bool scene_has(struct scene *scene, const char *name);
size_t count_files(struct scene *scene, const char *dir);
void check_tmp_empties(struct scene *scene);
size_t scene_asked(struct scene *scene, const char *part);
void check_file(const char *dir, const char *name, const char *expected);
int scene_try_open(struct scene *scene, struct err *err);
void scene_open(struct scene *scene);

#endif
