/*
 * Image manifests and indexes: OCI image-spec 1.1 (manifest.md, image-index.md) and Docker's schema 2 of
 * both.
 *
 * manifest_parse() is a pure function over bytes from a registry, whose digest the caller has checked. It
 * refuses, with INVALID_ARGUMENT: over MANIFEST_SIZE_MAX bytes; schema 1; a document that could be read as
 * both kinds, or whose mediaType contradicts the Content-Type (CVE-2021-41190); artifacts that are no
 * container image; encrypted layers; no layers, or more than MANIFEST_LAYERS_MAX; malformed digests and
 * sizes. `urls` of a descriptor are ignored: a blob comes from the registry that was asked, or not at all
 * (CVE-2020-15157).
 */
#ifndef IMAGE_MANIFEST_H
#define IMAGE_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "image/digest.h"
#include "image/platform.h"

#define MANIFEST_ACCEPT                                               \
	"application/vnd.oci.image.index.v1+json, "                   \
	"application/vnd.oci.image.manifest.v1+json, "                \
	"application/vnd.docker.distribution.manifest.list.v2+json, " \
	"application/vnd.docker.distribution.manifest.v2+json"

enum {
	MANIFEST_SIZE_MAX =
		4 * 1024 * 1024, /* distribution-spec, "Pushing Manifests": the least a registry takes */
	MANIFEST_CONFIG_MAX = 4 * 1024 * 1024, /* bytes of an image config */
	MANIFEST_LAYERS_MAX = 500,             /* overlayfs stacks no more (OVL_MAX_STACK) */
	MANIFEST_ENTRIES_MAX = 1000,           /* of an index */
};
#define MANIFEST_BLOB_MAX (INT64_C(1) << 40) /* bytes of one layer: 1 TiB */

struct descriptor {
	const char *media_type; /* never NULL */
	struct digest digest;
	int64_t size;
};

struct manifest_entry {
	struct descriptor descriptor;
	bool artifact; /* signatures and the like */
	bool has_platform;
	struct platform platform;
};

struct manifest {
	bool is_index;
	struct manifest_entry *entries; /* of an index */
	size_t entries_len;
	struct descriptor config;  /* of an image */
	struct descriptor *layers; /* base first */
	size_t layers_len;
};

/* content_type: the header's value, or NULL when there is none. Everything of *ret is in the arena. */
int manifest_parse(const char *data, size_t len, const char *content_type, struct arena *arena,
		   struct manifest *ret, struct err *err) MUST_CHECK;
/* Whether media_type (of the descriptor that led here) names this kind of document; otherwise one digest
 * could be read in two ways (CVE-2021-41190). */
bool manifest_is(const struct manifest *manifest, const char *media_type);
/* The entry of an index that suits host best, the first among equals; an entry that says no platform is the
 * last resort. NOT_FOUND (with what is offered) when there is none. *ret points into index. */
int manifest_choose(const struct manifest *index, const struct platform *host, const struct descriptor **ret,
		    struct err *err) MUST_CHECK;

#endif
