/* The rules of a watched profile are those of the profile that hold, each by itself, and one more for all
 * calls that only the default action forbids. */
#include "sandbox/seccomp_watched.h"

#include <errno.h>
#include <jansson.h>
#include <seccomp.h>
#include <string.h>

#include "base/json.h"

enum { CALLS_MAX = 1024 }; /* numbers of system calls; Linux 6.18 is below 500 */

static const char *const kills[] = { "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD" };

/* The errno or SECCOMP_ANSWER_KILL; false: this action does not forbid, or not in a way that we can. */
static bool forbids(const char *action, int errno_ret, int *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(kills); i++)
		if (strcmp(action, kills[i]) == 0) {
			*ret = SECCOMP_ANSWER_KILL;
			return true;
		}
	*ret = errno_ret == SECCOMP_NO_ERRNO ? EPERM : errno_ret;
	return strcmp(action, "SCMP_ACT_ERRNO") == 0;
}

struct watching {
	const struct seccomp_profile *profile;
	struct arena *arena;
	bool by_default;    /* the default action forbids */
	int default_answer; /* then: how */
	bool named[CALLS_MAX];
	struct seccomp_rule *rules;
	size_t len;
	json_t *calls; /* answers that are not the default one */
};

static void mark(struct watching *watching, const char *name)
{
	int number = seccomp_syscall_resolve_name(name);

	if (number >= 0 && number < CALLS_MAX)
		watching->named[number] = true;
}

/* One rule of the profile: write(2) stays as it was, the rest is asked. */
static void watch_rule(struct watching *watching, const struct seccomp_rule *rule, int answer)
{
	struct str others CLEANUP(str_done) = STR_LIMIT(2 * 1024 * 1024);
	char name[SECCOMP_NAME_SIZE];

	for (const char *at = NULL; seccomp_next_name(rule->names, &at, name);) {
		mark(watching, name);
		if (strcmp(name, "write") == 0) {
			watching->rules[watching->len] = *rule;
			watching->rules[watching->len++].names = "write";
			continue;
		}
		str_addf(&others, "%s%s", others.len ? " " : "", name);
		if (!watching->by_default || answer != watching->default_answer)
			json_object_set_new(watching->calls, name, json_integer(answer));
	}
	if (!others.len)
		return;
	struct seccomp_rule *asked = &watching->rules[watching->len++];
	*asked = *rule;
	asked->names = arena_strdup(watching->arena, str_get(&others));
	asked->action = "SCMP_ACT_NOTIFY";
	asked->errno_ret = SECCOMP_NO_ERRNO;
}

static void add_rule(struct watching *watching, const struct seccomp_rule *rule)
{
	char name[SECCOMP_NAME_SIZE];
	int answer;

	if (forbids(rule->action, rule->errno_ret, &answer)) {
		/* Says what the default says: as a rule it would overrule those that allow some arguments. */
		if (watching->by_default && answer == watching->default_answer)
			return;
		watch_rule(watching, rule, answer);
		return;
	}
	for (const char *at = NULL; seccomp_next_name(rule->names, &at, name);)
		mark(watching, name);
	watching->rules[watching->len++] = *rule;
}

static void add_unnamed(struct watching *watching)
{
	struct str names CLEANUP(str_done) = STR_INIT;

	for (int i = 0; i < CALLS_MAX; i++) {
		char *name =
			watching->named[i] ? NULL : seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);

		if (name && strcmp(name, "write") != 0)
			str_addf(&names, "%s%s", names.len ? " " : "", name);
		free(name);
	}
	if (names.len)
		watching->rules[watching->len++] = (struct seccomp_rule){
			.names = arena_strdup(watching->arena, str_get(&names)),
			.action = "SCMP_ACT_NOTIFY",
			.errno_ret = SECCOMP_NO_ERRNO,
		};
}

int seccomp_profile_watched(const struct seccomp_profile *profile, uint64_t capabilities, struct arena *arena,
			    struct seccomp_profile *ret, char **ret_answers, struct err *err)
{
	struct watching watching = { .profile = profile, .arena = arena };
	CLEANUP(json_decrefp) json_t *answers = NULL;

	for (size_t i = 0; i < profile->rules_len; i++)
		if (strcmp(profile->rules[i].action, "SCMP_ACT_NOTIFY") == 0 || profile->listener_path)
			return err_set(err, RPC_INVALID_ARGUMENT,
				       "the profile has a listener of its own: its calls cannot be watched");
	watching.by_default =
		forbids(profile->default_action, profile->default_errno, &watching.default_answer);
	/* Each rule becomes at most two. */
	watching.rules = arena_array(arena, 2 * profile->rules_len + 1, sizeof(*watching.rules));
	watching.calls = json_object();
	answers = json_pack("{s:i, s:o}", "default", watching.by_default ? watching.default_answer : EPERM,
			    "calls", watching.calls);
	for (size_t i = 0; i < profile->rules_len; i++)
		if (seccomp_rule_holds(&profile->rules[i], capabilities))
			add_rule(&watching, &profile->rules[i]);
	if (watching.by_default)
		add_unnamed(&watching);
	*ret = *profile;
	ret->rules = watching.rules;
	ret->rules_len = watching.len;
	*ret_answers = json_text(answers);
	return 0;
}
