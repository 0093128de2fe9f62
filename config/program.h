/*
 * Programs that crisp runs: where they are, and which version. Nothing here is cached: packages are upgraded
 * under a running daemon.
 */
#ifndef CONFIG_PROGRAM_H
#define CONFIG_PROGRAM_H

#include <stdbool.h>

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"

#define PROGRAM_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/*
 * The absolute path of a program: itself when it is one (and an executable regular file), else the first
 * match in the daemon's PATH and then in PROGRAM_PATH. *ret is malloc'd. FAILED_PRECONDITION when there is
 * none. For the keys runtime_path, monitor_path and conmon, where "" means a name: program_find(*path ? path
 * : name, ...).
 */
int program_find(const char *program, char **ret, struct err *err) MUST_CHECK;

/*
 * A program of crisp's own, such as crisp-pause: what the environment variable names (an absolute path), else
 * it is beside the running program, else in ../libexec/crisp from there, else in the install prefix's libexec
 * folder. *ret is malloc'd; NOT_FOUND with the places tried.
 */
int program_find_own(const char *name, const char *variable, char **ret, struct err *err) MUST_CHECK;

struct program_version {
	int major, minor, patch;
};

/*
 * Runs `path --version` (5 seconds at most) and returns the first line it printed; *ret is malloc'd.
 * FAILED_PRECONDITION when it ends badly or prints nothing.
 */
int program_version_line(const char *path, const struct ctx *ctx, char **ret, struct err *err) MUST_CHECK;
/* The first N.N or N.N.N in a line: "crun version 1.8.1" is 1.8.1. False when there is none. */
bool program_version_parse(const char *line, struct program_version *ret) MUST_CHECK;
bool program_version_before(struct program_version version, int major, int minor, int patch);
/* The same for the running kernel (uname(2)'s release). False when it cannot be told. */
bool kernel_at_least(int major, int minor);

#endif
