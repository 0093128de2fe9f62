/*
 * The inside of a repo and a connection, shared by the files that implement image/registry.h.
 */
#ifndef IMAGE_REGISTRY_STATE_H
#define IMAGE_REGISTRY_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "image/authorization.h"
#include "image/http.h"
#include "image/registry.h"

enum { REGISTRY_REPEATS_MAX = 4 }; /* of one request, and of a blob that makes no progress */

struct registry_repo {
	struct registry *registry;
	char *host; /* for URLs */
	char *repository;
	bool insecure;
	int repeats_max;
	struct authorization *authorization;
	atomic_bool answered; /* it has, to somebody: it is there, and being unreachable may pass */
	atomic_bool speaks_tls;
};

struct registry_conn {
	struct registry_repo *repo;
	struct http *http;
	/* the blob stream */
	char *path;
	int64_t size;        /* of the whole blob */
	int64_t offset, end; /* what is still to be read */
	int64_t skip;        /* bytes to drop: the endpoint ignored our Range */
	int64_t resumed_at;
	int idle_resumes, resumes;
	bool range_failed;
};

struct registry_request {
	const char *path; /* below /v2/<repository>/ */
	const char *accept;
	uint64_t offset, end; /* as struct http_request has them */
	struct str
		*body; /* gets the answer as a whole, up to MANIFEST_SIZE_MAX; NULL: it is left to be read */
	const char *authorization; /* set for each try */
};

/* Asks, with authorisation and repetition; 0: http_response(conn->http) is a success. */
int registry_fetch(struct registry_conn *conn, const struct ctx *ctx, const struct registry_request *request,
		   struct err *err) MUST_CHECK;
/* The pause before repetition number `attempt` (from 0); ends with the context. */
int registry_pause(struct registry_conn *conn, const struct ctx *ctx, int attempt,
		   struct err *err) MUST_CHECK;

#endif
