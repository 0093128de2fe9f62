/*
 * command_run() of base/spawn.h: one poll loop over the child's pipes, its pidfd and the caller's context.
 *
 * The loop's life: while the child lives, stdin is fed and output is read (beyond the limit it is read and
 * dropped, so that a chatty child does not block). When the child has exited, reading goes on until the pipes
 * are at their end or, if a descendant holds them, for the drain time. When the time is up or the context
 * ends, the process group is killed. The child is reaped last of all, so that until then nobody else can own
 * its pid or its group's number.
 *
 * A child that SIGKILL does not end (stuck in the kernel) is waited for only so long; then it is left as it
 * is.
 */
#include "base/spawn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"

enum { READ_SIZE = 64 * 1024, READS_PER_TURN = 16, SLICE_MS = 100 };

static const int64_t drain_default = 100 * NS_PER_MS;
static const int64_t kill_patience = 10 * NS_PER_SEC;

enum { SLOT_IN, SLOT_OUT, SLOT_ERR, SLOT_PROCESS, SLOT_CTX, SLOTS };

struct run {
	const struct command *command;
	const struct ctx *ctx;
	struct command_result *result;
	struct process process;
	int in, out, err_out; /* our ends; -1 when closed or never made */
	size_t written;
	char *buffer;         /* READ_SIZE bytes */
	int64_t deadline;     /* of the work */
	int64_t end_deadline; /* of the drain, or of the wait after the kill */
	bool ended;           /* the pidfd says so */
	bool killed;
};

static void run_done(struct run *run)
{
	fd_closep(&run->in);
	fd_closep(&run->out);
	fd_closep(&run->err_out);
	process_done(&run->process);
	free(run->buffer);
}

void command_result_done(struct command_result *result)
{
	str_done(&result->out);
	str_done(&result->err_out);
}

/* One pipe: the child's end joins the command's descriptors, ours goes to *ret. */
static int add_pipe(struct command *command, int target, int *ret_ours, int *ret_theirs)
{
	int ends[2];
	int ours = target == STDIN_FILENO ? 1 : 0;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	*ret_ours = ends[ours];
	*ret_theirs = ends[!ours];
	command->fds[command->fds_len++] = (struct command_fd){ .fd = ends[!ours], .target = target };
	return fcntl(ends[ours], F_SETFL, O_NONBLOCK);
}

static bool named(const struct command *command, int target)
{
	for (size_t i = 0; i < command->fds_len; i++)
		if (command->fds[i].target == target)
			return true;
	return false;
}

/* Makes the pipes the command asks for and starts it. */
static int start(struct run *run, struct err *err)
{
	const struct command *given = run->command;
	struct command command = *given;
	CLEANUP(fd_closep) int their_in = -1;
	CLEANUP(fd_closep) int their_out = -1;
	CLEANUP(fd_closep) int their_err = -1;
	int failed = 0;

	if (given->fds_len + 3 > COMMAND_FDS_MAX)
		return err_set(err, RPC_INTERNAL, "start %s: too many descriptors", given->path);
	if (given->input && !named(given, STDIN_FILENO))
		failed |= add_pipe(&command, STDIN_FILENO, &run->in, &their_in);
	if (given->stdout_max && !named(given, STDOUT_FILENO))
		failed |= add_pipe(&command, STDOUT_FILENO, &run->out, &their_out);
	if (given->stderr_max && !named(given, STDERR_FILENO))
		failed |= add_pipe(&command, STDERR_FILENO, &run->err_out, &their_err);
	if (failed)
		return err_errno(err, "start %s: pipe", given->path);
	return command_start(&command, &run->process, err);
}

/* write(2) without SIGPIPE, which would go to this very thread: blocked, and taken back if the write raised
 * it. */
static ssize_t write_quietly(int fd, const void *data, size_t len)
{
	const struct timespec now = { 0 };
	sigset_t pipe_set, old, pending;

	sigemptyset(&pipe_set);
	sigaddset(&pipe_set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
	sigpending(&pending);
	ssize_t n = write(fd, data, len);
	int saved = errno;
	if (n < 0 && saved == EPIPE && !sigismember(&pending, SIGPIPE))
		while (sigtimedwait(&pipe_set, NULL, &now) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = saved;
	return n;
}

static void feed(struct run *run)
{
	const struct command *command = run->command;

	while (run->written < command->input_len) {
		ssize_t n = write_quietly(run->in, (const char *)command->input + run->written,
					  command->input_len - run->written);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			break; /* the child does not want it: its own business */
		run->written += (size_t)n;
	}
	fd_closep(&run->in);
}

/* Reads what is there, keeps what fits. At the end of the pipe *fd becomes -1. */
static void collect(struct run *run, int *fd, struct str *kept, bool *truncated)
{
	for (int i = 0; i < READS_PER_TURN; i++) {
		ssize_t n = read(*fd, run->buffer, READ_SIZE);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			fd_closep(fd);
			return;
		}
		size_t room = kept->limit - kept->len;
		if ((size_t)n > room)
			*truncated = true;
		str_addn(kept, run->buffer, (size_t)n > room ? room : (size_t)n);
	}
}

/* Milliseconds for poll: to the end of the drain or the kill's patience when there is one, else to that of
 * the work. */
static int timeout_of(const struct run *run, bool ctx_has_fd)
{
	int timeout;

	if (run->killed || run->ended)
		timeout = clock_poll_timeout(run->end_deadline);
	else
		timeout = clock_poll_timeout(run->deadline);
	if (run->ctx && !ctx_has_fd && (timeout < 0 || timeout > SLICE_MS))
		timeout = SLICE_MS;
	return timeout;
}

static void kill_group(struct run *run)
{
	if (run->killed)
		return;
	run->killed = true;
	run->result->timed_out = true;
	run->end_deadline = clock_deadline_in(kill_patience);
	fd_closep(&run->in);
	process_kill_group(&run->process);
}

static void note_end(struct run *run)
{
	int64_t drain = run->command->drain ? run->command->drain : drain_default;

	run->ended = true;
	run->end_deadline = clock_deadline_in(drain);
	fd_closep(&run->in);
}

static void handle(struct run *run, const struct pollfd *fds)
{
	struct command_result *result = run->result;

	if (fds[SLOT_IN].revents)
		feed(run);
	if (fds[SLOT_OUT].revents)
		collect(run, &run->out, &result->out, &result->out_truncated);
	if (fds[SLOT_ERR].revents)
		collect(run, &run->err_out, &result->err_out, &result->err_truncated);
	if (!run->ended && fds[SLOT_PROCESS].revents)
		note_end(run);
}

static bool time_is_up(const struct run *run)
{
	return ctx_cancelled(run->ctx) || (run->deadline != NO_DEADLINE && clock_mono() >= run->deadline);
}

/* Until the child has ended and its output is read, or waiting longer is no use. */
static int loop(struct run *run, struct err *err)
{
	int ctx_end = ctx_fd(run->ctx);

	while (!run->ended || run->out >= 0 || run->err_out >= 0) {
		struct pollfd fds[SLOTS] = {
			[SLOT_IN] = { .fd = run->in, .events = POLLOUT },
			[SLOT_OUT] = { .fd = run->out, .events = POLLIN },
			[SLOT_ERR] = { .fd = run->err_out, .events = POLLIN },
			[SLOT_PROCESS] = { .fd = run->ended ? -1 : run->process.pidfd, .events = POLLIN },
			[SLOT_CTX] = { .fd = run->killed ? -1 : ctx_end, .events = POLLIN },
		};
		int n = poll(fds, SLOTS, timeout_of(run, run->killed || ctx_end >= 0));
		if (n < 0 && errno != EINTR) {
			err_errno(err, "run %s: poll", run->command->path);
			kill_group(run);
			return -1;
		}
		if (n > 0)
			handle(run, fds);
		if ((run->ended || run->killed) && clock_mono() >= run->end_deadline)
			return 0;
		if (!run->killed && time_is_up(run)) {
			if (run->ended)
				return 0; /* the child was in time; only its descendants are not */
			kill_group(run);
		}
	}
	return 0;
}

static int reap(struct run *run, struct err *err)
{
	struct command_result *result = run->result;
	const struct ctx *none = NULL;
	struct ctx patience;
	int status;

	if (!run->ended) { /* killed, and either the patience is over or poll failed */
		ctx_init(&patience, run->end_deadline);
		none = &patience;
	}
	int failed = process_wait(&run->process, none, &status, err);
	if (none)
		ctx_done(&patience);
	if (failed)
		return err_prefix(err, "%s was killed and does not end", run->command->path);
	result->exited = WIFEXITED(status);
	result->status = result->exited ? WEXITSTATUS(status) : WTERMSIG(status);
	return 0;
}

static int ended_by_us(const struct run *run, struct err *err)
{
	if (ctx_cancelled(run->ctx))
		return err_set(err, RPC_CANCELLED, "%s: killed, cancelled by the client", run->command->path);
	return err_set(err, RPC_DEADLINE_EXCEEDED, "%s: killed, deadline exceeded", run->command->path);
}

int command_run(const struct command *command, const struct ctx *ctx, struct command_result *ret,
		struct err *err)
{
	CLEANUP(run_done)
	struct run run = {
		.command = command,
		.ctx = ctx,
		.result = ret,
		.process = PROCESS_INIT,
		.in = -1,
		.out = -1,
		.err_out = -1,
		.deadline = ctx_deadline(ctx),
	};

	*ret = (struct command_result){ .out = STR_LIMIT(command->stdout_max),
					.err_out = STR_LIMIT(command->stderr_max) };
	if (ctx_check(ctx, command->path, err) < 0)
		return -1;
	if (command->timeout) {
		int64_t own = clock_deadline_in(command->timeout);
		if (own < run.deadline)
			run.deadline = own;
	}
	run.buffer = xmalloc(READ_SIZE);
	if (start(&run, err) < 0)
		return -1;
	int failed = loop(&run, err);
	if (reap(&run, failed ? NULL : err) < 0 || failed)
		return -1;
	return ret->timed_out ? ended_by_us(&run, err) : 0;
}

/* The last line of text that holds anything, without control characters; its length in *ret_len. */
static const char *last_line(const struct str *text, size_t *ret_len)
{
	const char *start = str_get(text);
	const char *end = start + text->len;

	while (end > start && (unsigned char)end[-1] <= ' ')
		end--;
	const char *line = end;
	while (line > start && line[-1] != '\n')
		line--;
	*ret_len = (size_t)(end - line);
	return line;
}

void command_result_text(const struct command_result *result, char *text, size_t size)
{
	size_t len;
	const char *line = last_line(&result->err_out, &len);
	const char *name = sigdescr_np(result->status);

	assert(size > 0);
	if (len > size)
		len = size;
	if (!result->exited)
		snprintf(text, size, "killed by signal %d (%s)", result->status, name ? name : "unknown");
	else if (!len)
		snprintf(text, size, "exit code %d", result->status);
	else
		snprintf(text, size, "exit code %d: %.*s", result->status, (int)len, line);
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}
