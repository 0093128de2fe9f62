/*
 * Whole images served by a fake server like a registry: blobs and manifests by path, and room for faults. An
 * image is built from tar layers; its documents are what tests corrupt.
 */
#ifndef TEST_IMAGE_FAKE_IMAGE_H
#define TEST_IMAGE_FAKE_IMAGE_H

#include <pthread.h>

#include "base/map.h"
#include "base/str.h"
#include "image/digest.h"
#include "test/image/fake_server.h"

typedef void fake_fault(struct fake_request *request, void *data, bool *handled);

/* Content by URL path ("/v2/app/manifests/latest"). May be changed while the server is asked, by the
 * functions below. */
struct fake_content {
	pthread_mutex_t mutex;
	struct map by_path; /* under mutex: struct fake_file */
	struct map all;     /* under mutex: owns every file there ever was */
	fake_fault *fault;  /* under mutex */
	void *data;
};

/* Runs first for every request from now on, if not NULL. */
void fake_content_fault(struct fake_content *content, fake_fault *fault);
void fake_content_init(struct fake_content *content);
void fake_content_done(struct fake_content *content);
void fake_content_put(struct fake_content *content, const char *path, const char *type, const void *data,
		      size_t len);
/* For fake_server_new(); serves Range requests too. */
void fake_content_handle(struct fake_request *request, void *content);

enum fake_compression { FAKE_GZIP, FAKE_ZSTD, FAKE_PLAIN };

struct fake_layer {
	const struct str *tar;
	enum fake_compression compression;
};

struct fake_image {
	struct str config, manifest;
	char config_digest[DIGEST_TEXT_SIZE], manifest_digest[DIGEST_TEXT_SIZE];
	struct strv layer_digests;
};

/* Builds an OCI image, and puts its blobs and manifest (by tag and by digest) under /v2/<repository>/. run:
 * the "config" object as JSON. */
void fake_image_build(struct fake_content *content, const char *repository, const char *tag, const char *run,
		      const struct fake_layer *layers, size_t layers_len, struct fake_image *ret);
void fake_image_done(struct fake_image *image);
void fake_digest(const void *data, size_t len, char text[DIGEST_TEXT_SIZE]);

#define FAKE_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define FAKE_INDEX "application/vnd.oci.image.index.v1+json"

#endif
