/*
 * sandboxes ask images for layers and images ask sandboxes which layers are in use: the circle is closed by a
 * pointer that images are given at birth and that is filled when sandboxes are there.
 *
 * Work that is shared between calls (a pull, a pod being made) runs on pools of its own, so that calls which
 * wait for it can't take the threads it needs.
 */
#include "server/service.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "sandbox/userns.h"
#include "server/events.h"

#define POOL_IDLE NS_PER_SEC

#define POD_CIDR_FILE "pod-cidr.json"

enum { POOL_QUEUE = 4096, POD_CIDR_MAX = 4096 };

static void log_warnings(const struct strv *warnings)
{
	for (size_t i = 0; warnings && i < warnings->len; i++)
		log_warn("%s", warnings->items[i]);
}

static int open_images(struct service *service, struct err *err)
{
	struct images_options options = {
		.config = service->config,
		.pool = service->image_pool,
		.layer_in_use = sandboxes_layer_in_use,
		.data = &service->sandboxes,
	};

	service->images = images_open(&options, err);
	if (!service->images)
		return err_prefix(err, "image store");
	log_warnings(images_warnings(service->images));
	return 0;
}

static int open_sandboxes(struct service *service, struct loop *loop, struct restore_progress *progress,
			  struct err *err)
{
	struct sandboxes_options options = {
		.config = service->config,
		.images = service->images,
		.network = service->network,
		.handlers = service->handlers,
		.loop = loop,
		.pool = service->sandbox_pool,
		.progress = progress,
	};

	if (service->config->runtime.enable_pod_events) {
		service->events = events_new();
		options.listener = events_listener(service->events);
	}
	service->sandboxes = sandboxes_open(&options, err);
	if (!service->sandboxes)
		return err_prefix(err, "pods and containers");
	log_warnings(sandboxes_warnings(service->sandboxes));
	images_collect(service->images); /* now it is known what containers use */
	return 0;
}

/* An unusable handler is told and shown by Status; it does not keep the node's other handlers from working.
 */
static int open_handlers(struct service *service, struct err *err)
{
	const struct handler *handler;

	service->user_namespaces = userns_supported();
	service->handlers = handlers_open(service->config, false, err);
	if (!service->handlers)
		return err_prefix(err, "runtime handlers");
	for (size_t i = 0; (handler = handlers_at(service->handlers, i)); i++) {
		if (!handler->problem)
			log_info("runtime handler %s: %s (%s)", handler->name, handler->path,
				 handler->version);
		else if (handler == handlers_find(service->handlers, ""))
			log_error("default runtime handler %s: %s; install it and restart crispd",
				  handler->name, handler->problem);
		else
			log_info("runtime handler %s is not offered: %s", handler->name, handler->problem);
	}
	return 0;
}

static struct tls_options stream_tls(const struct config_api *api)
{
	return (struct tls_options){ .cert = api->stream_tls_cert,
				     .key = api->stream_tls_key,
				     .ca = api->stream_tls_ca,
				     .min_version = api->stream_tls_min_version == CONFIG_TLS13
							    ? TLS_VERSION_13
							    : TLS_VERSION_12,
				     .cipher_suites = api->stream_tls_cipher_suites.items,
				     .cipher_suites_len = api->stream_tls_cipher_suites.len };
}

static int open_streaming(struct service *service, struct err *err)
{
	const struct config_api *api = &service->config->api;
	const struct tls_options tls = stream_tls(api);
	const struct streaming_options options = { .address = api->stream_address,
						   .port = (uint16_t)api->stream_port,
						   .tls = api->stream_enable_tls ? &tls : NULL,
						   .idle_timeout = api->stream_idle_timeout };

	service->streaming = streaming_new(&options, err);
	return service->streaming ? 0 : -1;
}

static int open_all(struct service *service, struct loop *loop, struct restore_progress *progress,
		    struct err *err)
{
	if (open_handlers(service, err) < 0 || open_images(service, err) < 0)
		return -1;
	service->network = network_open(service->config, loop, err);
	if (!service->network)
		return err_prefix(err, "pod network");
	return open_sandboxes(service, loop, progress, err) < 0 ? -1 : open_streaming(service, err);
}

static int save_pod_cidr(const struct config *config, const char *cidr, struct err *err)
{
	CLEANUP(fd_closep) int root = dir_open(AT_FDCWD, config->root, err);
	CLEANUP(json_decrefp) json_t *document = json_pack("{ss}", "podCIDR", cidr);
	CLEANUP(freep) char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;

	if (!text)
		return err_set(err, RPC_INVALID_ARGUMENT, "pod_cidr: not UTF-8");
	return root < 0 ? -1 : file_replace(root, POD_CIDR_FILE, text, strlen(text), 0600, err);
}

/* What cannot be read is sent again by the next kubelet that starts. */
static char *load_pod_cidr(const struct config *config)
{
	struct err err = { 0 };
	CLEANUP(fd_closep) int root = dir_open(AT_FDCWD, config->root, &err);
	CLEANUP(json_decrefp) json_t *document = NULL;
	CLEANUP(freep) char *text = NULL;
	const char *cidr = NULL;
	size_t len = 0;

	if (root < 0 || file_read(root, POD_CIDR_FILE, POD_CIDR_MAX, &text, &len, &err) < 0 ||
	    json_parse(text, len, POD_CIDR_MAX, &document, &err) < 0) {
		if (err.code != RPC_NOT_FOUND)
			log_warn("%s/" POD_CIDR_FILE ": %s, ignoring", config->root, err.text);
		return xstrdup("");
	}
	cidr = json_string_value(json_object_get(document, "podCIDR"));
	return xstrdup(cidr ? cidr : "");
}

struct service *service_open(const struct config *config, struct loop *loop,
			     struct restore_progress *progress, struct err *err)
{
	struct service *service = xnew(struct service);
	size_t threads = (size_t)config->api.workers_max;

	lock_init(&service->lock, "service", LOCK_CONFIG);
	gate_init(&service->pod_cidr_gate);
	service->config = config_ref(config);
	service->pod_cidr = load_pod_cidr(config);
	service->image_pool = pool_new(&(struct pool_options){
		.name = "image", .threads_max = threads, .queue_max = POOL_QUEUE, .idle_ns = POOL_IDLE });
	service->sandbox_pool = pool_new(&(struct pool_options){
		.name = "sandbox", .threads_max = threads, .queue_max = POOL_QUEUE, .idle_ns = POOL_IDLE });
	if (open_all(service, loop, progress, err) < 0)
		return service_close(service);
	return service;
}

void service_cancel(struct service *service)
{
	sandboxes_cancel(service->sandboxes);
	images_cancel(service->images);
}

bool service_drain(struct service *service, int64_t cancel_at, int64_t deadline)
{
	if (pool_wait_quiet(service->sandbox_pool, cancel_at) &&
	    pool_wait_quiet(service->image_pool, cancel_at))
		return true;
	service_cancel(service);
	return pool_wait_quiet(service->sandbox_pool, deadline) &&
	       pool_wait_quiet(service->image_pool, deadline);
}

struct service *service_close(struct service *service)
{
	if (!service)
		return NULL;
	streaming_free(service->streaming);
	pool_free(service->sandbox_pool); /* its tasks use all that follows */
	if (service->sandboxes)
		sandboxes_free(service->sandboxes);
	events_free(service->events);
	if (service->network)
		network_free(service->network);
	if (service->images)
		images_free(service->images);
	if (service->handlers)
		handlers_free(service->handlers);
	pool_free(service->image_pool);
	config_unref(service->config);
	gate_done(&service->pod_cidr_gate);
	lock_done(&service->lock);
	free(service->pod_cidr);
	free(service);
	return NULL;
}

struct config *service_config(struct service *service)
{
	struct config *config;

	lock_take(&service->lock);
	config = config_ref(service->config);
	lock_drop(&service->lock);
	return config;
}

int service_reload(struct service *service, const struct config *config, struct err *err)
{
	const struct tls_options tls = stream_tls(&config->api);
	struct tls_material *material;
	struct config *old;

	if (streaming_prepare_tls(service->streaming, config->api.stream_enable_tls ? &tls : NULL, &material,
				  err) < 0)
		return -1;
	if (images_reload(service->images, config, err) < 0) {
		tls_material_unref(material);
		return -1;
	}
	streaming_replace_tls_take(service->streaming, material);
	lock_take(&service->lock);
	old = service->config;
	service->config = config_ref(config);
	lock_drop(&service->lock);
	config_unref(old);
	return 0;
}

/* A full disk is no reason to call the node's network broken, as a kubelet would. */
static void change_pod_cidr(struct service *service, const char *cidr)
{
	CLEANUP(config_unrefp) struct config *config = service_config(service);
	CLEANUP(freep) char *now = service_pod_cidr(service);
	CLEANUP(freep) char *copy = xstrdup(cidr);

	if (str_eq(now, cidr))
		return;
	struct err err;
	if (save_pod_cidr(config, cidr, &err) < 0)
		log_warn("pod CIDR: %s, ignoring: it is forgotten with the end of crispd", err.text);
	lock_take(&service->lock);
	char *old = service->pod_cidr;
	service->pod_cidr = copy;
	copy = old;
	lock_drop(&service->lock);
}

int service_set_pod_cidr(struct service *service, const struct ctx *ctx, const char *cidr, struct err *err)
{
	if (gate_enter(&service->pod_cidr_gate, ctx, "UpdateRuntimeConfig", err) < 0)
		return -1;
	change_pod_cidr(service, cidr);
	gate_leave(&service->pod_cidr_gate);
	return 0;
}

char *service_pod_cidr(struct service *service)
{
	char *copy;

	lock_take(&service->lock);
	copy = xstrdup(service->pod_cidr);
	lock_drop(&service->lock);
	return copy;
}

static uint8_t *no_room(void *data UNUSED, size_t len UNUSED, struct err *err)
{
	err_set(err, RPC_RESOURCE_EXHAUSTED, "the list is not wanted");
	return NULL;
}

void service_touch(struct service *service)
{
	const struct list_room room = { .take = no_room };
	Cri__PodSandboxFilter pod_filter = CRI__POD_SANDBOX_FILTER__INIT;
	struct image *image = NULL;
	struct err ignored = { 0 };

	/* An id that no pod and no image has: nothing is copied, but the maps are locked and read. */
	pod_filter.id = (char *)"0000000000000000000000000000000000000000000000000000000000000000";
	if (pods_list(service->sandboxes, &pod_filter, &room, &ignored) < 0)
		err_clear(&ignored);
	if (images_find(service->images, pod_filter.id, &image, &ignored) == 0)
		image_unref(image);
}
