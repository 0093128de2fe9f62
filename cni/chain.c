/*
 * A plugin's stdin is its own configuration object plus what the runtime knows: the list's name and version,
 * runtimeConfig with the capabilities that this plugin declares, and prevResult (spec section 3 "Deriving
 * request configuration from plugin configuration"). The tree of the configuration is shared and never
 * changed: a shallow copy takes the additions.
 */
#include "cni/chain.h"

#include <string.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/json.h"
#include "cni/plugin.h"
#include "cni/result.h"

/* The capabilities that the plugin asks for and we have; NULL when there are none. */
static json_t *runtime_config(const struct chain *chain, const struct conflist_plugin *plugin)
{
	CLEANUP(json_decrefp) json_t *config = json_object();
	json_t *asked = (json_t *)plugin->capabilities; /* the foreach macro reads only, but is not const */
	const char *key;
	json_t *wanted;

	if (!asked || !chain->capabilities)
		return NULL;
	json_object_foreach(asked, key, wanted)
	{
		json_t *have = json_object_get(chain->capabilities, key);
		if (json_is_true(wanted) && have)
			json_object_set(config, key, have);
	}
	return json_object_size(config) ? json_incref(config) : NULL;
}

struct extra {
	const char *key;
	const json_t *value; /* NULL: none */
	const char *alias;   /* a second key for it; NULL: none */
};

/* Keys that only the runtime may set: what a file says of them would be taken for ours. */
static void remove_reserved(json_t *conf)
{
	const char *key;
	json_t *value;
	void *next;

	json_object_del(conf, "prevResult");
	json_object_del(conf, "runtimeConfig");
	json_object_del(conf, "cniVersions"); /* of a file with one plugin: the choice is made */
	json_object_foreach_safe(conf, next, key, value)
	{
		if (str_has_prefix(key, "cni.dev/"))
			json_object_del(conf, key);
	}
}

/* malloc'd */
static char *stdin_of(const struct chain *chain, const struct conflist_plugin *plugin, struct extra extra)
{
	CLEANUP(json_decrefp) json_t *conf = json_copy((json_t *)plugin->conf);
	json_t *runtime = runtime_config(chain, plugin);

	remove_reserved(conf);
	json_object_set_new(conf, "name", json_string(chain->list->name));
	json_object_set_new(conf, "cniVersion", json_string(chain->list->version));
	if (chain->container_id)
		json_object_del(conf, "capabilities"); /* answered by runtimeConfig */
	if (runtime)
		json_object_set_new(conf, "runtimeConfig", runtime);
	if (extra.value)
		json_object_set(conf, extra.key, (json_t *)extra.value);
	if (extra.value && extra.alias)
		json_object_set(conf, extra.alias, (json_t *)extra.value);
	return json_text(conf);
}

/* Each plugin has a deadline of its own, so that one that hangs does not take the time of the next: DEL of
 * the whole list releases what the others have. */
static int run(const struct chain *chain, size_t index, const char *command, struct extra extra,
	       const struct ctx *caller, struct str *out, struct err *err)
{
	const struct conflist_plugin *plugin = &chain->list->plugins[index];
	CLEANUP(freep) char *text = stdin_of(chain, plugin, extra);
	const struct plugin_call call = {
		.dirs = chain->dirs,
		.type = plugin->type,
		.command = command,
		.container_id = chain->container_id,
		.netns = chain->netns,
		.ifname = chain->ifname,
		.args = chain->args,
		.stdin_text = text,
		.stdin_len = strlen(text),
	};
	struct ctx ctx;

	ctx_init_child(&ctx, caller, clock_deadline_in(chain->plugin_timeout));
	int failed = plugin_run(&call, &ctx, out, err);
	ctx_done(&ctx);
	return failed;
}

int chain_add(const struct chain *chain, const struct ctx *ctx, json_t **ret, struct err *err)
{
	CLEANUP(json_decrefp) json_t *result = NULL;

	for (size_t i = 0; i < chain->list->plugins_len; i++) {
		CLEANUP(str_done) struct str out = STR_INIT;
		const struct extra prev = { .key = "prevResult", .value = result };
		json_t *next;
		if (run(chain, i, "ADD", prev, ctx, &out, err) < 0)
			return -1;
		if (result_parse(str_get(&out), out.len, chain->list->version, &next, err) < 0)
			return err_prefix(err, "plugin %s: ADD", chain->list->plugins[i].type);
		next = result_convert_take(next, chain->list->version);
		json_decref(result);
		result = next;
		crash_point("cni.plugin_added");
	}
	*ret = TAKE(result);
	return 0;
}

int chain_del(const struct chain *chain, const json_t *prev, bool all, const struct ctx *ctx, struct err *err)
{
	/* DEL knows prevResult since 0.4.0; older plugins refuse what they do not know. */
	const struct extra extra = {
		.key = "prevResult",
		.value = conflist_version_at_least(chain->list->version, 0, 4) ? prev : NULL,
	};
	int ret = 0;

	for (size_t i = chain->list->plugins_len; i-- > 0;) {
		CLEANUP(str_done) struct str out = STR_INIT;
		struct err why;
		if (run(chain, i, "DEL", extra, ctx, &out, &why) == 0) {
			crash_point("cni.plugin_deleted");
			continue;
		}
		if (ret == 0)
			err_set(err, why.code, "%s", why.text);
		ret = -1;
		if (!all)
			break;
	}
	return ret;
}

int chain_check(const struct chain *chain, const json_t *prev, const struct ctx *ctx, struct err *err)
{
	const struct extra extra = { .key = "prevResult", .value = prev };

	if (chain->list->disable_check || !conflist_version_at_least(chain->list->version, 0, 4))
		return 0;
	for (size_t i = 0; i < chain->list->plugins_len; i++) {
		CLEANUP(str_done) struct str out = STR_INIT;
		if (run(chain, i, "CHECK", extra, ctx, &out, err) < 0)
			return -1;
	}
	return 0;
}

/* all: the rest has its turn after a failure, the first of which is told. */
static int run_everywhere(const struct chain *chain, const char *command, struct extra extra, bool all,
			  const struct ctx *ctx, struct err *err)
{
	const struct chain bare = {
		.list = chain->list,
		.dirs = chain->dirs,
		.plugin_timeout = chain->plugin_timeout,
	};
	int ret = 0;

	for (size_t i = 0; i < bare.list->plugins_len && (all || ret == 0); i++) {
		CLEANUP(str_done) struct str out = STR_INIT;
		struct err why;
		if (run(&bare, i, command, extra, ctx, &out, &why) == 0)
			continue;
		if (ret == 0)
			err_set(err, why.code, "%s", why.text);
		ret = -1;
	}
	return ret;
}

int chain_status(const struct chain *chain, const struct ctx *ctx, struct err *err)
{
	const struct extra none = { .key = NULL };

	if (!conflist_version_at_least(chain->list->version, 1, 1))
		return 0;
	return run_everywhere(chain, "STATUS", none, false, ctx, err);
}

bool chain_has_gc(const struct conflist *list)
{
	return !list->disable_gc && conflist_version_at_least(list->version, 1, 1);
}

int chain_gc(const struct chain *chain, const json_t *attachments, const struct ctx *ctx, struct err *err)
{
	/* libcni sends both: an early edition of the spec had the second name (containernetworking/cni
	 * #1101). */
	const struct extra extra = {
		.key = "cni.dev/valid-attachments",
		.value = attachments,
		.alias = "cni.dev/attachments",
	};

	if (!chain_has_gc(chain->list))
		return 0;
	return run_everywhere(chain, "GC", extra, true, ctx, err);
}
