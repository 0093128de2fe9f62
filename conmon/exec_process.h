/*
 * One `RUNTIME exec` under way: its files, its mark, its command line, its end. Private to conmon/exec*.c.
 *
 * Everything that the fields point to is borrowed and outlives the exec. Single-threaded.
 */
#ifndef CONMON_EXEC_PROCESS_H
#define CONMON_EXEC_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "conmon/monitor.h"

struct exec_process {
	const struct runtime_target *target;
	const struct process *init; /* the container's init */
	const char *run_dir;
	const char *console; /* name of a console socket in run_dir; NULL: none */

	uint64_t mark;
	char *process_path, *pid_path;
	struct process runtime; /* crisp-exec, above the runtime and then the command; PROCESS_INIT before the
				   start */
};

/* The mark in a process document that exec_process_prepare() wrote; 0: there is none. */
uint64_t exec_process_mark(const json_t *document);
/* Writes the files. process_json: the OCI process document. */
int exec_process_prepare(struct exec_process *process, const char *process_json, struct err *err) MUST_CHECK;
/* fds: what the runtime gets as its (and the command's) stdio; for the rest, a null device of ours. */
int exec_process_start(struct exec_process *process, const struct command_fd *fds, size_t fds_len,
		       struct err *err) MUST_CHECK;
/* Ends everything that this exec has started and reaps. Waits until it is gone, within reason: not even
 * SIGKILL ends what is stuck in the kernel. */
void exec_process_kill(struct exec_process *process);
/* status: crisp-exec's, as of waitpid. errors: what it has written to stderr. */
int exec_process_conclude(const struct exec_process *process, int status, const char *errors, int *ret_code,
			  struct err *err) MUST_CHECK;
/* Removes the files. */
void exec_process_done(struct exec_process *process);

#endif
