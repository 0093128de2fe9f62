/*
 * Three layers: ask_endpoint() is one request to the endpoint (and finds out whether an insecure one speaks
 * plain HTTP, which is remembered for the host); once() adds authorisation, asked for when the endpoint
 * demands it; fetch() adds repetition. A blob stream sits on top and calls fetch() again with an offset when
 * its body breaks off.
 *
 * A repetition needs a reason that may go away: 429, 5xx, or a connection that broke. A host that can't be
 * reached is not tried twice: the next endpoint, or the kubelet's own back-off, is the better answer.
 */
#include "image/registry.h"

#include <assert.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/lock.h"
#include "base/map.h"
#include "image/challenge.h"
#include "image/http.h"
#include "image/origin.h"
#include "image/registry_error.h"
#include "image/token.h"

enum {
	REPEATS_MAX = 4,      /* of one request, and of a blob that makes no progress */
	RESUMES_MAX = 50,     /* of one blob */
	RETRY_AFTER_MAX = 30, /* seconds we are told to wait; more is not obeyed */
	PAUSE_MAX_SHIFT = 5,
	PLAIN_HOSTS_MAX = 256,
};

struct registry {
	struct lock lock;
	struct registry_options options; /* under lock */
	struct map plain_hosts;          /* under lock: insecure hosts known to speak plain HTTP */
};

struct registry_repo {
	struct registry *registry;
	char *host; /* for URLs */
	char *repository;
	bool insecure;
	struct credentials credentials;
	struct lock lock;
	char *authorization; /* under lock: what the endpoint wanted last time; NULL: nothing */
};

struct registry_conn {
	struct registry_repo *repo;
	struct http *http;
	/* the blob stream */
	char *path;
	int64_t size, offset;
	int64_t skip; /* bytes to drop: the endpoint ignored our Range */
	int64_t resumed_at;
	int idle_resumes, resumes;
};

struct fetch {
	const char *path; /* below /v2/<repository>/ */
	const char *accept;
	uint64_t offset;
};

struct verdict {
	bool again;
	int64_t retry_after; /* seconds; -1: not said */
};

struct registry *registry_new(const struct registry_options *options)
{
	struct registry *registry = xnew(struct registry);

	lock_init(&registry->lock, "registry", LOCK_PULL);
	map_init(&registry->plain_hosts, NULL);
	registry_configure(registry, options);
	return registry;
}

void registry_configure(struct registry *registry, const struct registry_options *options)
{
	lock_take(&registry->lock);
	registry->options = *options;
	if (registry->options.retry_pause <= 0)
		registry->options.retry_pause = 250 * NS_PER_MS;
	lock_drop(&registry->lock);
}

static struct registry_options options_of(struct registry *registry)
{
	struct registry_options options;

	lock_take(&registry->lock);
	options = registry->options;
	lock_drop(&registry->lock);
	return options;
}

struct registry *registry_free(struct registry *registry)
{
	if (!registry)
		return NULL;
	map_done(&registry->plain_hosts);
	lock_done(&registry->lock);
	free(registry);
	return NULL;
}

static bool is_plain(struct registry *registry, const char *host)
{
	bool plain;

	lock_take(&registry->lock);
	plain = map_get(&registry->plain_hosts, host) != NULL;
	lock_drop(&registry->lock);
	return plain;
}

static void set_plain(struct registry *registry, const char *host, bool plain)
{
	lock_take(&registry->lock);
	if (!plain)
		map_del(&registry->plain_hosts, host);
	else if (map_len(&registry->plain_hosts) < PLAIN_HOSTS_MAX)
		map_put(&registry->plain_hosts, host, registry);
	lock_drop(&registry->lock);
}

struct registry_repo *registry_repo_new(struct registry *registry, const struct registry_endpoint *endpoint,
					struct credentials *credentials_take)
{
	struct registry_repo *repo = xnew(struct registry_repo);

	repo->registry = registry;
	/* Docker Hub's API has a host of its own. */
	repo->host = xstrdup(str_eq(endpoint->host, "docker.io") ? "registry-1.docker.io" : endpoint->host);
	repo->repository = xstrdup(endpoint->repository);
	repo->insecure = endpoint->insecure;
	repo->credentials = *credentials_take;
	*credentials_take = (struct credentials){ 0 };
	lock_init(&repo->lock, "registry repo", LOCK_PULL);
	if (repo->credentials.registry_token)
		repo->authorization = xasprintf("Bearer %s", repo->credentials.registry_token);
	return repo;
}

struct registry_repo *registry_repo_free(struct registry_repo *repo)
{
	if (!repo)
		return NULL;
	free(repo->host);
	free(repo->repository);
	credentials_done(&repo->credentials);
	wipe_free(repo->authorization);
	lock_done(&repo->lock);
	free(repo);
	return NULL;
}

void registry_repo_freep(struct registry_repo **repo)
{
	registry_repo_free(*repo);
}

struct registry_conn *registry_conn_new(struct registry_repo *repo)
{
	struct registry_conn *conn = xnew(struct registry_conn);
	const struct registry_options options = options_of(repo->registry);
	const struct http_options http_options = { .connect_timeout = options.connect_timeout,
						   .progress_timeout = options.progress_timeout };

	conn->repo = repo;
	conn->http = http_new(&http_options);
	return conn;
}

struct registry_conn *registry_conn_free(struct registry_conn *conn)
{
	if (!conn)
		return NULL;
	http_free(conn->http);
	free(conn->path);
	free(conn);
	return NULL;
}

void registry_conn_freep(struct registry_conn **conn)
{
	registry_conn_free(*conn);
}

void registry_manifest_done(struct registry_manifest *manifest)
{
	free(manifest->data);
	free(manifest->content_type);
	*manifest = (struct registry_manifest){ 0 };
}

static char *authorization_of(struct registry_repo *repo)
{
	char *copy;

	lock_take(&repo->lock);
	copy = xstrdup_null(repo->authorization);
	lock_drop(&repo->lock);
	return copy;
}

static void set_authorization(struct registry_repo *repo, char *authorization_take)
{
	char *old;

	lock_take(&repo->lock);
	old = repo->authorization;
	repo->authorization = authorization_take;
	lock_drop(&repo->lock);
	wipe_free(old);
}

static int ask_by(struct registry_conn *conn, const struct ctx *ctx, const struct fetch *fetch, bool plain,
		  struct err *err)
{
	const struct registry_repo *repo = conn->repo;
	CLEANUP(wipe_freep) char *authorization = authorization_of(conn->repo);
	CLEANUP(freep)
	char *url = xasprintf("%s://%s/v2/%s/%s", plain ? "http" : "https", repo->host, repo->repository,
			      fetch->path);
	const struct http_request request = {
		.url = url,
		.insecure = repo->insecure,
		.accept = fetch->accept,
		.authorization = authorization,
		.offset = fetch->offset,
	};

	return http_start(conn->http, ctx, &request, err);
}

static int ask_endpoint(struct registry_conn *conn, const struct ctx *ctx, const struct fetch *fetch,
			struct err *err)
{
	struct registry_repo *repo = conn->repo;
	bool plain = repo->insecure && is_plain(repo->registry, repo->host);

	if (ask_by(conn, ctx, fetch, plain, err) == 0)
		return 0;
	if (plain)
		set_plain(repo->registry, repo->host, false); /* it may have learnt TLS since */
	if (plain || !repo->insecure || err->code != RPC_UNAVAILABLE ||
	    (http_failure(conn->http) != HTTP_TLS && http_failure(conn->http) != HTTP_CONNECT))
		return -1;
	if (ask_by(conn, ctx, fetch, true, err) < 0)
		return -1;
	set_plain(repo->registry, repo->host, true);
	return 0;
}

/* The answer came from the endpoint itself, not from where it sent us: only then may it ask for credentials.
 */
static bool from_endpoint(const struct registry_conn *conn)
{
	CLEANUP(freep) char *url = xasprintf("https://%s/", conn->repo->host);
	CLEANUP(origin_done) struct origin origin = { 0 };

	return origin_of(url, &origin) && str_eq(origin.text, http_response(conn->http)->host);
}

static int fetch_token(struct registry_conn *conn, const struct ctx *ctx, const struct challenge *challenge,
		       struct err *err)
{
	struct registry_repo *repo = conn->repo;
	CLEANUP(freep) char *scope = xasprintf("repository:%s:pull", repo->repository);
	CLEANUP(wipe_freep) char *token = NULL;
	const struct token_request request = {
		.challenge = challenge,
		.scope = scope,
		.credentials = &repo->credentials,
		.insecure = repo->insecure,
	};

	if (token_fetch(conn->http, ctx, &request, &token, err) < 0)
		return err_prefix(err, "%s", repo->host);
	set_authorization(repo, xasprintf("Bearer %s", token));
	return 0;
}

/* Gets what a 401 asks for. */
static int authorise(struct registry_conn *conn, const struct ctx *ctx, struct err *err)
{
	const struct http_response *response = http_response(conn->http);
	const struct credentials *credentials = &conn->repo->credentials;
	CLEANUP(challenge_done) struct challenge challenge = { 0 };

	for (size_t i = 0; i < response->www_authenticate.len; i++)
		if (!challenge_add(&challenge, response->www_authenticate.items[i]))
			return err_set(err, RPC_UNAUTHENTICATED, "%s: malformed WWW-Authenticate",
				       response->host);
	if (challenge.bearer && !credentials->registry_token)
		return fetch_token(conn, ctx, &challenge, err);
	if (challenge.basic && credentials->username) {
		set_authorization(conn->repo, credentials_basic(credentials));
		return 0;
	}
	return err_set(err, RPC_UNAUTHENTICATED, "%s: %s", response->host,
		       credentials_empty(credentials) ? "credentials are needed" : "credentials are refused");
}

static int once(struct registry_conn *conn, const struct ctx *ctx, const struct fetch *fetch,
		struct verdict *verdict, struct err *err)
{
	bool authorised = false;

	*verdict = (struct verdict){ .retry_after = -1 };
	for (;;) {
		int status;

		if (ask_endpoint(conn, ctx, fetch, err) < 0) {
			verdict->again =
				err->code == RPC_UNAVAILABLE && http_failure(conn->http) == HTTP_BROKEN;
			return -1;
		}
		status = http_response(conn->http)->status;
		if (status == 200 || (status == 206 && fetch->offset > 0))
			return 0;
		if (status == 401 && !authorised && from_endpoint(conn)) {
			authorised = true;
			if (authorise(conn, ctx, err) == 0)
				continue;
			verdict->again = err->code == RPC_UNAVAILABLE;
			return -1;
		}
		verdict->again = status == 429 || status >= 500;
		verdict->retry_after = http_response(conn->http)->retry_after;
		return registry_error(conn->http, ctx, fetch->path, err);
	}
}

/* Waits; ends with the context. */
static int pause_for(const struct ctx *ctx, int64_t ns, struct err *err)
{
	int64_t until = clock_deadline_in(ns);

	for (;;) {
		struct pollfd end = { .fd = ctx_fd(ctx), .events = POLLIN };
		int left = clock_poll_timeout(until), ctx_left = ctx_poll_timeout(ctx);

		if (ctx_check(ctx, "waiting to ask the registry again", err) < 0)
			return -1;
		if (left == 0)
			return 0;
		poll(&end, 1, ctx_left >= 0 && ctx_left < left ? ctx_left : left);
	}
}

/* Grows with the attempt; a random part of it keeps a thousand nodes from coming back at once. */
static int64_t pause_length(struct registry *registry, const struct verdict *verdict, int attempt)
{
	int shift = attempt < PAUSE_MAX_SHIFT ? attempt : PAUSE_MAX_SHIFT;
	int64_t pause = options_of(registry).retry_pause << shift;
	uint32_t jitter;

	random_bytes(&jitter, sizeof(jitter));
	pause = pause / 2 + (int64_t)((double)pause * jitter / UINT32_MAX);
	if (verdict->retry_after >= 0) {
		int64_t told =
			verdict->retry_after < RETRY_AFTER_MAX ? verdict->retry_after : RETRY_AFTER_MAX;

		if (told * NS_PER_SEC > pause)
			pause = told * NS_PER_SEC;
	}
	return pause;
}

static int fetch(struct registry_conn *conn, const struct ctx *ctx, const struct fetch *fetch_,
		 struct err *err)
{
	for (int attempt = 0;; attempt++) {
		struct verdict verdict;

		if (once(conn, ctx, fetch_, &verdict, err) == 0)
			return 0;
		if (!verdict.again || attempt == REPEATS_MAX ||
		    pause_for(ctx, pause_length(conn->repo->registry, &verdict, attempt), err) < 0)
			return -1;
	}
}

static int check_manifest(const char *said, const struct digest *digest, struct registry_manifest *manifest,
			  struct err *err)
{
	struct digest header;

	if (digest) {
		manifest->digest = *digest;
		return digest_check(digest, manifest->data, manifest->len, "manifest", err);
	}
	digest_of(DIGEST_SHA256, manifest->data, manifest->len, &manifest->digest);
	if (!said)
		return 0;
	if (digest_parse(said, &header, err) < 0)
		return err_prefix(err, "Docker-Content-Digest");
	manifest->digest = header;
	return digest_check(&header, manifest->data, manifest->len, "manifest", err);
}

int registry_get_manifest(struct registry_conn *conn, const struct ctx *ctx, const char *tag,
			  const struct digest *digest, struct registry_manifest *ret, struct err *err)
{
	CLEANUP(registry_manifest_done) struct registry_manifest manifest = { 0 };
	CLEANUP(str_done) struct str body = STR_INIT;
	CLEANUP(freep) char *path = NULL;
	char text[DIGEST_TEXT_SIZE];

	if (digest)
		digest_text(digest, text);
	path = xasprintf("manifests/%s", digest ? text : tag);
	const struct fetch request = { .path = path, .accept = MANIFEST_ACCEPT };

	if (fetch(conn, ctx, &request, err) < 0 ||
	    http_read_all(conn->http, ctx, MANIFEST_SIZE_MAX, &body, err) < 0)
		return -1;
	manifest.content_type = xstrdup_null(http_response(conn->http)->content_type);
	manifest.len = body.len;
	manifest.data = str_take(&body);
	if (check_manifest(http_response(conn->http)->content_digest, digest, &manifest, err) < 0)
		return err_prefix(err, "%s", conn->repo->host);
	*ret = manifest;
	manifest = (struct registry_manifest){ 0 };
	return 0;
}

static int wrong_size(const struct registry_conn *conn, const char *how, struct err *err)
{
	return err_set(err, RPC_DATA_LOSS, "%s: %s is %s than the %lld bytes its manifest says",
		       conn->repo->host, conn->path, how, (long long)conn->size);
}

static int request_blob(struct registry_conn *conn, const struct ctx *ctx, struct err *err)
{
	const struct fetch request = { .path = conn->path, .offset = (uint64_t)conn->offset };
	const struct http_response *response = http_response(conn->http);

	if (fetch(conn, ctx, &request, err) < 0)
		return -1;
	conn->skip = response->status == 206 ? 0 : conn->offset;
	if (response->status == 206 && response->range_start != conn->offset)
		return err_set(err, RPC_UNAVAILABLE, "%s: answer to a range request is of another range",
			       response->host);
	if (response->content_length >= 0 &&
	    response->content_length != conn->size - conn->offset + conn->skip)
		return wrong_size(conn,
				  response->content_length < conn->size - conn->offset + conn->skip
					  ? "shorter"
					  : "longer",
				  err);
	return 0;
}

int registry_open_blob(struct registry_conn *conn, const struct ctx *ctx, const struct descriptor *descriptor,
		       struct err *err)
{
	char text[DIGEST_TEXT_SIZE];

	digest_text(&descriptor->digest, text);
	free(conn->path);
	conn->path = xasprintf("blobs/%s", text);
	conn->size = descriptor->size;
	conn->offset = 0;
	conn->resumed_at = -1;
	conn->idle_resumes = conn->resumes = 0;
	return request_blob(conn, ctx, err);
}

/* The body broke off (err says how): goes on at conn->offset, or gives up with that error. */
static int resume(struct registry_conn *conn, const struct ctx *ctx, struct err *err)
{
	struct verdict verdict = { .retry_after = -1 };

	conn->idle_resumes = conn->offset == conn->resumed_at ? conn->idle_resumes + 1 : 0;
	conn->resumed_at = conn->offset;
	if (conn->idle_resumes == REPEATS_MAX || ++conn->resumes > RESUMES_MAX)
		return -1;
	if (pause_for(ctx, pause_length(conn->repo->registry, &verdict, conn->idle_resumes), err) < 0)
		return -1;
	return request_blob(conn, ctx, err);
}

/* One piece of the body without what is to be skipped; *len 0 when all of it was. */
static int read_piece(struct registry_conn *conn, const struct ctx *ctx, const uint8_t **data, size_t *len,
		      bool *ended, struct err *err)
{
	size_t drop;

	if (http_read(conn->http, ctx, data, len, err) < 0)
		return -1;
	*ended = *len == 0;
	drop = (int64_t)*len < conn->skip ? *len : (size_t)conn->skip;
	conn->skip -= (int64_t)drop;
	*data += drop;
	*len -= drop;
	return 0;
}

int registry_read_blob(struct registry_conn *conn, const struct ctx *ctx, const uint8_t **ret,
		       size_t *ret_len, struct err *err)
{
	for (;;) {
		bool ended = false, broken;

		broken = read_piece(conn, ctx, ret, ret_len, &ended, err) < 0;
		if (broken && (err->code != RPC_UNAVAILABLE || http_failure(conn->http) == HTTP_REFUSED))
			return -1;
		if (!broken && *ret_len > 0) {
			if ((int64_t)*ret_len > conn->size - conn->offset)
				return wrong_size(conn, "longer", err);
			conn->offset += (int64_t)*ret_len;
			return 0;
		}
		if (conn->offset == conn->size &&
		    (ended || broken)) { /* whole: how it ended does not matter */
			*ret_len = 0;
			return 0;
		}
		if (ended)
			err_set(err, RPC_UNAVAILABLE, "%s: %s ended after %lld of %lld bytes",
				conn->repo->host, conn->path, (long long)conn->offset, (long long)conn->size);
		if ((ended || broken) && resume(conn, ctx, err) < 0)
			return -1;
	}
}

int registry_get_blob(struct registry_conn *conn, const struct ctx *ctx, const struct descriptor *descriptor,
		      char **ret, struct err *err)
{
	CLEANUP(str_done) struct str body = STR_INIT;
	const uint8_t *data;
	size_t len;

	assert(descriptor->size >= 0 && descriptor->size <= MANIFEST_CONFIG_MAX);
	if (registry_open_blob(conn, ctx, descriptor, err) < 0)
		return -1;
	do {
		if (registry_read_blob(conn, ctx, &data, &len, err) < 0)
			return -1;
		str_addn(&body, data, len);
	} while (len > 0);
	if (digest_check(&descriptor->digest, str_get(&body), body.len, conn->path, err) < 0)
		return err_prefix(err, "%s", conn->repo->host);
	*ret = str_take(&body);
	return 0;
}
