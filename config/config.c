/*
 * Loading: all files are parsed and merged into one tree, whose nodes still know file and line; then section
 * by section the defaults of the table (themselves a TOML text) are laid under what the user wrote, and one
 * decoder fills the struct. So there is no code path for "key absent". Unknown keys are looked for in the
 * user's part only.
 *
 * A snapshot is one arena: the strings, the lists and the runtimes die with it. The tree is thrown away after
 * loading.
 */
#include "config/config.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_key.h"
#include "config/toml.h"

enum { RUNTIMES_MAX = 256 };

struct snapshot {
	struct config config; /* first: a struct config * is a struct snapshot * */
	struct arena *arena;
	atomic_uint refs;
};

struct loading {
	struct arena *scratch; /* the tree */
	struct arena *arena;   /* the snapshot's */
	const struct toml_value *tree;
	struct err *err;
};

static struct snapshot *snapshot_new(void)
{
	struct snapshot *snapshot = xnew(struct snapshot);

	snapshot->arena = arena_new(0);
	atomic_init(&snapshot->refs, 1);
	return snapshot;
}

struct config *config_ref(const struct config *config)
{
	struct snapshot *snapshot = (struct snapshot *)(uintptr_t)config;

	if (!snapshot)
		return NULL;
	unsigned int before = atomic_fetch_add_explicit(&snapshot->refs, 1, memory_order_relaxed);
	assert(before > 0);
	return &snapshot->config;
}

struct config *config_unref(const struct config *config)
{
	struct snapshot *snapshot = (struct snapshot *)(uintptr_t)config;

	if (snapshot && atomic_fetch_sub_explicit(&snapshot->refs, 1, memory_order_acq_rel) == 1) {
		arena_free(snapshot->arena);
		free(snapshot);
	}
	return NULL;
}

void config_unrefp(struct config **config)
{
	config_unref(*config);
}

/* The table of a section in the user's tree, NULL when absent. Tables above it are known to be tables. */
static const struct toml_value *find_table(const struct toml_value *tree, const char *path)
{
	const struct toml_value *table = tree;

	while (table && *path) {
		size_t len = strcspn(path, ".");
		const struct toml_entry *entry = toml_find_text(table, (struct toml_text){ path, len });

		table = entry ? entry->value : NULL;
		path += len + (path[len] == '.');
	}
	return table;
}

static bool is_key(const struct config_section *section, const char *name)
{
	for (size_t i = 0; i < section->keys_len; i++)
		if (str_eq(section->keys[i].name, name))
			return true;
	return false;
}

static bool is_section(const char *path)
{
	for (size_t i = 0; i < config_sections_len; i++)
		if (str_eq(config_sections[i].path, path))
			return true;
	return str_eq(config_runtime_section.path, path);
}

/* Every key in the user's table is known, and what must be a table is one. */
static int check_names(const struct config_section *section, const struct toml_value *table, const char *path,
		       struct err *err)
{
	for (size_t i = 0; i < table->table.len; i++) {
		const struct toml_entry *entry = &table->table.entries[i];
		const struct toml_value *value = entry->value;
		CLEANUP(freep) char *name = xasprintf("%s.%.200s", path, entry->key.data);

		if (strlen(entry->key.data) != entry->key.len)
			return toml_fail(value, path, err, "a key that holds a NUL byte");
		if (is_key(section, entry->key.data))
			continue;
		if (!is_section(name))
			return toml_fail(value, name, err, "unknown %s",
					 value->type == TOML_TABLE ? "table" : "key");
		if (value->type != TOML_TABLE)
			return toml_fail(value, name, err, "a table expected, not %s",
					 toml_type_name(value->type));
	}
	return 0;
}

/* The section's defaults as a table, parsed from the texts in config_table.c. */
static struct toml_value *default_values(const struct config_section *section, struct arena *arena)
{
	CLEANUP(str_done) struct str text = STR_INIT;
	struct toml_value *values;

	for (size_t i = 0; i < section->keys_len; i++)
		str_addf(&text, "%s = %s\n", section->keys[i].name, section->keys[i].value);
	struct toml_source source = { "built-in defaults", str_get(&text), text.len };
	int parsed = toml_parse(&source, arena, &values, NULL);
	assert(parsed == 0);
	return values;
}

static int decode_section(const struct loading *loading, const struct config_section *section,
			  const struct toml_value *table, const struct config_target *target)
{
	struct toml_value *values = default_values(section, loading->scratch);

	if (table && check_names(section, table, target->path, loading->err) < 0)
		return -1;
	if (table)
		toml_merge(values, table, loading->scratch);
	for (size_t i = 0; i < section->keys_len; i++) {
		const struct config_key *key = &section->keys[i];
		if (config_key_decode(key, toml_find(values, key->name)->value, target, loading->err) < 0)
			return -1;
	}
	return 0;
}

/* Only [crisp] stands at the root. */
static int check_root(const struct loading *loading)
{
	for (size_t i = 0; i < loading->tree->table.len; i++) {
		const struct toml_entry *entry = &loading->tree->table.entries[i];
		CLEANUP(str_done) struct str name = STR_INIT;

		toml_quote_key(&name, entry->key.data);
		if (!str_eq(entry->key.data, "crisp"))
			return toml_fail(entry->value, str_get(&name), loading->err,
					 "unknown: everything is in [crisp] and the tables below it");
		if (entry->value->type != TOML_TABLE)
			return toml_fail(entry->value, str_get(&name), loading->err,
					 "a table expected, not %s", toml_type_name(entry->value->type));
	}
	return 0;
}

static int decode_runtime(const struct loading *loading, const struct config *config,
			  const struct toml_value *table, struct config_runtime *runtime)
{
	CLEANUP(freep) char *path = xasprintf("%s.%s", config_runtime_section.path, runtime->name);
	struct config_target target = { runtime, path, loading->arena };

	if (table && table->type != TOML_TABLE)
		return toml_fail(table, path, loading->err, "a table expected, not %s",
				 toml_type_name(table->type));
	if (decode_section(loading, &config_runtime_section, table, &target) < 0)
		return -1;
	if (!*runtime->runtime_root)
		runtime->runtime_root = arena_fmt(loading->arena, "%s/%s", config->runroot, runtime->name);
	return 0;
}

/* The names of all runtimes: the two that always exist, then the user's. */
static int list_runtimes(const struct loading *loading, const struct toml_value *table, struct strv *names)
{
	strv_add(names, "crun");
	strv_add(names, "runc");
	for (size_t i = 0; table && i < table->table.len; i++) {
		const struct toml_entry *entry = &table->table.entries[i];
		const char *why = strlen(entry->key.data) == entry->key.len ? rule_handler(entry->key.data)
									    : "holds a NUL byte";

		if (why)
			return toml_fail(entry->value, config_runtime_section.path, loading->err,
					 "\"%.200s\" %s", entry->key.data, why);
		if (names->len == RUNTIMES_MAX)
			return toml_fail(entry->value, config_runtime_section.path, loading->err,
					 "more than %d runtimes", RUNTIMES_MAX);
		if (!strv_has(names, entry->key.data))
			strv_add(names, entry->key.data);
	}
	return 0;
}

static int decode_runtimes(const struct loading *loading, struct config *config)
{
	const struct toml_value *table = find_table(loading->tree, config_runtime_section.path);
	CLEANUP(strv_done) struct strv names = STRV_INIT;

	if (list_runtimes(loading, table, &names) < 0)
		return -1;
	struct config_runtime *runtimes = arena_array(loading->arena, names.len, sizeof(*runtimes));
	for (size_t i = 0; i < names.len; i++) {
		const struct toml_entry *entry = table ? toml_find(table, names.items[i]) : NULL;
		runtimes[i].name = arena_strdup(loading->arena, names.items[i]);
		if (decode_runtime(loading, config, entry ? entry->value : NULL, &runtimes[i]) < 0)
			return -1;
	}
	config->runtime.runtimes = runtimes;
	config->runtime.runtimes_len = names.len;
	return 0;
}

static int check_metrics(const struct loading *loading, const struct config_metrics *metrics)
{
	const struct toml_value *table = find_table(loading->tree, "crisp.metrics");

	if (str_empty(metrics->metrics_cert) != str_empty(metrics->metrics_key))
		return toml_fail(table, "crisp.metrics", loading->err,
				 "metrics_cert and metrics_key belong together");
	if (metrics->enable_metrics && !metrics->metrics_port && str_empty(metrics->metrics_socket))
		return toml_fail(table, "crisp.metrics", loading->err,
				 "enable_metrics needs a metrics_port or a metrics_socket");
	return 0;
}

/* What one key alone can't tell. An error stands where the user wrote a key that has part in it. */
static int check_together(const struct loading *loading, const struct config *config)
{
	const struct toml_value *crisp = find_table(loading->tree, "crisp");
	const struct toml_value *runtime = find_table(loading->tree, "crisp.runtime");

	if (!config_find_runtime(config, config->runtime.default_runtime))
		return toml_fail(toml_find(runtime, "default_runtime")->value,
				 "crisp.runtime.default_runtime", loading->err,
				 "there is no [crisp.runtime.runtimes.%s]", config->runtime.default_runtime);
	if (str_eq(config->root, config->runroot)) {
		const struct toml_entry *entry = toml_find(crisp, "runroot");
		if (!entry)
			entry = toml_find(crisp, "root");
		return toml_fail(entry->value, "crisp.runroot", loading->err, "must differ from root");
	}
	return check_metrics(loading, &config->metrics);
}

/* What is missing is told where TLS was switched on. */
static int check_tls(const struct loading *loading, const struct config_api *api)
{
	const struct toml_value *table = find_table(loading->tree, "crisp.api");

	if (!api->stream_enable_tls || (*api->stream_tls_cert && *api->stream_tls_key))
		return 0;
	return toml_fail(toml_find(table, "stream_enable_tls")->value, "crisp.api.stream_enable_tls",
			 loading->err, "%s is not set",
			 *api->stream_tls_cert ? "stream_tls_key" : "stream_tls_cert");
}

static int decode_all(const struct loading *loading, struct config *config)
{
	if (check_root(loading) < 0)
		return -1;
	for (size_t i = 0; i < config_sections_len; i++) {
		const struct config_section *section = &config_sections[i];
		struct config_target target = { config, section->path, loading->arena };

		if (decode_section(loading, section, find_table(loading->tree, section->path), &target) < 0)
			return -1;
	}
	if (decode_runtimes(loading, config) < 0)
		return -1;
	return check_tls(loading, &config->api) < 0 ? -1 : check_together(loading, config);
}

static int read_into(struct toml_value *tree, const char *path, struct arena *scratch, struct err *err)
{
	struct toml_value *document;

	if (toml_read(path, scratch, &document, err) < 0)
		return -1;
	toml_merge(tree, document, scratch);
	return 0;
}

static int read_overrides(struct toml_value *tree, const char *text, struct arena *scratch, struct err *err)
{
	struct toml_source source = { "command line", text, strlen(text) };
	struct toml_value *document = NULL;

	if (toml_parse(&source, scratch, &document, err) < 0)
		return -1;
	toml_merge(tree, document, scratch);
	return 0;
}

/* Merges what there is into the tree; `files` becomes the paths read, in order. */
static int read_files(const struct config_paths *paths, struct toml_value *tree, struct arena *scratch,
		      struct strv *files, struct err *err)
{
	const char *file = paths->file ? paths->file : CONFIG_FILE;
	CLEANUP(strv_done) struct strv dropins = STRV_INIT;
	struct err why;

	if (read_into(tree, file, scratch, &why) == 0)
		strv_add(files, file);
	else if (why.code != RPC_NOT_FOUND || paths->file_needed)
		return err_set(err, why.code, "%s", why.text);
	if (toml_dropins(paths->dropins ? paths->dropins : CONFIG_DROPINS, ".toml", &dropins, err) < 0)
		return -1;
	for (size_t i = 0; i < dropins.len; i++) {
		if (read_into(tree, dropins.items[i], scratch, err) < 0)
			return -1;
		strv_add(files, dropins.items[i]);
	}
	return paths->overrides ? read_overrides(tree, paths->overrides, scratch, err) : 0;
}

static struct config_strings keep_strings(const struct strv *strv, struct arena *arena)
{
	const char **items = arena_array(arena, strv->len + 1, sizeof(*items));

	for (size_t i = 0; i < strv->len; i++)
		items[i] = arena_strdup(arena, strv->items[i]);
	return (struct config_strings){ items, strv->len };
}

int config_from_tree(const struct toml_value *tree, struct arena *scratch, struct config **ret,
		     struct err *err)
{
	static const struct strv none;
	struct snapshot *snapshot = snapshot_new();
	CLEANUP(config_unrefp) struct config *config = &snapshot->config;
	struct loading loading = { scratch, snapshot->arena, tree, err };

	if (decode_all(&loading, config) < 0)
		return -1;
	config->files = keep_strings(&none, snapshot->arena);
	*ret = TAKE(config);
	return 0;
}

int config_load(const struct config_paths *paths, struct config **ret, struct err *err)
{
	static const struct config_paths usual;
	CLEANUP(arena_freep) struct arena *scratch = arena_new(0);
	CLEANUP(strv_done) struct strv files = STRV_INIT;
	struct toml_value *tree = toml_new_table("", scratch);
	struct config *config;

	if (read_files(paths ? paths : &usual, tree, scratch, &files, err) < 0 ||
	    config_from_tree(tree, scratch, &config, err) < 0)
		return -1;
	config->files = keep_strings(&files, ((struct snapshot *)config)->arena);
	*ret = config;
	return 0;
}

struct config *config_defaults(void)
{
	CLEANUP(arena_freep) struct arena *scratch = arena_new(0);
	struct config *config = NULL;
	int decoded = config_from_tree(toml_new_table("", scratch), scratch, &config, NULL);

	assert(decoded == 0);
	return config;
}

const struct config_runtime *config_find_runtime(const struct config *config, const char *name)
{
	if (!*name)
		name = config->runtime.default_runtime;
	for (size_t i = 0; i < config->runtime.runtimes_len; i++)
		if (str_eq(config->runtime.runtimes[i].name, name))
			return &config->runtime.runtimes[i];
	return NULL;
}
