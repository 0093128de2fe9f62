/*
 * The "linux" object: cgroup path, resources, devices, namespaces, masked and read-only paths.
 *
 * Network, IPC and UTS are always the pod's; a path of NULL means that the pod uses the host's. PID is the
 * one namespace that a container chooses for itself: its own, the pod's, the host's, or another container's.
 * On cgroup v2 a container sees only its own part of the hierarchy unless it is privileged.
 */
#include "sandbox/spec_parts.h"

#include <string.h>

#include "sandbox/pod.h"

enum { PATHS_MAX = 1024 };

static int check_paths(char *const *paths, size_t len, const char *what, struct err *err)
{
	if (len > PATHS_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "more than %d %s", PATHS_MAX, what);
	for (size_t i = 0; i < len; i++)
		if (spec_path_clean(paths[i], what, NULL, err) < 0)
			return -1;
	return 0;
}

/* A container has no user namespace of its own: what it asks for must be its pod's. */
static int check_userns(const struct spec_input *input, const Cri__LinuxContainerSecurityContext *security,
			struct err *err)
{
	const Cri__UserNamespace *asked = security->namespace_options->userns_options;

	if (!asked)
		return 0;
	if (userns_check(asked, err) < 0)
		return err_prefix(err, "userns_options");
	if (!userns_equal(asked, pod_namespace_options(input->pod_config)->userns_options))
		return err_set(err, RPC_INVALID_ARGUMENT, "userns_options are not those of the pod sandbox");
	return 0;
}

int spec_linux_check(const struct spec_input *input, struct err *err)
{
	const Cri__LinuxContainerSecurityContext *security =
		input->config->linux ? input->config->linux->security_context : NULL;

	if (!security)
		return 0;
	if (input->pod_config && security->namespace_options && check_userns(input, security, err) < 0)
		return -1;
	if (check_paths(security->masked_paths, security->n_masked_paths, "masked_paths", err) < 0 ||
	    check_paths(security->readonly_paths, security->n_readonly_paths, "readonly_paths", err) < 0)
		return -1;
	if (security->namespace_options &&
	    (security->namespace_options->network == CRI__NAMESPACE_MODE__TARGET ||
	     security->namespace_options->ipc == CRI__NAMESPACE_MODE__TARGET))
		return err_set(err, RPC_INVALID_ARGUMENT, "TARGET is a mode of the PID namespace only");
	return 0;
}

static void add_namespace(struct spec_context *context, json_t *namespaces, const char *type,
			  const char *path)
{
	json_t *namespace = json_pack("{s:s}", "type", type);

	if (path)
		json_object_set_new(namespace, "path", spec_text(context, path));
	json_array_append_new(namespaces, namespace);
}

static int add_pid_namespace(struct spec_context *context, json_t *namespaces, struct err *err)
{
	const struct spec_input *input = context->input;
	Cri__NamespaceMode mode = context->namespaces ? context->namespaces->pid : CRI__NAMESPACE_MODE__POD;

	switch (mode) {
	case CRI__NAMESPACE_MODE__CONTAINER:
		add_namespace(context, namespaces, "pid", NULL);
		return 0;
	case CRI__NAMESPACE_MODE__NODE:
		return 0;
	case CRI__NAMESPACE_MODE__POD:
		if (!input->pid_ns)
			return err_set(err, RPC_INVALID_ARGUMENT, "the pod has no PID namespace to share");
		add_namespace(context, namespaces, "pid", input->pid_ns);
		return 0;
	case CRI__NAMESPACE_MODE__TARGET:
		if (!input->target_pid_ns)
			return err_set(err, RPC_INVALID_ARGUMENT,
				       "PID namespace mode TARGET without a target container");
		add_namespace(context, namespaces, "pid", input->target_pid_ns);
		return 0;
	default:
		return err_set(err, RPC_INVALID_ARGUMENT, "unknown PID namespace mode %d", (int)mode);
	}
}

static json_t *namespaces_json(struct spec_context *context, struct err *err)
{
	const struct spec_input *input = context->input;
	bool host_ipc = context->namespaces && context->namespaces->ipc == CRI__NAMESPACE_MODE__NODE;
	json_t *namespaces = json_array();

	if (input->user_ns)
		add_namespace(context, namespaces, "user", input->user_ns);
	add_namespace(context, namespaces, "mount", NULL);
	if (add_pid_namespace(context, namespaces, err) < 0) {
		json_decref(namespaces);
		return NULL;
	}
	if (input->net_ns)
		add_namespace(context, namespaces, "network", input->net_ns);
	if (input->ipc_ns && !host_ipc)
		add_namespace(context, namespaces, "ipc", input->ipc_ns);
	if (input->uts_ns)
		add_namespace(context, namespaces, "uts", input->uts_ns);
	if (input->host->cgroup2 && !context->privileged)
		add_namespace(context, namespaces, "cgroup", NULL);
	return namespaces;
}

json_t *spec_mapping(uint32_t container, uint32_t host, uint32_t length)
{
	return json_pack("{s:I, s:I, s:I}", "containerID", (json_int_t)container, "hostID", (json_int_t)host,
			 "size", (json_int_t)length);
}

static json_t *mapping_json(const struct userns_range *range)
{
	return json_pack("[o]", spec_mapping(range->container, range->host, range->length));
}

static json_t *paths_json(struct spec_context *context, char *const *paths, size_t len)
{
	json_t *array = json_array();

	for (size_t i = 0; i < len; i++)
		json_array_append_new(array, spec_text(context, paths[i]));
	return array;
}

static void add_hidden_paths(struct spec_context *context, json_t *ret)
{
	static const char powercap[] = "/sys/devices/virtual/powercap";
	const Cri__LinuxContainerSecurityContext *security = context->security;
	json_t *masked;

	if (!security || context->privileged)
		return;
	masked = paths_json(context, security->masked_paths, security->n_masked_paths);
	/* A client that masks anything wants the usual places masked; older ones do not know this one
	 * (CVE-2020-8694). */
	if (security->n_masked_paths)
		json_array_append_new(masked, json_string(powercap));
	json_object_set_new(ret, "maskedPaths", masked);
	json_object_set_new(ret, "readonlyPaths",
			    paths_json(context, security->readonly_paths, security->n_readonly_paths));
}

static int add_resources(struct spec_context *context, json_t *ret, struct err *err)
{
	const struct spec_input *input = context->input;
	const Cri__LinuxContainerConfig *config = input->config->linux;
	json_t *devices = json_array(), *rules = json_array(), *resources = NULL;

	json_object_set_new(ret, "devices", devices);
	if (spec_devices(context, devices, rules, err) < 0 ||
	    spec_resources(config ? config->resources : NULL, input->host, &resources, err) < 0) {
		json_decref(rules);
		return -1;
	}
	if (context->device_rules)
		json_object_set(resources, "devices", rules);
	json_decref(rules);
	if (input->settings->runtime.pids_limit > 0)
		json_object_set_new(
			resources, "pids",
			json_pack("{s:I}", "limit", (json_int_t)input->settings->runtime.pids_limit));
	json_object_set_new(ret, "resources", resources);
	return 0;
}

int spec_linux(struct spec_context *context, json_t **ret, struct err *err)
{
	CLEANUP(json_decrefp) json_t *linux_part = json_object();
	json_t *namespaces = namespaces_json(context, err);

	if (!namespaces)
		return -1;
	json_object_set_new(linux_part, "namespaces", namespaces);
	if (context->input->userns) {
		json_object_set_new(linux_part, "uidMappings", mapping_json(&context->input->userns->uids));
		json_object_set_new(linux_part, "gidMappings", mapping_json(&context->input->userns->gids));
	}
	json_object_set_new(linux_part, "cgroupsPath", spec_text(context, context->input->cgroups_path));
	if (add_resources(context, linux_part, err) < 0)
		return -1;
	add_hidden_paths(context, linux_part);
	*ret = TAKE(linux_part);
	return 0;
}
