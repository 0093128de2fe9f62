/*
 * Pipes: their inner ends go to the runtime, the outer are non-blocking.
 *
 * A terminal comes over a console socket (runtime-spec's companion, docs/terminals.md of runc): the
 * runtime connects and sends the master. The socket's path may be longer than an address can be, so it is
 * bound through the folder's descriptor and told to the runtime by its name, which it looks up where it
 * stands.
 */
#include "conmon/exec_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "base/file.h"
#include "base/id.h"
#include "base/str.h"
#include "conmon/exec_process.h"

enum { NOTE_MAX = 8 * 1024, PIPE_SIZE = 256 * 1024 };

struct exec_stream {
	struct exec_process process;
	struct runtime_target target;
	struct process init;
	char *run_dir;
	int in, out, errors; /* -1: none, or closed */
	bool tty;
	struct str noted;
	bool concluded;

	char console_name[48];
	int console, folder; /* while waiting for the terminal */
};

struct exec_stream *exec_stream_free(struct exec_stream *stream)
{
	if (!stream)
		return NULL;
	if (stream->process.runtime.pidfd >= 0 && !stream->concluded)
		exec_process_kill(&stream->process);
	exec_process_done(&stream->process);
	if (stream->console >= 0)
		(void)unlinkat(stream->folder, stream->console_name, 0);
	fd_close(stream->console);
	fd_close(stream->folder);
	if (stream->out != stream->in)
		fd_close(stream->out);
	fd_close(stream->in);
	fd_close(stream->errors);
	process_done(&stream->init);
	str_done(&stream->noted);
	free(stream->run_dir);
	free(stream);
	return NULL;
}

/* ---- stdio ---- */

/* A pipe; our end is non-blocking. */
static int open_pipe(bool ours_reads, int *ret_ours, int *ret_theirs, struct err *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(err, "pipe for an exec");
	*ret_ours = fds[ours_reads ? 0 : 1];
	*ret_theirs = fds[ours_reads ? 1 : 0];
	(void)fcntl(*ret_ours, F_SETPIPE_SZ, PIPE_SIZE); /* fewer turns; refused beyond a user's limit */
	if (fcntl(*ret_ours, F_SETFL, O_NONBLOCK) < 0)
		return err_errno(err, "pipe for an exec");
	return 0;
}

static int start_pipes(struct exec_stream *stream, const struct exec_stream_spec *spec, struct err *err)
{
	CLEANUP(fd_closep) int in = -1, out = -1, errors = -1;
	struct command_fd fds[3];
	size_t len = 0;

	if ((spec->in && open_pipe(false, &stream->in, &in, err) < 0) ||
	    (spec->out && open_pipe(true, &stream->out, &out, err) < 0) ||
	    open_pipe(true, &stream->errors, &errors, err) < 0)
		return -1;
	if (in >= 0)
		fds[len++] = (struct command_fd){ in, 0 };
	if (out >= 0)
		fds[len++] = (struct command_fd){ out, 1 };
	fds[len++] = (struct command_fd){ errors, 2 };
	return exec_process_start(&stream->process, fds, len, err);
}

static void set_size(int fd, uint16_t width, uint16_t height)
{
	struct winsize size = { .ws_col = width, .ws_row = height };

	if (width && height)
		(void)ioctl(fd, TIOCSWINSZ, &size);
}

/* ---- the console socket ---- */

static int listen_console(struct exec_stream *stream, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char id[ID_SIZE];

	id_new(id);
	snprintf(stream->console_name, sizeof(stream->console_name), "exec-%.16s.sock", id);
	stream->folder = dir_open(AT_FDCWD, stream->run_dir, err);
	if (stream->folder < 0)
		return -1;
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", stream->folder,
		 stream->console_name);
	stream->console = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (stream->console < 0 || bind(stream->console, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(stream->console, 1) < 0)
		return err_errno(err, "console socket for an exec");
	return 0;
}

/* Waits for fd to be readable, or for the runtime's end, which wins: then a terminal no more comes. */
static int wait_console(const struct exec_stream *stream, int fd, const struct ctx *ctx, struct err *err)
{
	for (;;) {
		struct pollfd fds[] = { { fd, POLLIN, 0 },
					{ stream->process.runtime.pidfd, POLLIN, 0 },
					{ ctx_fd(ctx), POLLIN, 0 } };

		if (ctx_check(ctx, "exec: terminal", err) < 0)
			return -1;
		if (poll(fds, ARRAY_LEN(fds), ctx_poll_timeout(ctx)) < 0 && errno != EINTR)
			return err_errno(err, "exec: poll");
		if (fds[0].revents)
			return 1;
		if (fds[1].revents)
			return 0;
	}
}

/* One message with one descriptor. */
static int receive_fd(int fd)
{
	char text[256];
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec piece = { .iov_base = text, .iov_len = sizeof(text) };
	struct msghdr message = {
		.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	const struct cmsghdr *header;
	int ret;

	if (recvmsg(fd, &message, MSG_CMSG_CLOEXEC) <= 0)
		return -1;
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
	    header->cmsg_len != CMSG_LEN(sizeof(int)))
		return -1;
	memcpy(&ret, CMSG_DATA(header), sizeof(ret));
	return ret;
}

/* 0 also when the runtime has ended without a terminal: what it said tells why. */
static int take_terminal(struct exec_stream *stream, const struct ctx *ctx, struct err *err)
{
	CLEANUP(fd_closep) int connection = -1;
	int ready = wait_console(stream, stream->console, ctx, err);

	if (ready <= 0)
		return ready;
	connection = accept4(stream->console, NULL, NULL, SOCK_CLOEXEC);
	if (connection < 0)
		return err_errno(err, "console socket for an exec");
	ready = wait_console(stream, connection, ctx, err);
	if (ready <= 0)
		return ready;
	stream->in = stream->out = receive_fd(connection);
	if (stream->in < 0 || !isatty(stream->in) || fcntl(stream->in, F_SETFL, O_NONBLOCK) < 0)
		return err_set(err, RPC_INTERNAL, "exec: the runtime has sent no terminal");
	return 0;
}

static int start_terminal(struct exec_stream *stream, const struct exec_stream_spec *spec,
			  const struct ctx *ctx, struct err *err)
{
	CLEANUP(fd_closep) int errors = -1;
	struct ctx bounded CLEANUP(ctx_done);

	ctx_init_child(&bounded, ctx, clock_deadline_in(spec->target.config->runtime.runtime_timeout));
	if (listen_console(stream, err) < 0 || open_pipe(true, &stream->errors, &errors, err) < 0)
		return -1;
	stream->process.console = stream->console_name;
	const struct command_fd fds[] = { { errors, 2 } };

	if (exec_process_start(&stream->process, fds, ARRAY_LEN(fds), err) < 0)
		return -1;
	errors = fd_close(errors);
	if (take_terminal(stream, &bounded, err) < 0)
		return -1;
	if (stream->in >= 0)
		set_size(stream->in, spec->width, spec->height);
	return 0;
}

/* ---- the exec ---- */

static struct exec_stream *stream_new(const struct exec_stream_spec *spec)
{
	struct exec_stream *stream = xnew(struct exec_stream);

	stream->in = stream->out = stream->errors = stream->console = stream->folder = -1;
	stream->tty = spec->tty;
	stream->target = spec->target;
	stream->run_dir = xstrdup(spec->run_dir);
	stream->init = (struct process)PROCESS_INIT;
	stream->process = (struct exec_process){ .target = &stream->target,
						 .init = &stream->init,
						 .run_dir = stream->run_dir,
						 .runtime = PROCESS_INIT };
	return stream;
}

static void stream_freep(struct exec_stream **stream)
{
	exec_stream_free(*stream);
}

int exec_stream_start(const struct exec_stream_spec *spec, const struct ctx *ctx, struct exec_stream **ret,
		      struct err *err)
{
	CLEANUP(stream_freep) struct exec_stream *stream = NULL;
	int result;

	if (spec->target.handler->problem)
		return err_set(err, RPC_FAILED_PRECONDITION, "runtime handler %s: %s",
			       spec->target.handler->name, spec->target.handler->problem);
	stream = stream_new(spec);
	if (process_open(spec->init->pid, spec->init->start_time, &stream->init, err) < 0 ||
	    exec_process_prepare(&stream->process, spec->process_json, err) < 0)
		return -1;
	if (spec->tty)
		result = start_terminal(stream, spec, ctx, err);
	else
		result = start_pipes(stream, spec, err);
	if (result < 0)
		return -1;
	*ret = TAKE(stream);
	return 0;
}

int exec_stream_in(const struct exec_stream *stream)
{
	return stream->in;
}

int exec_stream_out(const struct exec_stream *stream)
{
	return stream->out;
}

int exec_stream_err(const struct exec_stream *stream)
{
	return stream->errors;
}

int exec_stream_end(const struct exec_stream *stream)
{
	return stream->process.runtime.pidfd;
}

void exec_stream_note(struct exec_stream *stream, const void *data, size_t len)
{
	size_t room = NOTE_MAX - stream->noted.len;

	if (room && len)
		str_addn(&stream->noted, data, len < room ? len : room);
}

void exec_stream_end_input(struct exec_stream *stream)
{
	struct termios settings;

	if (!stream->tty)
		stream->in = fd_close(stream->in);
	else if (stream->in >= 0 && tcgetattr(stream->in, &settings) == 0 && (settings.c_lflag & ICANON))
		(void)!write(stream->in, &settings.c_cc[VEOF], 1);
}

void exec_stream_resize(struct exec_stream *stream, uint16_t width, uint16_t height)
{
	if (stream->tty && stream->in >= 0)
		set_size(stream->in, width, height);
}

int exec_stream_conclude(struct exec_stream *stream, int *ret_code, struct err *err)
{
	int status;

	if (process_wait(&stream->process.runtime, NULL, &status, err) < 0)
		return -1;
	stream->concluded = true;
	return exec_process_conclude(&stream->process, status, str_get(&stream->noted), ret_code, err);
}
