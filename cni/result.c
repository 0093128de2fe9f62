/*
 * Plugins are programs of others, so the document is taken apart with type checks at each step. Only the
 * addresses matter to us; the rest is handed on as it came: to the next plugin as prevResult, to the cache,
 * to verbose status.
 */
#include "cni/result.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/json.h"
#include "cni/conflist.h"
#include "cni/plugin.h"

int result_parse(const char *text, size_t len, const char *version, json_t **ret, struct err *err)
{
	CLEANUP(json_decrefp) json_t *json = NULL;
	struct err why;

	if (json_parse(text, len, PLUGIN_OUTPUT_MAX, &json, &why) < 0)
		return err_set(err, RPC_INTERNAL, "result is no %s", why.text);
	if (!json_is_object(json))
		return err_set(err, RPC_INTERNAL, "result is not a JSON object");
	const json_t *own = json_object_get(json, "cniVersion");
	if (!own || str_empty(json_string_value(own)))
		json_object_set_new(json, "cniVersion", json_string(version));
	else if (!conflist_known_version(json_string_value(own)))
		return err_set(err, RPC_INTERNAL, "result is of unknown cniVersion \"%.32s\"",
			       json_string_value(own));
	*ret = TAKE(json);
	return 0;
}

/* Adds "address[/prefix]" without its prefix if it is of the wanted family. */
static int add_address(const char *text, int family, struct strv *ret, struct err *err)
{
	unsigned char bytes[sizeof(struct in6_addr)];
	char canonical[INET6_ADDRSTRLEN];
	uint64_t prefix;

	const char *slash = text ? strchr(text, '/') : NULL;
	CLEANUP(freep)
	char *address = !text ? NULL : slash ? xstrndup(text, (size_t)(slash - text)) : xstrdup(text);
	int own = address && strchr(address, ':') ? AF_INET6 : AF_INET;
	if (!address || inet_pton(own, address, bytes) != 1 ||
	    (slash && !parse_u64(slash + 1, own == AF_INET ? 32 : 128, &prefix)))
		return err_set(err, RPC_INTERNAL, "result has a malformed address \"%.64s\"",
			       text ? text : "");
	if (own != family)
		return 0;
	if (ret->len >= RESULT_IPS_MAX)
		return err_set(err, RPC_INTERNAL, "result has more than %d addresses", RESULT_IPS_MAX);
	strv_add(ret, inet_ntop(own, bytes, canonical, sizeof(canonical)));
	return 0;
}

/* 0.1.0 and 0.2.0: {"ip4": {"ip": "10.1.2.3/24"}, "ip6": {..}}. */
static int add_old(const json_t *result, const char *key, int family, struct strv *ret, struct err *err)
{
	const json_t *entry = json_object_get(result, key);

	if (!entry || json_is_null(entry))
		return 0;
	return add_address(json_string_value(json_object_get(entry, "ip")), family, ret, err);
}

/* An index into interfaces whose entry has no sandbox names the host's side (a bridge). */
static bool is_hosts(const json_t *result, const json_t *ip)
{
	const json_t *index = json_object_get(ip, "interface");
	json_int_t number = json_integer_value(index);

	if (!json_is_integer(index) || number < 0)
		return false;
	const json_t *interface = json_array_get(json_object_get(result, "interfaces"), (size_t)number);
	return interface && str_empty(json_string_value(json_object_get(interface, "sandbox")));
}

static int add_ips(const json_t *result, int family, struct strv *ret, struct err *err)
{
	const json_t *ips = json_object_get(result, "ips");
	size_t i;
	json_t *ip;

	if (ips && !json_is_null(ips) && !json_is_array(ips))
		return err_set(err, RPC_INTERNAL, "result: ips is not an array");
	json_array_foreach(ips, i, ip)
	{
		if (!is_hosts(result, ip) &&
		    add_address(json_string_value(json_object_get(ip, "address")), family, ret, err) < 0)
			return -1;
	}
	return 0;
}

int result_ips(const json_t *result, struct strv *ret, struct err *err)
{
	const char *version = json_string_value(json_object_get(result, "cniVersion"));
	CLEANUP(strv_done) struct strv ips = STRV_INIT;
	bool old = version && !conflist_version_at_least(version, 0, 3);

	if (old ? add_old(result, "ip4", AF_INET, &ips, err) < 0 ||
			    add_old(result, "ip6", AF_INET6, &ips, err) < 0
		: add_ips(result, AF_INET, &ips, err) < 0 || add_ips(result, AF_INET6, &ips, err) < 0)
		return -1;
	strv_done(ret);
	*ret = ips;
	ips = (struct strv)STRV_INIT;
	return 0;
}
