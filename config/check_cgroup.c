/*
 * Which cgroup hierarchy is mounted at /sys/fs/cgroup, read from mountinfo. Mounts may lie on top of each
 * other (a cgroup2 over a tmpfs full of v1 mounts): the last mount on /sys/fs/cgroup is the one that is seen,
 * and of what is mounted below it only its own children are.
 */
#include "config/check_probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CGROUP_DIR "/sys/fs/cgroup"

/* One line of /proc/self/mountinfo (proc(5)): "ID PARENT DEV ROOT POINT OPTIONS [TAGS...] - TYPE SOURCE
 * SUPER". */
struct mount_line {
	struct strv fields;
	const char *id, *parent, *point, *type, *super;
};

static void mount_line_done(struct mount_line *mount)
{
	strv_done(&mount->fields);
}

static bool mount_line_parse(const char *line, struct mount_line *ret)
{
	size_t dash = 6;

	strv_split(&ret->fields, line, ' ');
	while (dash < ret->fields.len && !str_eq(ret->fields.items[dash], "-"))
		dash++;
	if (dash + 3 >= ret->fields.len)
		return false;
	ret->id = ret->fields.items[0];
	ret->parent = ret->fields.items[1];
	ret->point = ret->fields.items[4];
	ret->type = ret->fields.items[dash + 1];
	ret->super = ret->fields.items[dash + 3];
	return true;
}

struct hierarchy {
	char *top_id; /* of the mount on /sys/fs/cgroup; malloc'd */
	bool top_is_v2;
	char *unified;           /* where cgroup2 is mounted below; malloc'd */
	struct strv controllers; /* of v1 */
};

static void hierarchy_done(struct hierarchy *hierarchy)
{
	free(hierarchy->top_id);
	free(hierarchy->unified);
	strv_done(&hierarchy->controllers);
}

static void note_top(const struct mount_line *mount, struct hierarchy *ret)
{
	if (!str_eq(mount->point, CGROUP_DIR))
		return;
	free(ret->top_id);
	ret->top_id = xstrdup(mount->id);
	ret->top_is_v2 = str_eq(mount->type, "cgroup2");
}

static void note_child(const struct mount_line *mount, struct hierarchy *ret)
{
	static const char *const known[] = { "cpu",      "cpuset",  "cpuacct",    "memory",  "pids",
					     "devices",  "freezer", "blkio",      "hugetlb", "net_cls",
					     "net_prio", "rdma",    "perf_event", "misc" };
	CLEANUP(strv_done) struct strv options = STRV_INIT;

	if (!str_eq(mount->parent, ret->top_id))
		return;
	if (str_eq(mount->type, "cgroup2")) {
		free(ret->unified);
		ret->unified = xstrdup(mount->point);
		return;
	}
	if (!str_eq(mount->type, "cgroup"))
		return;
	strv_split(&options, mount->super, ',');
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strv_has(&options, known[i]) && !strv_has(&ret->controllers, known[i]))
			strv_add(&ret->controllers, known[i]);
}

static void each_mount(const char *text, void (*fn)(const struct mount_line *mount, struct hierarchy *ret),
		       struct hierarchy *ret)
{
	CLEANUP(strv_done) struct strv lines = STRV_INIT;

	strv_split(&lines, text, '\n');
	for (size_t i = 0; i < lines.len; i++) {
		CLEANUP(mount_line_done) struct mount_line mount = { 0 };
		if (mount_line_parse(lines.items[i], &mount))
			fn(&mount, ret);
	}
}

static enum check_cgroup_mode mode_of(const struct hierarchy *hierarchy)
{
	if (!hierarchy->top_id)
		return CHECK_CGROUP_NONE;
	if (hierarchy->top_is_v2)
		return CHECK_CGROUP_V2;
	if (hierarchy->controllers.len == 0)
		return CHECK_CGROUP_NONE;
	return hierarchy->unified ? CHECK_CGROUP_HYBRID : CHECK_CGROUP_V1;
}

static void check_controllers(struct check *check, const struct strv *controllers)
{
	static const char *const needed[] = { "cpu", "cpuset", "memory", "pids" };
	CLEANUP(freep) char *all = strv_join(controllers, " ");
	CLEANUP(strv_done) struct strv missing = STRV_INIT;

	for (size_t i = 0; i < ARRAY_LEN(needed); i++)
		if (!strv_has(controllers, needed[i]))
			strv_add(&missing, needed[i]);
	CLEANUP(freep) char *names = strv_join(&missing, " ");
	if (missing.len)
		check_bad(check, CHECK_WARN, "cgroup.controllers",
			  "enable them: look for cgroup_disable= on the kernel's command line, and on v2 for "
			  "cgroup.subtree_control of the parents",
			  "missing: %s (there are: %s): their limits can't be set", names,
			  controllers->len ? all : "none");
	else
		check_ok(check, "cgroup.controllers", "%s", all);
}

void check_cgroups(struct check *check)
{
	CLEANUP(freep) char *text = check_read(check, "/proc/self/mountinfo");
	CLEANUP(hierarchy_done) struct hierarchy hierarchy = { 0 };
	CLEANUP(freep) char *v2 = NULL;

	each_mount(text ? text : "", note_top, &hierarchy);
	if (hierarchy.top_id)
		each_mount(text, note_child, &hierarchy);
	check->cgroup_mode = mode_of(&hierarchy);
	switch (check->cgroup_mode) {
	case CHECK_CGROUP_NONE:
		check_bad(check, CHECK_FAIL, "cgroup.mode", "mount it: mount -t cgroup2 none " CGROUP_DIR,
			  "no cgroup hierarchy at " CGROUP_DIR);
		return;
	case CHECK_CGROUP_V1:
		check_ok(check, "cgroup.mode", "v1");
		break;
	case CHECK_CGROUP_HYBRID:
		check_ok(check, "cgroup.mode", "hybrid: v1, and a cgroup2 without controllers at %s",
			 hierarchy.unified);
		break;
	case CHECK_CGROUP_V2:
		check_ok(check, "cgroup.mode", "v2");
		v2 = check_read(check, CGROUP_DIR "/cgroup.controllers");
		strv_done(&hierarchy.controllers);
		if (v2 && *v2)
			strv_split(&hierarchy.controllers, v2, ' ');
		break;
	}
	check_controllers(check, &hierarchy.controllers);
}
