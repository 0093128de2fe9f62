/*
 * exec_sync(): fed nothing, read in one poll loop.
 *
 * When the command ends by itself, what it wrote is in the pipes already; a descendant that keeps them open
 * is given a short while (DRAIN) and is then left alone: a hook may start a daemon, and nobody waits for its
 * output. When the time is up, all of it is killed, and only then is the call answered.
 */
#include "conmon/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/crash.h"
#include "base/file.h"
#include "conmon/exec_process.h"

enum { READ_SIZE = 16 * 1024 };
static const int64_t drain_time = 100 * NS_PER_MS;

struct stream {
	int fd; /* our end; -1 once it is at its end */
	struct str *text;
	size_t max;
	bool *truncated;
};

struct session {
	const struct ctx *ctx;
	struct exec_process process;
	struct stream streams[2];
	int status;
};

void exec_result_done(struct exec_result *result)
{
	str_done(&result->out);
	str_done(&result->err_out);
}

static void session_done(struct session *session)
{
	for (int i = 0; i < 2; i++)
		fd_closep(&session->streams[i].fd);
	exec_process_done(&session->process);
}

static int open_stream(struct stream *stream, int *ret_write, struct err *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(err, "pipe for an exec");
	stream->fd = fds[0];
	*ret_write = fds[1];
	if (fcntl(stream->fd, F_SETFL, O_NONBLOCK) < 0)
		return err_errno(err, "pipe for an exec");
	return 0;
}

static int start(struct session *session, struct err *err)
{
	CLEANUP(fd_closep) int out = -1, err_out = -1;

	if (open_stream(&session->streams[0], &out, err) < 0 ||
	    open_stream(&session->streams[1], &err_out, err) < 0)
		return -1;
	const struct command_fd fds[] = { { out, 1 }, { err_out, 2 } };

	return exec_process_start(&session->process, fds, ARRAY_LEN(fds), err);
}

static void keep(struct stream *stream, const char *data, size_t len)
{
	size_t room = stream->max - stream->text->len;

	if (len > room) {
		*stream->truncated = true;
		len = room;
	}
	if (len)
		str_addn(stream->text, data, len);
}

/* Reads what is there, beyond the limit too; closes at the end. True when something came or the end did. */
static bool read_stream(struct stream *stream)
{
	char data[READ_SIZE];
	ssize_t got;

	if (stream->fd < 0)
		return false;
	do
		got = read(stream->fd, data, sizeof(data));
	while (got < 0 && errno == EINTR);
	if (got < 0 && errno == EAGAIN)
		return false;
	if (got <= 0) {
		stream->fd = fd_close(stream->fd);
		return true;
	}
	keep(stream, data, (size_t)got);
	return true;
}

static bool at_end(const struct session *session)
{
	return session->streams[0].fd < 0 && session->streams[1].fd < 0;
}

/* One turn of the loop: waits for output, the runtime's end or the end of ctx, and reads. 1: the runtime has
 * ended. */
static int turn(struct session *session, struct err *err)
{
	struct pollfd fds[] = { { session->streams[0].fd, POLLIN, 0 },
				{ session->streams[1].fd, POLLIN, 0 },
				{ session->process.runtime.pidfd, POLLIN, 0 },
				{ ctx_fd(session->ctx), POLLIN, 0 } };

	if (ctx_check(session->ctx, "exec", err) < 0)
		return -1;
	if (poll(fds, ARRAY_LEN(fds), ctx_poll_timeout(session->ctx)) < 0 && errno != EINTR)
		return err_errno(err, "exec: poll");
	for (int i = 0; i < 2; i++)
		if (fds[i].revents)
			read_stream(&session->streams[i]);
	return fds[2].revents ? 1 : 0;
}

/* After the runtime's end: takes what is in the pipes, waiting a little for descendants that still write. */
static void drain(struct session *session)
{
	int64_t deadline = clock_deadline_in(drain_time);

	while (!at_end(session) && clock_poll_timeout(deadline) != 0) {
		struct pollfd fds[] = { { session->streams[0].fd, POLLIN, 0 },
					{ session->streams[1].fd, POLLIN, 0 } };

		if (poll(fds, ARRAY_LEN(fds), clock_poll_timeout(deadline)) <= 0)
			continue;
		for (int i = 0; i < 2; i++)
			if (fds[i].revents)
				read_stream(&session->streams[i]);
	}
}

static int run(struct session *session, struct err *err)
{
	int ended = 0;

	while (!ended) {
		ended = turn(session, err);
		if (ended < 0) {
			exec_process_kill(&session->process);
			return -1;
		}
	}
	drain(session);
	return process_wait(&session->process.runtime, NULL, &session->status, err);
}

int exec_sync(const struct exec_spec *spec, const struct ctx *ctx, struct exec_result *ret, struct err *err)
{
	struct exec_result result CLEANUP(exec_result_done) = { 0 };
	struct ctx bounded CLEANUP(ctx_done);
	struct session session CLEANUP(session_done) = {
		.ctx = &bounded,
		.process = { .target = &spec->target,
			     .init = spec->init,
			     .run_dir = spec->run_dir,
			     .runtime = PROCESS_INIT },
		.streams = { { .fd = -1, .text = &result.out, .truncated = &result.out_truncated },
			     { .fd = -1, .text = &result.err_out, .truncated = &result.err_truncated } },
	};

	ctx_init_child(&bounded, ctx, spec->timeout > 0 ? clock_deadline_in(spec->timeout) : NO_DEADLINE);
	session.streams[0].max = session.streams[1].max = spec->output_max;
	if (spec->target.handler->problem)
		return err_set(err, RPC_FAILED_PRECONDITION, "runtime handler %s: %s",
			       spec->target.handler->name, spec->target.handler->problem);
	if (exec_process_prepare(&session.process, spec->process_json, err) < 0 ||
	    crash_point("exec.document") || start(&session, err) < 0 || crash_point("exec.started") ||
	    run(&session, err) < 0 || crash_point("exec.ended") ||
	    exec_process_conclude(&session.process, session.status, str_get(&result.err_out),
				  &result.exit_code, err) < 0)
		return -1;
	*ret = result;
	result = (struct exec_result){ 0 };
	return 0;
}
