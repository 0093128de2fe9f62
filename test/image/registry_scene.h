/*
 * A registry client beside two servers, for the tests of image/registry.h: one is the registry, with
 * team/app:v1 and one blob; the other is where it redirects to.
 */
#ifndef TEST_IMAGE_REGISTRY_SCENE_H
#define TEST_IMAGE_REGISTRY_SCENE_H

#include "test/base/check.h"

#include "image/registry.h"
#include "test/image/fake_image.h"

enum { BLOB_SIZE = 300000 };

struct scene {
	struct fake_content content, other_content;
	struct fake_server *server, *other; /* the other: where redirects lead */
	struct registry *registry;
	struct registry_repo *repo;
	struct registry_conn *conn;
	struct ctx ctx;
	char *blob;
	struct descriptor descriptor;
	char digest[DIGEST_TEXT_SIZE];
	int times; /* how often a fault still happens */
	int seen;
};

/* For cmocka. */
int registry_setup(void **state);
int registry_teardown(void **state);

/* Replaces the connection. */
void connect_repo(struct scene *scene, const struct image_auth *auth, bool insecure);
void connect_with(struct scene *scene, const struct image_auth *auth, bool insecure,
		  const struct credentials_source *source);
/* Fetch and compare. */
int get_manifest(struct scene *scene, struct err *err);
int get_blob(struct scene *scene, struct err *err);
/* How many requests had this in their log line. */
size_t asked(struct scene *scene, const char *part);

/* For a thread: cancels the struct ctx at data after a tenth of a second. */
static inline void *cancel_soon(void *data)
{
	usleep(100000);
	ctx_cancel(data);
	return NULL;
}

#endif
