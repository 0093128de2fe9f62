/*
 * Names x endpoints are tried in order until one yields the manifest; from then on the endpoints after it are
 * only asked for what it fails to deliver. The error told is that of the last endpoint, the registry itself,
 * with a word about its mirrors. UNKNOWN and a text that begins with "RegistryUnavailable" are what the
 * kubelet looks for (k8s.io/cri-api/pkg/errors, and PullImage in k8s.io/cri-client/pkg/remote_image.go).
 */
#include "image/pull.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "image/assembly.h"
#include "image/image_config.h"
#include "image/keyring.h"
#include "image/manifest.h"
#include "image/policy.h"

enum { INDEX_DEPTH_MAX = 3, OTHERS_TEXT_MAX = 300 };

/* The endpoints of one name, as repos with credentials. */
struct sources {
	struct registry_repo *repos[REGISTRIES_ENDPOINTS_MAX];
	size_t len;
};

struct attempt {
	const struct pull_env *env;
	const struct ctx *ctx;
	const struct pull_request *request;
	struct arena *arena;
	struct pulled *pulled;
	const char *name;           /* the repository */
	struct sources sources;     /* from the endpoint that answered on */
	struct registry_conn *conn; /* to sources.repos[0] */
	struct manifest manifest;
};

static void sources_done(struct sources *sources)
{
	for (size_t i = 0; i < sources->len; i++)
		registry_repo_free(sources->repos[i]);
	sources->len = 0;
}

static void attempt_done(struct attempt *attempt)
{
	registry_conn_free(attempt->conn);
	sources_done(&attempt->sources);
	arena_free(attempt->arena);
}

void pulled_done(struct layers *layers, struct pulled *pulled)
{
	for (size_t i = 0; i < pulled->chains_len; i++)
		layers_release(layers, &pulled->chains[i]);
	free(pulled->tag);
	free(pulled->repo_digest);
	str_done(&pulled->manifest);
	str_done(&pulled->config);
	free(pulled->chains);
	*pulled = (struct pulled){ 0 };
}

int pull_names(const struct registries *registries, const struct reference *reference, struct arena *arena,
	       struct registries_names *ret, struct err *err)
{
	if (!reference_has_domain(reference->name))
		return registries_resolve(registries, reference->name, arena, ret, err);
	const char **items = arena_array(arena, 2, sizeof(*items));
	CLEANUP(freep) char *name = reference_normalise(reference->name);

	items[0] = arena_strdup(arena, name);
	*ret = (struct registries_names){ .items = items, .len = 1, .origin = "reference" };
	return 0;
}

/* What this node knows by itself; asked when an endpoint wants credentials and the client gave none for it.
 */
static int ask_keyring(void *data, const struct ctx *ctx, const char *host, const char *repository,
		       struct credentials *ret, struct err *err)
{
	const struct pull_env *env = data;
	CLEANUP(strv_done) struct strv files = STRV_INIT;
	const struct keyring keyring = { .files = &files,
					 .helpers = registries_credential_helpers(env->registries) };

	keyring_files(env->config->image.global_auth_file, &files);
	return keyring_find(&keyring, ctx, host, repository, ret, err);
}

/* The CRI's credentials are for the registry that the name says: neither a mirror gets them, nor another host
 * that registries.conf has put in its place. */
static bool is_named(const struct attempt *attempt, const struct registry_endpoint *endpoint)
{
	size_t len = strlen(endpoint->host);

	return !endpoint->mirror && strncmp(attempt->name, endpoint->host, len) == 0 &&
	       attempt->name[len] == '/';
}

static int add_source(struct attempt *attempt, const struct registry_endpoint *endpoint, struct err *err)
{
	const struct credentials_source source = { ask_keyring, (void *)attempt->env };
	CLEANUP(credentials_done) struct credentials credentials = { 0 };
	CLEANUP(credentials_done) struct credentials unused = { 0 };

	/* Bad ones are refused all the same. */
	if (credentials_from_cri(attempt->request->auth, endpoint->host,
				 is_named(attempt, endpoint) ? &credentials : &unused, err) < 0)
		return -1;
	attempt->sources.repos[attempt->sources.len++] =
		registry_repo_new(attempt->env->registry, endpoint, &credentials, &source);
	return 0;
}

static int find_sources(struct attempt *attempt, struct err *err)
{
	const struct reference *reference = attempt->request->reference;
	struct registry_endpoints endpoints;
	char digest[DIGEST_TEXT_SIZE];
	const struct registries_query query = {
		.repository = attempt->name,
		.tag = reference->has_digest ? reference->tag : reference_tag(reference),
		.digest = reference->has_digest ? digest : NULL,
	};

	if (reference->has_digest)
		digest_text(&reference->digest, digest);
	if (registries_endpoints(attempt->env->registries, &query, attempt->arena, &endpoints, err) < 0)
		return -1;
	for (size_t i = 0; i < endpoints.len && i < REGISTRIES_ENDPOINTS_MAX; i++)
		if (add_source(attempt, &endpoints.items[i], err) < 0)
			return -1;
	return 0;
}

/* Takes what has been fetched as the manifest of the attempt. */
static int take_manifest(struct attempt *attempt, const struct registry_manifest *fetched, struct err *err)
{
	/* The parsed form points into the arena, which also outlives the fetched bytes. */
	return manifest_parse(fetched->data, fetched->len, fetched->content_type, attempt->arena,
			      &attempt->manifest, err);
}

/* From what the reference names down to an image manifest. */
static int descend(struct attempt *attempt, struct registry_manifest *fetched, struct err *err)
{
	const struct descriptor *chosen = NULL;

	for (int depth = 0;; depth++) {
		CLEANUP(registry_manifest_done) struct registry_manifest next = { 0 };

		if (take_manifest(attempt, fetched, err) < 0)
			return -1;
		if (chosen && !manifest_is(&attempt->manifest, chosen->media_type))
			return err_set(err, RPC_INVALID_ARGUMENT,
				       "manifest is not of the kind that its index says");
		if (!attempt->manifest.is_index)
			return 0;
		if (depth == INDEX_DEPTH_MAX)
			return err_set(err, RPC_INVALID_ARGUMENT, "indexes are nested too deep");
		if (manifest_choose(&attempt->manifest, platform_host(), &chosen, err) < 0)
			return -1;
		if (chosen->size > MANIFEST_SIZE_MAX)
			return err_set(err, RPC_INVALID_ARGUMENT,
				       "index names a manifest of more than %d bytes", MANIFEST_SIZE_MAX);
		if (registry_get_manifest(attempt->conn, attempt->ctx, NULL, &chosen->digest, &next, err) < 0)
			return -1;
		if ((int64_t)next.len != chosen->size)
			return err_set(err, RPC_DATA_LOSS, "manifest has another size than its index says");
		registry_manifest_done(fetched);
		*fetched = next;
		next = (struct registry_manifest){ 0 };
	}
}

static int fetch_manifest(struct attempt *attempt, struct err *err)
{
	CLEANUP(registry_manifest_done) struct registry_manifest fetched = { 0 };
	const struct reference *reference = attempt->request->reference;
	struct pulled *pulled = attempt->pulled;
	char digest[DIGEST_TEXT_SIZE];

	if (registry_get_manifest(attempt->conn, attempt->ctx, reference_tag(reference),
				  reference->has_digest ? &reference->digest : NULL, &fetched, err) < 0)
		return -1;
	digest_text(&fetched.digest, digest);
	if (descend(attempt, &fetched, err) < 0)
		return -1;
	free(pulled->repo_digest);
	pulled->repo_digest = xasprintf("%s@%s", attempt->name, digest);
	if (!reference->has_digest && !pulled->tag)
		pulled->tag = reference_text(reference, attempt->name);
	pulled->digest = fetched.digest;
	str_clear(&pulled->manifest);
	str_addn(&pulled->manifest, fetched.data, fetched.len);
	return 0;
}

static void drop_first(struct sources *sources)
{
	registry_repo_free(sources->repos[0]);
	memmove(&sources->repos[0], &sources->repos[1], (sources->len - 1) * sizeof(sources->repos[0]));
	sources->len--;
}

static bool is_over(const struct err *err)
{
	return err->code == RPC_CANCELLED || err->code == RPC_DEADLINE_EXCEEDED;
}

/* The last failure, with a word about those before. Always -1. */
static int told_with(const struct str *others, struct err *err)
{
	const struct err last = *err;

	if (others->len > 0)
		err_set(err, last.code, "%s (before that: %s)", last.text, str_get(others));
	return -1;
}

/* Tries the endpoints of attempt->name; those that fail are dropped. */
static int try_endpoints(struct attempt *attempt, struct err *err)
{
	CLEANUP(str_done) struct str mirrors = STR_LIMIT(OTHERS_TEXT_MAX);

	if (find_sources(attempt, err) < 0)
		return -1;
	for (;;) {
		assert(attempt->sources.len > 0);
		attempt->conn = registry_conn_new(attempt->sources.repos[0]);
		if (fetch_manifest(attempt, err) == 0)
			return 0;
		attempt->conn = registry_conn_free(attempt->conn);
		if (attempt->sources.len == 1 || is_over(err))
			break;
		str_addf(&mirrors, "%s%s", mirrors.len ? "; " : "", err->text);
		drop_first(&attempt->sources);
	}
	return told_with(&mirrors, err);
}

static int try_name(struct attempt *attempt, const struct policy *policy, struct err *err)
{
	if (policy_check(policy, attempt->name, attempt->request->reference, err) < 0 ||
	    try_endpoints(attempt, err) < 0) {
		sources_done(&attempt->sources);
		return -1;
	}
	return 0;
}

static int try_names(struct attempt *attempt, struct err *err)
{
	CLEANUP(policy_freep) struct policy *policy = NULL;
	CLEANUP(str_done) struct str others = STR_LIMIT(OTHERS_TEXT_MAX);
	struct registries_names names;

	if (policy_load(attempt->env->config->image.signature_policy, &policy, err) < 0 ||
	    pull_names(attempt->env->registries, attempt->request->reference, attempt->arena, &names, err) <
		    0)
		return -1;
	for (size_t i = 0; i < names.len; i++) {
		attempt->name = names.items[i];
		if (try_name(attempt, policy, err) == 0)
			return 0;
		if (is_over(err))
			return -1;
		if (i + 1 < names.len)
			str_addf(&others, "%s%s: %s", others.len ? "; " : "", names.items[i], err->text);
	}
	return told_with(&others, err);
}

static int fetch_config(struct attempt *attempt, struct err *err)
{
	const struct descriptor *config = &attempt->manifest.config;
	CLEANUP(freep) char *data = NULL;
	struct err ignored;
	size_t len;

	if (blobs_get(attempt->env->blobs, &config->digest, MANIFEST_CONFIG_MAX, &data, &len, &ignored) < 0) {
		if (registry_get_blob(attempt->conn, attempt->ctx, config, &data, err) < 0)
			return -1;
		len = (size_t)config->size;
	}
	str_addn(&attempt->pulled->config, data, len);
	attempt->pulled->id = config->digest;
	return 0;
}

static struct split_options split_options_of(const struct pull_env *env)
{
	return (struct split_options){ .above = env->config->image.split_layers_above,
				       .parts = (size_t)env->config->image.split_layers_parts,
				       .pool = env->pool,
				       .budget = env->split_budget };
}

static int fetch_layers(struct attempt *attempt, struct err *err)
{
	CLEANUP(image_config_done) struct image_config config = { 0 };
	CLEANUP(diff_ids_done) struct diff_ids diff_ids = { 0 };
	CLEANUP(freep) struct digest *chains = NULL;
	const struct manifest *manifest = &attempt->manifest;
	struct pulled *pulled = attempt->pulled;

	if (image_config_parse(str_get(&pulled->config), pulled->config.len, manifest->layers_len, &config,
			       &diff_ids, err) < 0)
		return -1;
	chains = xcalloc(manifest->layers_len, sizeof(*chains));
	for (size_t i = 0; i < manifest->layers_len; i++) {
		chain_id_next(i ? &chains[i - 1] : NULL, &diff_ids.items[i], &chains[i]);
		pulled->size += (uint64_t)manifest->layers[i].size;
	}
	pulled->size += pulled->config.len;
	const struct assembly_job job = {
		.layers = attempt->env->layers,
		.pool = attempt->env->pool,
		.repos = attempt->sources.repos,
		.repos_len = attempt->sources.len,
		.conn = attempt->conn,
		.manifest = manifest,
		.diff_ids = &diff_ids,
		.chains = chains,
		.parallel_max = (size_t)attempt->env->config->image.max_parallel_downloads,
		.split = split_options_of(attempt->env),
		.sync_soon = attempt->env->config->image.sync,
	};

	if (assembly_run(&job, attempt->ctx, err) < 0)
		return -1;
	pulled->chains_len = manifest->layers_len;
	pulled->chains = TAKE(chains);
	return 0;
}

/* The kubelet takes the text out of errors with UNKNOWN only: with another code it would look for the word
 * behind "rpc error: code = ...", and never find it. Always -1. */
static int told_to_kubelet(struct err *err)
{
	if (err->code != RPC_UNAVAILABLE)
		return -1;
	err->code = RPC_UNKNOWN;
	return err_prefix(err, "RegistryUnavailable");
}

int pull_run(const struct pull_env *env, const struct ctx *ctx, const struct pull_request *request,
	     struct pulled *ret, struct err *err)
{
	CLEANUP(attempt_done)
	struct attempt attempt = {
		.env = env, .ctx = ctx, .request = request, .pulled = ret, .arena = arena_new(0)
	};

	*ret = (struct pulled){ 0 };
	if (try_names(&attempt, err) == 0 && fetch_config(&attempt, err) == 0 &&
	    fetch_layers(&attempt, err) == 0)
		return 0;
	pulled_done(env->layers, ret);
	return told_to_kubelet(err);
}
