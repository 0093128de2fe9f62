/*
 * What the daemon itself may do: its capabilities and limits. crispd is meant to run as root with all of
 * them; in a nested setting some are missing, and what follows from each is said.
 */
#include "config/check_probe.h"

#include <sys/capability.h>
#include <sys/resource.h>

struct need {
	cap_value_t value;
	const char *name;
	const char *without; /* what does not work; NULL: nothing works */
};

static const struct need needs[] = {
	{ CAP_SYS_ADMIN, "SYS_ADMIN", NULL },
	{ CAP_NET_ADMIN, "NET_ADMIN", NULL },
	{ CAP_CHOWN, "CHOWN", NULL },
	{ CAP_DAC_OVERRIDE, "DAC_OVERRIDE", NULL },
	{ CAP_FOWNER, "FOWNER", NULL },
	{ CAP_FSETID, "FSETID", NULL },
	{ CAP_KILL, "KILL", NULL },
	{ CAP_SETUID, "SETUID", NULL },
	{ CAP_SETGID, "SETGID", NULL },
	{ CAP_SETPCAP, "SETPCAP", NULL },
	{ CAP_SYS_CHROOT, "SYS_CHROOT", NULL },
	{ CAP_MKNOD, "MKNOD", "images with device nodes and whiteouts can't be unpacked" },
	{ CAP_SETFCAP, "SETFCAP", "file capabilities in images are lost" },
	{ CAP_SYS_RESOURCE, "SYS_RESOURCE", "oom_score_adj can't be lowered, limits can't be raised" },
	{ CAP_SYS_PTRACE, "SYS_PTRACE", "namespaces of running containers can't be entered" },
	{ CAP_NET_RAW, "NET_RAW", "containers can't have it" },
	{ CAP_NET_BIND_SERVICE, "NET_BIND_SERVICE", "containers can't have it" },
	{ CAP_DAC_READ_SEARCH, "DAC_READ_SEARCH", "checkpoints don't work" },
};

static bool has(cap_t caps, cap_value_t value)
{
	cap_flag_value_t flag = CAP_CLEAR;

	return caps && cap_get_flag(caps, value, CAP_EFFECTIVE, &flag) == 0 && flag == CAP_SET;
}

static void check_capabilities(struct check *check)
{
	cap_t caps = cap_get_proc();
	CLEANUP(str_done) struct str missing = STR_INIT;
	enum check_status status = CHECK_OK;

	for (size_t i = 0; i < ARRAY_LEN(needs); i++) {
		if (has(caps, needs[i].value))
			continue;
		str_addf(&missing, "%s%s", missing.len ? "; " : "", needs[i].name);
		if (needs[i].without)
			str_addf(&missing, " (%s)", needs[i].without);
		if (!needs[i].without)
			status = CHECK_FAIL;
		else if (status == CHECK_OK)
			status = CHECK_WARN;
	}
	cap_free(caps);
	if (status == CHECK_OK)
		check_ok(check, "process.capabilities", "all that are needed");
	else
		check_bad(check, status, "process.capabilities",
			  "run as root, without a CapabilityBoundingSet", "missing: %s", str_get(&missing));
}

static void check_open_files(struct check *check)
{
	struct rlimit limit = { 0 };

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < 16384)
		check_bad(check, CHECK_WARN, "process.open-files", "set LimitNOFILE=1048576 in crispd's unit",
			  "at most %llu: enough for a few hundred containers",
			  (unsigned long long)limit.rlim_max);
	else
		check_ok(check, "process.open-files", "at most %llu", (unsigned long long)limit.rlim_max);
}

void check_process(struct check *check)
{
	check_capabilities(check);
	check_open_files(check);
}
