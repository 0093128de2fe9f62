/*
 * attach and detach around the chain of plugins and the cache. Before the first plugin runs, the cache holds
 * the configuration that is going to be used; after the last one, the result too. So whatever happens in
 * between, a crash of crispd included, a later detach finds out what to undo and with which configuration.
 *
 * An ADD that fails is undone at once, by DEL of the whole list (the spec asks for DEL after a failed ADD),
 * under a deadline of its own: the caller's may be what made it fail. If that does not work out the cache
 * entry stays, for the next detach.
 */
#include "cni/network.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "cni/cache.h"
#include "cni/chain.h"
#include "cni/conflist.h"
#include "cni/readiness.h"
#include "cni/result.h"

#define IFNAME "eth0"

struct network {
	const struct config *config;
	struct cache *cache;
	struct readiness *readiness;
};

struct network *network_open(const struct config *config, struct loop *loop, struct err *err)
{
	struct network *network = xnew(struct network);
	CLEANUP(freep) char *root = xasprintf("%s/cni", config->root);

	network->config = config_ref(config);
	network->cache = cache_open(root, err);
	if (network->cache)
		network->readiness = readiness_open(&config->network, loop, err);
	return network->readiness ? network : network_free(network);
}

struct network *network_free(struct network *network)
{
	if (!network)
		return NULL;
	readiness_free(network->readiness);
	cache_free(network->cache);
	config_unref(network->config);
	free(network);
	return NULL;
}

bool network_ready(struct network *network, char **ret_reason, char **ret_message)
{
	char *problem = NULL;

	if (readiness_ready(network->readiness, &problem))
		return true;
	*ret_reason = xstrdup("NetworkPluginNotReady");
	*ret_message = problem;
	return false;
}

json_t *network_info(struct network *network)
{
	return readiness_info(network->readiness);
}

void network_result_done(struct network_result *result)
{
	strv_done(&result->ips);
	free(result->json);
	*result = (struct network_result){ 0 };
}

/* CNI_ARGS as every CRI server sets it: "K=V;K=V", so neither may hold ';' nor '='. */
static int build_args(const struct network_pod *pod, char **ret, struct err *err)
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

/* By the names of CNI's CONVENTIONS.md, "Dynamic Plugin specific Fields". */
static json_t *build_capabilities(const struct network_pod *pod)
{
	json_t *json = json_object();

	if (pod->ports_len)
		json_object_set_new(json, "portMappings", port_mappings(pod));
	if (pod->dns) {
		json_t *dns = json_object();
		json_object_set_new(dns, "servers", words(pod->dns->servers));
		json_object_set_new(dns, "searches", words(pod->dns->searches));
		json_object_set_new(dns, "options", words(pod->dns->options));
		json_object_set_new(json, "dns", dns);
	}
	if (!str_empty(pod->cgroup_parent))
		json_object_set_new(json, "cgroupPath", json_string(pod->cgroup_parent));
	return json;
}

/* What ADD is about to use. */
static int build_entry(const struct network_pod *pod, const struct conflist *list, struct cache_entry *ret,
		       struct err *err)
{
	char *args;

	if (build_args(pod, &args, err) < 0)
		return -1;
	*ret = (struct cache_entry){
		.container_id = xstrdup(pod->id),
		.ifname = xstrdup(IFNAME),
		.netns = xstrdup(pod->netns ? pod->netns : ""),
		.args = args,
		.capabilities = build_capabilities(pod),
		.list = conflist_ref(list),
	};
	return 0;
}

static struct chain chain_of(const struct network *network, const struct cache_entry *entry,
			     const char *netns)
{
	return (struct chain){
		.list = entry->list,
		.dirs = &network->config->network.plugin_dirs,
		.container_id = entry->container_id,
		.netns = netns,
		.ifname = entry->ifname,
		.args = entry->args,
		.capabilities = entry->capabilities,
	};
}

static int add(struct network *network, struct cache_entry *entry, const struct ctx *ctx,
	       struct network_result *ret, struct err *err)
{
	const struct chain chain = chain_of(network, entry, entry->netns);
	CLEANUP(strv_done) struct strv ips = STRV_INIT;

	if (chain_add(&chain, ctx, &entry->result, err) < 0 || result_ips(entry->result, &ips, err) < 0)
		return -1;
	if (ips.len == 0)
		return err_set(err, RPC_INTERNAL, "its plugins gave the pod no address");
	if (cache_put(network->cache, entry, err) < 0)
		return -1;
	ret->json = json_text(entry->result);
	ret->ips = ips;
	ips = (struct strv)STRV_INIT;
	return 0;
}

/* The entry goes only when every plugin has released what it had. */
static int undo(struct network *network, const struct cache_entry *entry, struct err *err)
{
	const struct chain chain = chain_of(network, entry, entry->netns);
	struct ctx ctx;

	ctx_init(&ctx, clock_deadline_in(network->config->network.cni_timeout));
	int ret = chain_del(&chain, entry->result, true, &ctx, err);
	ctx_done(&ctx);
	return ret < 0 ? -1 : cache_del(network->cache, entry, err);
}

int network_attach(struct network *network, const struct ctx *caller, const struct network_pod *pod,
		   struct network_result *ret, struct err *err)
{
	CLEANUP(cache_entry_done) struct cache_entry entry = { 0 };
	CLEANUP(conflist_unrefp) const struct conflist *list = NULL;
	CLEANUP(freep) char *problem = NULL;
	struct err why, undo_why;
	struct ctx ctx;

	*ret = (struct network_result){ 0 };
	list = readiness_list(network->readiness, &problem);
	if (!list)
		return err_set(err, RPC_UNAVAILABLE, "%s", problem);
	if (build_entry(pod, list, &entry, err) < 0 || cache_put(network->cache, &entry, err) < 0)
		return -1;
	ctx_init_child(&ctx, caller, clock_deadline_in(network->config->network.cni_timeout));
	int done = add(network, &entry, &ctx, ret, &why);
	ctx_done(&ctx);
	if (done == 0)
		return 0;
	int undone = undo(network, &entry, &undo_why);
	return err_set(err, why.code, "network \"%s\": %s%s%s%s", list->name, why.text,
		       undone < 0 ? " (and undoing it failed: " : "", undone < 0 ? undo_why.text : "",
		       undone < 0 ? ")" : "");
}

/* A damaged entry: the network in use is the best guess at what it was. Without one there is nothing that
 * could be run. */
static int guess(struct network *network, const struct network_pod *pod, struct cache_entry *entry,
		 struct err *err)
{
	CLEANUP(conflist_unrefp) const struct conflist *list = NULL;
	CLEANUP(freep) char *problem = NULL;
	struct cache_entry guessed;

	list = readiness_list(network->readiness, &problem);
	if (!list)
		return 0;
	if (build_entry(pod, list, &guessed, err) < 0)
		return -1;
	guessed.file = TAKE(entry->file);
	cache_entry_done(entry);
	*entry = guessed;
	return 0;
}

static int del(struct network *network, const struct network_pod *pod, struct cache_entry *entry,
	       const struct ctx *ctx, struct err *err)
{
	if (!entry->list && guess(network, pod, entry, err) < 0)
		return -1;
	if (entry->list) {
		const struct chain chain = chain_of(network, entry, pod->netns ? pod->netns : "");
		if (chain_del(&chain, entry->result, false, ctx, err) < 0)
			return err_prefix(err, "network \"%s\"", entry->list->name);
	}
	return entry->file ? cache_del(network->cache, entry, err) : 0;
}

int network_detach(struct network *network, const struct ctx *caller, const struct network_pod *pod,
		   struct err *err)
{
	CLEANUP(cache_entries_done) struct cache_entries entries = { .len = 0 };
	struct ctx ctx;
	int ret = 0;

	if (cache_find(network->cache, pod->id, &entries, err) < 0)
		return -1;
	if (entries.len ==
	    0) /* the cache was lost, or ADD never began: DEL of what is not there is harmless */
		entries.items[entries.len++] = (struct cache_entry){ .container_id = xstrdup(pod->id) };
	ctx_init_child(&ctx, caller, clock_deadline_in(network->config->network.cni_timeout));
	for (size_t i = 0; i < entries.len && ret == 0; i++)
		ret = del(network, pod, &entries.items[i], &ctx, err);
	ctx_done(&ctx);
	return ret;
}

int network_check(struct network *network, const struct ctx *caller, const struct network_pod *pod,
		  struct err *err)
{
	CLEANUP(cache_entries_done) struct cache_entries entries = { .len = 0 };
	struct ctx ctx;
	int ret = 0;

	if (cache_find(network->cache, pod->id, &entries, err) < 0)
		return -1;
	ctx_init_child(&ctx, caller, clock_deadline_in(network->config->network.cni_timeout));
	for (size_t i = 0; i < entries.len && ret == 0; i++) {
		const struct cache_entry *entry = &entries.items[i];
		if (!entry->list || !entry->result)
			continue;
		const struct chain chain = chain_of(network, entry, pod->netns ? pod->netns : "");
		ret = chain_check(&chain, entry->result, &ctx, err);
	}
	ctx_done(&ctx);
	return ret;
}

/* DEL of every attachment in the cache whose pod is not in ids. */
static int detach_strangers(struct network *network, const struct strv *cached, const struct strv *ids,
			    const struct ctx *ctx, struct err *err)
{
	for (size_t i = 0; i < cached->len; i++) {
		const struct network_pod pod = { .id = cached->items[i], .netns = "" };
		if (!strv_has(ids, cached->items[i]) && network_detach(network, ctx, &pod, err) < 0)
			return -1;
	}
	return 0;
}

int network_gc(struct network *network, const struct ctx *caller, const struct strv *ids, struct err *err)
{
	CLEANUP(conflist_unrefp) const struct conflist *list = NULL;
	CLEANUP(strv_done) struct strv cached = STRV_INIT;
	CLEANUP(freep) char *problem = NULL;
	CLEANUP(json_decrefp) json_t *attachments = json_array();
	struct ctx ctx;

	if (cache_ids(network->cache, &cached, err) < 0 ||
	    detach_strangers(network, &cached, ids, caller, err) < 0)
		return -1;
	list = readiness_list(network->readiness, &problem);
	if (!list)
		return 0;
	for (size_t i = 0; i < ids->len; i++)
		json_array_append_new(attachments,
				      json_pack("{ssss}", "containerID", ids->items[i], "ifname", IFNAME));
	const struct chain chain = { .list = list, .dirs = &network->config->network.plugin_dirs };
	ctx_init_child(&ctx, caller, clock_deadline_in(network->config->network.cni_timeout));
	int ret = chain_gc(&chain, attachments, &ctx, err);
	ctx_done(&ctx);
	return ret;
}
