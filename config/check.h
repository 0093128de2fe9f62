/*
 * `crispd check`: what this host can and cannot do, and how to mend it. Nothing is changed on the host,
 * except for a directory beside crisp's root that is made and removed again to try overlay in.
 *
 * A report is a list of findings in the order of their making; it belongs to the caller, one thread at a
 * time. Checks run a few programs with --version and a deadline each, so check_host() may take seconds on a
 * sick host.
 */
#ifndef CONFIG_CHECK_H
#define CONFIG_CHECK_H

#include <stddef.h>

#include "base/ctx.h"
#include "base/str.h"
#include "config/config.h"

enum check_status {
	CHECK_OK,
	CHECK_WARN, /* something that not every node needs does not work, or works with limits */
	CHECK_FAIL, /* crisp cannot run pods here */
};

struct check_finding {
	const char *name; /* "kernel.openat2", "runtime.crun": stable, for scripts */
	enum check_status status;
	const char *seen; /* what was found, one line */
	const char *mend; /* what to do about it, one line; "" when ok */
};

struct check; /* a report under construction (config/check_probe.h) */

struct check_options {
	const struct config *config;
	const struct ctx *ctx; /* ends the programs that are run; may be NULL */
	const char *root;      /* what stands before /proc and /sys; NULL: nothing. For tests */
	/* Checks of floors above, last; NULL-terminated, may be NULL. */
	void (*const *more)(struct check *check);
};

struct check_report;

struct check_report *check_host(const struct check_options *options);
struct check_report *check_free(struct check_report *report); /* accepts NULL, returns NULL */
void check_freep(struct check_report **report);

/* All findings; *ret_len of them. */
const struct check_finding *check_findings(const struct check_report *report, size_t *ret_len);
/* NULL when there is none of that name. */
const struct check_finding *check_find(const struct check_report *report, const char *name);
size_t check_count(const struct check_report *report, enum check_status status);

/* A line for each finding, one more for how to mend it, and a summary. */
void check_print_text(const struct check_report *report, struct str *out);
/* {"findings": [{"name", "status": "ok|warn|fail", "seen", "mend"}], "ok": 1, "warn": 0, "fail": 0}, and a
 * newline. */
void check_print_json(const struct check_report *report, struct str *out);

#endif
