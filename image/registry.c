/*
 * Three layers: ask_endpoint() is one request to the endpoint (and finds out whether an insecure one speaks
 * plain HTTP, which is remembered for the host); once() adds authorisation, asked for when the endpoint
 * demands it; registry_fetch() adds repetition. Blobs are in registry_blob.c.
 *
 * A repetition needs a reason that may go away: 429, 5xx, or a connection that broke. A host that can't be
 * reached is not tried twice, a mirror not often, and who asks for a long pause is not asked again: the next
 * endpoint, or the kubelet's own back-off, is the better answer.
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
#include "base/step.h"
#include "image/registry_error.h"
#include "image/registry_state.h"

enum {
	MIRROR_REPEATS_MAX = 1,
	RETRY_AFTER_MAX = 30, /* seconds to wait when told to; told more, we give up */
	PAUSE_MAX_SHIFT = 5,
	PLAIN_HOSTS_MAX = 256,
};

struct registry {
	struct lock lock;
	struct registry_options options; /* under lock */
	struct strv certs_dirs;          /* under lock */
	struct map plain_hosts;          /* under lock: insecure hosts known to speak plain HTTP */
	struct token_cache *tokens;
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
	registry->tokens = token_cache_new();
	registry_configure(registry, options);
	return registry;
}

void registry_configure(struct registry *registry, const struct registry_options *options)
{
	CLEANUP(strv_done) struct strv old = STRV_INIT;
	struct strv dirs = STRV_INIT;

	for (const char *const *dir = options->certs_dirs; dir && *dir; dir++)
		strv_add(&dirs, *dir);
	lock_take(&registry->lock);
	old = registry->certs_dirs;
	registry->certs_dirs = dirs;
	registry->options = *options;
	registry->options.certs_dirs = NULL;
	if (registry->options.retry_pause <= 0)
		registry->options.retry_pause = 250 * NS_PER_MS;
	lock_drop(&registry->lock);
	token_cache_clear(registry->tokens);
}

static struct registry_options options_of(struct registry *registry)
{
	struct registry_options options;

	lock_take(&registry->lock);
	options = registry->options;
	lock_drop(&registry->lock);
	return options;
}

static struct strv certs_dirs_of(struct registry *registry)
{
	struct strv dirs = STRV_INIT;

	lock_take(&registry->lock);
	strv_add_all(&dirs, (const char *const *)registry->certs_dirs.items, registry->certs_dirs.len);
	lock_drop(&registry->lock);
	return dirs;
}

struct registry *registry_free(struct registry *registry)
{
	if (!registry)
		return NULL;
	map_done(&registry->plain_hosts);
	token_cache_free(registry->tokens);
	strv_done(&registry->certs_dirs);
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
					struct credentials *credentials_take,
					const struct credentials_source *source)
{
	struct registry_repo *repo = xnew(struct registry_repo);
	const struct authorization_options options = {
		.host = endpoint->host,
		.repository = endpoint->repository,
		.insecure = endpoint->insecure,
		.source = source ? *source : (struct credentials_source){ 0 },
		.tokens = registry->tokens,
	};

	repo->registry = registry;
	/* Docker Hub's API has a host of its own. */
	repo->host = xstrdup(str_eq(endpoint->host, "docker.io") ? "registry-1.docker.io" : endpoint->host);
	repo->repository = xstrdup(endpoint->repository);
	repo->insecure = endpoint->insecure;
	repo->repeats_max = endpoint->mirror ? MIRROR_REPEATS_MAX : REGISTRY_REPEATS_MAX;
	repo->authorization = authorization_new(&options, credentials_take);
	return repo;
}

struct registry_repo *registry_repo_free(struct registry_repo *repo)
{
	if (!repo)
		return NULL;
	free(repo->host);
	free(repo->repository);
	authorization_free(repo->authorization);
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
	CLEANUP(strv_done) struct strv certs_dirs = certs_dirs_of(repo->registry);
	const struct http_options http_options = { .connect_timeout = options.connect_timeout,
						   .progress_timeout = options.progress_timeout,
						   .certs_dirs = &certs_dirs };

	conn->repo = repo;
	conn->http = http_new(&http_options);
	return conn;
}

struct registry_conn *registry_conn_another(const struct registry_conn *conn)
{
	return registry_conn_new(conn->repo);
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

/* The endpoint's URL, to which a path may be added. malloc'd. */
static char *base_url(const struct registry_repo *repo, bool plain)
{
	return xasprintf("%s://%s/", plain ? "http" : "https", repo->host);
}

static int ask_by(struct registry_conn *conn, const struct ctx *ctx, const struct registry_request *fetch,
		  bool plain, struct err *err)
{
	const struct registry_repo *repo = conn->repo;
	CLEANUP(freep) char *base = base_url(repo, plain);
	CLEANUP(freep) char *url = xasprintf("%sv2/%s/%s", base, repo->repository, fetch->path);
	const struct http_request request = {
		.url = url,
		.insecure = repo->insecure,
		.accept = fetch->accept,
		.authorization = fetch->authorization,
		.offset = fetch->offset,
		.end = fetch->end,
	};

	return http_start(conn->http, ctx, &request, err);
}

/* Whether plain HTTP is worth a try after TLS has failed. Not when TLS has worked before: somebody who can
 * break connections should not get to see the token in clear. */
static bool may_be_plain(struct registry_conn *conn, const struct err *err)
{
	enum http_failure failure = http_failure(conn->http);

	return conn->repo->insecure && !atomic_load(&conn->repo->speaks_tls) &&
	       err->code == RPC_UNAVAILABLE && (failure == HTTP_TLS || failure == HTTP_CONNECT);
}

static int ask_endpoint(struct registry_conn *conn, const struct ctx *ctx,
			const struct registry_request *fetch, struct err *err)
{
	struct registry_repo *repo = conn->repo;
	bool plain = repo->insecure && is_plain(repo->registry, repo->host);

	if (ask_by(conn, ctx, fetch, plain, err) == 0) {
		if (!plain)
			atomic_store(&repo->speaks_tls, true);
		return 0;
	}
	if (plain)
		set_plain(repo->registry, repo->host, false); /* it may have learnt TLS since */
	if (plain || !may_be_plain(conn, err) || ask_by(conn, ctx, fetch, true, err) < 0)
		return -1;
	set_plain(repo->registry, repo->host, true);
	return 0;
}

static int renew(struct registry_conn *conn, const struct ctx *ctx, const char *used, struct err *err)
{
	struct registry_repo *repo = conn->repo;
	bool plain = repo->insecure && is_plain(repo->registry, repo->host);
	CLEANUP(freep) char *base = base_url(repo, plain);

	return authorization_renew(repo->authorization, conn->http, ctx, used, base, err);
}

/* No answer: whether the reason may go away. An endpoint that has never answered is better left to the next
 * one, or to the kubelet's own back-off. */
static bool may_pass(struct registry_conn *conn, const struct err *err)
{
	enum http_failure failure = http_failure(conn->http);

	return err->code == RPC_UNAVAILABLE &&
	       (failure == HTTP_BROKEN ||
		(atomic_load(&conn->repo->answered) && (failure == HTTP_CONNECT || failure == HTTP_TLS)));
}

static bool is_busy(int status)
{
	return status == 408 || status == 429 || (status >= 500 && status != 501 && status != 505);
}

static int read_body(struct registry_conn *conn, const struct ctx *ctx, const struct registry_request *fetch,
		     struct verdict *verdict, struct err *err)
{
	if (!fetch->body)
		return 0;
	str_clear(fetch->body);
	if (http_read_all(conn->http, ctx, MANIFEST_SIZE_MAX, fetch->body, err) == 0)
		return 0;
	verdict->again = may_pass(conn, err);
	return -1;
}

static int once(struct registry_conn *conn, const struct ctx *ctx, const struct registry_request *request,
		struct verdict *verdict, struct err *err)
{
	struct authorization *authorization = conn->repo->authorization;
	struct registry_request fetch = *request;

	*verdict = (struct verdict){ .retry_after = -1 };
	for (bool authorised = false;; authorised = true) {
		CLEANUP(wipe_freep) char *used = authorization_value(authorization);
		int status;

		fetch.authorization = used;
		if (ask_endpoint(conn, ctx, &fetch, err) < 0) {
			verdict->again = may_pass(conn, err);
			return -1;
		}
		atomic_store(&conn->repo->answered, true);
		status = http_response(conn->http)->status;
		if (status == 200 || (status == 206 && (fetch.offset > 0 || fetch.end > 0))) {
			authorization_judge(authorization, used, true);
			return read_body(conn, ctx, &fetch, verdict, err);
		}
		/* Only the endpoint itself may ask for credentials, not who it sent us to. */
		if (status == 401 && !authorised && !http_response(conn->http)->elsewhere) {
			if (renew(conn, ctx, used, err) == 0)
				continue;
			verdict->again = err->code == RPC_UNAVAILABLE;
			return -1;
		}
		if (status == 401 || status == 403 || status == 404)
			authorization_judge(authorization, used, false);
		verdict->again = is_busy(status);
		verdict->retry_after = http_response(conn->http)->retry_after;
		return registry_error(conn->http, ctx, fetch.path, err);
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
	return verdict->retry_after > 0 ? verdict->retry_after * NS_PER_SEC + pause : pause;
}

int registry_pause(struct registry_conn *conn, const struct ctx *ctx, int attempt, struct err *err)
{
	const struct verdict verdict = { .retry_after = -1 };

	return pause_for(ctx, pause_length(conn->repo->registry, &verdict, attempt), err);
}

/* Always -1. */
static int told_to_wait(const struct verdict *verdict, struct err *err)
{
	const struct err last = *err;

	err_set(err, last.code, "%s (to be asked again in %lld s)", last.text,
		(long long)verdict->retry_after);
	return -1;
}

int registry_fetch(struct registry_conn *conn, const struct ctx *ctx, const struct registry_request *request,
		   struct err *err)
{
	for (int attempt = 0;; attempt++) {
		struct verdict verdict;

		if (once(conn, ctx, request, &verdict, err) == 0)
			return 0;
		if (verdict.again && verdict.retry_after > RETRY_AFTER_MAX)
			return told_to_wait(&verdict, err);
		if (!verdict.again || attempt >= conn->repo->repeats_max ||
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

static int get_manifest(struct registry_conn *conn, const struct ctx *ctx, const char *tag,
			const struct digest *digest, struct registry_manifest *ret, struct err *err)
{
	CLEANUP(registry_manifest_done) struct registry_manifest manifest = { 0 };
	CLEANUP(str_done) struct str body = STR_INIT;
	CLEANUP(freep) char *path = NULL;
	char text[DIGEST_TEXT_SIZE];

	if (digest)
		digest_text(digest, text);
	path = xasprintf("manifests/%s", digest ? text : tag);
	const struct registry_request request = { .path = path, .accept = MANIFEST_ACCEPT, .body = &body };

	if (registry_fetch(conn, ctx, &request, err) < 0)
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

int registry_get_manifest(struct registry_conn *conn, const struct ctx *ctx, const char *tag,
			  const struct digest *digest, struct registry_manifest *ret, struct err *err)
{
	int64_t began = clock_mono();
	int failed = get_manifest(conn, ctx, tag, digest, ret, err);

	step_ended("image manifest", conn->repo->host, began, failed);
	return failed;
}
