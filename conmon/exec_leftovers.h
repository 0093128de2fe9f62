/*
 * Commands that were started in a container by a crispd that has been killed since. Whoever talked to them is
 * gone with it, so they end, too. Their documents in the container's run_dir (exec_process.h) tell of them:
 * each names its mark, and the crisp-exec that waits for the command has its path among its arguments.
 *
 * exec_leftovers_find() belongs to the start, before this crispd's own execs put documents there; what it
 * found may be ended later. Thread-safe.
 */
#ifndef CONMON_EXEC_LEFTOVERS_H
#define CONMON_EXEC_LEFTOVERS_H

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

/* Names of the files of execs; none when run_dir does not exist. */
void exec_leftovers_find(const char *run_dir, struct strv *ret);
/* Kills the commands with all that they have started, and their runtimes; removes the files. Reads all of
 * /proc. */
int exec_leftovers_end(const char *run_dir, const struct strv *names, const struct ctx *ctx,
		       struct err *err) MUST_CHECK;

#endif
