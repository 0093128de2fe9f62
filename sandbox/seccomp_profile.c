/*
 * Parsing of seccomp profiles and the question whether a rule holds.
 *
 * The document is decoded by static tables into structs that mirror it, which are then checked and turned
 * into the flat rules of struct seccomp_profile. What the tables do not name is ignored, as other
 * implementations do. Actions, operators and architectures are checked here, so that a profile is refused
 * with its own words and not by a runtime's message at start.
 */
#include "sandbox/seccomp_profile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/json.h"
#include "sandbox/capabilities.h"
#include "sandbox/seccomp.h"

enum {
	RULES_MAX = 4096,
	NAMES_MAX = 4096, /* of one rule */
};

struct document_arg {
	uint64_t index, value, value_two;
	char *op;
};

struct document_condition {
	struct json_strings caps, arches;
	char *min_kernel;
};

struct document_rule {
	struct json_strings names;
	char *name; /* the old form: one name */
	char *action;
	json_t *errno_ret;
	struct json_array args;
	struct document_condition includes, excludes;
};

struct document_arch {
	char *architecture;
	struct json_strings sub;
};

struct document {
	char *default_action;
	json_t *default_errno;
	struct json_strings architectures, flags;
	struct json_array arch_map, rules;
	char *listener_path, *listener_metadata;
};

static const struct json_field arg_fields[] = {
	{ "index", JSON_FIELD_UINT, offsetof(struct document_arg, index), JSON_NEEDED },
	{ "value", JSON_FIELD_UINT, offsetof(struct document_arg, value) },
	{ "valueTwo", JSON_FIELD_UINT, offsetof(struct document_arg, value_two) },
	{ "op", JSON_FIELD_STRING, offsetof(struct document_arg, op), JSON_NEEDED },
	{ 0 },
};
static const struct json_field condition_fields[] = {
	{ "caps", JSON_FIELD_STRINGS, offsetof(struct document_condition, caps) },
	{ "arches", JSON_FIELD_STRINGS, offsetof(struct document_condition, arches) },
	{ "minKernel", JSON_FIELD_STRING, offsetof(struct document_condition, min_kernel) },
	{ 0 },
};
static const struct json_field rule_fields[] = {
	{ "names", JSON_FIELD_STRINGS, offsetof(struct document_rule, names) },
	{ "name", JSON_FIELD_STRING, offsetof(struct document_rule, name) },
	{ "action", JSON_FIELD_STRING, offsetof(struct document_rule, action), JSON_NEEDED },
	{ "errnoRet", JSON_FIELD_RAW, offsetof(struct document_rule, errno_ret) },
	{ "args", JSON_FIELD_ARRAY, offsetof(struct document_rule, args), 0, arg_fields,
	  sizeof(struct document_arg) },
	{ "includes", JSON_FIELD_OBJECT, offsetof(struct document_rule, includes), 0, condition_fields },
	{ "excludes", JSON_FIELD_OBJECT, offsetof(struct document_rule, excludes), 0, condition_fields },
	{ 0 },
};
static const struct json_field arch_fields[] = {
	{ "architecture", JSON_FIELD_STRING, offsetof(struct document_arch, architecture), JSON_NEEDED },
	{ "subArchitectures", JSON_FIELD_STRINGS, offsetof(struct document_arch, sub) },
	{ 0 },
};
static const struct json_field document_fields[] = {
	{ "defaultAction", JSON_FIELD_STRING, offsetof(struct document, default_action), JSON_NEEDED },
	{ "defaultErrnoRet", JSON_FIELD_RAW, offsetof(struct document, default_errno) },
	{ "architectures", JSON_FIELD_STRINGS, offsetof(struct document, architectures) },
	{ "flags", JSON_FIELD_STRINGS, offsetof(struct document, flags) },
	{ "archMap", JSON_FIELD_ARRAY, offsetof(struct document, arch_map), 0, arch_fields,
	  sizeof(struct document_arch) },
	{ "syscalls", JSON_FIELD_ARRAY, offsetof(struct document, rules), 0, rule_fields,
	  sizeof(struct document_rule) },
	{ "listenerPath", JSON_FIELD_STRING, offsetof(struct document, listener_path) },
	{ "listenerMetadata", JSON_FIELD_STRING, offsetof(struct document, listener_metadata) },
	{ 0 },
};

/* Names of GOARCH, as the conditions write them, and of this machine's key in archMap. */
#if defined(__x86_64__)
#define NATIVE_ARCH "amd64"
#define NATIVE_TOKEN "SCMP_ARCH_X86_64"
#elif defined(__aarch64__)
#define NATIVE_ARCH "arm64"
#define NATIVE_TOKEN "SCMP_ARCH_AARCH64"
#elif defined(__s390x__)
#define NATIVE_ARCH "s390x"
#define NATIVE_TOKEN "SCMP_ARCH_S390X"
#elif defined(__powerpc64__)
#define NATIVE_ARCH "ppc64le"
#define NATIVE_TOKEN "SCMP_ARCH_PPC64LE"
#elif defined(__riscv)
#define NATIVE_ARCH "riscv64"
#define NATIVE_TOKEN "SCMP_ARCH_RISCV64"
#else
#error "an architecture that seccomp profiles have no name for here"
#endif

static const char *const actions[] = { "SCMP_ACT_KILL",  "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
				       "SCMP_ACT_TRAP",  "SCMP_ACT_ERRNO",        "SCMP_ACT_TRACE",
				       "SCMP_ACT_ALLOW", "SCMP_ACT_LOG",          "SCMP_ACT_NOTIFY" };
static const char *const operators[] = { "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE",       "SCMP_CMP_EQ",
					 "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ" };

static bool is_one_of(const char *text, const char *const *list, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (str_eq(text, list[i]))
			return true;
	return false;
}

bool seccomp_next_name(const char *list, const char **at, char name[SECCOMP_NAME_SIZE])
{
	const char *from = *at ? *at : list;
	size_t len;

	while (*from == ' ')
		from++;
	len = strcspn(from, " ");
	if (len == 0)
		return false;
	snprintf(name, SECCOMP_NAME_SIZE, "%.*s", (int)len, from);
	*at = from + len;
	return true;
}

/* Whether `name` is one of the names in `list`. */
static bool list_has(const char *list, const char *name)
{
	char item[SECCOMP_NAME_SIZE];

	for (const char *at = NULL; seccomp_next_name(list, &at, item);)
		if (strcmp(item, name) == 0)
			return true;
	return false;
}

static unsigned int kernel_version(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname name;

	if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &major, &minor) != 2)
		return 0;
	return major << 16 | minor;
}

bool seccomp_rule_holds(const struct seccomp_rule *rule, uint64_t capabilities)
{
	const struct seccomp_condition *in = &rule->includes, *out = &rule->excludes;

	if ((out->arches && list_has(out->arches, NATIVE_ARCH)) || (out->caps & capabilities) ||
	    (out->kernel && kernel_version() >= out->kernel))
		return false;
	return (!in->arches || list_has(in->arches, NATIVE_ARCH)) && (in->caps & ~capabilities) == 0 &&
	       (!in->kernel || kernel_version() >= in->kernel);
}

uint64_t seccomp_profile_capabilities(const struct seccomp_profile *profile)
{
	uint64_t caps = 0;

	for (size_t i = 0; i < profile->rules_len; i++)
		caps |= profile->rules[i].includes.caps | profile->rules[i].excludes.caps;
	return caps & ~SECCOMP_UNKNOWN_CAPABILITY;
}

bool seccomp_profile_needs_oci(const struct seccomp_profile *profile)
{
	if (*profile->flags || profile->listener_path ||
	    strcmp(profile->default_action, "SCMP_ACT_NOTIFY") == 0)
		return true;
	for (size_t i = 0; i < profile->rules_len; i++)
		if (strcmp(profile->rules[i].action, "SCMP_ACT_NOTIFY") == 0)
			return true;
	return false;
}

/* One string out of many; refuses what is no single word. */
static int join_names(const struct json_strings *names, const char *what, struct arena *arena,
		      const char **ret, struct err *err)
{
	struct str all CLEANUP(str_done) = STR_LIMIT(SECCOMP_PROFILE_MAX);

	if (names->len > NAMES_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "%s has more than %d entries", what, NAMES_MAX);
	for (size_t i = 0; i < names->len; i++) {
		const char *name = names->items[i];

		if (!*name || strlen(name) >= SECCOMP_NAME_SIZE || !str_is_printable(name) ||
		    strchr(name, ' '))
			return err_set(err, RPC_INVALID_ARGUMENT, "%s[%zu] is no name", what, i);
		str_addf(&all, "%s%s", i ? " " : "", name);
	}
	*ret = arena_strdup(arena, str_get(&all));
	return 0;
}

static int parse_errno(const json_t *json, int absent, int *ret, struct err *err)
{
	if (!json || json_is_null(json)) {
		*ret = absent;
		return 0;
	}
	if (!json_is_integer(json) || json_integer_value(json) < 0 || json_integer_value(json) > 4095)
		return err_set(err, RPC_INVALID_ARGUMENT, "the errno is not a number from 0 to 4095");
	*ret = (int)json_integer_value(json);
	return 0;
}

static int parse_condition(const struct document_condition *document, struct arena *arena,
			   struct seccomp_condition *ret, struct err *err)
{
	unsigned int major, minor;
	char rest;

	for (size_t i = 0; i < document->caps.len; i++) {
		int number = capability_number(document->caps.items[i]);

		ret->caps |= number < 0 ? SECCOMP_UNKNOWN_CAPABILITY : UINT64_C(1) << number;
	}
	if (document->arches.len && join_names(&document->arches, "arches", arena, &ret->arches, err) < 0)
		return -1;
	if (!document->min_kernel)
		return 0;
	if (sscanf(document->min_kernel, "%5u.%5u%c", &major, &minor, &rest) < 2 || major > 1000 ||
	    minor > 65535)
		return err_set(err, RPC_INVALID_ARGUMENT, "minKernel is not of the form \"4.8\"");
	ret->kernel = major << 16 | minor;
	return 0;
}

static int parse_args(const struct json_array *args, struct seccomp_rule *rule, struct err *err)
{
	const struct document_arg *items = args->items;

	if (args->len > SECCOMP_ARGS_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "more than %d args", SECCOMP_ARGS_MAX);
	for (size_t i = 0; i < args->len; i++) {
		if (items[i].index >= SECCOMP_ARGS_MAX)
			return err_set(err, RPC_INVALID_ARGUMENT, "args[%zu]: index is over 5", i);
		if (!is_one_of(items[i].op, operators, ARRAY_LEN(operators)))
			return err_set(err, RPC_INVALID_ARGUMENT, "args[%zu]: unknown op \"%.64s\"", i,
				       items[i].op);
		rule->args[i] = (struct seccomp_arg){ .index = (unsigned int)items[i].index,
						      .op = items[i].op,
						      .value = items[i].value,
						      .value_two = items[i].value_two };
	}
	rule->args_len = args->len;
	return 0;
}

static int parse_rule(const struct document_rule *document, struct arena *arena, struct seccomp_rule *ret,
		      struct err *err)
{
	struct json_strings one = { .items = (char *[]){ document->name, NULL }, .len = 1 };

	if (!is_one_of(document->action, actions, ARRAY_LEN(actions)))
		return err_set(err, RPC_INVALID_ARGUMENT, "unknown action \"%.64s\"", document->action);
	if (document->name && document->names.len)
		return err_set(err, RPC_INVALID_ARGUMENT, "name and names are both set");
	if (!document->name && !document->names.len)
		return err_set(err, RPC_INVALID_ARGUMENT, "no names");
	*ret = (struct seccomp_rule){ .action = document->action };
	if (join_names(document->name ? &one : &document->names, "names", arena, &ret->names, err) < 0 ||
	    parse_errno(document->errno_ret, SECCOMP_NO_ERRNO, &ret->errno_ret, err) < 0 ||
	    parse_args(&document->args, ret, err) < 0)
		return -1;
	if (parse_condition(&document->includes, arena, &ret->includes, err) < 0)
		return err_prefix(err, "includes");
	if (parse_condition(&document->excludes, arena, &ret->excludes, err) < 0)
		return err_prefix(err, "excludes");
	return 0;
}

static int parse_rules(const struct json_array *document, struct arena *arena,
		       struct seccomp_profile *profile, struct err *err)
{
	const struct document_rule *items = document->items;
	struct seccomp_rule *rules;

	if (document->len > RULES_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "more than %d syscalls entries", RULES_MAX);
	rules = arena_array(arena, document->len + 1, sizeof(*rules));
	for (size_t i = 0; i < document->len; i++)
		if (parse_rule(&items[i], arena, &rules[i], err) < 0)
			return err_prefix(err, "syscalls[%zu]", i);
	profile->rules = rules;
	profile->rules_len = document->len;
	return 0;
}

/* Either a plain list, or the entry of archMap that is this machine's. */
static int parse_architectures(const struct document *document, struct arena *arena, const char **ret,
			       struct err *err)
{
	const struct document_arch *map = document->arch_map.items;

	if (document->architectures.len && document->arch_map.len)
		return err_set(err, RPC_INVALID_ARGUMENT, "architectures and archMap are both set");
	*ret = "";
	if (document->architectures.len)
		return join_names(&document->architectures, "architectures", arena, ret, err);
	for (size_t i = 0; i < document->arch_map.len; i++) {
		const char *sub;

		if (strcmp(map[i].architecture, NATIVE_TOKEN) != 0)
			continue;
		if (join_names(&map[i].sub, "archMap", arena, &sub, err) < 0)
			return -1;
		*ret = arena_fmt(arena, "%s %s", NATIVE_TOKEN, sub);
		return 0;
	}
	return 0;
}

int seccomp_profile_parse(const char *text, size_t len, struct arena *arena, struct seccomp_profile *ret,
			  struct err *err)
{
	CLEANUP(json_decrefp) json_t *json = NULL;
	struct document document = { 0 };
	struct seccomp_profile profile = { 0 };

	/* Decoded strings are in the arena, only the raw errno values die with the document. */
	if (json_parse(text, len, SECCOMP_PROFILE_MAX, &json, err) < 0 ||
	    json_decode(json, document_fields, &document, arena, err) < 0)
		return -1;
	if (!is_one_of(document.default_action, actions, ARRAY_LEN(actions)))
		return err_set(err, RPC_INVALID_ARGUMENT, "unknown defaultAction \"%.64s\"",
			       document.default_action);
	profile.default_action = document.default_action;
	profile.listener_path = str_empty(document.listener_path) ? NULL : document.listener_path;
	profile.listener_metadata = str_empty(document.listener_metadata) ? NULL : document.listener_metadata;
	if (parse_errno(document.default_errno, EPERM, &profile.default_errno, err) < 0 ||
	    parse_architectures(&document, arena, &profile.architectures, err) < 0 ||
	    join_names(&document.flags, "flags", arena, &profile.flags, err) < 0 ||
	    parse_rules(&document.rules, arena, &profile, err) < 0)
		return -1;
	*ret = profile;
	return 0;
}
