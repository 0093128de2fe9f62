/*
 * exec_sync(): `RUNTIME exec --process FILE --pid-file FILE ID`, fed nothing, read in one poll loop.
 *
 * crun hands our pipes on to the command and waits for it. runc (and what is built like it) puts pipes of its
 * own between and waits for their end, which a child in the background may put off for ever; only `exec
 * --detach` hands ours on, but then nobody waits. For those, conmon is the one that waits: with the log
 * driver "passthrough" it touches no output, it is the command's subreaper and ends with its exit code.
 *
 * Every process of an exec carries a mark that it cannot shed by accident (conmon/procs.h), put into the
 * process document as one more rlimit. When the time is up, the marked ones are killed first, so that the
 * runtime sees its child end, reaps it and ends by itself; what is left of the runtime goes after that. Only
 * then is the call answered. (command_run() would kill the runtime first and leave a zombie in the
 * container.)
 *
 * When the command ends by itself, what it wrote is in the pipes already; a descendant that keeps them open
 * is given a short while (DRAIN) and is then left alone: a hook may start a daemon, and nobody waits for its
 * output.
 *
 * The runtime writes the pid file once the command runs: without it, a failure is the runtime's and not the
 * command's.
 */
#include "conmon/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/id.h"
#include "base/json.h"
#include "conmon/procs.h"
#include "conmon/verb.h"

enum { READ_SIZE = 16 * 1024, PROCESS_MAX = 16 * 1024 * 1024 };
static const int64_t drain_time = 100 * NS_PER_MS;
static const int64_t kill_patience = 10 * NS_PER_SEC;
static const int64_t end_patience = NS_PER_SEC;

struct stream {
	int fd; /* our end; -1 once it is at its end */
	struct str *text;
	size_t max;
	bool *truncated;
};

struct session {
	const struct exec_spec *spec;
	const struct ctx *ctx;
	uint64_t mark;
	char *process_path, *pid_path;
	struct stream streams[2];
	struct process runtime;
	bool reaped;
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
	process_done(&session->runtime);
	if (session->process_path)
		unlink(session->process_path);
	if (session->pid_path)
		unlink(session->pid_path);
	freep(&session->process_path);
	freep(&session->pid_path);
}

static int add_mark(json_t *process, uint64_t mark)
{
	json_t *limits = json_object_get(process, "rlimits");

	if (!json_is_array(limits)) {
		limits = json_array();
		if (json_object_set_new(process, "rlimits", limits) < 0)
			return -1;
	}
	return json_array_append_new(limits, json_pack("{s:s, s:I, s:I}", "type", "RLIMIT_LOCKS", "hard",
						       (json_int_t)mark, "soft", (json_int_t)mark));
}

/* The two files of this exec, under a name of its own. */
static int write_files(struct session *session, struct err *err)
{
	const struct exec_spec *spec = session->spec;
	CLEANUP(json_decrefp) json_t *process = NULL;
	CLEANUP(freep) char *text = NULL;
	CLEANUP(fd_closep) int dir = dir_open(AT_FDCWD, spec->run_dir, err);
	char name[ID_SIZE];

	if (dir < 0 ||
	    json_parse(spec->process_json, strlen(spec->process_json), PROCESS_MAX, &process, err) < 0)
		return err_prefix(err, "exec");
	session->mark = procs_new_mark();
	if (!json_is_object(process) || add_mark(process, session->mark) < 0)
		return err_set(err, RPC_INTERNAL, "exec: the process document is no object");
	text = json_text(process);
	id_new(name);
	name[16] = '\0';
	session->process_path = xasprintf("%s/exec-%s.json", spec->run_dir, name);
	session->pid_path = xasprintf("%s/exec-%s.pid", spec->run_dir, name);
	return file_replace_volatile(dir, strrchr(session->process_path, '/') + 1, text, strlen(text), 0600,
				     err);
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

static void build_argv(const struct session *session, struct strv *argv)
{
	const struct runtime_target *target = &session->spec->target;

	if (target->handler->is_crun) {
		verb_argv(target, argv);
		strv_add(argv, "exec");
		strv_add(argv, "--process");
		strv_add(argv, session->process_path);
		strv_add(argv, "--pid-file");
		strv_add(argv, session->pid_path);
		strv_add(argv, target->id);
		return;
	}
	strv_add(argv, target->handler->monitor);
	strv_add(argv, "--sync");
	strv_add(argv, "-e");
	strv_add(argv, "--exec-process-spec");
	strv_add(argv, session->process_path);
	strv_add(argv, "-c");
	strv_add(argv, target->id);
	strv_add(argv, "-r");
	strv_add(argv, target->handler->path);
	strv_add(argv, "-p");
	strv_add(argv, session->pid_path);
	strv_add(argv, "-l");
	strv_add(argv, "passthrough");
	strv_add(argv, "--log-level");
	strv_add(argv, "error");
	strv_add(argv, "--runtime-arg");
	strv_addf(argv, "--root=%s", target->handler->root);
}

static int start(struct session *session, struct err *err)
{
	const struct handler *handler = session->spec->target.handler;
	struct strv argv CLEANUP(strv_done) = STRV_INIT;
	CLEANUP(fd_closep) int out = -1, err_out = -1, cwd = -1;

	/* conmon leaves a file "oom" where it stands when the container runs out of memory meanwhile. */
	cwd = dir_open(AT_FDCWD, session->spec->run_dir, err);
	if (cwd < 0 || open_stream(&session->streams[0], &out, err) < 0 ||
	    open_stream(&session->streams[1], &err_out, err) < 0)
		return -1;
	build_argv(session, &argv);
	struct command command = { .path = handler->is_crun ? handler->path : handler->monitor,
				   .argv = (const char *const *)argv.items,
				   .cwd = cwd,
				   .fds = { { out, 1 }, { err_out, 2 } },
				   .fds_len = 2 };
	return command_start(&command, &session->runtime, err);
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
				{ session->runtime.pidfd, POLLIN, 0 },
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

/* Ends everything that this exec has started. Waits until it is gone, within reason: not even SIGKILL ends
 * what is stuck in the kernel. */
static void kill_session(struct session *session)
{
	struct err ignored;
	struct ctx ctx, soon;
	int status;

	ctx_init(&ctx, clock_deadline_in(kill_patience));
	ctx_init_child(&soon, &ctx, clock_deadline_in(end_patience));
	if (procs_kill_marked(session->mark, session->runtime.pid, &ctx, &ignored) < 0 ||
	    procs_kill_descendants(session->runtime.pid, &ctx, &ignored) < 0 ||
	    process_wait(&session->runtime, &soon, &status, &ignored) < 0) {
		process_kill_group(&session->runtime);
		(void)!process_wait(&session->runtime, &ctx, &status, &ignored);
	}
	/* The runtime may have been about to start the command when the others were counted. */
	(void)!procs_kill_marked(session->mark, 0, &ctx, &ignored);
	ctx_done(&soon);
	ctx_done(&ctx);
}

static int run(struct session *session, struct err *err)
{
	int ended = 0;

	while (!ended) {
		ended = turn(session, err);
		if (ended < 0) {
			kill_session(session);
			return -1;
		}
	}
	drain(session);
	return process_wait(&session->runtime, NULL, &session->status, err);
}

/* The runtime failed to start the command. The text tells the cause; the code, whether it is the container's
 * content. */
static int not_started(const struct session *session, struct err *err)
{
	static const char *const content[] = { "executable file",  "No such file", "no such file",
					       "ermission denied", "exec format",  "Exec format",
					       "Not a directory" };
	enum rpc_code code = RPC_INTERNAL;
	char text[800];

	verb_message(str_get(session->streams[1].text), text, sizeof(text));
	if (!process_alive(session->spec->init))
		code = RPC_FAILED_PRECONDITION;
	for (size_t i = 0; i < ARRAY_LEN(content); i++)
		if (strstr(text, content[i]))
			code = RPC_FAILED_PRECONDITION;
	return err_set(err, code, "command not started: %s",
		       *text ? text : "the runtime failed without a word");
}

static int conclude(const struct session *session, int *ret_code, struct err *err)
{
	if (access(session->pid_path, F_OK) < 0)
		return not_started(session, err);
	if (WIFSIGNALED(session->status))
		return err_set(err, RPC_INTERNAL, "exec: the runtime was killed by signal %d",
			       WTERMSIG(session->status));
	*ret_code = WEXITSTATUS(session->status);
	return 0;
}

int exec_sync(const struct exec_spec *spec, const struct ctx *ctx, struct exec_result *ret, struct err *err)
{
	struct exec_result result CLEANUP(exec_result_done) = { 0 };
	struct ctx bounded CLEANUP(ctx_done);
	struct session session CLEANUP(session_done) = {
		.spec = spec,
		.ctx = &bounded,
		.streams = { { .fd = -1, .text = &result.out, .truncated = &result.out_truncated },
			     { .fd = -1, .text = &result.err_out, .truncated = &result.err_truncated } },
		.runtime = PROCESS_INIT,
	};

	ctx_init_child(&bounded, ctx, spec->timeout > 0 ? clock_deadline_in(spec->timeout) : NO_DEADLINE);
	session.streams[0].max = session.streams[1].max = spec->output_max;
	if (spec->target.handler->problem)
		return err_set(err, RPC_FAILED_PRECONDITION, "runtime handler %s: %s",
			       spec->target.handler->name, spec->target.handler->problem);
	if (write_files(&session, err) < 0 || start(&session, err) < 0 || run(&session, err) < 0 ||
	    conclude(&session, &result.exit_code, err) < 0)
		return -1;
	*ret = result;
	result = (struct exec_result){ 0 };
	return 0;
}
