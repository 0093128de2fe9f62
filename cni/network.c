/*
 * attach and detach around the chain of plugins and the cache. Before the first plugin runs, the cache holds
 * the configuration that is going to be used; after the last one, the result too. So whatever happens in
 * between, a crash of crispd included, a later detach finds out what to undo and with which configuration.
 *
 * An ADD that fails is undone at once, by DEL of the whole list (the spec asks for DEL after a failed ADD),
 * without the caller's deadline, which may be what made it fail; each plugin has its own. If that does not
 * work out the cache entry stays, for the next detach.
 */
#include "cni/network.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/json.h"
#include "base/lock.h"
#include "base/map.h"
#include "cni/cache.h"
#include "cni/chain.h"
#include "cni/conflist.h"
#include "cni/masquerade.h"
#include "cni/orphans.h"
#include "cni/readiness.h"
#include "cni/result.h"
#include "cni/runtime_conf.h"

#define IFNAME "eth0"

struct network {
	const struct config *config;
	struct cache *cache;
	struct readiness *readiness;
	struct strv found; /* ids with an attachment in the cache when it was opened */
	struct orphans *orphans;

	struct lock lock;
	struct cond changed;
	/* under lock */
	unsigned int inside; /* ADDs and DELs at work */
	bool alone;          /* GC works, or waits for those inside to leave: nobody enters */
	struct map failed;   /* ids whose DEL failed; the values mean nothing */
};

/* True when it may be tried again: somebody left, or a moment has passed. */
static bool wait_locked(struct network *network, const struct ctx *ctx, struct err *err)
	REQUIRES(network->lock)
{
	cond_wait_until(&network->changed, &network->lock, clock_deadline_in(250 * NS_PER_MS));
	return ctx_check(ctx, "waiting for the network's plugins", err) == 0;
}

/* ADD and DEL side by side. */
static int enter(struct network *network, const struct ctx *ctx, struct err *err)
{
	bool patient = true;

	lock_take(&network->lock);
	while (network->alone && patient)
		patient = wait_locked(network, ctx, err);
	if (patient)
		network->inside++;
	lock_drop(&network->lock);
	return patient ? 0 : -1;
}

static void leave(struct network *network)
{
	lock_take(&network->lock);
	network->inside--;
	cond_broadcast(&network->changed);
	lock_drop(&network->lock);
}

/* GC: nobody enters any more, and those inside leave first. */
static int enter_alone(struct network *network, const struct ctx *ctx, struct err *err)
{
	bool patient = true;

	lock_take(&network->lock);
	while (network->alone && patient)
		patient = wait_locked(network, ctx, err);
	bool ours = patient;
	if (ours)
		network->alone = true;
	while (network->inside && patient)
		patient = wait_locked(network, ctx, err);
	if (ours && !patient)
		network->alone = false;
	cond_broadcast(&network->changed);
	lock_drop(&network->lock);
	return patient ? 0 : -1;
}

static void leave_alone(struct network *network)
{
	lock_take(&network->lock);
	network->alone = false;
	cond_broadcast(&network->changed);
	lock_drop(&network->lock);
}

struct network *network_open(const struct config *config, struct loop *loop, struct err *err)
{
	struct network *network = xnew(struct network);
	CLEANUP(freep) char *root = xasprintf("%s/cni", config->root);

	network->config = config_ref(config);
	lock_init(&network->lock, "network", LOCK_NETWORK);
	cond_init(&network->changed);
	map_init(&network->failed, NULL);
	network->orphans = orphans_find();
	network->cache = cache_open(root, err);
	if (network->cache && cache_ids(network->cache, &network->found, err) == 0)
		network->readiness = readiness_open(&config->network, loop, err);
	return network->readiness ? network : network_free(network);
}

struct network *network_free(struct network *network)
{
	if (!network)
		return NULL;
	readiness_free(network->readiness);
	cache_free(network->cache);
	orphans_free(network->orphans);
	strv_done(&network->found);
	map_done(&network->failed);
	cond_done(&network->changed);
	lock_done(&network->lock);
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

/* What ADD is about to use. */
static int build_entry(const struct network_pod *pod, const struct conflist *list, struct cache_entry *ret,
		       struct err *err)
{
	CLEANUP(freep) char *args = NULL;
	json_t *capabilities;

	if (runtime_conf_args(pod, &args, err) < 0 ||
	    runtime_conf_capabilities(pod, list->name, &capabilities, err) < 0)
		return -1;
	*ret = (struct cache_entry){
		.container_id = xstrdup(pod->id),
		.ifname = xstrdup(IFNAME),
		.netns = xstrdup(pod->netns ? pod->netns : ""),
		.args = TAKE(args),
		.capabilities = capabilities,
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
		.plugin_timeout = network->config->network.cni_timeout,
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
	crash_point("cni.added");
	if (cache_put(network->cache, entry, err) < 0)
		return -1;
	ret->json = json_text(entry->result);
	ret->ips = ips;
	ips = (struct strv)STRV_INIT;
	return 0;
}

/* DEL as in this chain, and what it leaves without a namespace, or an earlier DEL halfway, here or in a
 * crispd before. */
static int release(struct network *network, const struct chain *chain, const json_t *result, bool all,
		   const struct ctx *ctx, struct err *err)
{
	const char *id = chain->container_id;
	int failed = chain_del(chain, result, all, ctx, err);

	lock_take(&network->lock);
	bool again =
		str_empty(chain->netns) || map_get(&network->failed, id) || strv_has(&network->found, id);
	lock_drop(&network->lock);
	if (!failed && again)
		failed = masquerade_remove(chain->list, id, ctx, err);
	lock_take(&network->lock);
	if (failed)
		map_put(&network->failed, id, network);
	else
		map_del(&network->failed, id);
	lock_drop(&network->lock);
	return failed;
}

/* The entry goes only when every plugin has released what it had. */
static int undo(struct network *network, const struct cache_entry *entry, struct err *err)
{
	const struct chain chain = chain_of(network, entry, entry->netns);

	if (release(network, &chain, entry->result, true, NULL, err) < 0)
		return -1;
	return cache_del(network->cache, entry, err);
}

static int attach(struct network *network, const struct ctx *ctx, const struct network_pod *pod,
		  struct network_result *ret, struct err *err)
{
	CLEANUP(cache_entry_done) struct cache_entry entry = { 0 };
	CLEANUP(conflist_unrefp) const struct conflist *list = NULL;
	CLEANUP(freep) char *problem = NULL;
	struct err why, undo_why;

	list = readiness_list(network->readiness, &problem);
	if (!list)
		return err_set(err, RPC_UNAVAILABLE, "%s", problem);
	if (build_entry(pod, list, &entry, err) < 0 || cache_put(network->cache, &entry, err) < 0)
		return -1;
	crash_point("cni.recorded");
	if (add(network, &entry, ctx, ret, &why) == 0)
		return 0;
	int undone = undo(network, &entry, &undo_why);
	return err_set(err, why.code, "network \"%s\": %s%s%s%s", list->name, why.text,
		       undone < 0 ? " (and undoing it failed: " : "", undone < 0 ? undo_why.text : "",
		       undone < 0 ? ")" : "");
}

int network_attach(struct network *network, const struct ctx *ctx, const struct network_pod *pod,
		   struct network_result *ret, struct err *err)
{
	*ret = (struct network_result){ 0 };
	if (enter(network, ctx, err) < 0)
		return -1;
	int failed = attach(network, ctx, pod, ret, err);
	leave(network);
	return failed;
}

/* A damaged entry: the network in use is the best guess at what it was. Without one there is nothing that
 * could be run. */
static int guess(struct network *network, const struct network_pod *pod, struct cache_entry *entry,
		 struct err *err)
{
	CLEANUP(conflist_unrefp) const struct conflist *list = NULL;
	CLEANUP(freep) char *problem = NULL;
	struct network_pod plain = *pod;
	struct cache_entry guessed;

	list = readiness_list(network->readiness, &problem);
	if (!list)
		return 0;
	/* What the annotations ask for may be why ADD was never tried; DEL does not need it. */
	plain.annotations_len = 0;
	if (build_entry(pod, list, &guessed, err) < 0 && build_entry(&plain, list, &guessed, err) < 0)
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
		if (release(network, &chain, entry->result, false, ctx, err) < 0)
			return err_prefix(err, "network \"%s\"", entry->list->name);
	}
	crash_point("cni.deleted");
	return entry->file ? cache_del(network->cache, entry, err) : 0;
}

int network_detach(struct network *network, const struct ctx *ctx, const struct network_pod *pod,
		   struct err *err)
{
	CLEANUP(cache_entries_done) struct cache_entries entries = { .len = 0 };
	int ret = 0;

	if (orphans_wait(network->orphans, pod->id, network->config->network.cni_timeout, ctx, err) < 0 ||
	    cache_find(network->cache, pod->id, &entries, err) < 0 || enter(network, ctx, err) < 0)
		return -1;
	if (entries.len ==
	    0) /* the cache was lost, or ADD never began: DEL of what is not there is harmless */
		entries.items[entries.len++] = (struct cache_entry){ .container_id = xstrdup(pod->id) };
	for (size_t i = 0; i < entries.len && ret == 0; i++)
		ret = del(network, pod, &entries.items[i], ctx, err);
	leave(network);
	return ret;
}

int network_check(struct network *network, const struct ctx *ctx, const struct network_pod *pod,
		  struct err *err)
{
	CLEANUP(cache_entries_done) struct cache_entries entries = { .len = 0 };
	int ret = 0;

	if (cache_find(network->cache, pod->id, &entries, err) < 0)
		return -1;
	for (size_t i = 0; i < entries.len && ret == 0; i++) {
		const struct cache_entry *entry = &entries.items[i];
		if (!entry->list || !entry->result)
			continue;
		const struct chain chain = chain_of(network, entry, pod->netns ? pod->netns : "");
		ret = chain_check(&chain, entry->result, ctx, err);
	}
	return ret;
}

/* DEL of every attachment that was there when we started and whose pod is not in ids. The first failure is
 * told, after all have had their turn. */
static int detach_strangers(struct network *network, const struct strv *ids, const struct ctx *ctx,
			    struct err *err)
{
	int ret = 0;

	for (size_t i = 0; i < network->found.len; i++) {
		const struct network_pod pod = { .id = network->found.items[i], .netns = "" };
		struct err why;

		if (strv_has(ids, pod.id) || network_detach(network, ctx, &pod, &why) == 0)
			continue;
		if (ret == 0)
			err_set(err, why.code, "attachment of %.12s, which is no pod's: %s", pod.id,
				why.text);
		ret = -1;
	}
	return ret;
}

/* Those of ids, and what is cached besides: of pods that came meanwhile, or that could not be detached. */
static int valid_attachments(struct network *network, const struct strv *ids, json_t **ret, struct err *err)
{
	CLEANUP(strv_done) struct strv all = STRV_INIT;

	strv_add_all(&all, (const char *const *)ids->items, ids->len);
	if (cache_ids(network->cache, &all, err) < 0)
		return -1;
	*ret = json_array();
	for (size_t i = 0; i < all.len; i++)
		json_array_append_new(*ret,
				      json_pack("{ssss}", "containerID", all.items[i], "ifname", IFNAME));
	return 0;
}

/* The spec: no ADD and no DEL while GC runs. */
static int collect(struct network *network, const struct strv *ids, const struct conflist *list,
		   const struct ctx *ctx, struct err *err)
{
	CLEANUP(json_decrefp) json_t *attachments = NULL;
	const struct chain chain = {
		.list = list,
		.dirs = &network->config->network.plugin_dirs,
		.plugin_timeout = network->config->network.cni_timeout,
	};

	if (enter_alone(network, ctx, err) < 0)
		return -1;
	int failed = valid_attachments(network, ids, &attachments, err);
	if (!failed && chain_gc(&chain, attachments, ctx, err) < 0)
		failed = err_prefix(err, "network \"%s\"", list->name);
	leave_alone(network);
	return failed;
}

int network_gc(struct network *network, const struct ctx *ctx, const struct strv *ids, struct err *err)
{
	CLEANUP(conflist_unrefp) const struct conflist *list = NULL;
	CLEANUP(freep) char *problem = NULL;
	struct err why;

	int failed = detach_strangers(network, ids, ctx, err);
	list = readiness_list(network->readiness, &problem);
	if (!list || !chain_has_gc(list) || collect(network, ids, list, ctx, &why) == 0)
		return failed;
	return failed ? -1 : err_set(err, why.code, "%s", why.text);
}
