/*
 * CNI as far as it can be told without calling a plugin: configuration that parses, and a binary for every
 * plugin type it names, ipam included. Reading for real, with all of its rules, is the business of cni/; here
 * only "type" matters.
 */
#include "config/check_probe.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "config/program.h"

enum { CONF_MAX = 1024 * 1024 };

static bool is_conf(const char *name)
{
	return name[0] != '.' && (str_has_suffix(name, ".conflist") || str_has_suffix(name, ".conf") ||
				  str_has_suffix(name, ".json"));
}

static void add_type(const json_t *plugin, struct strv *types)
{
	const char *type = json_string_value(json_object_get(plugin, "type"));

	if (type && !strv_has(types, type))
		strv_add(types, type);
}

static void add_types(const json_t *conf, struct strv *types)
{
	const json_t *plugins = json_object_get(conf, "plugins");
	size_t i;
	json_t *plugin;

	add_type(conf, types);
	add_type(json_object_get(conf, "ipam"), types);
	json_array_foreach(plugins, i, plugin)
	{
		add_type(plugin, types);
		add_type(json_object_get(plugin, "ipam"), types);
	}
}

/* Reads one file; what is wrong with it goes to `problems`. */
static bool read_conf(const char *dir, const char *name, struct strv *types, struct str *problems)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", dir, name);
	CLEANUP(freep) char *real = realpath(path, NULL);
	CLEANUP(freep) char *text = NULL;
	CLEANUP(json_decrefp) json_t *conf = NULL;
	size_t len;
	struct err err;

	if (file_read(AT_FDCWD, real ? real : path, CONF_MAX, &text, &len, &err) < 0 ||
	    json_parse(text, len, CONF_MAX, &conf, &err) < 0) {
		str_addf(problems, "%s%s: %s", problems->len ? "; " : "", name, err.text);
		return false;
	}
	add_types(conf, types);
	return true;
}

static void check_conf(struct check *check, struct strv *types)
{
	const char *dir = check->config->network.network_dir;
	static const char mend[] =
		"install a network's CNI configuration; until then the node is NetworkReady=false";
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	CLEANUP(strv_done) struct strv good = STRV_INIT;
	CLEANUP(str_done) struct str problems = STR_INIT;
	struct err err;

	if (dir_list(AT_FDCWD, dir, &names, &err) < 0) {
		check_bad(check, CHECK_WARN, "network.config", mend, "%s", err.text);
		return;
	}
	for (size_t i = 0; i < names.len; i++)
		if (is_conf(names.items[i]) && read_conf(dir, names.items[i], types, &problems))
			strv_add(&good, names.items[i]);
	CLEANUP(freep) char *all = strv_join(&good, " ");
	if (problems.len)
		check_bad(check, CHECK_WARN, "network.config", "correct or remove the file", "%s: %s", dir,
			  str_get(&problems));
	else if (good.len == 0)
		check_bad(check, CHECK_WARN, "network.config", mend, "no configuration in %s", dir);
	else
		check_ok(check, "network.config", "%s: %s", dir, all);
}

static bool find_plugin(const struct config_network *network, const char *type)
{
	if (!*type || strchr(type, '/') || type[0] == '.')
		return false;
	for (size_t i = 0; i < network->plugin_dirs.len; i++) {
		CLEANUP(freep) char *path = xasprintf("%s/%s", network->plugin_dirs.items[i], type);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

static void check_plugins(struct check *check, const struct strv *types)
{
	const struct config_network *network = &check->config->network;
	CLEANUP(strv_done) struct strv missing = STRV_INIT;
	CLEANUP(str_done) struct str dirs = STR_INIT;

	for (size_t i = 0; i < types->len; i++)
		if (!find_plugin(network, types->items[i]))
			strv_add(&missing, types->items[i]);
	for (size_t i = 0; i < network->plugin_dirs.len; i++)
		str_addf(&dirs, "%s%s", i ? ":" : "", network->plugin_dirs.items[i]);
	CLEANUP(freep) char *absent = strv_join(&missing, " ");
	CLEANUP(freep) char *all = strv_join(types, " ");
	if (missing.len)
		check_bad(
			check, CHECK_FAIL, "network.plugins",
			"install them (package containernetworking-plugins), or set plugin_dirs in [crisp.network]",
			"not in %s: %s", str_get(&dirs), absent);
	else if (types->len)
		check_ok(check, "network.plugins", "%s", all);
}

static void check_firewall(struct check *check)
{
	CLEANUP(freep) char *iptables = NULL;
	CLEANUP(freep) char *nft = NULL;
	bool has_iptables = program_find("iptables", &iptables, NULL) == 0;
	bool has_nft = program_find("nft", &nft, NULL) == 0;

	if (has_iptables || has_nft)
		check_ok(check, "network.firewall", "%s%s%s", has_iptables ? iptables : "",
			 has_iptables && has_nft ? " " : "", has_nft ? nft : "");
	else
		check_bad(check, CHECK_WARN, "network.firewall", "install iptables or nftables",
			  "neither iptables nor nft: no host ports, no masquerading");
}

static void check_forwarding(struct check *check)
{
	CLEANUP(freep) char *forward = check_read(check, "/proc/sys/net/ipv4/ip_forward");

	if (str_eq(forward, "1"))
		check_ok(check, "network.ip-forward", "on");
	else
		check_bad(check, CHECK_WARN, "network.ip-forward", "sysctl -w net.ipv4.ip_forward=1",
			  "off: pods reach nothing beyond the node");
}

void check_network(struct check *check)
{
	CLEANUP(strv_done) struct strv types = STRV_INIT;

	check_conf(check, &types);
	check_plugins(check, &types);
	check_firewall(check);
	check_forwarding(check);
}
