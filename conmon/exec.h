/*
 * Running a further process in a container through `RUNTIME exec`, without a monitor.
 *
 * The process description is written as an OCI process document (runtime-spec config.md, "process"), handed over by file; output is read
 * here, bounded, and drained past the bound. On timeout or cancellation every process of the exec is killed: a sub-cgroup where
 * the runtime and cgroup v2 allow it, else the tree below the exec's pid found in /proc, repeated until nothing is left.
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
	const struct process *init;  /* the container's init */
	const char *process_json;    /* OCI process document; args etc. already filled in */
	const char *bpf_annotation;  /* unused by runtimes that read it from the bundle; may be NULL */
	const char *run_dir;	     /* tmpfs folder for pid file and process file */
	int64_t timeout;	     /* ns; 0: none but ctx */
	size_t output_max;	     /* per stream */
};

struct exec_result {
	int exit_code;
	struct str out, err_out;
	bool out_truncated, err_truncated;
};
void exec_result_done(struct exec_result *result); /* also for CLEANUP */

/* DEADLINE_EXCEEDED on timeout, after the processes are gone. */
int exec_sync(const struct exec_spec *spec, const struct ctx *ctx, struct exec_result *ret,
	      struct err *err) MUST_CHECK;

#endif
