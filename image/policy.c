/*
 * The document is walked once and comes down to a map from scope to verdict; a lookup tries the scopes from
 * the most to the least specific. Other transports than "docker" (archives, local stores) are checked for
 * form and then dropped: nothing is pulled through them.
 */
#include "image/policy.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/map.h"
#include "base/str.h"

enum verdict { VERDICT_ACCEPT = 1, VERDICT_REJECT, VERDICT_SIGNATURE };

struct rule {
	enum verdict verdict;
	const char *type; /* of the requirement that decided; static */
};

struct policy {
	char *name;
	struct map scopes; /* of "docker": struct rule */
	struct rule fallback;
};

static const struct {
	const char *type;
	enum verdict verdict;
} types[] = {
	{ "insecureAcceptAnything", VERDICT_ACCEPT },
	{ "reject", VERDICT_REJECT },
	{ "signedBy", VERDICT_SIGNATURE },
	{ "sigstoreSigned", VERDICT_SIGNATURE },
	{ "signedBaseLayer", VERDICT_SIGNATURE },
};

static int refuse(struct err *err, const char *why)
{
	return err_set(err, RPC_INVALID_ARGUMENT, "%s", why);
}

struct policy *policy_free(struct policy *policy)
{
	if (!policy)
		return NULL;
	map_done(&policy->scopes);
	free(policy->name);
	free(policy);
	return NULL;
}

void policy_freep(struct policy **policy)
{
	policy_free(*policy);
}

/* One requirement, added to what the rule says so far: the strictest counts. */
static int add_requirement(const json_t *json, struct rule *rule, struct err *err)
{
	const char *type = json_string_value(json_object_get(json, "type"));

	for (size_t i = 0; type && i < ARRAY_LEN(types); i++) {
		if (!str_eq(type, types[i].type))
			continue;
		if (types[i].verdict != VERDICT_SIGNATURE && json_object_size(json) > 1)
			return err_set(err, RPC_INVALID_ARGUMENT, "%s has no other keys", types[i].type);
		if (rule->verdict == 0 || rule->verdict == VERDICT_ACCEPT ||
		    types[i].verdict == VERDICT_REJECT)
			*rule = (struct rule){ types[i].verdict, types[i].type };
		return 0;
	}
	return refuse(err, "a requirement of an unknown type");
}

static int parse_requirements(const json_t *json, struct rule *ret, struct err *err)
{
	struct rule rule = { 0 };
	const json_t *item;
	size_t i;

	if (json_array_size(json) == 0)
		return refuse(err, "not a list of at least one requirement");
	if (json_array_size(json) > POLICY_REQUIREMENTS_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "more than %d requirements",
			       POLICY_REQUIREMENTS_MAX);
	json_array_foreach(json, i, item)
	{
		if (!json_is_object(item) || add_requirement(item, &rule, err) < 0)
			return json_is_object(item) ? -1 : refuse(err, "a requirement that is not an object");
	}
	*ret = rule;
	return 0;
}

static int parse_scopes(json_t *scopes, bool keep, struct policy *policy, struct err *err)
{
	const char *scope;
	json_t *list;

	if (!json_is_object(scopes))
		return refuse(err, "not an object of scopes");
	json_object_foreach(scopes, scope, list)
	{
		struct rule rule;

		if (parse_requirements(list, &rule, err) < 0)
			return err_prefix(err, "scope \"%.200s\"", scope);
		if (!keep)
			continue;
		if (map_len(&policy->scopes) == POLICY_SCOPES_MAX)
			return err_set(err, RPC_INVALID_ARGUMENT, "more than %d scopes", POLICY_SCOPES_MAX);
		map_put(&policy->scopes, scope, xmemdup(&rule, sizeof(rule)));
	}
	return 0;
}

static int parse_document(json_t *json, struct policy *policy, struct err *err)
{
	json_t *transports = json_object_get(json, "transports"), *value;
	const char *key;

	if (!json_is_object(json))
		return refuse(err, "not a JSON object");
	json_object_foreach(json, key,
			    value) if (!str_eq(key, "default") &&
				       !str_eq(key, "transports")) return err_set(err, RPC_INVALID_ARGUMENT,
										  "unknown key \"%.200s\"",
										  key);
	if (parse_requirements(json_object_get(json, "default"), &policy->fallback, err) < 0)
		return err_prefix(err, "default");
	if (transports && !json_is_object(transports))
		return refuse(err, "transports: not an object");
	json_object_foreach(transports, key,
			    value) if (parse_scopes(value, str_eq(key, "docker"), policy, err) <
				       0) return err_prefix(err, "transport \"%.200s\"", key);
	return 0;
}

int policy_parse(const char *text, size_t len, const char *name, struct policy **ret, struct err *err)
{
	CLEANUP(policy_freep) struct policy *policy = xnew(struct policy);
	CLEANUP(json_decrefp) json_t *json = NULL;

	map_init(&policy->scopes, free);
	policy->name = xstrdup(name);
	if (json_parse(text, len, POLICY_SIZE_MAX, &json, err) < 0 || parse_document(json, policy, err) < 0) {
		err_prefix(err, "SignatureValidationFailed: %s", name);
		err->code = RPC_UNKNOWN;
		return -1;
	}
	*ret = TAKE(policy);
	return 0;
}

int policy_load(const char *path, struct policy **ret, struct err *err)
{
	CLEANUP(freep) char *text = NULL;
	struct err why;
	size_t len;

	if (file_read_linked(*path ? path : POLICY_FILE, POLICY_SIZE_MAX, &text, &len, &why) < 0) {
		if (!*path && why.code == RPC_NOT_FOUND) {
			*ret = NULL;
			return 0;
		}
		return err_set(err, RPC_UNKNOWN, "SignatureValidationFailed: policy: %s", why.text);
	}
	return policy_parse(text, len, *path ? path : POLICY_FILE, ret, err);
}

struct search {
	const struct policy *policy;
	const struct rule *rule;
	char *scope; /* that decided */
};

static bool try_scope(struct search *search, const char *scope)
{
	search->rule = map_get(&search->policy->scopes, scope);
	if (search->rule)
		search->scope = xstrdup(scope);
	return search->rule != NULL;
}

/* "host:port/a/b", "host:port/a", "host:port" */
static bool try_namespaces(struct search *search, const char *repository)
{
	CLEANUP(freep) char *scope = xstrdup(repository);

	for (;;) {
		char *slash;

		if (try_scope(search, scope))
			return true;
		slash = strrchr(scope, '/');
		if (!slash)
			return false;
		*slash = '\0';
	}
}

/* "*.sub.example.com:port"?, "*.example.com", "*.com": the port is no part of a wildcard. */
static bool try_wildcards(struct search *search, const char *repository)
{
	CLEANUP(freep) char *host = xstrndup(repository, strcspn(repository, ":/"));

	for (const char *dot = strchr(host, '.'); dot; dot = strchr(dot + 1, '.')) {
		CLEANUP(freep) char *scope = xasprintf("*%s", dot);

		if (try_scope(search, scope))
			return true;
	}
	return false;
}

static void find_rule(struct search *search, const char *repository, const struct reference *reference)
{
	CLEANUP(freep) char *whole = reference_text(reference, repository);

	if (try_scope(search, whole) || try_namespaces(search, repository) ||
	    try_wildcards(search, repository) || try_scope(search, ""))
		return;
	search->rule = &search->policy->fallback;
}

int policy_check(const struct policy *policy, const char *repository, const struct reference *reference,
		 struct err *err)
{
	struct search search = { .policy = policy };
	CLEANUP(freep) char *where = NULL;

	if (!policy)
		return 0;
	find_rule(&search, repository, reference);
	where = !search.scope ? xstrdup("default")
			      : xasprintf("scope \"%s\"", *search.scope ? search.scope : "docker");
	free(search.scope);
	if (search.rule->verdict == VERDICT_ACCEPT)
		return 0;
	if (search.rule->verdict == VERDICT_REJECT)
		return err_set(err, RPC_UNKNOWN, "SignatureValidationFailed: %s is rejected by %s, %s",
			       repository, policy->name, where);
	return err_set(
		err, RPC_UNKNOWN,
		"SignatureValidationFailed: %s, %s, demands %s for %s: signatures can't be verified yet",
		policy->name, where, search.rule->type, repository);
}
