/* Watched profiles: which calls are asked of the listener, and how they are to be answered. */
#include <errno.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "sandbox/seccomp_watched.h"

struct watched {
	struct arena *arena;
	struct seccomp_profile profile;
	json_t *answers;
};

static void watched_done(struct watched *watched)
{
	json_decref(watched->answers);
	arena_free(watched->arena);
}

static int try_watch(struct watched *ret, const struct seccomp_profile *profile, uint64_t capabilities,
		     struct err *err)
{
	CLEANUP(freep) char *answers = NULL;

	if (seccomp_profile_watched(profile, capabilities, ret->arena, &ret->profile, &answers, err) < 0)
		return -1;
	return json_parse(answers, strlen(answers), 1024 * 1024, &ret->answers, err);
}

static struct watched watch_text(const char *text)
{
	struct watched watched = { .arena = arena_new(0) };
	struct seccomp_profile profile;
	struct err err = { 0 };

	if (seccomp_profile_parse(text, strlen(text), watched.arena, &profile, &err) < 0 ||
	    try_watch(&watched, &profile, 0, &err) < 0)
		fail_msg("%s", err.text);
	return watched;
}

/* The action of the last rule that names the call; NULL: none. */
static const char *action_of(const struct watched *watched, const char *call)
{
	const char *action = NULL;
	char name[SECCOMP_NAME_SIZE];

	for (size_t i = 0; i < watched->profile.rules_len; i++)
		for (const char *at = NULL; seccomp_next_name(watched->profile.rules[i].names, &at, name);)
			if (strcmp(name, call) == 0)
				action = watched->profile.rules[i].action;
	return action;
}

/* -2: as the default. */
static int answer_of(const struct watched *watched, const char *call)
{
	const json_t *answer = json_object_get(json_object_get(watched->answers, "calls"), call);

	return answer ? (int)json_integer_value(answer) : -2;
}

static int default_answer(const struct watched *watched)
{
	return (int)json_integer_value(json_object_get(watched->answers, "default"));
}

static void test_default_profile(void **state)
{
	struct watched watched CLEANUP(watched_done) = { .arena = arena_new(0) };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(try_watch(&watched, &seccomp_default_profile, 0, &err), 0);
	assert_string_equal(watched.profile.default_action, "SCMP_ACT_ERRNO");
	assert_int_equal(default_answer(&watched), EPERM);
	assert_string_equal(action_of(&watched, "unshare"), "SCMP_ACT_NOTIFY");
	assert_string_equal(action_of(&watched, "mount"), "SCMP_ACT_NOTIFY");
	assert_string_equal(action_of(&watched, "read"), "SCMP_ACT_ALLOW");
	assert_string_equal(action_of(&watched, "write"), "SCMP_ACT_ALLOW");
	/* Allowed for some arguments: no rule may stand in its way. */
	assert_string_equal(action_of(&watched, "clone"), "SCMP_ACT_ALLOW");
	/* glibc falls back to clone(2) when there is no such call. */
	assert_string_equal(action_of(&watched, "clone3"), "SCMP_ACT_NOTIFY");
	assert_int_equal(answer_of(&watched, "clone3"), ENOSYS);
}

static void test_capabilities_count(void **state)
{
	struct watched watched CLEANUP(watched_done) = { .arena = arena_new(0) };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(try_watch(&watched, &seccomp_default_profile, UINT64_C(1) << CAP_SYS_ADMIN, &err),
			 0);
	assert_string_equal(action_of(&watched, "mount"), "SCMP_ACT_ALLOW");
}

static void test_actions(void **state)
{
	struct watched watched CLEANUP(watched_done) = watch_text(
		"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": ["
		"{\"names\": [\"mkdir\", \"write\"], \"action\": \"SCMP_ACT_ERRNO\", \"errnoRet\": 28},"
		"{\"names\": [\"rmdir\"], \"action\": \"SCMP_ACT_KILL_PROCESS\"},"
		"{\"names\": [\"chmod\"], \"action\": \"SCMP_ACT_TRAP\"},"
		"{\"names\": [\"chown\"], \"action\": \"SCMP_ACT_LOG\"}]}");

	(void)state;
	assert_string_equal(action_of(&watched, "mkdir"), "SCMP_ACT_NOTIFY");
	assert_int_equal(answer_of(&watched, "mkdir"), 28);
	assert_string_equal(action_of(&watched, "write"), "SCMP_ACT_ERRNO");
	assert_string_equal(action_of(&watched, "rmdir"), "SCMP_ACT_NOTIFY");
	assert_int_equal(answer_of(&watched, "rmdir"), SECCOMP_ANSWER_KILL);
	assert_string_equal(action_of(&watched, "chmod"), "SCMP_ACT_TRAP");
	assert_string_equal(action_of(&watched, "chown"), "SCMP_ACT_LOG");
	assert_null(action_of(&watched, "unshare"));
}

static void test_kill_by_default(void **state)
{
	struct watched watched CLEANUP(watched_done) =
		watch_text("{\"defaultAction\": \"SCMP_ACT_KILL_PROCESS\", \"syscalls\": ["
			   "{\"names\": [\"read\", \"exit_group\"], \"action\": \"SCMP_ACT_ALLOW\"},"
			   "{\"names\": [\"mkdir\"], \"action\": \"SCMP_ACT_ERRNO\"}]}");

	(void)state;
	assert_int_equal(default_answer(&watched), SECCOMP_ANSWER_KILL);
	assert_string_equal(action_of(&watched, "unshare"), "SCMP_ACT_NOTIFY");
	assert_int_equal(answer_of(&watched, "unshare"), -2);
	assert_int_equal(answer_of(&watched, "mkdir"), EPERM);
	assert_null(action_of(&watched, "write")); /* the default, which the runtime cannot ask about */
}

static void test_listener_of_its_own(void **state)
{
	static const struct seccomp_rule rule = { .names = "mkdir",
						  .action = "SCMP_ACT_NOTIFY",
						  .errno_ret = SECCOMP_NO_ERRNO };
	const struct seccomp_profile profile = { .default_action = "SCMP_ACT_ALLOW",
						 .architectures = "",
						 .flags = "",
						 .listener_path = "/run/agent.sock",
						 .rules = &rule,
						 .rules_len = 1 };
	struct watched watched CLEANUP(watched_done) = { .arena = arena_new(0) };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(try_watch(&watched, &profile, 0, &err), -1);
	assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default_profile),
		cmocka_unit_test(test_capabilities_count),
		cmocka_unit_test(test_actions),
		cmocka_unit_test(test_kill_by_default),
		cmocka_unit_test(test_listener_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
