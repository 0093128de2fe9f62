/* Each check names the field it refuses. Order: presence, then syntax, then what this node supports. */
#include "sandbox/pod_check.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>

#include "base/str.h"
#include "sandbox/cgroup.h"
#include "sandbox/log_place.h"
#include "sandbox/pod.h"
#include "sandbox/pod_files.h"
#include "sandbox/strings.h"
#include "sandbox/selinux.h"

int metadata_part_check(const char *what, const char *value, struct err *err)
{
	if (str_empty(value))
		return err_set(err, RPC_INVALID_ARGUMENT, "%s is empty", what);
	if (strlen(value) > METADATA_PART_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "%s is longer than %d bytes", what,
			       METADATA_PART_MAX);
	if (!str_is_printable(value))
		return err_set(err, RPC_INVALID_ARGUMENT, "%s has a byte that is not printable", what);
	return 0;
}

/* What of a pod goes into CNI_ARGS, "K=V;K=V", must not look like more of it: nor could it be taken back. */
static int pod_part_check(const char *what, const char *value, struct err *err)
{
	if (metadata_part_check(what, value, err) < 0)
		return -1;
	if (strpbrk(value, ";="))
		return err_set(err, RPC_INVALID_ARGUMENT, "%s has a ';' or '=' in it", what);
	return 0;
}

static bool has_dots(const char *path)
{
	CLEANUP(strv_done) struct strv parts = STRV_INIT;

	strv_split(&parts, path, '/');
	return strv_has(&parts, "..") || strv_has(&parts, ".");
}

int host_path_check(const char *what, const char *path, struct err *err)
{
	if (path[0] != '/' || strlen(path) > 4000 || has_dots(path) || strpbrk(path, "\n\r"))
		return err_set(err, RPC_INVALID_ARGUMENT, "%s is not an absolute path without dots: %.100s",
			       what, path);
	return 0;
}

static int check_namespaces(const Cri__PodSandboxConfig *config, struct err *err)
{
	const Cri__NamespaceOption *options = pod_namespace_options(config);
	bool user = options->userns_options && options->userns_options->mode == CRI__NAMESPACE_MODE__POD;

	if (options->network != CRI__NAMESPACE_MODE__POD && options->network != CRI__NAMESPACE_MODE__NODE)
		return err_set(err, RPC_INVALID_ARGUMENT, "network namespace mode of a pod is POD or NODE");
	if (options->ipc != CRI__NAMESPACE_MODE__POD && options->ipc != CRI__NAMESPACE_MODE__NODE)
		return err_set(err, RPC_INVALID_ARGUMENT, "IPC namespace mode of a pod is POD or NODE");
	if (options->pid > CRI__NAMESPACE_MODE__NODE)
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "PID namespace mode of a pod is POD, CONTAINER or NODE");
	if (user && (options->ipc == CRI__NAMESPACE_MODE__NODE || options->pid == CRI__NAMESPACE_MODE__NODE))
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "a pod with a user namespace cannot share the host's IPC or PID namespace");
	return userns_check(options->userns_options, err);
}

static int check_port(const Cri__PortMapping *port, struct err *err)
{
	struct in6_addr address;

	if (port->container_port < 0 || port->container_port > 65535 || port->host_port < 0 ||
	    port->host_port > 65535)
		return err_set(err, RPC_INVALID_ARGUMENT, "port mapping %d:%d is out of range",
			       port->host_port, port->container_port);
	if (port->host_port > 0 && port->container_port == 0)
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "port mapping of host port %d has no container port", port->host_port);
	if (port->protocol > CRI__PROTOCOL__SCTP)
		return err_set(err, RPC_INVALID_ARGUMENT, "port mapping has unknown protocol %d",
			       port->protocol);
	if (!str_empty(port->host_ip) && inet_pton(AF_INET, port->host_ip, &address) != 1 &&
	    inet_pton(AF_INET6, port->host_ip, &address) != 1)
		return err_set(err, RPC_INVALID_ARGUMENT, "port mapping has a malformed host IP: %.64s",
			       port->host_ip);
	return 0;
}

static bool same_host_port(const Cri__PortMapping *a, const Cri__PortMapping *b)
{
	return a->host_port > 0 && a->host_port == b->host_port && a->protocol == b->protocol &&
	       strcmp(a->host_ip, b->host_ip) == 0;
}

static int check_ports(const Cri__PodSandboxConfig *config, struct err *err)
{
	if (config->n_port_mappings > PORTS_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "more than %d port mappings", PORTS_MAX);
	for (size_t i = 0; i < config->n_port_mappings; i++) {
		if (check_port(config->port_mappings[i], err) < 0)
			return -1;
		for (size_t j = 0; j < i; j++)
			if (same_host_port(config->port_mappings[i], config->port_mappings[j]))
				return err_set(err, RPC_INVALID_ARGUMENT, "host port %d is mapped twice",
					       config->port_mappings[i]->host_port);
	}
	return 0;
}

static int check_files(const Cri__PodSandboxConfig *config, struct err *err)
{
	const Cri__DNSConfig *dns = config->dns_config;
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct pod_files_spec spec = { .hostname = config->hostname };

	if (dns) {
		if (dns->n_servers > POD_DNS_ITEMS_MAX || dns->n_searches > POD_DNS_ITEMS_MAX ||
		    dns->n_options > POD_DNS_ITEMS_MAX)
			return err_set(err, RPC_INVALID_ARGUMENT, "dns_config has more than %d items",
				       POD_DNS_ITEMS_MAX);
		spec.dns_servers = strings_null_terminated(arena, dns->servers, dns->n_servers);
		spec.dns_searches = strings_null_terminated(arena, dns->searches, dns->n_searches);
		spec.dns_options = strings_null_terminated(arena, dns->options, dns->n_options);
	}
	return pod_files_check(&spec, err);
}

static int check_security(const Cri__PodSandboxConfig *config, struct err *err)
{
	const Cri__LinuxSandboxSecurityContext *security =
		config->linux ? config->linux->security_context : NULL;

	if (security && security->run_as_group && !security->run_as_user)
		return err_set(err, RPC_INVALID_ARGUMENT, "run_as_group is set without run_as_user");
	return security ? selinux_check(security->selinux_options, err) : 0;
}

struct network_annotation *pod_network_annotations(const Cri__PodSandboxConfig *pod, struct arena *arena)
{
	struct network_annotation *annotations =
		arena_array(arena, pod->n_annotations + 1, sizeof(*annotations));

	for (size_t i = 0; i < pod->n_annotations; i++) {
		annotations[i].key = pod->annotations[i]->key;
		annotations[i].value = pod->annotations[i]->value;
	}
	return annotations;
}

/* Refused before anything is made, whatever the network's plugins would do with it. */
static int check_bandwidth(const Cri__PodSandboxConfig *config, struct err *err)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	const struct network_annotation *annotations = pod_network_annotations(config, arena);
	CLEANUP(json_decrefp) json_t *bandwidth = NULL;

	return annotations_bandwidth(annotations, config->n_annotations, &bandwidth, err);
}

int pod_check(const Cri__RunPodSandboxRequest *request, const struct config *config, struct err *err)
{
	const Cri__PodSandboxConfig *pod = request->config;

	if (!pod)
		return err_set(err, RPC_INVALID_ARGUMENT, "config is missing");
	if (!pod->metadata)
		return err_set(err, RPC_INVALID_ARGUMENT, "config.metadata is missing");
	if (pod_part_check("config.metadata.name", pod->metadata->name, err) < 0 ||
	    pod_part_check("config.metadata.uid", pod->metadata->uid, err) < 0 ||
	    pod_part_check("config.metadata.namespace", pod->metadata->namespace_, err) < 0)
		return -1;
	if (!config_find_runtime(config, request->runtime_handler))
		return err_set(err, RPC_INVALID_ARGUMENT, "no runtime handler \"%.100s\" is configured",
			       request->runtime_handler);
	if (*pod->log_directory && host_path_check("config.log_directory", pod->log_directory, err) < 0)
		return -1;
	if (cgroup_parent_check(config->runtime.cgroup_manager, pod->linux ? pod->linux->cgroup_parent : "",
				err) < 0 ||
	    check_namespaces(pod, err) < 0 || check_ports(pod, err) < 0 || check_bandwidth(pod, err) < 0 ||
	    check_security(pod, err) < 0)
		return -1;
	return check_files(pod, err);
}

static bool is_wildcard(const char *address)
{
	return str_empty(address) || str_eq(address, "0.0.0.0") || str_eq(address, "::");
}

/* Whether packets to this address end at this host. */
static bool is_local(const char *text, const struct ifaddrs *interfaces)
{
	struct in_addr v4;
	struct in6_addr v6;
	bool is_v4 = inet_pton(AF_INET, text, &v4) == 1;

	if (!is_v4 && inet_pton(AF_INET6, text, &v6) != 1)
		return false;
	if (is_v4 && ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET)
		return true;
	for (const struct ifaddrs *at = interfaces; at; at = at->ifa_next) {
		struct sockaddr_in in;
		struct sockaddr_in6 in6;

		if (at->ifa_addr && is_v4 && at->ifa_addr->sa_family == AF_INET) {
			memcpy(&in, at->ifa_addr, sizeof(in));
			if (in.sin_addr.s_addr == v4.s_addr)
				return true;
		} else if (at->ifa_addr && !is_v4 && at->ifa_addr->sa_family == AF_INET6) {
			memcpy(&in6, at->ifa_addr, sizeof(in6));
			if (memcmp(&in6.sin6_addr, &v6, sizeof(v6)) == 0)
				return true;
		}
	}
	return false;
}

/* A rule for an address of another host would catch what only passes through this one (CVE-2025-67499). */
static int check_host_ips(const Cri__PodSandboxConfig *pod, struct err *err)
{
	const char *foreign = NULL;
	struct ifaddrs *interfaces = NULL;

	for (size_t i = 0; i < pod->n_port_mappings && !foreign; i++) {
		const Cri__PortMapping *port = pod->port_mappings[i];

		if (port->host_port == 0 || is_wildcard(port->host_ip))
			continue;
		if (!interfaces && getifaddrs(&interfaces) < 0)
			return err_errno(err, "list this host's addresses");
		if (!is_local(port->host_ip, interfaces))
			foreign = port->host_ip;
	}
	freeifaddrs(interfaces);
	if (foreign)
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "port mapping has a host IP that is not this host's: %.64s", foreign);
	return 0;
}

int pod_check_host(const Cri__PodSandboxConfig *pod, struct err *err)
{
	if (pod_namespace_options(pod)->network == CRI__NAMESPACE_MODE__POD && check_host_ips(pod, err) < 0)
		return -1;
	return *pod->log_directory ? log_directory_check(pod->log_directory, err) : 0;
}

static int add_sysctl(struct pod_sysctls *list, const struct pause_sysctl *sysctl, unsigned int namespaces,
		      struct err *err)
{
	bool host_shared = false;

	if (pause_sysctl_check(sysctl, namespaces, &host_shared, err) < 0)
		return -1;
	if (host_shared) { /* as the peers do */
		list->skipped = sysctl->key;
		return 0;
	}
	for (size_t i = 0; i < list->len; i++)
		if (strcmp(list->items[i].key, sysctl->key) == 0) {
			list->items[i] = *sysctl;
			return 0;
		}
	list->items[list->len++] = *sysctl;
	return 0;
}

int pod_sysctls(const Cri__PodSandboxConfig *pod, const struct config *config, unsigned int namespaces,
		struct arena *arena, struct pod_sysctls *ret, struct err *err)
{
	const struct config_strings *defaults = &config->runtime.default_sysctls;
	size_t own = pod->linux ? pod->linux->n_sysctls : 0;

	if (own + defaults->len > POD_SYSCTLS_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "more than %d sysctls", POD_SYSCTLS_MAX);
	*ret = (struct pod_sysctls){ 0 };
	ret->items = arena_array(arena, own + defaults->len + 1, sizeof(*ret->items));
	for (size_t i = 0; i < defaults->len; i++) {
		char *key = arena_strdup(arena, defaults->items[i]);
		char *equals = strchr(key, '=');

		*equals = '\0';
		struct pause_sysctl sysctl = { key, equals + 1 };
		if (add_sysctl(ret, &sysctl, namespaces, err) < 0)
			return err_prefix(err, "default_sysctls");
	}
	for (size_t i = 0; i < own; i++) {
		struct pause_sysctl sysctl = { pod->linux->sysctls[i]->key, pod->linux->sysctls[i]->value };

		if (add_sysctl(ret, &sysctl, namespaces, err) < 0)
			return -1;
	}
	return 0;
}
