/*
 * Each capability is handed over whole here; which of them a plugin gets to see is decided where its stdin is
 * made, by what its configuration asks for.
 */
#include "cni/runtime_conf.h"

#include <string.h>

#include "base/str.h"

/* As every CRI server sets it; neither key nor value may hold ';' or '='. */
int runtime_conf_args(const struct network_pod *pod, char **ret, struct err *err)
{
	const struct {
		const char *key, *value;
	} args[] = {
		{ "IgnoreUnknown", "1" },      { "K8S_POD_NAMESPACE", pod->namespace },
		{ "K8S_POD_NAME", pod->name }, { "K8S_POD_INFRA_CONTAINER_ID", pod->id },
		{ "K8S_POD_UID", pod->uid },
	};
	CLEANUP(str_done) struct str out = STR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(args); i++) {
		const char *value = args[i].value ? args[i].value : "";
		if (strpbrk(value, ";=") || !str_is_printable(value))
			return err_set(err, RPC_INVALID_ARGUMENT, "%s \"%s\" cannot be told to CNI plugins",
				       args[i].key, value);
		str_addf(&out, "%s%s=%s", i ? ";" : "", args[i].key, value);
	}
	*ret = str_take(&out);
	return 0;
}

static json_t *port_mappings(const struct network_pod *pod)
{
	json_t *ports = json_array();

	for (size_t i = 0; i < pod->ports_len; i++) {
		const struct network_port *port = &pod->ports[i];
		json_t *json = json_object();
		json_object_set_new(json, "hostPort", json_integer(port->host_port));
		json_object_set_new(json, "containerPort", json_integer(port->container_port));
		json_object_set_new(json, "protocol", json_string(port->protocol));
		json_object_set_new(json, "hostIP", json_string(port->host_ip ? port->host_ip : ""));
		json_array_append_new(ports, json);
	}
	return ports;
}

static json_t *words(const char *const *items)
{
	json_t *array = json_array();

	for (size_t i = 0; items && items[i]; i++)
		json_array_append_new(array, json_string(items[i]));
	return array;
}

static json_t *dns_of(const struct network_dns *dns)
{
	json_t *json = json_object();

	json_object_set_new(json, "servers", words(dns->servers));
	json_object_set_new(json, "searches", words(dns->searches));
	json_object_set_new(json, "options", words(dns->options));
	return json;
}

/* A value that is no UTF-8 cannot be told in JSON: json_string() is NULL then, and the key left out. */
static json_t *annotations_of(const struct network_pod *pod)
{
	json_t *json = json_object();

	for (size_t i = 0; i < pod->annotations_len; i++)
		json_object_set_new(json, pod->annotations[i].key, json_string(pod->annotations[i].value));
	return json;
}

int runtime_conf_capabilities(const struct network_pod *pod, const char *network, json_t **ret,
			      struct err *err)
{
	CLEANUP(json_decrefp) json_t *json = json_object();
	json_t *bandwidth;

	if (pod->ports_len)
		json_object_set_new(json, "portMappings", port_mappings(pod));
	if (annotations_bandwidth(pod->annotations, pod->annotations_len, &bandwidth, err) < 0)
		return -1;
	if (bandwidth)
		json_object_set_new(json, "bandwidth", bandwidth);
	if (pod->dns)
		json_object_set_new(json, "dns", dns_of(pod->dns));
	if (!str_empty(pod->cgroup_parent))
		json_object_set_new(json, "cgroupPath", json_string(pod->cgroup_parent));
	json_object_set_new(json, "io.kubernetes.cri.pod-annotations", annotations_of(pod));
	if (annotations_addresses(pod->annotations, pod->annotations_len, network, json, err) < 0)
		return -1;
	*ret = TAKE(json);
	return 0;
}
