/*
 * Running one verb of an OCI runtime (`RUNTIME [--root=..] start ID`): the command line they share, the
 * deadline, and what their error output means.
 */
#ifndef CONMON_VERB_H
#define CONMON_VERB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/spawn.h"
#include "base/str.h"
#include "conmon/monitor.h"

enum { VERB_STDERR_MAX = 64 * 1024 };

/* By verb; "create" is conmon and the runtime together. */
extern struct metric metric_runtime_latency, metric_runtime_errors;
/* Counts one verb that began at `began` (clock_mono() ns). */
void verb_count(const char *verb, int64_t began, bool failed);

/* Path, --root, --systemd-cgroup. */
void verb_argv(const struct runtime_target *target, struct strv *argv);

/* Runs the runtime with words (NULL-terminated; the first is the verb) behind the common options. A verb that
 * fails is INTERNAL with the runtime's own message, one that takes longer than runtime_timeout
 * DEADLINE_EXCEEDED; its process group is killed then. */
int verb_run(const struct runtime_target *target, const char *const *words, const struct ctx *ctx,
	     struct err *err) MUST_CHECK;
/* The same with a text on its standard input. */
int verb_run_fed(const struct runtime_target *target, const char *const *words, const char *input,
		 const struct ctx *ctx, struct err *err) MUST_CHECK;

/* The last thing a runtime said, without its timestamp and key=value wrapping (crun's and runc's formats),
 * printable, at most size - 1 bytes; "" when it said nothing. */
void verb_message(const char *output, char *text, size_t size);

/* For a message of crun's or runc's `create` that says that the container's own program (may be NULL) cannot
 * be run (it is not there, may not be executed, is a folder): the reason, a part of message; else NULL. */
const char *verb_program_problem(const char *message, const char *program);

#endif
