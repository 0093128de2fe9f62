/*
 * A client of container registries (OCI distribution-spec 1.1, "Pull"; authentication as distribution's token
 * and OAuth 2 specifications have it).
 *
 * A struct registry lives as long as the store and is shared by all pulls. A struct registry_repo is one
 * repository at one endpoint with one set of credentials, shared by the threads of one pull. A struct
 * registry_conn is one thread's connection to a repo: one download at a time.
 *
 * Credentials and tokens go to the endpoint's own origin and, by the token protocol, to the realm that it
 * names, over TLS as good as the endpoint's own; nowhere else. An insecure endpoint that has answered over
 * TLS is not spoken to in plain HTTP by the same pull. 429, 5xx, resets and stalls are tried again, a bounded
 * number of times with growing pauses (a mirror once only, and nobody who wants to be left alone for long); a
 * blob that breaks off goes on where it stopped (Range). Everything is verified by digest.
 *
 * Codes: NOT_FOUND, UNAUTHENTICATED, PERMISSION_DENIED as the registry says; UNAVAILABLE when it can't be
 * reached or fails; DATA_LOSS for content of another digest or size; DEADLINE_EXCEEDED and CANCELLED for the
 * context.
 */
#ifndef IMAGE_REGISTRY_H
#define IMAGE_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/registries.h"
#include "image/auth.h"
#include "image/authorization.h"
#include "image/digest.h"
#include "image/manifest.h"

struct registry;
struct registry_repo;
struct registry_conn;

struct registry_options {
	int64_t connect_timeout;       /* ns; 0: 30 s */
	int64_t progress_timeout;      /* ns without a byte; 0: unbounded */
	int64_t retry_pause;           /* ns before the first repetition, doubled for each next; 0: 250 ms */
	const char *const *certs_dirs; /* see image/certs.h; NULL-terminated; copied; NULL: none */
};

struct registry *registry_new(const struct registry_options *options);
struct registry *registry_free(struct registry *registry); /* accepts NULL, returns NULL */
/* For connections made from now on; tokens are forgotten, since a reload may have changed credentials too. */
void registry_configure(struct registry *registry, const struct registry_options *options);

/* credentials are taken over (and left empty); source (may be NULL) is asked for others when there are none
 * and the endpoint wants some. */
struct registry_repo *registry_repo_new(struct registry *registry, const struct registry_endpoint *endpoint,
					struct credentials *credentials_take,
					const struct credentials_source *source);
struct registry_repo *registry_repo_free(struct registry_repo *repo); /* accepts NULL, returns NULL */
void registry_repo_freep(struct registry_repo **repo);

struct registry_conn *registry_conn_new(struct registry_repo *repo); /* repo must outlive it */
/* To the same repo. */
struct registry_conn *registry_conn_another(const struct registry_conn *conn);
struct registry_conn *registry_conn_free(struct registry_conn *conn); /* accepts NULL, returns NULL */
void registry_conn_freep(struct registry_conn **conn);

struct registry_manifest {
	char *data; /* NUL-terminated */
	size_t len;
	char *content_type; /* NULL: none */
	struct digest digest;
};

void registry_manifest_done(struct registry_manifest *manifest); /* also for CLEANUP */
/* By digest (verified) when digest is not NULL, else by tag (then ret->digest is what the tag points to). */
int registry_get_manifest(struct registry_conn *conn, const struct ctx *ctx, const char *tag,
			  const struct digest *digest, struct registry_manifest *ret,
			  struct err *err) MUST_CHECK;
/* A small blob whole (an image config), verified. *ret is malloc'd and NUL-terminated, descriptor->size long.
 */
int registry_get_blob(struct registry_conn *conn, const struct ctx *ctx, const struct descriptor *descriptor,
		      char **ret, struct err *err) MUST_CHECK;

/* A blob as a stream. The size is held to the descriptor's; the digest is up to the reader. */
int registry_open_blob(struct registry_conn *conn, const struct ctx *ctx, const struct descriptor *descriptor,
		       struct err *err) MUST_CHECK;
struct blob_part {
	int64_t start, end; /* bytes from start up to, not including, end */
};
/* A part of a blob as a stream, by a Range request; one that the endpoint ignores turns it into a stream of
 * all from start on (registry_part_end() is the blob's size then, also from the middle of the stream on). */
int registry_open_part(struct registry_conn *conn, const struct ctx *ctx, const struct descriptor *descriptor,
		       const struct blob_part *part, struct err *err) MUST_CHECK;
int64_t registry_part_end(const struct registry_conn *conn);
/* The latest open has failed for the Range in it: the answer was of another range, or a refusal that a
 * request without may not get. */
bool registry_range_failed(const struct registry_conn *conn);
/* The next piece, valid until the next call on conn; *ret_len 0 at the end. */
int registry_read_blob(struct registry_conn *conn, const struct ctx *ctx, const uint8_t **ret,
		       size_t *ret_len, struct err *err) MUST_CHECK;

#endif
