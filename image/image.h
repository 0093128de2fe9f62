/*
 * One pulled image: immutable and shared by reference (a name that comes or goes makes a new object). Its
 * record on disk is images/<hex of the id>.json.
 */
#ifndef IMAGE_IMAGE_H
#define IMAGE_IMAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "image/blobs.h"
#include "image/image_config.h"

struct image {
	char *id;                 /* "sha256:<hex>" of the config blob */
	char *digest;             /* of the image manifest */
	struct strv repo_tags;    /* "docker.io/library/busybox:latest" */
	struct strv repo_digests; /* "docker.io/library/busybox@sha256:.." (an index's digest when pulled by
				     index) */
	uint64_t size;            /* bytes: compressed layers + config */
	int64_t created_at;       /* first pull, real ns */
	int64_t updated_at;       /* latest change of its names, real ns */
	struct image_config config;
	char *config_json;  /* the config blob as pulled, for verbose status */
	struct strv layers; /* chain IDs "sha256:..", base first */
	bool pinned;        /* by the catalog's patterns; not in the record */
	atomic_uint refs;   /* private */
};

/* One reference, empty. */
struct image *image_new(void);
struct image *image_ref(struct image *image);   /* accepts NULL */
struct image *image_unref(struct image *image); /* accepts NULL, returns NULL */
void image_unrefp(struct image **image);
/* A copy with one reference, to be changed before it is shared. */
struct image *image_copy(const struct image *image);

/* Decodes config_json (of the digest in image->id) into config. */
int image_set_config(struct image *image, char *config_json_take, size_t len, struct err *err) MUST_CHECK;

/* The record's file name. malloc'd. */
char *image_record_name(const char *id);
/* durable: survives a power cut when this returns. */
int image_record_write(int dir, const struct image *image, bool durable, struct err *err) MUST_CHECK;
/* Reads a record and its config blob; whatever does not fit together is an error. */
int image_record_read(int dir, const char *name, struct blobs *blobs, struct image **ret,
		      struct err *err) MUST_CHECK;

#endif
