/*
 * The spec leaves it to runtimes whether they ask plugins at all. Done here once per list and change of the
 * folders, it turns a failure of each pod into a node that is not ready and says why, and lets a list that
 * offers several versions work with plugins of different age.
 */
#include "cni/versions.h"

#include <jansson.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "cni/plugin.h"

int versions_parse(const char *text, size_t len, struct strv *ret, struct err *err)
{
	CLEANUP(json_decrefp) json_t *json = NULL;
	struct err why;
	json_t *item;
	size_t i;

	if (json_parse(text, len, PLUGIN_OUTPUT_MAX, &json, &why) < 0)
		return err_set(err, RPC_INTERNAL, "version information is no %s", why.text);
	json_t *several = json_object_get(json, "supportedVersions");
	const char *own = json_string_value(json_object_get(json, "cniVersion"));
	if (str_empty(own) || json_array_size(several) > VERSIONS_MAX)
		return err_set(err, RPC_INTERNAL, "not version information");
	if (json_array_size(several) == 0 && str_eq(own, "0.2.0")) {
		strv_add(ret, "0.1.0"); /* how 0.2.0 had it */
		strv_add(ret, "0.2.0");
		return 0;
	}
	if (json_array_size(several) == 0)
		return err_set(err, RPC_INTERNAL, "version information without supportedVersions");
	json_array_foreach(several, i, item)
	{
		const char *known =
			json_is_string(item) ? conflist_known_version(json_string_value(item)) : NULL;
		if (known && !strv_has(ret, known))
			strv_add(ret, known);
	}
	return 0;
}

/* Empty when it cannot be told. */
static void ask(const char *type, const struct config_strings *dirs, const struct ctx *ctx, struct strv *ret)
{
	static const char request[] = "{\"cniVersion\":\"1.1.0\"}";
	/* Values that plugins of 0.1.0 insist on, as libcni has them. */
	const struct plugin_call call = {
		.dirs = dirs,
		.type = type,
		.command = "VERSION",
		.container_id = "",
		.netns = "dummy",
		.ifname = "dummy",
		.args = "",
		.stdin_text = request,
		.stdin_len = strlen(request),
	};
	CLEANUP(str_done) struct str out = STR_INIT;
	struct err err;

	if (plugin_run(&call, ctx, &out, &err) < 0) {
		if (strstr(err.text, "unknown CNI_COMMAND: VERSION"))
			strv_add(ret, "0.1.0");
		return;
	}
	if (versions_parse(str_get(&out), out.len, ret, &err) < 0)
		strv_done(ret);
}

static int choose(const struct conflist *list, const struct strv *spoken, const struct conflist **ret)
{
	for (size_t i = list->versions_len; i-- > 0;) {
		bool common = true;
		for (size_t j = 0; j < list->plugins_len; j++)
			common &= spoken[j].len == 0 || strv_has(&spoken[j], list->versions[i]);
		if (!common)
			continue;
		*ret = str_eq(list->versions[i], list->version)
			       ? conflist_ref(list)
			       : conflist_at_version(list, list->versions[i]);
		return 0;
	}
	return -1;
}

/* The first plugin that speaks none of what is offered, or all of them together. */
static int no_common(const struct conflist *list, const struct strv *spoken, struct err *err)
{
	for (size_t i = 0; i < list->plugins_len; i++) {
		bool any = spoken[i].len == 0;
		for (size_t j = 0; j < list->versions_len; j++)
			any |= strv_has(&spoken[i], list->versions[j]);
		if (any)
			continue;
		CLEANUP(freep) char *all = strv_join(&spoken[i], ", ");
		return err_set(err, RPC_FAILED_PRECONDITION, "plugin %s: does not speak CNI %s, but %s",
			       list->plugins[i].type, list->version, all);
	}
	return err_set(err, RPC_FAILED_PRECONDITION,
		       "its plugins have no version of CNI in common that the configuration offers");
}

int versions_choose(const struct conflist *list, const struct config_strings *dirs, int64_t plugin_timeout,
		    const struct ctx *ctx, const struct conflist **ret, struct err *err)
{
	struct strv spoken[CONFLIST_PLUGINS_MAX] = { 0 };

	for (size_t i = 0; i < list->plugins_len; i++) {
		struct ctx own;
		ctx_init_child(&own, ctx, clock_deadline_in(plugin_timeout));
		ask(list->plugins[i].type, dirs, &own, &spoken[i]);
		ctx_done(&own);
	}
	int failed = choose(list, spoken, ret);
	if (failed)
		no_common(list, spoken, err);
	for (size_t i = 0; i < list->plugins_len; i++)
		strv_done(&spoken[i]);
	return failed;
}
