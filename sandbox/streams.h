/*
 * What streaming sessions do with pods and containers: a command with its stdio in a client's hands, a
 * connection to a container's own stdio, a pod's network. The session's thread calls all of it.
 */
#ifndef SANDBOX_STREAMS_H
#define SANDBOX_STREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"
#include "conmon/exec_stream.h"
#include "sandbox/sandboxes.h"

/* Whether there is such a container and it runs: *ret_id is its full id, malloc'd; ret_tty: it has a
 * terminal; may be NULL. */
int container_stream_check(struct sandboxes *sandboxes, const char *id, char **ret_id, bool *ret_tty,
			   struct err *err) MUST_CHECK;

struct container_exec {
	const char *id;
	const char *const *args;
	size_t args_len;
	bool tty, in, out;
	uint16_t width, height;
};
/* Everything that belongs to the exec is in *ret, which must be freed before sandboxes. */
struct container_stream;
int container_exec_start(struct sandboxes *sandboxes, const struct ctx *ctx,
			 const struct container_exec *exec, struct container_stream **ret,
			 struct err *err) MUST_CHECK;
struct exec_stream *container_stream_exec(const struct container_stream *stream);

int container_attach(struct sandboxes *sandboxes, const char *id, struct container_stream **ret,
		     struct err *err) MUST_CHECK;
int container_stream_socket(const struct container_stream *stream); /* conmon's; borrowed */
int container_attach_resize(const struct container_stream *stream, uint16_t width, uint16_t height,
			    struct err *err) MUST_CHECK;
/* Accepts NULL, returns NULL. What an exec has left is killed. */
struct container_stream *container_stream_free(struct container_stream *stream);

/* The pod's network namespace, or -1 in *ret_network for the host's; *ret_end becomes readable when the pod
 * has ended. Both are the caller's. FAILED_PRECONDITION: the pod is not ready. */
int pod_stream_network(struct sandboxes *sandboxes, const char *id, int *ret_network, int *ret_end,
		       struct err *err) MUST_CHECK;
/* *ret_id: the full id, malloc'd. */
int pod_stream_check(struct sandboxes *sandboxes, const char *id, char **ret_id, struct err *err) MUST_CHECK;

#endif
