/*
 * The parts do the work: catalog (images), layers, blobs, pull. Here they are tied together by one gate,
 * `writer`: whoever changes the catalog or collects garbage is inside it. A pull holds its layers until its
 * image is in the catalog, so a collection sees either the hold or the image. The gate is not held while a
 * pull downloads or syncs the disk.
 *
 * Configuration is a snapshot of two (crisp.toml's and registries.conf's) taken by each pull under the lock.
 */
#include "image/images.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/file.h"
#include "image/images_state.h"
#include "image/pull_metrics.h"

/* Longer than the kubelet's longest pause between two tries, which is 5 minutes. */
#define LEFTOVER_TIME (10 * 60 * NS_PER_SEC)

void snapshot_done(struct snapshot *snapshot)
{
	config_unref(snapshot->config);
	registries_unref(snapshot->registries);
}

struct snapshot images_snapshot(struct images *images)
{
	struct snapshot snapshot;

	lock_take(&images->lock);
	snapshot.config = config_ref(images->config);
	snapshot.registries = registries_ref(images->registries);
	lock_drop(&images->lock);
	return snapshot;
}

static int load_registries(const struct config *config, struct registries **ret, struct err *err)
{
	const struct registries_paths paths = {
		.file = config->image.registries_conf,
		.insecure = config->image.insecure_registries.items,
	};

	return registries_load(&paths, ret, err);
}

static struct registry_options registry_options_of(const struct config *config)
{
	return (struct registry_options){ .progress_timeout = config->image.pull_progress_timeout,
					  .certs_dirs = config->image.certs_dirs.items };
}

static void enter(struct images *images)
{
	struct err ignored;

	/* Without a context the gate can only be entered. */
	if (gate_enter(&images->writer, NULL, "image store", &ignored) < 0)
		abort();
}

static void pin(struct images *images, const struct config *config)
{
	catalog_pin(images->catalog, config->image.pinned_images.items, config->image.pinned_images.len);
}

static int open_store(struct images *images, struct err *err)
{
	images->root = dir_make(AT_FDCWD, images->root_path, 0700, err);
	if (images->root < 0 || layers_open(images->root, images->options.pool, &images->layers, err) < 0 ||
	    blobs_open(images->root, &images->blobs, err) < 0)
		return -1;
	if (catalog_open(images->root, images->blobs, images->layers, &images->warnings, &images->catalog,
			 err) < 0)
		return -1;
	pin(images, images->config);
	return 0;
}

static int64_t sweep(void *data);

struct images *images_open(const struct images_options *options, struct err *err)
{
	const struct registry_options registry_options = registry_options_of(options->config);
	struct images *images = xnew(struct images);

	images->options = *options;
	images->root = -1;
	images->root_path = xstrdup(options->config->root);
	images->config = config_ref(options->config);
	lock_init(&images->lock, "images", LOCK_IMAGES);
	gate_init(&images->writer);
	images->flights = flights_new(options->pool);
	images->sweeper = sweeper_new(sweep, images);
	images->registry = registry_new(&registry_options);
	if (load_registries(options->config, &images->registries, err) < 0 || open_store(images, err) < 0) {
		err_prefix(err, "image store");
		return images_free(images);
	}
	return images;
}

struct images *images_free(struct images *images)
{
	if (!images)
		return NULL;
	/* A cancelled pull goes on for a moment after its last caller has left. */
	(void)pool_wait_quiet(images->options.pool, NO_DEADLINE);
	flights_free(images->flights);
	sweeper_free(images->sweeper);
	catalog_free(images->catalog);
	blobs_free(images->blobs);
	layers_free(images->layers);
	registry_free(images->registry);
	registries_unref(images->registries);
	config_unref(images->config);
	gate_done(&images->writer);
	lock_done(&images->lock);
	strv_done(&images->warnings);
	fd_closep(&images->root);
	free(images->root_path);
	free(images);
	return NULL;
}

void images_cancel(struct images *images)
{
	flights_cancel(images->flights);
}

int images_reload(struct images *images, const struct config *config, struct err *err)
{
	const struct registry_options options = registry_options_of(config);
	struct registries *registries;
	struct snapshot old;

	if (load_registries(config, &registries, err) < 0)
		return -1;
	lock_take(&images->lock);
	old = (struct snapshot){ images->config, images->registries };
	images->config = config_ref(config);
	images->registries = registries;
	lock_drop(&images->lock);
	registry_configure(images->registry, &options);
	enter(images);
	pin(images, config);
	gate_leave(&images->writer);
	snapshot_done(&old);
	return 0;
}

const struct strv *images_warnings(const struct images *images)
{
	return &images->warnings;
}

/* What a collection must not touch. */
struct wanted {
	struct images *images;
	struct map keys;
};

static bool layer_used(void *data, const char *chain)
{
	struct images *images = data;

	if (!images->options.layer_in_use || !images->options.layer_in_use(images->options.data, chain))
		return false;
	atomic_store(&images->leftovers, true);
	return true;
}

static bool keep_layer(void *data, const char *chain)
{
	struct wanted *wanted = data;

	return map_get(&wanted->keys, chain) || layer_used(wanted->images, chain);
}

static bool keep_blob(void *data, const char *digest)
{
	struct wanted *wanted = data;

	return map_get(&wanted->keys, digest) != NULL;
}

/* Inside the gate. */
static void collect(struct images *images)
{
	struct wanted wanted = { .images = images };

	map_init(&wanted.keys, NULL);
	atomic_store(&images->leftovers, catalog_layers(images->catalog, &wanted.keys));
	layers_collect(images->layers, keep_layer, &wanted);
	layers_collect_replaced(images->layers, layer_used, images);
	map_done(&wanted.keys);

	map_init(&wanted.keys, NULL);
	catalog_blobs(images->catalog, &wanted.keys);
	blobs_collect(images->blobs, keep_blob, &wanted);
	map_done(&wanted.keys);
}

void images_collect(struct images *images)
{
	enter(images);
	collect(images);
	gate_leave(&images->writer);
}

/* Removes leftovers of pulls that have failed or been cancelled, once no retry has come for them in time;
 * returns when the next are due. */
static int64_t sweep(void *data)
{
	struct images *images = data;
	int64_t time = images->options.leftover_time > 0 ? images->options.leftover_time : LEFTOVER_TIME;
	struct wanted wanted = { .images = images };
	int64_t oldest;

	map_init(&wanted.keys, NULL);
	enter(images);
	(void)catalog_layers(images->catalog, &wanted.keys);
	oldest = layers_collect_idle(images->layers, clock_mono() - time, keep_layer, &wanted);
	gate_leave(&images->writer);
	map_done(&wanted.keys);
	return oldest == NO_DEADLINE ? NO_DEADLINE : oldest + time;
}

static void run_collect(void *data)
{
	images_collect(data);
}

void images_release(struct images *images)
{
	struct err ignored;

	if (!images || !atomic_exchange(&images->leftovers, false))
		return;
	if (pool_run(images->options.pool, run_collect, images, &ignored) < 0)
		atomic_store(&images->leftovers, true); /* for the next time */
}

static void add_name(struct strv *names, const char *name)
{
	if (name && !strv_has(names, name))
		strv_add(names, name);
}

/* The image that a pull has brought, with the names it has already. NULL and err when the config does not
 * fit. */
static struct image *build_image(struct images *images, const struct pulled *pulled, struct err *err)
{
	CLEANUP(image_unrefp) struct image *image = image_new();
	CLEANUP(image_unrefp) struct image *old = NULL;
	char text[DIGEST_TEXT_SIZE];

	digest_text(&pulled->id, text);
	image->id = xstrdup(text);
	old = catalog_by_id(images->catalog, text);
	digest_text(&pulled->digest, text);
	image->digest = xstrdup(text);
	for (size_t i = 0; i < pulled->chains_len; i++) {
		digest_text(&pulled->chains[i], text);
		strv_add(&image->layers, text);
	}
	if (old) {
		strv_add_all(&image->repo_tags, (const char *const *)old->repo_tags.items,
			     old->repo_tags.len);
		strv_add_all(&image->repo_digests, (const char *const *)old->repo_digests.items,
			     old->repo_digests.len);
	}
	add_name(&image->repo_tags, pulled->tag);
	add_name(&image->repo_digests, pulled->repo_digest);
	image->size = pulled->size;
	image->updated_at = clock_real();
	image->created_at = old ? old->created_at : image->updated_at;
	if (image_set_config(image, xmemdup(str_get(&pulled->config), pulled->config.len), pulled->config.len,
			     err) < 0)
		return NULL;
	return TAKE(image);
}

/* Inside the gate. */
static int record_inside(struct images *images, const struct pulled *pulled, bool durable, struct err *err)
{
	CLEANUP(image_unrefp) struct image *image = build_image(images, pulled, err);

	if (!image || blobs_put(images->blobs, &pulled->digest, &pulled->manifest, durable, err) < 0 ||
	    crash_point("pull.manifest") ||
	    blobs_put(images->blobs, &pulled->id, &pulled->config, durable, err) < 0 ||
	    crash_point("pull.config"))
		return -1;
	return catalog_put(images->catalog, TAKE(image), durable, err);
}

/* A pull of what is there already: there is nothing to write. */
static bool is_recorded(struct images *images, const struct pulled *pulled)
{
	CLEANUP(image_unrefp) struct image *image = NULL;
	char text[DIGEST_TEXT_SIZE];

	digest_text(&pulled->id, text);
	image = catalog_by_id(images->catalog, text);
	digest_text(&pulled->digest, text);
	if (!image || !str_eq(image->digest, text) || image->layers.len != pulled->chains_len ||
	    !strv_has(&image->repo_digests, pulled->repo_digest) ||
	    (pulled->tag && !strv_has(&image->repo_tags, pulled->tag)))
		return false;
	for (size_t i = 0; i < pulled->chains_len; i++) {
		digest_text(&pulled->chains[i], text);
		if (!str_eq(image->layers.items[i], text))
			return false;
	}
	return true;
}

static int record(struct images *images, const struct pulled *pulled, bool durable, struct err *err)
{
	int result;

	/* What the record promises must be on disk before it is: layers were written without any fsync. */
	if (durable && layers_sync(images->layers, pulled->chains, pulled->chains_len, err) < 0)
		return -1;
	crash_point("pull.synced");
	if (is_recorded(images, pulled))
		return 0;
	enter(images);
	result = record_inside(images, pulled, durable, err);
	gate_leave(&images->writer);
	return result;
}

static bool is_listed(struct images *images, const char *id)
{
	CLEANUP(image_unrefp) struct image *image = catalog_by_id(images->catalog, id);

	return image != NULL;
}

/* One pull in flight: a copy of what the first caller asked for. */
struct job {
	struct images *images;
	struct reference reference;
	struct image_auth auth; /* strings are ours */
	bool has_auth;
};

static void job_free(void *data)
{
	struct job *job = data;
	const char *secrets[] = {
		job->auth.username,       job->auth.password,       job->auth.auth,
		job->auth.server_address, job->auth.identity_token, job->auth.registry_token
	};

	for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
		wipe_free((char *)secrets[i]);
	reference_done(&job->reference);
	free(job);
	malloc_trim(0); /* a pull takes megabytes for a moment, and an idle daemon should not keep them */
}

static struct job *job_new(struct images *images, struct reference *reference_take,
			   const struct image_auth *auth)
{
	struct job *job = xnew(struct job);

	job->images = images;
	job->reference = *reference_take;
	*reference_take = (struct reference){ 0 };
	job->has_auth = auth != NULL;
	if (auth)
		job->auth = (struct image_auth){
			.username = xstrdup_null(auth->username),
			.password = xstrdup_null(auth->password),
			.auth = xstrdup_null(auth->auth),
			.server_address = xstrdup_null(auth->server_address),
			.identity_token = xstrdup_null(auth->identity_token),
			.registry_token = xstrdup_null(auth->registry_token),
		};
	return job;
}

/* After a pull that has failed: what it brought in vain is removed; at once, unless a retry may make use of
 * it. */
static void clean_up(struct images *images, const struct err *err)
{
	if (err->code == RPC_INVALID_ARGUMENT || err->code == RPC_DATA_LOSS ||
	    err->code == RPC_RESOURCE_EXHAUSTED)
		images_collect(images);
	sweeper_set(images->sweeper, sweep(images));
}

static int pull(struct job *job, const struct ctx *ctx, char **ret, struct err *err)
{
	struct images *images = job->images;
	CLEANUP(snapshot_done) struct snapshot snapshot = images_snapshot(images);
	const struct pull_env env = {
		.config = snapshot.config,
		.registries = snapshot.registries,
		.registry = images->registry,
		.layers = images->layers,
		.blobs = images->blobs,
		.pool = images->options.pool,
		.split_budget = &images->split_budget,
	};
	const struct pull_request request = { &job->reference, job->has_auth ? &job->auth : NULL };
	char id[DIGEST_TEXT_SIZE];
	struct pulled pulled;
	int result;

	if (pull_run(&env, ctx, &request, &pulled, err) < 0) {
		clean_up(images, err);
		return -1;
	}
	result = ctx_check(ctx, "pull",
			   err); /* nothing may appear behind the back of callers that have left */
	if (result == 0)
		result = record(images, &pulled, snapshot.config->image.sync, err);
	crash_point("pull.recorded");
	digest_text(&pulled.id, id);
	pulled_done(images->layers, &pulled);
	if (result < 0) {
		clean_up(images, err);
		return -1;
	}
	if (layers_any_replaced(images->layers))
		images_collect(images);
	if (!is_listed(images, id)) /* removed, while we still held its layers */
		sweeper_set(images->sweeper, sweep(images));
	*ret = xstrdup(id);
	return 0;
}

static int run_job(void *data, const struct ctx *ctx, char **ret, struct err *err)
{
	int result = pull(data, ctx, ret, err);

	pull_count(result < 0 ? err : NULL);
	return result;
}

/* Equal requests have equal keys: the reference with its defaults, and the credentials' digest. malloc'd. */
static char *key_of(const struct reference *reference, const struct image_auth *auth)
{
	CLEANUP(freep) char *text = reference_text(reference, reference->name);
	char hex[DIGEST_HEX_SIZE];
	struct digest digest;

	image_auth_digest(auth, &digest);
	digest_hex(&digest, hex);
	return xasprintf("%s %s", text, hex);
}

int images_pull(struct images *images, const struct ctx *ctx, const struct image_pull *pull, char **ret_id,
		struct err *err)
{
	CLEANUP(reference_done) struct reference reference = { 0 };
	CLEANUP(credentials_done) struct credentials credentials = { 0 };
	CLEANUP(freep) char *what = NULL;
	CLEANUP(freep) char *key = NULL;

	if (reference_parse(pull->reference, &reference, err) < 0 ||
	    credentials_from_cri(pull->auth, "", &credentials, err) < 0)
		return -1;
	what = xasprintf("pull of %s", pull->reference);
	key = key_of(&reference, pull->auth);
	const struct flight_work work = {
		.key = key,
		.what = what,
		.run = run_job,
		.free_data = job_free,
		.data = job_new(images, &reference, pull->auth),
		.deadline = NO_DEADLINE,
		.abandon = true,
	};

	return flight_join(images->flights, ctx, &work, ret_id, err);
}

/* Inside the gate. */
static int remove_inside(struct images *images, const char *name, struct err *err)
{
	CLEANUP(image_unrefp) struct image *image = NULL;

	if (images_look_up(images, name, &image, err) < 0)
		return -1;
	if (!image)
		return 0;
	return catalog_remove(images->catalog, image->id, err);
}

int images_remove(struct images *images, const char *name, struct err *err)
{
	int result;

	enter(images);
	result = remove_inside(images, name, err);
	crash_point("remove_image.forgotten");
	if (result == 0)
		collect(images);
	crash_point("remove_image.collected");
	gate_leave(&images->writer);
	return result;
}

/* An image without all its layers must not be listed: only then will it be pulled again. */
static void drop_damaged(struct images *images, const struct image *image)
{
	CLEANUP(image_unrefp) struct image *listed = NULL;
	struct err ignored;

	enter(images);
	listed = catalog_by_id(images->catalog, image->id);
	if (listed && catalog_remove(images->catalog, image->id, &ignored) < 0)
		ignored.code = RPC_OK; /* the next start finds the damage */
	gate_leave(&images->writer);
}

int images_layer_dirs(struct images *images, const struct image *image, struct strv *ret, struct err *err)
{
	CLEANUP(strv_done) struct strv dirs = STRV_INIT;
	bool damaged = false;

	for (size_t i = image->layers.len; i-- > 0;) {
		CLEANUP(freep) char *path = NULL;
		struct digest chain;

		if (digest_parse(image->layers.items[i], &chain, err) < 0)
			return -1;
		path = layers_path(&chain);
		if (faccessat(images->root, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
			err_set(err, RPC_DATA_LOSS, "layer %s of image %s is missing on disk: pull it again",
				image->layers.items[i], image->id);
			layers_lose(images->layers, image->layers.items[i]);
			damaged = true;
		}
		strv_addf(&dirs, "%s/%s", images->root_path, path);
	}
	if (damaged) {
		drop_damaged(images, image);
		return -1;
	}
	*ret = dirs;
	dirs = (struct strv)STRV_INIT;
	return 0;
}

char *images_layers_path(const struct images *images)
{
	return xasprintf("%s/layers", images->root_path);
}

int images_usage(struct images *images, struct image_fs_usage *ret, struct err *err UNUSED)
{
	struct tree_usage layers, blobs;

	layers_usage(images->layers, &layers);
	blobs_usage(images->blobs, &blobs);
	*ret = (struct image_fs_usage){
		.mountpoint = xstrdup(images->root_path),
		.used_bytes = layers.bytes + blobs.bytes,
		.inodes_used = layers.inodes + blobs.inodes,
		.timestamp = clock_real(),
	};
	return 0;
}
