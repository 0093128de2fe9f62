/*
 * The document is kept as jansson's tree, since plugins get it back with all the keys we do not know; this
 * module looks only at those the runtime must understand. What a plugin's name may be is checked here once
 * for all uses, the ipam plugin's too: the latter is started by the first, from the same folders
 * (CVE-2021-20206).
 */
#include "cni/conflist.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

#define ALPHANUMERIC "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

enum { TYPE_MAX = 255 };

/* The public part first, so that both pointers are the same. */
struct counted {
	struct conflist list;
	atomic_uint refs;
};

/* Ascending. */
static const char *const known_versions[] = { "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0" };

const char *conflist_known_version(const char *version)
{
	for (size_t i = 0; i < ARRAY_LEN(known_versions); i++)
		if (str_eq(known_versions[i], version))
			return known_versions[i];
	return NULL;
}

bool conflist_version_at_least(const char *version, int major, int minor)
{
	/* Known versions have one digit each. */
	int have_major = version[0] - '0', have_minor = version[2] - '0';

	return have_major > major || (have_major == major && have_minor >= minor);
}

const struct conflist *conflist_ref(const struct conflist *list)
{
	if (list)
		atomic_fetch_add(&((struct counted *)list)->refs, 1);
	return list;
}

const struct conflist *conflist_unref(const struct conflist *list)
{
	struct counted *counted = (struct counted *)list;

	if (!counted || atomic_fetch_sub(&counted->refs, 1) != 1)
		return NULL;
	json_decref(counted->list.json);
	free(counted->list.text);
	free(counted->list.name);
	free(counted->list.file);
	free(counted);
	return NULL;
}

void conflist_unrefp(const struct conflist **list)
{
	*list = conflist_unref(*list);
}

static int bad(const struct conflist *list, struct err *err, const char *what, const char *value)
{
	return err_set(err, RPC_INVALID_ARGUMENT, "%s: %s%s%s%s", list->file, what, value ? " \"" : "",
		       value ? value : "", value ? "\"" : "");
}

/* A string, NULL when absent; wrong types are errors. */
static int get_string(const struct conflist *list, const json_t *json, const char *key, const char **ret,
		      struct err *err)
{
	const json_t *value = json_object_get(json, key);

	*ret = NULL;
	if (!value || json_is_null(value))
		return 0;
	if (!json_is_string(value))
		return bad(list, err, "not a string:", key);
	*ret = json_string_value(value);
	return 0;
}

/* Older files and some installers write these as strings. */
static int get_bool(const struct conflist *list, const char *key, bool *ret, struct err *err)
{
	const json_t *value = json_object_get(list->json, key);
	const char *text = json_string_value(value);

	if (!value || json_is_null(value) || json_is_false(value) || str_eq(text, "false"))
		return 0;
	if (!json_is_true(value) && !str_eq(text, "true"))
		return bad(list, err, "not a boolean:", key);
	*ret = true;
	return 0;
}

/* Spec 1.1.0: cniVersions lists what the file is good for; the runtime takes the highest that it speaks. */
static int choose_version(struct conflist *list, struct err *err)
{
	const json_t *several = json_object_get(list->json, "cniVersions");
	const char *single = NULL;

	if (get_string(list, list->json, "cniVersion", &single, err) < 0)
		return -1;
	if (several && !json_is_null(several) && !json_is_array(several))
		return bad(list, err, "not an array:", "cniVersions");
	if (!single && json_array_size(several) == 0)
		single = known_versions[0]; /* spec 0.1.0 did not ask for the key */
	for (size_t i = 0; i < ARRAY_LEN(known_versions); i++) {
		bool offered = str_eq(known_versions[i], single);
		for (size_t j = 0; j < json_array_size(several); j++)
			offered |= str_eq(known_versions[i], json_string_value(json_array_get(several, j)));
		if (offered)
			list->versions[list->versions_len++] = known_versions[i];
	}
	if (list->versions_len == 0)
		return bad(list, err, "unknown cniVersion", single ? single : "");
	list->version = list->versions[list->versions_len - 1];
	return 0;
}

static bool is_name(const char *name)
{
	return strlen(name) <= CONFLIST_NAME_MAX && strspn(name, ALPHANUMERIC) > 0 &&
	       name[strspn(name, ALPHANUMERIC "_.-")] == '\0';
}

/* A plugin is a file in one of the plugin folders, never elsewhere. */
static bool is_type(const char *type)
{
	return *type && strlen(type) <= TYPE_MAX && str_is_printable(type) && !strchr(type, '/') &&
	       !str_eq(type, ".") && !str_eq(type, "..");
}

static int add_plugin(struct conflist *list, const json_t *conf, struct err *err)
{
	const json_t *ipam = json_object_get(conf, "ipam"),
		     *capabilities = json_object_get(conf, "capabilities");
	struct conflist_plugin plugin = { .conf = conf };

	if (!json_is_object(conf))
		return bad(list, err, "plugins: not an object", NULL);
	if (list->plugins_len == CONFLIST_PLUGINS_MAX)
		return bad(list, err, "too many plugins", NULL);
	if (get_string(list, conf, "type", &plugin.type, err) < 0 ||
	    (ipam && json_is_object(ipam) && get_string(list, ipam, "type", &plugin.ipam, err) < 0))
		return -1;
	if (!plugin.type)
		return bad(list, err, "a plugin without type", NULL);
	if (!is_type(plugin.type))
		return bad(list, err, "type is not a plugin's name:", plugin.type);
	if (plugin.ipam && !*plugin.ipam)
		plugin.ipam = NULL; /* how a plugin without address management is often written */
	if (plugin.ipam && !is_type(plugin.ipam))
		return bad(list, err, "ipam type is not a plugin's name:", plugin.ipam);
	if (capabilities && !json_is_null(capabilities)) {
		if (!json_is_object(capabilities))
			return bad(list, err, "not an object:", "capabilities");
		plugin.capabilities = capabilities;
	}
	list->plugins[list->plugins_len++] = plugin;
	return 0;
}

static int add_plugins(struct conflist *list, struct err *err)
{
	const json_t *plugins = json_object_get(list->json, "plugins");
	size_t i;
	json_t *conf;

	if (!plugins) /* a file of one plugin: the list is made around it */
		return add_plugin(list, list->json, err);
	if (!json_is_array(plugins) || json_array_size(plugins) == 0)
		return bad(list, err, "plugins: not an array with at least one plugin", NULL);
	json_array_foreach(plugins, i, conf)
	{
		if (add_plugin(list, conf, err) < 0)
			return -1;
	}
	return 0;
}

static int fill(struct conflist *list, const char *text, size_t len, struct err *err)
{
	const char *name = NULL;

	/* The parser would take some for white space; the text is kept as a string. */
	if (memchr(text, '\0', len))
		return bad(list, err, "a NUL byte", NULL);
	if (json_parse(text, len, CONFLIST_MAX, &list->json, err) < 0)
		return err_prefix(err, "%s", list->file);
	if (!json_is_object(list->json))
		return bad(list, err, "not an object", NULL);
	if (choose_version(list, err) < 0 || get_string(list, list->json, "name", &name, err) < 0)
		return -1;
	if (!name || !is_name(name))
		return bad(list, err, "name is not a network's name:", name ? name : "");
	list->name = xstrdup(name);
	if (get_bool(list, "disableCheck", &list->disable_check, err) < 0 ||
	    get_bool(list, "disableGC", &list->disable_gc, err) < 0)
		return -1;
	return add_plugins(list, err);
}

int conflist_parse(const char *file, const char *text, size_t len, const struct conflist **ret,
		   struct err *err)
{
	struct counted *counted = xnew(struct counted);
	CLEANUP(conflist_unrefp) const struct conflist *owned = &counted->list;

	atomic_init(&counted->refs, 1);
	counted->list.file = xstrdup(file);
	if (fill(&counted->list, text, len, err) < 0)
		return -1;
	counted->list.text = xstrndup(text, len);
	*ret = TAKE(owned);
	return 0;
}

static char *text_at_version(const struct conflist *list, const char *version)
{
	CLEANUP(json_decrefp) json_t *json = NULL;

	if (json_object_get(list->json, "plugins")) {
		json = json_copy(list->json);
	} else {
		json = json_object();
		json_object_set_new(json, "name", json_string(list->name));
		json_object_set_new(json, "plugins", json_array());
		json_array_append(json_object_get(json, "plugins"), list->json);
		json_object_set_new(json, "disableCheck", json_boolean(list->disable_check));
		json_object_set_new(json, "disableGC", json_boolean(list->disable_gc));
	}
	json_object_set_new(json, "cniVersion", json_string(version));
	json_object_del(json, "cniVersions");
	return json_text(json);
}

char *conflist_as_list_text(const struct conflist *list)
{
	return text_at_version(list, list->version);
}

const struct conflist *conflist_at_version(const struct conflist *list, const char *version)
{
	CLEANUP(freep) char *text = text_at_version(list, version);
	const struct conflist *ret = NULL;
	struct err err;

	/* It has been parsed before, and could only have become longer than what is allowed. */
	if (conflist_parse(list->file, text, strlen(text), &ret, &err) < 0)
		return conflist_ref(list);
	return ret;
}

bool conflist_is_file_name(const char *name)
{
	return name[0] != '.' && (str_has_suffix(name, ".conflist") || str_has_suffix(name, ".conf") ||
				  str_has_suffix(name, ".json"));
}

static int read_all(int fd, struct str *text)
{
	ssize_t got;

	do {
		char *room = str_room(text, 16384);
		if (!room) {
			errno = EFBIG;
			return -1;
		}
		got = read(fd, room, 16384);
		if (got > 0)
			str_grown(text, (size_t)got);
	} while (got > 0 || (got < 0 && errno == EINTR));
	return got < 0 ? -1 : 0;
}

/* What names programs that run as root is root's to write. */
static int check_writers(const char *name, const struct stat *st, struct err *err)
{
	if (st->st_mode & S_IWOTH)
		return err_set(err, RPC_PERMISSION_DENIED, "%s: anybody may write to it", name);
	if (st->st_mode & S_IWGRP && st->st_gid != 0)
		return err_set(err, RPC_PERMISSION_DENIED, "%s: its group (%u) may write to it", name,
			       (unsigned int)st->st_gid);
	return 0;
}

/* The warning is set when there is none yet. */
static int read_trusted(int dir, const char *name, struct str *text, char **warning, struct err *err)
{
	CLEANUP(fd_closep) int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, "%s", name);
	if (!S_ISREG(st.st_mode))
		return err_set(err, RPC_INVALID_ARGUMENT, "%s: not a regular file", name);
	if (st.st_size > CONFLIST_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "%s: longer than %d bytes", name, CONFLIST_MAX);
	if (check_writers(name, &st, err) < 0)
		return -1;
	if (read_all(fd, text) < 0)
		return err_errno(err, "%s", name);
	if (st.st_uid != 0 && st.st_uid != geteuid() && !*warning)
		*warning = xasprintf("%s: its owner (%u) may write to it", name, (unsigned int)st.st_uid);
	return 0;
}

static int add_file(int folder, const char *name, json_t *plugins, char **warning, struct err *err)
{
	CLEANUP(str_done) struct str text = STR_LIMIT(CONFLIST_MAX + 32768);
	json_t *plugin = NULL;

	if (read_trusted(folder, name, &text, warning, err) < 0 ||
	    json_parse(str_get(&text), text.len, CONFLIST_MAX, &plugin, err) < 0)
		return -1;
	json_array_append_new(plugins, plugin);
	return 0;
}

/*
 * A list gets the plugins of the .conf files in the folder NETWORK beside it, in the order of their names,
 * after its own (libcni 1.3), unless it says loadOnlyInlinedPlugins. *ret stays NULL when there are none.
 */
static int add_folder(int dir, const struct str *text, char **ret, char **warning, struct err *err)
{
	CLEANUP(json_decrefp) json_t *list = NULL;
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	struct err ignored;

	/* What is no JSON is told by who parses it for good. */
	if (json_parse(str_get(text), text->len, CONFLIST_MAX, &list, &ignored) < 0)
		return 0;
	const char *network = json_string_value(json_object_get(list, "name"));
	json_t *plugins = json_object_get(list, "plugins");
	if (json_object_get(list, "type") || json_is_true(json_object_get(list, "loadOnlyInlinedPlugins")) ||
	    !network || !is_name(network) || (plugins && !json_is_array(plugins)))
		return 0;
	CLEANUP(fd_closep) int folder = openat(dir, network, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	if (folder < 0)
		return 0;
	if (fstat(folder, &st) < 0)
		return err_errno(err, "%s", network);
	if (check_writers(network, &st, err) < 0 || dir_list(folder, ".", &names, err) < 0)
		return -1;
	if (!plugins)
		json_object_set_new(list, "plugins", plugins = json_array());
	size_t before = json_array_size(plugins);
	for (size_t i = 0; i < names.len && i < CONFLIST_PLUGINS_MAX; i++)
		if (names.items[i][0] != '.' && str_has_suffix(names.items[i], ".conf") &&
		    add_file(folder, names.items[i], plugins, warning, err) < 0)
			return err_prefix(err, "%s", network);
	if (json_array_size(plugins) > before)
		*ret = json_text(list);
	return 0;
}

int conflist_read(int dir, const char *name, const struct conflist **ret, char **ret_warning, struct err *err)
{
	CLEANUP(str_done) struct str text = STR_LIMIT(CONFLIST_MAX + 32768);
	CLEANUP(freep) char *warning = NULL;
	CLEANUP(freep) char *whole = NULL;

	*ret_warning = NULL;
	if (read_trusted(dir, name, &text, &warning, err) < 0 ||
	    add_folder(dir, &text, &whole, &warning, err) < 0)
		return -1;
	if (conflist_parse(name, whole ? whole : str_get(&text), whole ? strlen(whole) : text.len, ret, err) <
	    0)
		return -1;
	*ret_warning = TAKE(warning);
	return 0;
}
