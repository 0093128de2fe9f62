/*
 * libcni's struct cachedInfo, written and read by hand: its "config" is the list's bytes in base64, its
 * "cniArgs" pairs, its "result" the document itself. The list is parsed again when read, so what comes from
 * disk is checked like what comes from the configuration folder.
 *
 * A network's name may contain '-', so files of a container are found by "-<id>-" in the middle of their
 * names, which is unambiguous as ids are 64 hex digits.
 */
#include "cni/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/id.h"
#include "base/json.h"
#include "cni/result.h"
#include "proto/base64.h"

#define KIND "cniCacheV1"

struct cache {
	int dir;
};

struct cache *cache_open(const char *root, struct err *err)
{
	CLEANUP(freep) char *path = xasprintf("%s/results", root);
	int dir = dir_make(AT_FDCWD, path, 0700, err);

	if (dir < 0)
		return NULL;
	struct cache *cache = xnew(struct cache);
	cache->dir = dir;
	file_sweep(dir);
	return cache;
}

struct cache *cache_free(struct cache *cache)
{
	if (cache)
		fd_closep(&cache->dir);
	free(cache);
	return NULL;
}

void cache_entry_done(struct cache_entry *entry)
{
	free(entry->file);
	free(entry->container_id);
	free(entry->ifname);
	free(entry->netns);
	free(entry->args);
	json_decref(entry->capabilities);
	json_decref(entry->result);
	conflist_unref(entry->list);
	*entry = (struct cache_entry){ 0 };
}

void cache_entries_done(struct cache_entries *entries)
{
	for (size_t i = 0; i < entries->len; i++)
		cache_entry_done(&entries->items[i]);
	entries->len = 0;
}

static char *file_name(const struct cache_entry *entry)
{
	return xasprintf("%s-%s-%s", entry->list->name, entry->container_id, entry->ifname);
}

/* "K=V;K=V" as [["K","V"],..] */
static json_t *args_to_json(const char *args)
{
	json_t *pairs = json_array();
	CLEANUP(strv_done) struct strv parts = STRV_INIT;

	strv_split(&parts, args, ';');
	for (size_t i = 0; i < parts.len; i++) {
		char *value = strchr(parts.items[i], '=');
		if (!value)
			continue;
		*value++ = '\0';
		json_array_append_new(pairs, json_pack("[ss]", parts.items[i], value));
	}
	return pairs;
}

static char *args_from_json(const json_t *pairs)
{
	CLEANUP(str_done) struct str out = STR_INIT;
	size_t i;
	json_t *pair;

	json_array_foreach(pairs, i, pair)
	{
		const char *key = json_string_value(json_array_get(pair, 0));
		const char *value = json_string_value(json_array_get(pair, 1));
		if (key && value)
			str_addf(&out, "%s%s=%s", out.len ? ";" : "", key, value);
	}
	return str_take(&out);
}

int cache_put(struct cache *cache, const struct cache_entry *entry, struct err *err)
{
	CLEANUP(freep) char *name = file_name(entry);
	CLEANUP(str_done) struct str config = STR_INIT;
	CLEANUP(json_decrefp) json_t *json = json_object();

	CLEANUP(freep) char *list = conflist_as_list_text(entry->list);
	base64_encode(&config, list, strlen(list));
	json_object_set_new(json, "kind", json_string(KIND));
	json_object_set_new(json, "containerId", json_string(entry->container_id));
	json_object_set_new(json, "config", json_string(str_get(&config)));
	json_object_set_new(json, "ifName", json_string(entry->ifname));
	json_object_set_new(json, "networkName", json_string(entry->list->name));
	json_object_set_new(json, "netns", json_string(entry->netns ? entry->netns : ""));
	json_object_set_new(json, "cniArgs", args_to_json(entry->args ? entry->args : ""));
	if (entry->capabilities)
		json_object_set(json, "capabilityArgs", entry->capabilities);
	if (entry->result)
		json_object_set(json, "result", entry->result);
	CLEANUP(freep) char *text = json_text(json);
	if (file_replace_volatile(cache->dir, name, text, strlen(text), 0600, err) < 0)
		return err_prefix(err, "CNI cache");
	return 0;
}

int cache_del(struct cache *cache, const struct cache_entry *entry, struct err *err)
{
	CLEANUP(freep) char *name = entry->file ? xstrdup(entry->file) : file_name(entry);

	if (unlinkat(cache->dir, name, 0) < 0 && errno != ENOENT)
		return err_errno(err, "CNI cache: remove %s", name);
	return 0;
}

/* The list as it was at ADD; NULL when the document does not hold one that can be used. */
static const struct conflist *list_from_json(const json_t *json, const char *file)
{
	const char *config = json_string_value(json_object_get(json, "config"));
	const struct conflist *list = NULL;
	struct err ignored;
	size_t len;

	if (!config)
		return NULL;
	CLEANUP(freep) char *text = xmalloc(base64_room(strlen(config)) + 1);
	if (!base64_decode(config, strlen(config), (uint8_t *)text, &len) ||
	    conflist_parse(file, text, len, &list, &ignored) < 0)
		return NULL;
	return list;
}

bool cache_entry_parse(const char *text, size_t len, struct cache_entry *entry)
{
	CLEANUP(json_decrefp) json_t *json = NULL;
	struct err ignored;

	if (json_parse(text, len, CACHE_FILE_MAX, &json, &ignored) < 0 ||
	    !str_eq(json_string_value(json_object_get(json, "kind")), KIND) ||
	    !str_eq(json_string_value(json_object_get(json, "containerId")), entry->container_id) ||
	    !str_eq(json_string_value(json_object_get(json, "ifName")), entry->ifname))
		return false;
	const struct conflist *list = list_from_json(json, "CNI cache");
	if (!list)
		return false;
	const char *netns = json_string_value(json_object_get(json, "netns"));
	json_t *capabilities = json_object_get(json, "capabilityArgs");
	json_t *result = json_object_get(json, "result");
	entry->list = list;
	entry->netns = xstrdup(netns ? netns : "");
	entry->args = args_from_json(json_object_get(json, "cniArgs"));
	entry->capabilities = json_is_object(capabilities) ? json_incref(capabilities) : NULL;
	if (json_is_object(result)) /* ours is of the list's version already, but others write here, too */
		entry->result = result_convert_take(json_incref(result), list->version);
	return true;
}

/* Leaves list NULL when the file is damaged. */
static void read_entry(struct cache *cache, struct cache_entry *entry)
{
	CLEANUP(freep) char *text = NULL;
	struct err ignored;
	size_t len;

	if (file_read(cache->dir, entry->file, CACHE_FILE_MAX, &text, &len, &ignored) == 0)
		(void)!cache_entry_parse(text, len, entry);
}

int cache_find(struct cache *cache, const char *container_id, struct cache_entries *ret, struct err *err)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	CLEANUP(freep) char *middle = xasprintf("-%s-", container_id);

	ret->len = 0;
	if (dir_list(cache->dir, ".", &names, err) < 0)
		return err_prefix(err, "CNI cache");
	for (size_t i = 0; i < names.len && ret->len < CACHE_ENTRIES_MAX; i++) {
		const char *at = strstr(names.items[i], middle);
		if (!at || names.items[i][0] == '.')
			continue;
		struct cache_entry *entry = &ret->items[ret->len++];
		*entry = (struct cache_entry){
			.file = xstrdup(names.items[i]),
			.container_id = xstrdup(container_id),
			.ifname = xstrdup(at + strlen(middle)),
		};
		read_entry(cache, entry);
	}
	return 0;
}

int cache_ids(struct cache *cache, struct strv *ret, struct err *err)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;

	if (dir_list(cache->dir, ".", &names, err) < 0)
		return err_prefix(err, "CNI cache");
	for (size_t i = 0; i < names.len; i++) {
		char *ifname = strrchr(names.items[i], '-');
		if (!ifname || names.items[i][0] == '.')
			continue;
		*ifname = '\0';
		char *id = strrchr(names.items[i], '-');
		if (id && id_valid(id + 1) && !strv_has(ret, id + 1))
			strv_add(ret, id + 1);
	}
	return 0;
}
