/*
 * One call of one CNI plugin (CNI spec 1.1.0, section 2 "Execution protocol"): found in the plugin folders,
 * run with exactly the environment the spec names, its configuration on stdin, its answer or error read from
 * stdout.
 *
 * Output is bounded, the plugin's process group is killed when ctx ends. Thread-safe.
 */
#ifndef CNI_PLUGIN_H
#define CNI_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/str.h"
#include "config/config.h"

/* Of the environment: for the tools that plugins call. */
#define PLUGIN_TOOLS_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

enum { PLUGIN_OUTPUT_MAX = 1024 * 1024, PLUGIN_STDERR_MAX = 64 * 1024 };

extern struct metric metric_network_latency, metric_network_errors; /* by command */

struct plugin_call {
	const struct config_strings *dirs; /* plugin_dirs: searched in order, and CNI_PATH */
	const char *type;                  /* one path component */
	const char *command;               /* "ADD", "DEL", "CHECK", "STATUS", "GC" */
	const char *container_id;          /* NULL with STATUS and GC, as the following three */
	const char *netns;                 /* "": none any more */
	const char *ifname;
	const char *args; /* CNI_ARGS */
	const char *stdin_text;
	size_t stdin_len;
};

/* The plugin's path, malloc'd. NOT_FOUND "plugin TYPE: not found in DIRS". */
int plugin_find(const struct config_strings *dirs, const char *type, char **ret, struct err *err) MUST_CHECK;

/* The spec's error document (section 5, "Error") as one line of text; false when `out` holds none. */
bool plugin_error_parse(const char *out, size_t len, struct str *ret_text, long *ret_code) MUST_CHECK;

/*
 * Runs it; ret (initialised) gets stdout. The plugin's own error becomes INTERNAL "plugin TYPE: COMMAND: msg:
 * details", UNAVAILABLE when it says "try again later" (code 11) or could not be found. DEADLINE_EXCEEDED and
 * CANCELLED by ctx.
 */
int plugin_run(const struct plugin_call *call, const struct ctx *ctx, struct str *ret,
	       struct err *err) MUST_CHECK;

#endif
