/*
 * A further process in a container whose stdio is somebody's who talks to it: `RUNTIME exec` with pipes, or
 * with a terminal. No monitor keeps it; it lives no longer than this object.
 *
 * Single-threaded. All that the spec points to is borrowed and outlives the exec.
 */
#ifndef CONMON_EXEC_STREAM_H
#define CONMON_EXEC_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"
#include "conmon/monitor.h"

struct exec_stream_spec {
	struct runtime_target target;
	const struct process *init; /* the container's init */
	const char *process_json;   /* OCI process document; its "terminal" is tty */
	const char *run_dir;        /* tmpfs folder */
	bool tty, in, out;          /* stderr is always read: it tells why nothing was started */
	uint16_t width, height;     /* of the terminal; 0: not known */
};

struct exec_stream;

/* Returns when the runtime has been started and, with tty, has given the terminal. Errors as exec_sync()'s.
 */
int exec_stream_start(const struct exec_stream_spec *spec, const struct ctx *ctx, struct exec_stream **ret,
		      struct err *err) MUST_CHECK;

/* Non-blocking descriptors, owned by the stream; -1: none. With tty `in` and `out` are the same. */
int exec_stream_in(const struct exec_stream *stream);
int exec_stream_out(const struct exec_stream *stream);
int exec_stream_err(const struct exec_stream *stream);
/* Readable once the command has ended. */
int exec_stream_end(const struct exec_stream *stream);
/* To be told of what was read from stderr. */
void exec_stream_note(struct exec_stream *stream, const void *data, size_t len);

/* Nothing more is written to `in`: a pipe is closed, a terminal in line mode is sent its end of file. */
void exec_stream_end_input(struct exec_stream *stream);
void exec_stream_resize(struct exec_stream *stream, uint16_t width, uint16_t height);
/* After the end. Signal n gives 128 + n. */
int exec_stream_conclude(struct exec_stream *stream, int *ret_code, struct err *err) MUST_CHECK;
/* Kills what is left of it, unless it was concluded. Accepts NULL, returns NULL. */
struct exec_stream *exec_stream_free(struct exec_stream *stream);

#endif
