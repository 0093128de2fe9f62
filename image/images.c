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
#include "base/file.h"
#include "base/flight.h"
#include "base/gate.h"
#include "base/id.h"
#include "base/lock.h"
#include "image/blobs.h"
#include "image/catalog.h"
#include "image/layers.h"
#include "image/pull.h"

enum { PREFIX_MIN = 3 };

struct images {
	struct images_options options; /* config is not used after open */
	char *root_path;
	int root;
	struct blobs *blobs;
	struct layers *layers;
	struct catalog *catalog;
	struct registry *registry;
	struct flights *flights;
	struct gate writer;
	struct strv warnings;
	struct lock lock;
	struct config *config;         /* under lock */
	struct registries *registries; /* under lock */
};

/* A consistent pair of configurations. */
struct snapshot {
	struct config *config;
	struct registries *registries;
};

static void snapshot_done(struct snapshot *snapshot)
{
	config_unref(snapshot->config);
	registries_unref(snapshot->registries);
}

static struct snapshot snapshot_of(struct images *images)
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

static int open_store(struct images *images, struct err *err)
{
	images->root = dir_make(AT_FDCWD, images->root_path, 0700, err);
	if (images->root < 0 || layers_open(images->root, images->options.pool, &images->layers, err) < 0 ||
	    blobs_open(images->root, &images->blobs, err) < 0)
		return -1;
	return catalog_open(images->root, images->blobs, images->layers, &images->warnings, &images->catalog,
			    err);
}

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

static bool keep_layer(void *data, const char *chain)
{
	struct wanted *wanted = data;
	const struct images_options *options = &wanted->images->options;

	return map_get(&wanted->keys, chain) ||
	       (options->layer_in_use && options->layer_in_use(options->data, chain));
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
	catalog_layers(images->catalog, &wanted.keys);
	layers_collect(images->layers, keep_layer, &wanted);
	map_done(&wanted.keys);

	map_init(&wanted.keys, NULL);
	catalog_blobs(images->catalog, &wanted.keys);
	blobs_collect(images->blobs, keep_blob, &wanted);
	map_done(&wanted.keys);
}

static void enter(struct images *images)
{
	struct err ignored;

	/* Without a context the gate can only be entered. */
	if (gate_enter(&images->writer, NULL, "image store", &ignored) < 0)
		abort();
}

void images_collect(struct images *images)
{
	enter(images);
	collect(images);
	gate_leave(&images->writer);
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
	    blobs_put(images->blobs, &pulled->id, &pulled->config, durable, err) < 0)
		return -1;
	return catalog_put(images->catalog, TAKE(image), durable, err);
}

static int record(struct images *images, const struct pulled *pulled, bool durable, struct err *err)
{
	int result;

	/* What the record promises must be on disk before it is: layers were written without any fsync. */
	if (durable && syncfs(images->root) < 0)
		return err_errno(err, "sync the image store");
	enter(images);
	result = record_inside(images, pulled, durable, err);
	gate_leave(&images->writer);
	return result;
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

/* What was brought in vain is removed, unless a retry may make use of it. */
static void clean_up(struct images *images, const struct err *err)
{
	if (err->code == RPC_INVALID_ARGUMENT || err->code == RPC_DATA_LOSS ||
	    err->code == RPC_RESOURCE_EXHAUSTED)
		images_collect(images);
}

static int run_job(void *data, const struct ctx *ctx, char **ret, struct err *err)
{
	struct job *job = data;
	struct images *images = job->images;
	CLEANUP(snapshot_done) struct snapshot snapshot = snapshot_of(images);
	const struct pull_env env = {
		.config = snapshot.config,
		.registries = snapshot.registries,
		.registry = images->registry,
		.layers = images->layers,
		.blobs = images->blobs,
		.pool = images->options.pool,
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
	digest_text(&pulled.id, id);
	pulled_done(images->layers, &pulled);
	if (result < 0)
		return -1;
	*ret = xstrdup(id);
	return 0;
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

/* By the names that a reference may mean. */
static struct image *find_reference(struct images *images, const struct reference *reference)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(snapshot_done) struct snapshot snapshot = snapshot_of(images);
	struct registries_names names;
	char digest[DIGEST_TEXT_SIZE];
	struct err ignored;

	if (pull_names(snapshot.registries, reference, arena, &names, &ignored) < 0)
		return NULL;
	if (reference->has_digest)
		digest_text(&reference->digest, digest);
	for (size_t i = 0; i < names.len; i++) {
		CLEANUP(freep) char *name = reference_text(reference, names.items[i]);
		struct image *image = catalog_by_name(images->catalog, name);

		if (!image && reference->has_digest)
			image = catalog_by_digest(images->catalog, names.items[i], digest);
		if (image)
			return image;
	}
	return NULL;
}

static int find_prefix(struct images *images, const char *hex, struct image **ret, struct err *err)
{
	bool ambiguous = false;

	if (strlen(hex) >= PREFIX_MIN)
		*ret = catalog_by_prefix(images->catalog, hex, &ambiguous);
	if (ambiguous)
		return err_set(err, RPC_INVALID_ARGUMENT, "more than one image id begins with %s", hex);
	return 0;
}

/* *ret stays NULL when there is none. */
static int look_up(struct images *images, const char *name, struct image **ret, struct err *err)
{
	static const char scheme[] = "sha256:";
	const char *hex = str_has_prefix(name, scheme) ? name + strlen(scheme) : name;
	CLEANUP(reference_done) struct reference reference = { 0 };
	struct digest id;
	struct err ignored;

	if (digest_parse(name, &id, &ignored) == 0) {
		*ret = catalog_by_id(images->catalog, name);
		return 0;
	}
	if (hex != name && id_plausible(hex))
		return find_prefix(images, hex, ret, err);
	if (id_valid(name))
		return find_prefix(images, name, ret, err);
	if (reference_parse(name, &reference, err) < 0)
		return -1;
	*ret = find_reference(images, &reference);
	if (!*ret && id_plausible(name))
		return find_prefix(images, name, ret, err);
	return 0;
}

int images_find(struct images *images, const char *name, struct image **ret, struct err *err)
{
	CLEANUP(image_unrefp) struct image *image = NULL;

	if (look_up(images, name, &image, err) < 0)
		return -1;
	if (!image)
		return err_set(err, RPC_NOT_FOUND, "no image %s", name);
	*ret = TAKE(image);
	return 0;
}

struct image **images_list(struct images *images)
{
	return catalog_list(images->catalog);
}

void images_list_free(struct image **list)
{
	for (size_t i = 0; list && list[i]; i++)
		image_unref(list[i]);
	free(list);
}

/* Inside the gate. */
static int remove_inside(struct images *images, const char *name, struct err *err)
{
	CLEANUP(image_unrefp) struct image *image = NULL;

	if (look_up(images, name, &image, err) < 0)
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
	if (result == 0)
		collect(images);
	gate_leave(&images->writer);
	return result;
}

int images_layer_dirs(struct images *images, const struct image *image, struct strv *ret, struct err *err)
{
	CLEANUP(strv_done) struct strv dirs = STRV_INIT;

	for (size_t i = image->layers.len; i-- > 0;) {
		CLEANUP(freep) char *path = NULL;
		struct digest chain;

		if (digest_parse(image->layers.items[i], &chain, err) < 0)
			return -1;
		path = layers_path(&chain);
		if (faccessat(images->root, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			return err_set(err, RPC_DATA_LOSS, "layer %s of image %s is missing on disk",
				       image->layers.items[i], image->id);
		strv_addf(&dirs, "%s/%s", images->root_path, path);
	}
	*ret = dirs;
	dirs = (struct strv)STRV_INIT;
	return 0;
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
