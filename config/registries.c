/*
 * Lookups. An image's name is written out as one string, repository[:tag][@digest], and every rule's prefix
 * is compared with its beginning; the rules are few and a pull is slow, so a walk will do. What follows the
 * matched part of the repository is appended to each location, the first '/' of the result parting host from
 * path.
 */
#include "config/registries.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "config/registries_set.h"

struct registries *registries_new(void)
{
	struct registries *registries = xnew(struct registries);

	registries->arena = arena_new(0);
	map_init(&registries->aliases, NULL);
	atomic_init(&registries->refs, 1);
	return registries;
}

struct registries *registries_ref(struct registries *registries)
{
	if (!registries)
		return NULL;
	unsigned int before = atomic_fetch_add_explicit(&registries->refs, 1, memory_order_relaxed);
	assert(before > 0);
	return registries;
}

struct registries *registries_unref(struct registries *registries)
{
	if (!registries || atomic_fetch_sub_explicit(&registries->refs, 1, memory_order_acq_rel) != 1)
		return NULL;
	map_done(&registries->aliases);
	strv_done(&registries->search);
	strv_done(&registries->insecure);
	strv_done(&registries->helpers);
	strv_done(&registries->notes);
	free(registries->rules);
	arena_free(registries->arena);
	free(registries);
	return NULL;
}

void registries_unrefp(struct registries **registries)
{
	registries_unref(*registries);
}

const char *const *registries_notes(const struct registries *registries)
{
	static const char *const none[] = { NULL };

	return registries->notes.len ? (const char *const *)registries->notes.items : none;
}

const char *const *registries_credential_helpers(const struct registries *registries)
{
	return (const char *const *)registries->helpers.items;
}

bool registries_is_short(const char *name)
{
	size_t len = strcspn(name, "/");

	if (!name[len])
		return true;
	return !memchr(name, '.', len) && !memchr(name, ':', len) &&
	       !(len == 9 && !memcmp(name, "localhost", 9));
}

const char *registries_normal_name(const char *name, struct arena *arena)
{
	if (str_has_prefix(name, "index.docker.io/"))
		name += strlen("index.");
	if (!str_has_prefix(name, "docker.io/"))
		return arena_strdup(arena, name);
	const char *path = name + strlen("docker.io/");
	return arena_fmt(arena, "docker.io/%s%s", strchr(path, '/') ? "" : "library/", path);
}

/* How much of `image` the rule's prefix covers; 0: it does not match. */
static size_t match_len(const struct registries_rule *rule, const char *image)
{
	size_t len = strlen(rule->prefix);

	if (str_has_prefix(rule->prefix, "*.")) {
		size_t host = strcspn(image, "/");
		size_t name = strcspn(image, ":/"); /* without the port */
		size_t suffix = len - 1;            /* ".example.com" */
		return name > suffix && !strncmp(image + name - suffix, rule->prefix + 1, suffix) ? host : 0;
	}
	if (strncmp(image, rule->prefix, len) != 0)
		return 0;
	char next = image[len];
	bool is_host = !strchr(rule->prefix, '/');
	return next == '/' || (!is_host && (next == '\0' || next == ':' || next == '@')) ? len : 0;
}

static bool beats(const struct registries_rule *rule, const struct registries_rule *other)
{
	bool wild = rule->prefix[0] == '*', other_wild = other->prefix[0] == '*';

	return wild == other_wild ? strlen(rule->prefix) > strlen(other->prefix) : !wild;
}

static const struct registries_rule *find_rule(const struct registries *registries, const char *image,
					       size_t *ret_matched)
{
	const struct registries_rule *best = NULL;

	for (size_t i = 0; i < registries->rules_len; i++) {
		const struct registries_rule *rule = &registries->rules[i];
		size_t matched = match_len(rule, image);
		if (matched && (!best || beats(rule, best))) {
			best = rule;
			*ret_matched = matched;
		}
	}
	return best;
}

/* What the image spec allows in a repository's path, loosely: lower case, digits, separators, no empty
 * component. */
static bool is_valid_path(const char *path)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyz0123456789._-/";

	return *path && !path[strspn(path, chars)] && path[0] != '/' && !strstr(path, "//") &&
	       path[strlen(path) - 1] != '/' && strlen(path) <= 255;
}

struct lookup {
	const struct registries *registries;
	const struct registries_query *query;
	struct arena *arena;
	const char *rest; /* of the repository, behind the matched part: "" or "/path" */
	struct registry_endpoint *items;
	size_t len;
};

/* Splits location + rest into host and path and adds it. */
static int add_endpoint(struct lookup *lookup, const char *location, bool insecure, bool mirror,
			struct err *err)
{
	const char *name = registries_normal_name(arena_fmt(lookup->arena, "%s%s", location, lookup->rest),
						  lookup->arena);
	const char *slash = strchr(name, '/');

	if (!slash || slash == name || !is_valid_path(slash + 1))
		return err_set(err, RPC_INVALID_ARGUMENT, "%s: \"%s\" is not a repository",
			       lookup->query->repository, name);
	const char *host = arena_strndup(lookup->arena, name, (size_t)(slash - name));
	lookup->items[lookup->len++] = (struct registry_endpoint){
		.host = host,
		.repository = slash + 1,
		.insecure = insecure || strv_has(&lookup->registries->insecure, host),
		.mirror = mirror,
	};
	return 0;
}

static bool is_used(const struct registries_rule *rule, const struct registries_mirror *mirror,
		    bool by_digest)
{
	if (rule->digest_only || mirror->use == MIRROR_DIGEST_ONLY)
		return by_digest;
	return mirror->use == MIRROR_ALL || !by_digest;
}

static int add_rule_endpoints(struct lookup *lookup, const struct registries_rule *rule, size_t matched,
			      struct err *err)
{
	const char *repository = lookup->query->repository;
	size_t whole = strlen(repository);
	const char *own = arena_strndup(lookup->arena, repository, matched);

	lookup->rest = matched < whole ? repository + matched : "";
	for (size_t i = 0; i < rule->mirrors_len; i++) {
		const struct registries_mirror *mirror = &rule->mirrors[i];
		if (!is_used(rule, mirror, lookup->query->digest != NULL))
			continue;
		if (add_endpoint(lookup, mirror->location, mirror->insecure, true, err) < 0)
			return -1;
	}
	return add_endpoint(lookup, *rule->location ? rule->location : own, rule->insecure, false, err);
}

int registries_endpoints(const struct registries *registries, const struct registries_query *query,
			 struct arena *arena, struct registry_endpoints *ret, struct err *err)
{
	struct lookup lookup = { registries, query, arena, .rest = "" };
	const char *repository = query->repository;
	size_t matched;

	if (strlen(repository) > REGISTRIES_REFERENCE_MAX ||
	    strlen(query->tag ? query->tag : "") > REGISTRIES_REFERENCE_MAX ||
	    strlen(query->digest ? query->digest : "") > REGISTRIES_REFERENCE_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "an image name of more than %d bytes",
			       REGISTRIES_REFERENCE_MAX);
	if (registries_is_short(repository))
		return err_set(err, RPC_INVALID_ARGUMENT, "%s: no registry in the name", repository);
	const char *image = arena_fmt(arena, "%s%s%s%s%s", repository, query->tag ? ":" : "",
				      query->tag ? query->tag : "", query->digest ? "@" : "",
				      query->digest ? query->digest : "");
	const struct registries_rule *rule = find_rule(registries, image, &matched);
	lookup.items = arena_array(arena, rule ? rule->mirrors_len + 1 : 1, sizeof(*lookup.items));
	if (!rule) {
		if (add_endpoint(&lookup, repository, false, false, err) < 0)
			return -1;
	} else if (rule->blocked) {
		return err_set(err, RPC_PERMISSION_DENIED, "%s: registry %s is blocked in %s:%d", repository,
			       rule->prefix, rule->file, rule->line);
	} else if (add_rule_endpoints(&lookup, rule, matched, err) < 0) {
		return -1;
	}
	*ret = (struct registry_endpoints){ lookup.items, lookup.len };
	return 0;
}

static void one_name(const char *name, const char *origin, struct arena *arena, struct registries_names *ret)
{
	const char **items = arena_array(arena, 2, sizeof(*items));

	items[0] = registries_normal_name(name, arena);
	*ret = (struct registries_names){ items, 1, origin };
}

static int search(const struct registries *registries, const char *name, struct arena *arena,
		  struct registries_names *ret, struct err *err)
{
	size_t count = registries->search.len;

	if (count == 0)
		return err_set(
			err, RPC_NOT_FOUND,
			"%s: a short name, which no alias resolves and unqualified-search-registries is empty",
			name);
	if (count > 1 && registries->short_mode == SHORT_ENFORCING)
		return err_set(
			err, RPC_INVALID_ARGUMENT,
			"%s: a short name that could be of %zu registries: give the full name, or an alias in "
			"registries.conf",
			name, count);
	const char **items = arena_array(arena, count + 1, sizeof(*items));
	for (size_t i = 0; i < count; i++)
		items[i] = registries_normal_name(
			arena_fmt(arena, "%s/%s", registries->search.items[i], name), arena);
	*ret = (struct registries_names){ items, count, "unqualified-search-registries" };
	return 0;
}

int registries_resolve(const struct registries *registries, const char *name, struct arena *arena,
		       struct registries_names *ret, struct err *err)
{
	if (!*name || strlen(name) > REGISTRIES_REFERENCE_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "an image name of 1 to %d bytes is needed",
			       REGISTRIES_REFERENCE_MAX);
	if (!registries_is_short(name)) {
		one_name(name, "full name", arena, ret);
		return 0;
	}
	const struct registries_alias *alias = map_get(&registries->aliases, name);
	if (alias && *alias->target) {
		one_name(alias->target, arena_fmt(arena, "alias of %s", alias->file), arena, ret);
		return 0;
	}
	if (registries->search_set)
		return search(registries, name, arena, ret, err);
	one_name(arena_fmt(arena, "docker.io/%s", name), "docker.io", arena, ret);
	return 0;
}
