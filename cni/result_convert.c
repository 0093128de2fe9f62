/*
 * Between three shapes: 0.1.0 and 0.2.0 ("old"), 0.3.0 to 0.4.0 (addresses say which family they are
 * of), 1.0.0 and later. What a document lacks or has in a wrong type is passed over: result_ips() has been or
 * will be asked whether the addresses are any.
 */
#include <string.h>

#include "base/json.h"
#include "cni/conflist.h"
#include "cni/result.h"

enum shape { SHAPE_OLD, SHAPE_FAMILIES, SHAPE_PLAIN };

static enum shape shape_of(const char *version)
{
	if (!conflist_version_at_least(version, 0, 3))
		return SHAPE_OLD;
	return conflist_version_at_least(version, 1, 0) ? SHAPE_PLAIN : SHAPE_FAMILIES;
}

static bool is_v6(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && strchr(text, ':');
}

/* One of ip4 and ip6: its address goes to ips, its routes to routes. */
static void split_old(json_t *result, const char *key, json_t *ips, json_t *routes)
{
	json_t *old = json_object_get(result, key);
	json_t *old_routes = json_object_get(old, "routes");

	if (json_is_string(json_object_get(old, "ip"))) {
		json_t *ip = json_object();
		json_object_set(ip, "address", json_object_get(old, "ip"));
		if (json_object_get(old, "gateway"))
			json_object_set(ip, "gateway", json_object_get(old, "gateway"));
		json_array_append_new(ips, ip);
	}
	if (json_is_array(old_routes))
		json_array_extend(routes, old_routes);
	json_object_del(result, key);
}

static void from_old(json_t *result)
{
	json_t *ips = json_array(), *routes = json_array();

	split_old(result, "ip4", ips, routes);
	split_old(result, "ip6", ips, routes);
	json_object_set_new(result, "ips", ips);
	json_object_set_new(result, "routes", routes);
}

/* The first address of the family with all routes of it; NULL when there is none. */
static json_t *old_of_family(const json_t *result, bool v6)
{
	json_t *ips = json_object_get(result, "ips"), *routes = json_object_get(result, "routes");
	json_t *item, *old = NULL;
	size_t i;

	json_array_foreach(ips, i, item)
	{
		if (old || !json_is_string(json_object_get(item, "address")) || is_v6(item, "address") != v6)
			continue;
		old = json_object();
		json_object_set(old, "ip", json_object_get(item, "address"));
		if (json_object_get(item, "gateway"))
			json_object_set(old, "gateway", json_object_get(item, "gateway"));
	}
	json_array_foreach(routes, i, item)
	{
		if (!old || is_v6(item, "dst") != v6)
			continue;
		if (!json_object_get(old, "routes"))
			json_object_set_new(old, "routes", json_array());
		json_array_append(json_object_get(old, "routes"), item);
	}
	return old;
}

static void to_old(json_t *result)
{
	json_t *ip4 = old_of_family(result, false), *ip6 = old_of_family(result, true);

	json_object_del(result, "ips");
	json_object_del(result, "routes");
	json_object_del(result, "interfaces");
	if (ip4)
		json_object_set_new(result, "ip4", ip4);
	if (ip6)
		json_object_set_new(result, "ip6", ip6);
}

static void set_families(json_t *result, bool wanted)
{
	json_t *ips = json_object_get(result, "ips"), *ip;
	size_t i;

	json_array_foreach(ips, i, ip)
	{
		if (!wanted)
			json_object_del(ip, "version");
		else if (json_is_object(ip))
			json_object_set_new(ip, "version", json_string(is_v6(ip, "address") ? "6" : "4"));
	}
}

json_t *result_convert_take(json_t *result, const char *version)
{
	CLEANUP(json_decrefp) json_t *owned = result;
	const char *own = json_string_value(json_object_get(result, "cniVersion"));
	const char *known = conflist_known_version(own ? own : "");

	if (!known || known == conflist_known_version(version))
		return TAKE(owned);
	enum shape from = shape_of(known), to = shape_of(version);
	json_t *converted = json_deep_copy(result);
	json_object_set_new(converted, "cniVersion", json_string(version));
	if (from == SHAPE_OLD && to != SHAPE_OLD)
		from_old(converted);
	if (from != to && to != SHAPE_OLD)
		set_families(converted, to == SHAPE_FAMILIES);
	if (from != SHAPE_OLD && to == SHAPE_OLD)
		to_old(converted);
	return converted;
}
