/*
 * A plugin's stdin is its own configuration object plus what the runtime knows: the list's name and version,
 * runtimeConfig with the capabilities that this plugin declares, and prevResult. The tree of the
 * configuration is shared and never changed: a shallow copy takes the additions.
 */
#include "cni/chain.h"

#include <string.h>

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
};

/* malloc'd */
static char *stdin_of(const struct chain *chain, const struct conflist_plugin *plugin, struct extra extra)
{
	CLEANUP(json_decrefp) json_t *conf = json_copy((json_t *)plugin->conf);
	json_t *runtime = runtime_config(chain, plugin);

	json_object_set_new(conf, "name", json_string(chain->list->name));
	json_object_set_new(conf, "cniVersion", json_string(chain->list->version));
	json_object_del(conf, "cniVersions"); /* of a file with one plugin: the choice is made */
	if (runtime)
		json_object_set_new(conf, "runtimeConfig", runtime);
	if (extra.value)
		json_object_set(conf, extra.key, (json_t *)extra.value);
	return json_text(conf);
}

static int run(const struct chain *chain, size_t index, const char *command, struct extra extra,
	       const struct ctx *ctx, struct str *out, struct err *err)
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

	return plugin_run(&call, ctx, out, err);
}

int chain_add(const struct chain *chain, const struct ctx *ctx, json_t **ret, struct err *err)
{
	CLEANUP(json_decrefp) json_t *result = NULL;

	for (size_t i = 0; i < chain->list->plugins_len; i++) {
		CLEANUP(str_done) struct str out = STR_INIT;
		const struct extra prev = { "prevResult", result };
		json_t *next;
		if (run(chain, i, "ADD", prev, ctx, &out, err) < 0)
			return -1;
		if (result_parse(str_get(&out), out.len, chain->list->version, &next, err) < 0)
			return err_prefix(err, "plugin %s: ADD", chain->list->plugins[i].type);
		json_decref(result);
		result = next;
	}
	*ret = TAKE(result);
	return 0;
}

int chain_del(const struct chain *chain, const json_t *prev, bool all, const struct ctx *ctx, struct err *err)
{
	/* DEL knows prevResult since 0.4.0; older plugins refuse what they do not know. */
	const struct extra extra = { "prevResult",
				     conflist_version_at_least(chain->list->version, 0, 4) ? prev : NULL };
	int ret = 0;

	for (size_t i = chain->list->plugins_len; i-- > 0;) {
		CLEANUP(str_done) struct str out = STR_INIT;
		struct err why;
		if (run(chain, i, "DEL", extra, ctx, &out, &why) == 0)
			continue;
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
	const struct extra extra = { "prevResult", prev };

	if (chain->list->disable_check || !conflist_version_at_least(chain->list->version, 0, 4))
		return 0;
	for (size_t i = 0; i < chain->list->plugins_len; i++) {
		CLEANUP(str_done) struct str out = STR_INIT;
		if (run(chain, i, "CHECK", extra, ctx, &out, err) < 0)
			return -1;
	}
	return 0;
}

static int run_everywhere(const struct chain *chain, const char *command, struct extra extra,
			  const struct ctx *ctx, struct err *err)
{
	const struct chain bare = { .list = chain->list, .dirs = chain->dirs };

	for (size_t i = 0; i < bare.list->plugins_len; i++) {
		CLEANUP(str_done) struct str out = STR_INIT;
		if (run(&bare, i, command, extra, ctx, &out, err) < 0)
			return -1;
	}
	return 0;
}

int chain_status(const struct chain *chain, const struct ctx *ctx, struct err *err)
{
	const struct extra none = { NULL, NULL };

	if (!conflist_version_at_least(chain->list->version, 1, 1))
		return 0;
	return run_everywhere(chain, "STATUS", none, ctx, err);
}

int chain_gc(const struct chain *chain, const json_t *attachments, const struct ctx *ctx, struct err *err)
{
	const struct extra extra = { "cni.dev/valid-attachments", attachments };

	if (chain->list->disable_gc || !conflist_version_at_least(chain->list->version, 1, 1))
		return 0;
	return run_everywhere(chain, "GC", extra, ctx, err);
}
