/*
 * OCI runtimes, conmon and criu: found, runnable, recent enough. A runtime that is absent matters only if it
 * is the default one or the configuration says where it is; crun and runc are in every configuration,
 * installed or not.
 */
#include "config/check_probe.h"

#include "config/program.h"

/* The path and the first line of its --version; both malloc'd. -1 with the reason. */
static int look(struct check *check, const char *program, char **ret_path, char **ret_line, struct err *err)
{
	CLEANUP(freep) char *path = NULL;

	if (program_find(program, &path, err) < 0 ||
	    program_version_line(path, check->ctx, ret_line, err) < 0)
		return -1;
	*ret_path = TAKE(path);
	return 0;
}

/* crun before 1.9 gives up on a hybrid hierarchy. */
static bool clashes(const struct check *check, const char *line)
{
	struct program_version version;

	return check->cgroup_mode == CHECK_CGROUP_HYBRID && str_has_prefix(line, "crun ") &&
	       program_version_parse(line, &version) && program_version_before(version, 1, 9, 0);
}

/*
 * Releases in [since, until) let a container out by a published flaw. A distribution may have taken the
 * mending into an older release, which its version does not tell.
 */
static const struct floor {
	const char *program;
	struct program_version since, until;
	const char *flaws, *mend;
} floors[] = {
	{ "runc ",
	  { 0, 0, 0 },
	  { 1, 2, 8 },
	  "CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881",
	  "install runc 1.2.8, 1.3.3 or newer, or see whether the distribution has mended its own" },
	{ "runc ",
	  { 1, 3, 0 },
	  { 1, 3, 3 },
	  "CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881",
	  "install runc 1.3.3 or newer, or see whether the distribution has mended its own" },
	{ "crun ",
	  { 0, 0, 0 },
	  { 1, 4, 4 },
	  "CVE-2022-27650",
	  "install crun 1.4.4 or newer, or see whether the distribution has mended its own" },
};

static const struct floor *below_floor(const char *line)
{
	struct program_version version;

	if (!program_version_parse(line, &version))
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(floors); i++) {
		const struct floor *floor = &floors[i];

		if (str_has_prefix(line, floor->program) &&
		    !program_version_before(version, floor->since.major, floor->since.minor,
					    floor->since.patch) &&
		    program_version_before(version, floor->until.major, floor->until.minor,
					   floor->until.patch))
			return floor;
	}
	return NULL;
}

static void check_runtime(struct check *check, const struct config_runtime *runtime)
{
	CLEANUP(freep) char *name = xasprintf("runtime.%s", runtime->name);
	CLEANUP(freep) char *path = NULL;
	CLEANUP(freep) char *line = NULL;
	bool is_default = str_eq(runtime->name, check->config->runtime.default_runtime);
	enum check_status status = is_default ? CHECK_FAIL : CHECK_WARN;
	const struct floor *floor;
	struct err err;

	if (look(check, *runtime->runtime_path ? runtime->runtime_path : runtime->name, &path, &line, &err) <
	    0)
		check_bad(check, status, name, "install it, or set its runtime_path", "%s%s", err.text,
			  is_default ? "; it is the default_runtime" : "");
	else if (clashes(check, line))
		check_bad(
			check, status, name,
			"install crun 1.9 or newer, use runc, or boot with systemd.unified_cgroup_hierarchy=1",
			"%s (%s) does not work on hybrid cgroups", path, line);
	else if ((floor = below_floor(line)))
		check_bad(check, CHECK_WARN, name, floor->mend, "%s (%s) is older than the mending of %s",
			  path, line, floor->flaws);
	else
		check_ok(check, name, "%s (%s)%s", path, line, is_default ? ", the default" : "");
}

/* 2.1.2 is the first with --log-global-size-max, without which a probe's output has no bound. */
static void check_monitor(struct check *check, const char *name, const char *program)
{
	CLEANUP(freep) char *path = NULL;
	CLEANUP(freep) char *line = NULL;
	struct program_version version;
	struct err err;

	if (look(check, program, &path, &line, &err) < 0)
		check_bad(check, CHECK_FAIL, name, "install conmon, or set conmon in [crisp.runtime]", "%s",
			  err.text);
	else if (program_version_parse(line, &version) && program_version_before(version, 2, 1, 2))
		check_bad(check, CHECK_FAIL, name, "install conmon 2.1.2 or newer", "%s (%s)", path, line);
	else
		check_ok(check, name, "%s (%s)", path, line);
}

static void check_criu(struct check *check)
{
	CLEANUP(freep) char *path = NULL;
	CLEANUP(freep) char *line = NULL;
	struct err err;

	if (look(check, "criu", &path, &line, &err) < 0)
		check_bad(check, CHECK_WARN, "program.criu",
			  "install criu, if containers are to be checkpointed", "%s", err.text);
	else
		check_ok(check, "program.criu", "%s (%s)", path, line);
}

void check_programs(struct check *check)
{
	const struct config_runtimes *runtime = &check->config->runtime;

	for (size_t i = 0; i < runtime->runtimes_len; i++)
		check_runtime(check, &runtime->runtimes[i]);
	check_monitor(check, "program.conmon", *runtime->conmon ? runtime->conmon : "conmon");
	for (size_t i = 0; i < runtime->runtimes_len; i++) {
		CLEANUP(freep) char *name = xasprintf("program.conmon.%s", runtime->runtimes[i].name);
		if (*runtime->runtimes[i].monitor_path)
			check_monitor(check, name, runtime->runtimes[i].monitor_path);
	}
	check_criu(check);
}
