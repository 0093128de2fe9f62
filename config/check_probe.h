/*
 * The inside of a check: what the probes (config/check_*.c) work with. Each probe looks at one thing and adds
 * one or more findings; it returns nothing, since a probe that fails is a finding too.
 */
#ifndef CONFIG_CHECK_PROBE_H
#define CONFIG_CHECK_PROBE_H

#include <stdbool.h>

#include "base/mem.h"
#include "config/check.h"

enum check_cgroup_mode { CHECK_CGROUP_NONE, CHECK_CGROUP_V1, CHECK_CGROUP_HYBRID, CHECK_CGROUP_V2 };

struct check {
	const struct config *config;
	const struct ctx *ctx;
	const char *root;                   /* never NULL */
	enum check_cgroup_mode cgroup_mode; /* set by check_cgroups() */
	struct check_report *report;
};

void check_ok(struct check *check, const char *name, const char *seen, ...) PRINTF(3, 4);
/* A finding that is not ok. */
void check_bad(struct check *check, enum check_status status, const char *name, const char *mend,
	       const char *seen, ...) PRINTF(5, 6);

/* The text of a file below /proc or /sys without blanks at its end, malloc'd; NULL when it can't be read. */
char *check_read(const struct check *check, const char *path);

void check_kernel(struct check *check);     /* check_kernel.c */
void check_process(struct check *check);    /* check_process.c */
void check_cgroups(struct check *check);    /* check_cgroup.c */
void check_storage(struct check *check);    /* check_storage.c */
void check_programs(struct check *check);   /* check_programs.c; after check_cgroups() */
void check_network(struct check *check);    /* check_network.c */
void check_registries(struct check *check); /* check_registries.c */

#endif
