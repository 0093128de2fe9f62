/*
 * A profile made into BPF by libseccomp, or into the OCI form.
 *
 * Rules are added as the OCI runtimes add them, so that a profile means the same whichever way it goes: a
 * rule whose action is the default one is skipped, a rule that names one argument twice becomes one rule per
 * condition, and a system call that libseccomp does not know is left out. The program is laid out as a binary
 * tree over the call numbers: a little longer to compile, which is done once, and shorter to run, which is
 * done at each system call. seccomp_export_bpf() wants a descriptor: a memfd.
 */
#include "sandbox/seccomp_profile.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static void release_filter(scmp_filter_ctx *filter)
{
	if (*filter)
		seccomp_release(*filter);
}

static uint32_t action_value(const char *name, int errno_ret)
{
	uint16_t value = errno_ret == SECCOMP_NO_ERRNO ? EPERM : (uint16_t)errno_ret;

	if (strcmp(name, "SCMP_ACT_ALLOW") == 0)
		return SCMP_ACT_ALLOW;
	if (strcmp(name, "SCMP_ACT_ERRNO") == 0)
		return SCMP_ACT_ERRNO(value);
	if (strcmp(name, "SCMP_ACT_TRACE") == 0)
		return SCMP_ACT_TRACE(value);
	if (strcmp(name, "SCMP_ACT_TRAP") == 0)
		return SCMP_ACT_TRAP;
	if (strcmp(name, "SCMP_ACT_LOG") == 0)
		return SCMP_ACT_LOG;
	if (strcmp(name, "SCMP_ACT_NOTIFY") == 0)
		return SCMP_ACT_NOTIFY;
	if (strcmp(name, "SCMP_ACT_KILL_PROCESS") == 0)
		return SCMP_ACT_KILL_PROCESS;
	return SCMP_ACT_KILL; /* and KILL_THREAD; the parser knows no others */
}

static enum scmp_compare operator_value(const char *name)
{
	static const struct {
		const char *name;
		enum scmp_compare value;
	} table[] = {
		{ "SCMP_CMP_NE", SCMP_CMP_NE }, { "SCMP_CMP_LT", SCMP_CMP_LT },
		{ "SCMP_CMP_LE", SCMP_CMP_LE }, { "SCMP_CMP_EQ", SCMP_CMP_EQ },
		{ "SCMP_CMP_GE", SCMP_CMP_GE }, { "SCMP_CMP_GT", SCMP_CMP_GT },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (strcmp(name, table[i].name) == 0)
			return table[i].value;
	return SCMP_CMP_MASKED_EQ;
}

static int add_architectures(scmp_filter_ctx filter, const char *list, struct err *err)
{
	char name[SECCOMP_NAME_SIZE];

	for (const char *at = NULL; seccomp_next_name(list, &at, name);) {
		char *bare = str_has_prefix(name, "SCMP_ARCH_") ? name + strlen("SCMP_ARCH_") : name;
		uint32_t token;
		int failed;

		for (char *c = bare; *c; c++)
			*c = (char)tolower((unsigned char)*c);
		token = seccomp_arch_resolve_name(bare);
		if (!token)
			return err_set(err, RPC_INVALID_ARGUMENT, "unknown architecture \"%s\"", bare);
		failed = seccomp_arch_add(filter, token);
		if (failed && failed != -EEXIST)
			return err_set(err, RPC_INVALID_ARGUMENT, "architecture \"%s\": %s", bare,
				       strerror(-failed));
	}
	return 0;
}

static bool names_argument_twice(const struct seccomp_rule *rule)
{
	unsigned int seen = 0;

	for (size_t i = 0; i < rule->args_len; i++) {
		if (seen & 1U << rule->args[i].index)
			return true;
		seen |= 1U << rule->args[i].index;
	}
	return false;
}

static int add_call(scmp_filter_ctx filter, uint32_t action, int number, const struct seccomp_rule *rule)
{
	struct scmp_arg_cmp args[SECCOMP_ARGS_MAX];

	for (size_t i = 0; i < rule->args_len; i++)
		args[i] = (struct scmp_arg_cmp){ .arg = rule->args[i].index,
						 .op = operator_value(rule->args[i].op),
						 .datum_a = rule->args[i].value,
						 .datum_b = rule->args[i].value_two };
	if (!names_argument_twice(rule))
		return seccomp_rule_add_array(filter, action, number, (unsigned int)rule->args_len, args);
	for (size_t i = 0; i < rule->args_len; i++) {
		int failed = seccomp_rule_add_array(filter, action, number, 1, &args[i]);

		if (failed)
			return failed;
	}
	return 0;
}

static int add_rule(scmp_filter_ctx filter, uint32_t default_action, const struct seccomp_rule *rule,
		    struct err *err)
{
	uint32_t action = action_value(rule->action, rule->errno_ret);
	char name[SECCOMP_NAME_SIZE];

	if (action == default_action)
		return 0;
	for (const char *at = NULL; seccomp_next_name(rule->names, &at, name);) {
		int number = seccomp_syscall_resolve_name(name), failed;

		if (number == __NR_SCMP_ERROR)
			continue;
		failed = add_call(filter, action, number, rule);
		if (failed)
			return err_set(err, RPC_INVALID_ARGUMENT, "rule for %s: %s", name, strerror(-failed));
	}
	return 0;
}

static int export_filter(scmp_filter_ctx filter, struct str *ret, struct err *err)
{
	CLEANUP(fd_closep) int fd = memfd_create("seccomp", MFD_CLOEXEC);
	struct stat st;
	char *room;
	int failed;

	if (fd < 0)
		return err_errno(err, "memfd for a seccomp program");
	failed = seccomp_export_bpf(filter, fd);
	if (failed)
		return err_set(err, RPC_INVALID_ARGUMENT, "libseccomp cannot compile it: %s",
			       strerror(-failed));
	if (fstat(fd, &st) < 0)
		return err_errno(err, "stat of a seccomp program");
	if (st.st_size == 0 || st.st_size / (off_t)sizeof(struct sock_filter) > BPF_MAXINSNS)
		return err_set(err, RPC_INVALID_ARGUMENT, "it compiles to more than %d instructions",
			       BPF_MAXINSNS);
	str_clear(ret);
	room = str_room(ret, (size_t)st.st_size);
	if (!room || pread(fd, room, (size_t)st.st_size, 0) != st.st_size)
		return err_set(err, RPC_INTERNAL, "read back a seccomp program: %m");
	str_grown(ret, (size_t)st.st_size);
	return 0;
}

int seccomp_profile_compile(const struct seccomp_profile *profile, uint64_t capabilities, struct str *ret,
			    struct err *err)
{
	uint32_t default_action = action_value(profile->default_action, profile->default_errno);
	CLEANUP(release_filter) scmp_filter_ctx filter = seccomp_init(default_action);

	if (!filter)
		return err_set(err, RPC_INVALID_ARGUMENT, "libseccomp refuses %s as default",
			       profile->default_action);
	/* Failure is harmless: an older libseccomp makes a list instead of a tree. */
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (add_architectures(filter, profile->architectures, err) < 0)
		return -1;
	for (size_t i = 0; i < profile->rules_len; i++)
		if (seccomp_rule_holds(&profile->rules[i], capabilities) &&
		    add_rule(filter, default_action, &profile->rules[i], err) < 0)
			return -1;
	return export_filter(filter, ret, err);
}

static json_t *names_json(const char *list)
{
	json_t *array = json_array();
	char name[SECCOMP_NAME_SIZE];

	for (const char *at = NULL; seccomp_next_name(list, &at, name);)
		json_array_append_new(array, json_string(name));
	return array;
}

static json_t *args_json(const struct seccomp_rule *rule)
{
	json_t *array = json_array();

	for (size_t i = 0; i < rule->args_len; i++) {
		const struct seccomp_arg *arg = &rule->args[i];

		json_array_append_new(array, json_pack("{s:i, s:I, s:I, s:s}", "index", (int)arg->index,
						       "value", (json_int_t)arg->value, "valueTwo",
						       (json_int_t)arg->value_two, "op", arg->op));
	}
	return array;
}

static bool takes_errno(const char *action)
{
	return strcmp(action, "SCMP_ACT_ERRNO") == 0 || strcmp(action, "SCMP_ACT_TRACE") == 0;
}

static json_t *rule_json(const struct seccomp_rule *rule)
{
	json_t *json = json_pack("{s:o, s:s}", "names", names_json(rule->names), "action", rule->action);

	if (rule->errno_ret != SECCOMP_NO_ERRNO && takes_errno(rule->action))
		json_object_set_new(json, "errnoRet", json_integer(rule->errno_ret));
	if (rule->args_len)
		json_object_set_new(json, "args", args_json(rule));
	return json;
}

json_t *seccomp_profile_oci(const struct seccomp_profile *profile, uint64_t capabilities)
{
	json_t *json = json_pack("{s:s}", "defaultAction", profile->default_action);
	json_t *calls = json_array();

	if (takes_errno(profile->default_action))
		json_object_set_new(json, "defaultErrnoRet", json_integer(profile->default_errno));
	if (*profile->architectures)
		json_object_set_new(json, "architectures", names_json(profile->architectures));
	if (*profile->flags)
		json_object_set_new(json, "flags", names_json(profile->flags));
	if (profile->listener_path)
		json_object_set_new(json, "listenerPath", json_string(profile->listener_path));
	if (profile->listener_metadata)
		json_object_set_new(json, "listenerMetadata", json_string(profile->listener_metadata));
	for (size_t i = 0; i < profile->rules_len; i++)
		if (seccomp_rule_holds(&profile->rules[i], capabilities))
			json_array_append_new(calls, rule_json(&profile->rules[i]));
	json_object_set_new(json, "syscalls", calls);
	return json;
}
