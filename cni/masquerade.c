#include "cni/masquerade.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/spawn.h"
#include "base/str.h"
#include "cni/plugin.h"

enum { RULES_MAX = 16 * 1024 * 1024, COMPLAINT_MAX = 4096, WHY_MAX = 512, RULE_TRIES = 64 };

struct firewall {
	const char *tool;
	const char *chain, *comment;
	const char *id; /* CNI_CONTAINERID=... */
	const struct ctx *ctx;
};

void masquerade_chain(const char *network, const char *container_id, char *ret)
{
	CLEANUP(freep) char *both = xasprintf("%s%s", network, container_id);
	unsigned char hash[EVP_MAX_MD_SIZE] = { 0 };

	EVP_Digest(both, strlen(both), hash, NULL, EVP_sha512(), NULL);
	int len = snprintf(ret, MASQUERADE_CHAIN_SIZE, "CNI-");
	for (size_t i = 0; len < MASQUERADE_CHAIN_SIZE - 1; i++)
		len += snprintf(ret + len, MASQUERADE_CHAIN_SIZE - (size_t)len, "%02x", hash[i]);
}

static bool makes_chains(const struct conflist_plugin *plugin)
{
	const char *backend = json_string_value(json_object_get(plugin->conf, "ipMasqBackend"));

	return (str_eq(plugin->type, "bridge") || str_eq(plugin->type, "ptp")) &&
	       json_is_true(json_object_get(plugin->conf, "ipMasq")) &&
	       !(backend && str_eq(backend, "nftables"));
}

static bool list_makes_chains(const struct conflist *list)
{
	for (size_t i = 0; i < list->plugins_len; i++)
		if (makes_chains(&list->plugins[i]))
			return true;
	return false;
}

/* iptables of the table nat with these arguments, NULL-terminated. *ret_done: it ran, and liked them. In its
 * environment it is one more plugin: should it outlive crispd, the next one waits for it (cni/orphans.h). */
static int iptables(const struct firewall *firewall, const char *const *args, struct str *out, bool *ret_done,
		    struct err *err)
{
	CLEANUP(command_result_done) struct command_result result = { 0 };
	const char *argv[16] = { firewall->tool, "-w", "-t", "nat" };
	const char *const env[] = { "CNI_COMMAND=DEL", PLUGIN_TOOLS_PATH, firewall->id, NULL };

	for (size_t i = 0; args[i]; i++)
		argv[i + 4] = args[i];
	const struct command command = { .path = firewall->tool,
					 .argv = argv,
					 .env = env,
					 .stdout_max = RULES_MAX,
					 .stderr_max = COMPLAINT_MAX };
	if (command_run(&command, firewall->ctx, &result, err) < 0)
		return -1;
	*ret_done = result.exited && result.status == 0;
	if (!*ret_done) {
		char why[WHY_MAX];
		command_result_text(&result, why, sizeof(why));
		err_set(err, RPC_INTERNAL, "%s: %s", firewall->tool, why);
	} else if (out) {
		str_addn(out, str_get(&result.out), result.out.len);
	}
	return 0;
}

/* False also when there is no such tool: then nobody has made a chain with it. */
static int has_chain(const struct firewall *firewall, bool *ret, struct err *err)
{
	const char *const args[] = { "-S", firewall->chain, NULL };

	if (iptables(firewall, args, NULL, ret, err) == 0)
		return 0;
	*ret = false;
	return err->code == RPC_FAILED_PRECONDITION ? 0 : -1;
}

/* The source of the first rule that leads to the chain: "-A POSTROUTING -s ADDRESS ... -j CHAIN"; NULL: there
 * is none. malloc'd. */
static char *leading_source(const struct firewall *firewall, const char *rules)
{
	static const char start[] = "-A POSTROUTING -s ";
	CLEANUP(strv_done) struct strv lines = STRV_INIT;
	CLEANUP(freep) char *jump = xasprintf(" -j %s", firewall->chain);

	strv_split(&lines, rules, '\n');
	for (size_t i = 0; i < lines.len; i++) {
		const char *line = lines.items[i];
		const char *source = line + sizeof(start) - 1;

		if (str_has_prefix(line, start) && str_has_suffix(line, jump))
			return xasprintf("%.*s", (int)strcspn(source, " "), source);
	}
	return NULL;
}

static int remove_rules(const struct firewall *firewall, struct err *err)
{
	static const char *const list_args[] = { "-S", "POSTROUTING", NULL };
	bool done = true;

	for (int i = 0; i < RULE_TRIES && done; i++) {
		CLEANUP(str_done) struct str rules = STR_INIT;
		CLEANUP(freep) char *source = NULL;

		if (iptables(firewall, list_args, &rules, &done, err) < 0 || !done)
			return -1;
		source = leading_source(firewall, str_get(&rules));
		if (!source)
			return 0;
		const char *const args[] = { "-D", "POSTROUTING",   "-s",        source,
					     "-m", "comment",       "--comment", firewall->comment,
					     "-j", firewall->chain, NULL };
		if (iptables(firewall, args, NULL, &done, err) < 0)
			return -1;
	}
	return done ? err_set(err, RPC_INTERNAL, "%s: rules of POSTROUTING do not go", firewall->tool) : -1;
}

static int remove_chain(const struct firewall *firewall, struct err *err)
{
	const char *const flush[] = { "-F", firewall->chain, NULL };
	const char *const remove[] = { "-X", firewall->chain, NULL };
	bool done;

	if (remove_rules(firewall, err) < 0 || iptables(firewall, flush, NULL, &done, err) < 0 || !done ||
	    iptables(firewall, remove, NULL, &done, err) < 0 || !done)
		return -1;
	return 0;
}

int masquerade_remove(const struct conflist *list, const char *container_id, const struct ctx *ctx,
		      struct err *err)
{
	static const char *const tools[] = { "iptables", "ip6tables" };
	CLEANUP(freep) char *comment = xasprintf("name: \"%s\" id: \"%s\"", list->name, container_id);
	CLEANUP(freep) char *id = xasprintf("CNI_CONTAINERID=%s", container_id);
	char chain[MASQUERADE_CHAIN_SIZE];
	bool there;

	if (!list_makes_chains(list))
		return 0;
	masquerade_chain(list->name, container_id, chain);
	for (size_t i = 0; i < ARRAY_LEN(tools); i++) {
		const struct firewall firewall = {
			.tool = tools[i], .chain = chain, .comment = comment, .id = id, .ctx = ctx
		};
		if (has_chain(&firewall, &there, err) < 0 || (there && remove_chain(&firewall, err) < 0))
			return err_prefix(err, "masquerading chain %s", chain);
	}
	return 0;
}
