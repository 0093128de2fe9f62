/*
 * Where a process is: /proc/PID/cgroup (cgroups(7)), a line "ID:CONTROLLERS:PATH" for each hierarchy. Paths
 * begin at the root of our cgroup namespace, which may lie above what is mounted: they are compared from the
 * end.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"
#include "sandbox/cgroup_hierarchy.h"

enum { CGROUP_FILE_MAX = 256 * 1024 };

/* "/a/b/path" or "/a/b/path/below". */
static bool is_in(const char *where, const char *path)
{
	size_t len = strlen(path);

	for (const char *at = where; (at = strstr(at, path)); at++)
		if (at[len] == '\0' || at[len] == '/')
			return true;
	return false;
}

/* controllers: "" on v2. The v1 hierarchies that only the OCI runtime knows whether to use do not count. */
static bool limits_something(const struct cgroups *cgroups, const char *controllers)
{
	static const char *const known[] = { "memory", "cpu", "pids", "devices" };
	CLEANUP(strv_done) struct strv names = STRV_INIT;

	if (cgroups->view == CGROUP_VIEW_V2)
		return !*controllers;
	strv_split(&names, controllers, ',');
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strv_has(&names, known[i]) && cgroup_hierarchy_of(cgroups, known[i]))
			return true;
	return false;
}

int cgroup_move(const struct cgroups *cgroups, const char *path, pid_t pid, struct err *err)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", (int)pid);
	for (size_t i = 0; i < cgroups->len; i++) {
		CLEANUP(fd_closep) int dir = cgroup_hierarchy_open(&cgroups->items[i], path);

		if (dir < 0)
			return err_errno(err, "open cgroup %s", path);
		if (file_write_virtual(dir, "cgroup.procs", number, err) < 0)
			return err_prefix(err, "move process %s to cgroup %s", number, path);
	}
	return 0;
}

int cgroup_check_process(const struct cgroups *cgroups, const char *path, pid_t pid, struct err *err)
{
	CLEANUP(freep) char *name = xasprintf("/proc/%d/cgroup", (int)pid);
	CLEANUP(freep) char *text = NULL;
	struct err ignored;

	if (file_read_virtual(AT_FDCWD, name, CGROUP_FILE_MAX, &text, &ignored) < 0)
		return err_set(err, RPC_UNAVAILABLE, "process %d has ended", (int)pid);
	for (char *rest = text, *line; (line = strtok_r(rest, "\n", &rest));) {
		char *controllers = strchr(line, ':');
		char *where = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!where)
			continue;
		*where++ = '\0';
		if (limits_something(cgroups, controllers + 1) && !is_in(where, path))
			return err_set(
				err, RPC_INTERNAL,
				"process %d is in the cgroup %s (%s), not in %s: its limits do not hold",
				(int)pid, where, controllers + 1, path);
	}
	return 0;
}
