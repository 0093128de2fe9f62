/*
 * Loading. The files do not merge as trees (a [[registry]] replaces another of the same prefix, lists
 * replace, aliases merge), so each document is checked and applied by itself, in order. Keys are decoded by
 * small tables of name and decoder: an unknown key is one that is in no table.
 */
#include "config/registries.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_rule.h"
#include "config/registries_set.h"
#include "config/toml.h"

enum { RULES_MAX = 4096, ALIASES_MAX = 65536, SEARCH_MAX = 64, HELPERS_MAX = 16 };

/* One key's decoder: fills something in `target`; `name` is the key's full name. */
struct field {
	const char *key;
	int (*decode)(const struct toml_value *value, const char *name, void *target, struct err *err);
	size_t offset;
};

struct table {
	const char *name; /* "registry.mirror" */
	const struct field *fields;
	size_t len;
};

static int expect(const struct toml_value *value, const char *name, enum toml_type type, struct err *err)
{
	if (value->type != type)
		return toml_fail(value, name, err, "%s expected, not %s", toml_type_name(type),
				 toml_type_name(value->type));
	if (type == TOML_STRING && strlen(value->string.data) != value->string.len)
		return toml_fail(value, name, err, "a string that holds a NUL byte");
	return 0;
}

static int decode_bool(const struct toml_value *value, const char *name, void *target, struct err *err)
{
	if (expect(value, name, TOML_BOOL, err) < 0)
		return -1;
	*(bool *)target = value->boolean;
	return 0;
}

static int decode_string(const struct toml_value *value, const char *name, void *target, struct err *err)
{
	if (expect(value, name, TOML_STRING, err) < 0)
		return -1;
	*(const char **)target = value->string.data;
	return 0;
}

static int decode_value(const struct toml_value *value, const char *name UNUSED, void *target,
			struct err *err UNUSED)
{
	*(const struct toml_value **)target = value;
	return 0;
}

/* Decodes every key of `value` (a table) into the struct at `target`. */
static int decode_table(const struct table *table, const struct toml_value *value, void *target,
			struct err *err)
{
	if (expect(value, *table->name ? table->name : NULL, TOML_TABLE, err) < 0)
		return -1;
	for (size_t i = 0; i < value->table.len; i++) {
		const struct toml_entry *entry = &value->table.entries[i];
		CLEANUP(freep)
		char *name = xasprintf("%s%s%.200s", table->name, *table->name ? "." : "", entry->key.data);
		const struct field *field = table->fields;

		while (field < table->fields + table->len && !str_eq(field->key, entry->key.data))
			field++;
		if (field == table->fields + table->len)
			return toml_fail(entry->value, name, err, "unknown key");
		if (field->decode(entry->value, name, (char *)target + field->offset, err) < 0)
			return -1;
	}
	return 0;
}

struct mirror_text {
	const char *location;
	const char *use;
	bool insecure;
};

static const struct field mirror_fields[] = {
	{ "location", decode_string, offsetof(struct mirror_text, location) },
	{ "insecure", decode_bool, offsetof(struct mirror_text, insecure) },
	{ "pull-from-mirror", decode_string, offsetof(struct mirror_text, use) },
};
static const struct table mirror_table = { "registry.mirror", mirror_fields, ARRAY_LEN(mirror_fields) };

struct rule_text {
	const char *prefix;
	const char *location;
	const struct toml_value *mirrors;
	bool insecure, blocked, digest_only;
};

static const struct field rule_fields[] = {
	{ "prefix", decode_string, offsetof(struct rule_text, prefix) },
	{ "location", decode_string, offsetof(struct rule_text, location) },
	{ "mirror", decode_value, offsetof(struct rule_text, mirrors) },
	{ "insecure", decode_bool, offsetof(struct rule_text, insecure) },
	{ "blocked", decode_bool, offsetof(struct rule_text, blocked) },
	{ "mirror-by-digest-only", decode_bool, offsetof(struct rule_text, digest_only) },
};
static const struct table rule_table = { "registry", rule_fields, ARRAY_LEN(rule_fields) };

struct document {
	const struct toml_value *search, *rules, *aliases, *short_mode, *helpers, *layer_helper, *v1;
};

static const struct field document_fields[] = {
	{ "unqualified-search-registries", decode_value, offsetof(struct document, search) },
	{ "registry", decode_value, offsetof(struct document, rules) },
	{ "aliases", decode_value, offsetof(struct document, aliases) },
	{ "short-name-mode", decode_value, offsetof(struct document, short_mode) },
	{ "credential-helpers", decode_value, offsetof(struct document, helpers) },
	{ "additional-layer-store-auth-helper", decode_value, offsetof(struct document, layer_helper) },
	{ "registries", decode_value, offsetof(struct document, v1) },
};
static const struct table document_table = { "", document_fields, ARRAY_LEN(document_fields) };

/* host[:port][/path...], lower case below the host; `tail` is what may follow the path: ":@" or "". NULL when
 * fine. */
static const char *name_problem(const char *text, const char *tail)
{
	static const char path_chars[] = "abcdefghijklmnopqrstuvwxyz0123456789._-/";
	size_t host = strcspn(text, "/@");
	CLEANUP(freep) char *host_text = xstrndup(text, host);

	if (strstr(text, "://"))
		return "has a scheme: only host[:port][/path] is allowed";
	if (strlen(text) > REGISTRIES_REFERENCE_MAX)
		return "is too long";
	if (rule_registry(host_text) != NULL)
		return "is not host[:port][/path]";
	const char *path = text + host;
	size_t len = strspn(path, path_chars);
	if (path[len] && (len == 0 || !strchr(tail, path[len])))
		return path[len] == ':' || path[len] == '@' ? "names a tag or digest"
							    : "is not host[:port][/path]";
	if (memmem(path, len, "//", 2))
		return "is not host[:port][/path]";
	return NULL;
}

/* Checks a location (or prefix) and copies it without '/' at the end. */
static int keep_name(struct registries *registries, const struct toml_value *at, const char *key,
		     const char *text, const char **ret, struct err *err)
{
	size_t len = strlen(text);

	while (len > 0 && text[len - 1] == '/')
		len--;
	const char *name = arena_strndup(registries->arena, text, len);
	const char *why = name_problem(name, str_has_suffix(key, "prefix") ? ":@" : "");
	if (why)
		return toml_fail(at, key, err, "\"%.200s\" %s", text, why);
	*ret = name;
	return 0;
}

static int decode_mirror(struct registries *registries, const struct toml_value *value, bool digest_only,
			 struct registries_mirror *ret, struct err *err)
{
	struct mirror_text text = { .use = "" };

	if (decode_table(&mirror_table, value, &text, err) < 0)
		return -1;
	if (!text.location || !*text.location)
		return toml_fail(value, "registry.mirror.location", err, "missing");
	if (keep_name(registries, value, "registry.mirror.location", text.location, &ret->location, err) < 0)
		return -1;
	if (*text.use && digest_only)
		return toml_fail(value, "registry.mirror.pull-from-mirror", err,
				 "not allowed where the registry sets mirror-by-digest-only");
	if (str_eq(text.use, "digest-only"))
		ret->use = MIRROR_DIGEST_ONLY;
	else if (str_eq(text.use, "tag-only"))
		ret->use = MIRROR_TAG_ONLY;
	else if (*text.use && !str_eq(text.use, "all"))
		return toml_fail(value, "registry.mirror.pull-from-mirror", err,
				 "\"%.200s\" is not one of all digest-only tag-only", text.use);
	ret->insecure = text.insecure;
	return 0;
}

static int decode_mirrors(struct registries *registries, const struct toml_value *value,
			  struct registries_rule *rule, struct err *err)
{
	if (!value)
		return 0;
	if (expect(value, "registry.mirror", TOML_ARRAY, err) < 0)
		return -1;
	size_t count = value->array.len;
	if (count >= REGISTRIES_ENDPOINTS_MAX)
		return toml_fail(value, "registry.mirror", err, "more than %d mirrors",
				 REGISTRIES_ENDPOINTS_MAX - 1);
	rule->mirrors = arena_array(registries->arena, count, sizeof(*rule->mirrors));
	for (size_t i = 0; i < count; i++)
		if (decode_mirror(registries, value->array.items[i], rule->digest_only, &rule->mirrors[i],
				  err) < 0)
			return -1;
	rule->mirrors_len = count;
	return 0;
}

/* A wildcard stands for all hosts of a domain: "*.example.com", nothing behind it. */
static int keep_prefix(struct registries *registries, const struct toml_value *at, const char *text,
		       const char **ret, struct err *err)
{
	if (!strchr(text, '*'))
		return keep_name(registries, at, "registry.prefix", text, ret, err);
	if (!str_has_prefix(text, "*.") || strpbrk(text + 1, "*/:@") || rule_registry(text + 2) != NULL)
		return toml_fail(at, "registry.prefix", err,
				 "\"%.200s\": a wildcard is possible in the form *.example.com only", text);
	*ret = arena_strdup(registries->arena, text);
	return 0;
}

static int decode_rule(struct registries *registries, const struct toml_value *value,
		       struct registries_rule *ret, struct err *err)
{
	struct rule_text text = { .prefix = "", .location = "" };

	if (decode_table(&rule_table, value, &text, err) < 0)
		return -1;
	bool wild = str_has_prefix(text.prefix, "*");
	if (!*text.prefix && !*text.location)
		return toml_fail(value, "registry", err, "neither prefix nor location");
	*ret = (struct registries_rule){
		.location = "",
		.insecure = text.insecure,
		.blocked = text.blocked,
		.digest_only = text.digest_only,
		.file = arena_strdup(registries->arena, value->file),
		.line = value->line,
	};
	if (keep_prefix(registries, value, *text.prefix ? text.prefix : text.location, &ret->prefix, err) < 0)
		return -1;
	if (!*text.location && !wild && ret->prefix[strcspn(ret->prefix, "/")] &&
	    strpbrk(strchr(ret->prefix, '/'), ":@"))
		return toml_fail(value, "registry.location", err,
				 "missing: the prefix names a tag or digest");
	if ((*text.location || !wild) &&
	    keep_name(registries, value, "registry.location", *text.location ? text.location : ret->prefix,
		      &ret->location, err) < 0)
		return -1;
	return decode_mirrors(registries, text.mirrors, ret, err);
}

static struct registries_rule *find_prefix(const struct registries *registries, const char *prefix)
{
	for (size_t i = 0; i < registries->rules_len; i++)
		if (str_eq(registries->rules[i].prefix, prefix))
			return &registries->rules[i];
	return NULL;
}

/* [[registry]]: an earlier file's rule of the same prefix is replaced, one of the same file is a mistake. */
static int apply_rules(struct registries *registries, const struct toml_value *value, struct err *err)
{
	if (expect(value, "registry", TOML_ARRAY, err) < 0)
		return -1;
	for (size_t i = 0; i < value->array.len; i++) {
		struct registries_rule rule;

		if (decode_rule(registries, value->array.items[i], &rule, err) < 0)
			return -1;
		struct registries_rule *old = find_prefix(registries, rule.prefix);
		if (old && str_eq(old->file, rule.file))
			return toml_fail(value->array.items[i], "registry.prefix", err,
					 "\"%s\" is the prefix of line %d already", rule.prefix, old->line);
		if (old) {
			*old = rule;
			continue;
		}
		if (registries->rules_len == RULES_MAX)
			return toml_fail(value, "registry", err, "more than %d registries", RULES_MAX);
		registries->rules = xrealloc(registries->rules, registries->rules_len + 1, sizeof(rule));
		registries->rules[registries->rules_len++] = rule;
	}
	return 0;
}

static int apply_search(struct registries *registries, const struct toml_value *value, struct err *err)
{
	static const char key[] = "unqualified-search-registries";
	CLEANUP(strv_done) struct strv list = STRV_INIT;

	if (expect(value, key, TOML_ARRAY, err) < 0)
		return -1;
	if (value->array.len > SEARCH_MAX)
		return toml_fail(value, key, err, "more than %d registries", SEARCH_MAX);
	for (size_t i = 0; i < value->array.len; i++) {
		const struct toml_value *item = value->array.items[i];
		const char *name;

		if (expect(item, key, TOML_STRING, err) < 0 ||
		    keep_name(registries, item, key, item->string.data, &name, err) < 0)
			return -1;
		CLEANUP(freep) char *probe = xasprintf("%s/x", name);
		if (registries_is_short(probe))
			return toml_fail(
				item, key, err,
				"\"%.200s\" is not a registry: it has no '.', no port and is not localhost",
				name);
		if (!strv_has(&list, name))
			strv_add(&list, name);
	}
	strv_done(&registries->search);
	registries->search = list;
	list = (struct strv)STRV_INIT;
	registries->search_set = true;
	return 0;
}

static int apply_short_mode(struct registries *registries, const struct toml_value *value, struct err *err)
{
	static const struct {
		const char *text;
		enum registries_short_mode mode;
	} modes[] = {
		{ "", SHORT_PERMISSIVE },
		{ "permissive", SHORT_PERMISSIVE },
		{ "enforcing", SHORT_ENFORCING },
		{ "disabled", SHORT_DISABLED },
	};

	if (expect(value, "short-name-mode", TOML_STRING, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		if (str_eq(modes[i].text, value->string.data)) {
			registries->short_mode = modes[i].mode;
			return 0;
		}
	}
	return toml_fail(value, "short-name-mode", err,
			 "\"%.200s\" is not one of enforcing permissive disabled", value->string.data);
}

static int apply_alias(struct registries *registries, const struct toml_entry *entry, struct err *err)
{
	static const char short_chars[] = "abcdefghijklmnopqrstuvwxyz0123456789._-/";
	CLEANUP(freep) char *key = xasprintf("aliases.%.200s", entry->key.data);
	const struct toml_value *value = entry->value;
	const char *name = entry->key.data, *target = "";

	if (strlen(name) != entry->key.len || !*name || name[strspn(name, short_chars)] ||
	    !registries_is_short(name))
		return toml_fail(value, key, err, "not a short name: no registry, tag or digest is allowed");
	if (expect(value, key, TOML_STRING, err) < 0)
		return -1;
	if (value->string.len > 0) {
		if (keep_name(registries, value, key, value->string.data, &target, err) < 0)
			return -1;
		if (registries_is_short(target))
			return toml_fail(value, key, err, "\"%.200s\" is not a full name", target);
	}
	if (map_len(&registries->aliases) == ALIASES_MAX)
		return toml_fail(value, key, err, "more than %d aliases", ALIASES_MAX);
	struct registries_alias *alias = arena_alloc(registries->arena, sizeof(*alias));
	alias->target = target;
	alias->file = arena_strdup(registries->arena, value->file);
	map_put(&registries->aliases, name, alias);
	return 0;
}

static int apply_aliases(struct registries *registries, const struct toml_value *value, struct err *err)
{
	if (expect(value, "aliases", TOML_TABLE, err) < 0)
		return -1;
	for (size_t i = 0; i < value->table.len; i++)
		if (apply_alias(registries, &value->table.entries[i], err) < 0)
			return -1;
	return 0;
}

/* A later file's list replaces the earlier one. */
static int apply_helpers(struct registries *registries, const struct toml_value *value, struct err *err)
{
	static const char key[] = "credential-helpers";
	CLEANUP(strv_done) struct strv list = STRV_INIT;

	if (expect(value, key, TOML_ARRAY, err) < 0)
		return -1;
	if (value->array.len > HELPERS_MAX)
		return toml_fail(value, key, err, "more than %d helpers", HELPERS_MAX);
	for (size_t i = 0; i < value->array.len; i++) {
		const struct toml_value *item = value->array.items[i];

		if (expect(item, key, TOML_STRING, err) < 0)
			return -1;
		if (rule_handler(item->string.data) != NULL)
			return toml_fail(item, key, err, "\"%.200s\" is not a credential helper's name",
					 item->string.data);
		strv_add(&list, item->string.data);
	}
	strv_done(&registries->helpers);
	registries->helpers = list;
	list = (struct strv)STRV_INIT;
	return 0;
}

int registries_apply(struct registries *registries, const struct toml_value *root, struct err *err)
{
	struct document document = { 0 };

	if (decode_table(&document_table, root, &document, err) < 0)
		return -1;
	if (document.v1)
		return toml_fail(
			document.v1, "registries", err,
			"the version 1 format is not supported: use unqualified-search-registries and [[registry]]");
	if (document.search && apply_search(registries, document.search, err) < 0)
		return -1;
	if (document.rules && apply_rules(registries, document.rules, err) < 0)
		return -1;
	if (document.aliases && apply_aliases(registries, document.aliases, err) < 0)
		return -1;
	if (document.short_mode && apply_short_mode(registries, document.short_mode, err) < 0)
		return -1;
	return document.helpers ? apply_helpers(registries, document.helpers, err) : 0;
}

static int apply_file(struct registries *registries, const char *path, struct err *err)
{
	CLEANUP(arena_freep) struct arena *scratch = arena_new(0);
	struct toml_value *root;
	struct err why;

	if (toml_read(path, scratch, &root, &why) < 0) {
		if (why.code == RPC_NOT_FOUND)
			return 0;
		return err_set(err, why.code, "%s", why.text);
	}
	return registries_apply(registries, root, err);
}

int registries_load(const struct registries_paths *paths, struct registries **ret, struct err *err)
{
	static const struct registries_paths usual;
	CLEANUP(registries_unrefp) struct registries *registries = registries_new();
	CLEANUP(strv_done) struct strv dropins = STRV_INIT;

	if (!paths)
		paths = &usual;
	const char *file = paths->file ? paths->file : REGISTRIES_FILE;
	CLEANUP(freep) char *dir = paths->dropins ? xstrdup(paths->dropins) : xasprintf("%s.d", file);
	if (apply_file(registries, file, err) < 0 || toml_dropins(dir, ".conf", &dropins, err) < 0)
		return -1;
	for (size_t i = 0; i < dropins.len; i++)
		if (apply_file(registries, dropins.items[i], err) < 0)
			return -1;
	if (apply_file(registries, paths->aliases ? paths->aliases : REGISTRIES_ALIASES, err) < 0)
		return -1;
	for (const char *const *host = paths->insecure; host && *host; host++)
		strv_add(&registries->insecure, *host);
	*ret = TAKE(registries);
	return 0;
}
