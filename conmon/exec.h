/*
 * Running a further process in a container through `RUNTIME exec`, without a monitor.
 *
 * The process description is an OCI process document (runtime-spec config.md, "process"), handed over by
 * file; output is read here, bounded, and drained past the bound. On timeout or cancellation every process of
 * the exec is killed, also one that has made itself a daemon: each carries a mark (conmon/procs.h). A process
 * that the command leaves behind when it ends in time is left alone.
 */
#ifndef CONMON_EXEC_H
#define CONMON_EXEC_H

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "conmon/monitor.h"

enum { EXEC_OUTPUT_MAX = 16 * 1024 * 1024 }; /* per stream: kubernetes' limit, CVE-2022-1708 */

struct exec_spec {
	struct runtime_target target;
	const struct process *init; /* the container's init */
	const char *process_json;   /* OCI process document; args etc. already filled in */
	const char *run_dir;        /* tmpfs folder for pid file and process file */
	int64_t timeout;            /* ns; 0: none but ctx */
	size_t output_max;          /* per stream */
};

struct exec_result {
	int exit_code;
	struct str out, err_out;
	bool out_truncated, err_truncated;
};
void exec_result_done(struct exec_result *result); /* also for CLEANUP */

/* DEADLINE_EXCEEDED on timeout, after the processes are gone. A command that could not be started (no such
 * file in the container, not executable, container gone) is FAILED_PRECONDITION with the runtime's message; a
 * runtime that fails otherwise INTERNAL. Signal n gives exit code 128 + n. Never waits longer than ctx and
 * timeout, and ten seconds more where the kernel does not end a killed process. */
int exec_sync(const struct exec_spec *spec, const struct ctx *ctx, struct exec_result *ret,
	      struct err *err) MUST_CHECK;

#endif
