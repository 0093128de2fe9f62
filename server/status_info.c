/*
 * Configuration is shown under its TOML keys, so that what crictl info prints can be compared with the file;
 * the two names that other servers' users look for (rootDir, stateDir) come on top. It holds no secrets:
 * credentials live in files of their own, of which only paths are known here.
 */
#include "server/status_info.h"

#include <grpc/grpc.h>
#include <sys/utsname.h>

#include "base/json.h"

const char *const status_info_names[STATUS_INFO_COUNT] = { "config", "network", "handlers", "versions" };

static json_t *strings(const struct config_strings *list)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->len; i++)
		json_array_append_new(array, json_string(list->items[i]));
	return array;
}

static json_t *seconds(int64_t ns)
{
	return json_real((double)ns / NS_PER_SEC);
}

static json_t *api_json(const struct config_api *api)
{
	json_t *json = json_object();

	json_object_set_new(json, "listen", json_string(api->listen));
	json_object_set_new(json, "grpc_max_recv_msg_size", json_integer(api->grpc_max_recv_msg_size));
	json_object_set_new(json, "workers_max", json_integer(api->workers_max));
	json_object_set_new(json, "drain_timeout", seconds(api->drain_timeout));
	return json;
}

static json_t *runtime_json(const struct config_runtimes *runtime)
{
	json_t *json = json_object();

	json_object_set_new(json, "default_runtime", json_string(runtime->default_runtime));
	json_object_set_new(json, "cgroup_manager",
			    json_string(runtime->cgroup_manager == CONFIG_SYSTEMD ? "systemd" : "cgroupfs"));
	json_object_set_new(json, "conmon", json_string(runtime->conmon));
	json_object_set_new(json, "pids_limit", json_integer(runtime->pids_limit));
	json_object_set_new(json, "log_level", json_string(log_level_name(runtime->log_level)));
	json_object_set_new(json, "log_size_max", json_integer(runtime->log_size_max));
	json_object_set_new(json, "ctr_stop_timeout", seconds(runtime->ctr_stop_timeout));
	json_object_set_new(json, "default_capabilities", strings(&runtime->default_capabilities));
	json_object_set_new(json, "default_sysctls", strings(&runtime->default_sysctls));
	json_object_set_new(json, "seccomp_profile", json_string(runtime->seccomp_profile));
	json_object_set_new(json, "apparmor_profile", json_string(runtime->apparmor_profile));
	json_object_set_new(json, "runtime_timeout", seconds(runtime->runtime_timeout));
	return json;
}

static json_t *image_json(const struct config_image *image)
{
	json_t *json = json_object();

	json_object_set_new(json, "global_auth_file", json_string(image->global_auth_file));
	json_object_set_new(json, "registries_conf", json_string(image->registries_conf));
	json_object_set_new(json, "signature_policy", json_string(image->signature_policy));
	json_object_set_new(json, "certs_dirs", strings(&image->certs_dirs));
	json_object_set_new(json, "insecure_registries", strings(&image->insecure_registries));
	json_object_set_new(json, "max_parallel_downloads", json_integer(image->max_parallel_downloads));
	json_object_set_new(json, "split_layers_above", json_integer(image->split_layers_above));
	json_object_set_new(json, "split_layers_parts", json_integer(image->split_layers_parts));
	json_object_set_new(json, "pull_progress_timeout", seconds(image->pull_progress_timeout));
	json_object_set_new(json, "sync", json_boolean(image->sync));
	return json;
}

static json_t *network_json(const struct config_network *network)
{
	json_t *json = json_object();

	json_object_set_new(json, "network_dir", json_string(network->network_dir));
	json_object_set_new(json, "plugin_dirs", strings(&network->plugin_dirs));
	json_object_set_new(json, "cni_default_network", json_string(network->cni_default_network));
	json_object_set_new(json, "cni_timeout", seconds(network->cni_timeout));
	return json;
}

static json_t *config_info(struct service *service)
{
	CLEANUP(config_unrefp) struct config *config = service_config(service);
	json_t *json = json_object();

	json_object_set_new(json, "rootDir", json_string(config->root));
	json_object_set_new(json, "stateDir", json_string(config->runroot));
	json_object_set_new(json, "root", json_string(config->root));
	json_object_set_new(json, "runroot", json_string(config->runroot));
	json_object_set_new(json, "api", api_json(&config->api));
	json_object_set_new(json, "runtime", runtime_json(&config->runtime));
	json_object_set_new(json, "image", image_json(&config->image));
	json_object_set_new(json, "network", network_json(&config->network));
	json_object_set_new(json, "files", strings(&config->files));
	return json;
}

static json_t *network_status(struct service *service)
{
	CLEANUP(freep) char *cidr = service_pod_cidr(service);
	json_t *json = network_info(service->network);

	if (!json_is_object(json)) {
		json_decref(json);
		json = json_object();
	}
	json_object_set_new(json, "podCIDR", json_string(cidr));
	return json;
}

static json_t *handler_json(const struct handler *handler)
{
	json_t *json = json_object();

	json_object_set_new(json, "path", handler->path ? json_string(handler->path) : json_null());
	json_object_set_new(json, "root", json_string(handler->root));
	json_object_set_new(json, "monitor", handler->monitor ? json_string(handler->monitor) : json_null());
	json_object_set_new(json, "version", json_string(handler->version));
	if (handler->problem)
		json_object_set_new(json, "problem", json_string(handler->problem));
	if (handler->features)
		json_object_set(json, "features", handler->features);
	return json;
}

static json_t *handlers_info(struct service *service)
{
	json_t *json = json_object();
	const struct handler *handler;

	for (size_t i = 0; (handler = handlers_at(service->handlers, i)); i++)
		json_object_set_new(json, handler->name, handler_json(handler));
	return json;
}

static json_t *versions_info(void)
{
	json_t *json = json_object();
	struct utsname kernel;

	json_object_set_new(json, "crispd", json_string(CRISP_VERSION));
	json_object_set_new(json, "grpc", json_string(grpc_version_string()));
	if (uname(&kernel) == 0)
		json_object_set_new(json, "kernel", json_string(kernel.release));
	return json;
}

char *status_info(struct service *service, size_t which)
{
	CLEANUP(json_decrefp) json_t *json = NULL;

	switch (which) {
	case STATUS_INFO_CONFIG:
		json = config_info(service);
		break;
	case STATUS_INFO_NETWORK:
		json = network_status(service);
		break;
	case STATUS_INFO_HANDLERS:
		json = handlers_info(service);
		break;
	default:
		json = versions_info();
		break;
	}
	return json_text(json);
}
