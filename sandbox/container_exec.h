/*
 * What ExecSync, Exec and Attach share. Private to sandbox/.
 */
#ifndef SANDBOX_CONTAINER_EXEC_H
#define SANDBOX_CONTAINER_EXEC_H

#include "sandbox/container.h"
#include "sandbox/spec.h"

/* *ret is a reference; FAILED_PRECONDITION when it does not run. */
int container_find_running(struct sandboxes *sandboxes, const char *id, struct container **ret,
			   struct err *err) MUST_CHECK;
/* The OCI process document of a command in the container; command's config_json is not looked at. */
int container_exec_document(const struct container *container, const struct spec_exec *command, char **ret,
			    struct err *err) MUST_CHECK;

/* At the start: ends, on the pool, what a crispd that was killed has left running in the container by exec.
 */
void container_end_old_execs(struct container *container);

#endif
