/*
 * One hook file: decoded by tables, its patterns compiled once. regcomp(3) unrolls repetitions, "(a+)+" in
 * the power of their depth (CVE-2010-4051): what a pattern would grow to is estimated first.
 */
#include <ctype.h>
#include <regex.h>
#include <stdint.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "sandbox/doc_dir.h"
#include "sandbox/hooks.h"
#include "sandbox/hooks_entry.h"
#include "sandbox/hooks_read.h"

enum { PATTERN_MAX = 1024, PATTERNS_MAX = 64, COST_MAX = 1 << 18 };

/* clang-format off */
#define END { NULL, JSON_FIELD_STRING, 0, 0, NULL, 0 }
#define WHEN(member) offsetof(struct hooks_when, member)
static const struct json_field when_fields[] = {
	{ "always", JSON_FIELD_RAW, WHEN(always_json), 0, NULL, 0 },
	{ "annotations", JSON_FIELD_STRING_MAP, WHEN(annotations), 0, NULL, 0 },
	{ "commands", JSON_FIELD_STRINGS, WHEN(commands), 0, NULL, 0 },
	{ "hasBindMounts", JSON_FIELD_RAW, WHEN(bind_mounts_json), 0, NULL, 0 },
	END,
};

#define FIELD(member) offsetof(struct hooks_file, member)
static const struct json_field file_fields[] = {
	{ "version", JSON_FIELD_STRING, FIELD(version), JSON_NEEDED, NULL, 0 },
	{ "hook", JSON_FIELD_OBJECT, FIELD(entry), JSON_NEEDED, hooks_entry_fields, sizeof(struct hooks_entry) },
	{ "when", JSON_FIELD_OBJECT, FIELD(when), JSON_NEEDED, when_fields, sizeof(struct hooks_when) },
	{ "stages", JSON_FIELD_STRINGS, FIELD(stages), JSON_NEEDED, NULL, 0 },
	END,
};
/* clang-format on */

/* What "{...}" at this place may multiply by. */
static uint64_t repeats(const char *brace)
{
	uint64_t most = 2, number = 0;

	for (const char *at = brace + 1; *at && *at != '}'; at++) {
		number = isdigit((unsigned char)*at) && number < COST_MAX
				 ? number * 10 + (uint64_t)(*at - '0')
				 : 0;
		if (number > most)
			most = number;
	}
	return most;
}

static bool is_affordable(const char *pattern)
{
	uint64_t cost = strlen(pattern);

	for (const char *at = pattern; *at && cost <= COST_MAX; at++)
		cost *= *at == '+' ? 2 : *at == '{' ? repeats(at) : 1;
	return cost <= COST_MAX;
}

static bool has_back_reference(const char *pattern)
{
	for (const char *at = pattern; (at = strchr(at, '\\')) && at[1]; at += 2)
		if (isdigit((unsigned char)at[1]))
			return true;
	return false;
}

static int compile(const char *pattern, regex_t *ret, struct err *err)
{
	int code;
	char text[128];

	if (strlen(pattern) > PATTERN_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "a pattern is longer than %d bytes", PATTERN_MAX);
	if (has_back_reference(pattern) || !is_affordable(pattern))
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "pattern \"%.64s\" has back-references or too many repetitions", pattern);
	code = regcomp(ret, pattern, REG_EXTENDED | REG_NOSUB);
	if (code == 0)
		return 0;
	regerror(code, ret, text, sizeof(text));
	return err_set(err, RPC_INVALID_ARGUMENT, "pattern \"%.64s\": %s", pattern, text);
}

static int decode_flag(json_t **json, const char *what, bool *ret_set, bool *ret, struct err *err)
{
	const json_t *flag = TAKE(*json);

	if (!flag || json_is_null(flag))
		return 0;
	if (!json_is_boolean(flag))
		return err_set(err, RPC_INVALID_ARGUMENT, "%s is not true or false", what);
	*ret_set = true;
	*ret = json_is_true(flag);
	return 0;
}

/* Patterns in the order annotation key, its value, ..., commands. */
static int compile_all(struct hooks_when *when, struct arena *arena, struct err *err)
{
	size_t most = 2 * when->annotations.len + when->commands.len;

	if (most > PATTERNS_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "more than %d patterns", PATTERNS_MAX);
	when->patterns = arena_array(arena, most + 1, sizeof(*when->patterns));
	for (size_t i = 0; i < when->annotations.len; i++) {
		const struct json_string_pair *pair = &when->annotations.items[i];

		if (compile(pair->key, &when->patterns[when->patterns_len], err) < 0)
			return -1;
		when->patterns_len++;
		if (compile(pair->value, &when->patterns[when->patterns_len], err) < 0)
			return -1;
		when->patterns_len++;
	}
	for (size_t i = 0; i < when->commands.len; i++) {
		if (compile(when->commands.items[i], &when->patterns[when->patterns_len], err) < 0)
			return -1;
		when->patterns_len++;
	}
	return 0;
}

static int check(struct hooks_file *file, struct arena *arena, struct err *err)
{
	struct hooks_when *when = &file->when;

	if (!str_eq(file->version, "1.0.0"))
		return err_set(err, RPC_INVALID_ARGUMENT, "version \"%.32s\" is not \"1.0.0\"",
			       file->version);
	if (hooks_entry_check(&file->entry, err) < 0 ||
	    decode_flag(&when->always_json, "always", &when->has_always, &when->always, err) < 0 ||
	    decode_flag(&when->bind_mounts_json, "hasBindMounts", &when->has_bind_mounts, &when->bind_mounts,
			err) < 0)
		return -1;
	if (!when->has_always && !when->has_bind_mounts && !when->annotations.len && !when->commands.len)
		return err_set(err, RPC_INVALID_ARGUMENT, "when has no condition");
	if (file->stages.len == 0)
		return err_set(err, RPC_INVALID_ARGUMENT, "stages is empty");
	for (size_t i = 0; i < file->stages.len; i++) {
		if (!hooks_stage_known(file->stages.items[i]))
			return err_set(err, RPC_INVALID_ARGUMENT, "unknown stage \"%.64s\"",
				       file->stages.items[i]);
		for (size_t j = 0; j < i; j++)
			if (str_eq(file->stages.items[i], file->stages.items[j]))
				return err_set(err, RPC_INVALID_ARGUMENT, "stage %s is there twice",
					       file->stages.items[i]);
	}
	return compile_all(when, arena, err);
}

int hooks_file_parse(const char *text, size_t len, struct arena *arena, const struct hooks_file **ret,
		     struct err *err)
{
	struct hooks_file *file = arena_alloc(arena, sizeof(*file));
	CLEANUP(json_decrefp) json_t *json = NULL;

	if (json_parse(text, len, DOC_SIZE_MAX, &json, err) < 0 ||
	    hooks_known_keys(json, file_fields, err) < 0 ||
	    json_decode(json, file_fields, file, arena, err) < 0)
		return -1;
	if (check(file, arena, err) < 0) {
		hooks_file_free(file);
		return -1;
	}
	*ret = file;
	return 0;
}

void hooks_file_free(const struct hooks_file *file)
{
	for (size_t i = 0; file && i < file->when.patterns_len; i++)
		regfree(&file->when.patterns[i]);
}

static bool matches(const regex_t *pattern, const char *text)
{
	return regexec(pattern, text, 0, NULL, 0) == 0;
}

static bool pair_matches(const regex_t *patterns, const struct hooks_facts *facts)
{
	const Cri__ContainerConfig *own = facts->config;
	const Cri__PodSandboxConfig *pod = facts->pod_config;

	for (size_t i = 0; i < own->n_annotations; i++)
		if (matches(&patterns[0], own->annotations[i]->key) &&
		    matches(&patterns[1], own->annotations[i]->value))
			return true;
	for (size_t i = 0; pod && i < pod->n_annotations; i++)
		if (matches(&patterns[0], pod->annotations[i]->key) &&
		    matches(&patterns[1], pod->annotations[i]->value))
			return true;
	return false;
}

static bool has_bind_mounts(const Cri__ContainerConfig *config)
{
	for (size_t i = 0; i < config->n_mounts; i++)
		if (!str_empty(config->mounts[i]->host_path))
			return true;
	return false;
}

bool hooks_file_matches(const struct hooks_file *file, const struct hooks_facts *facts)
{
	const struct hooks_when *when = &file->when;
	const regex_t *commands = when->patterns + 2 * when->annotations.len;

	if ((when->has_always && !when->always) ||
	    (when->has_bind_mounts && !(when->bind_mounts && has_bind_mounts(facts->config))))
		return false;
	for (size_t i = 0; i < when->annotations.len; i++)
		if (!pair_matches(when->patterns + 2 * i, facts))
			return false;
	for (size_t i = 0; i < when->commands.len; i++)
		if (facts->program && matches(&commands[i], facts->program))
			return true;
	return when->commands.len == 0;
}
