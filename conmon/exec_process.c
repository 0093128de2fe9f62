/*
 * Runtimes differ in what `exec` in the foreground means: crun hands the stdio it is given on to the command
 * and waits for it; runc (and what is built like it) puts pipes of its own between and waits for their end,
 * which a child in the background may put off for ever. Detached, all hand on what they are given, send a
 * terminal's master to a console socket, and end: crisp-exec (conmon/exec) runs them so and waits for the
 * command in their place.
 *
 * Every process of an exec carries a mark that it cannot shed by accident (conmon/procs.h), put into the
 * process document as one more rlimit. To end an exec, the marked ones are killed first, so that crisp-exec
 * sees its child end, reaps it and ends by itself; what is left of it and of the runtime goes after that.
 * (To kill it first would leave a zombie in the container.)
 *
 * The pid file is there if the command was started: without it, a failure is the runtime's and not the
 * command's.
 */
#include "conmon/exec_process.h"

#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/complaint.h"
#include "base/crash.h"
#include "base/file.h"
#include "base/id.h"
#include "base/json.h"
#include "conmon/exec/crisp_exec.h"
#include "conmon/own_null.h"
#include "conmon/procs.h"
#include "conmon/verb.h"

enum { PROCESS_MAX = 16 * 1024 * 1024, START_LOOK_MS = 5 };
static const char mark_type[] = "RLIMIT_LOCKS";
static const int64_t kill_patience = 10 * NS_PER_SEC;
static const int64_t end_patience = NS_PER_SEC;

void exec_process_done(struct exec_process *process)
{
	process_done(&process->runtime);
	if (process->process_path) {
		unlink(process->process_path);
		crash_point("exec.document_gone");
	}
	if (process->pid_path)
		unlink(process->pid_path);
	freep(&process->process_path);
	freep(&process->pid_path);
}

static int add_mark(json_t *process, uint64_t mark)
{
	json_t *limits = json_object_get(process, "rlimits");

	if (!json_is_array(limits)) {
		limits = json_array();
		if (json_object_set_new(process, "rlimits", limits) < 0)
			return -1;
	}
	return json_array_append_new(limits, json_pack("{s:s, s:I, s:I}", "type", mark_type, "hard",
						       (json_int_t)mark, "soft", (json_int_t)mark));
}

uint64_t exec_process_mark(const json_t *document)
{
	const json_t *limits = json_object_get(document, "rlimits"), *limit;

	for (size_t i = 0; (limit = json_array_get(limits, i)); i++) {
		json_int_t hard = json_integer_value(json_object_get(limit, "hard"));

		if (str_eq(json_string_value(json_object_get(limit, "type")), mark_type) &&
		    procs_may_be_mark((uint64_t)hard))
			return (uint64_t)hard;
	}
	return 0;
}

/* The two files have a name of their own. */
int exec_process_prepare(struct exec_process *process, const char *process_json, struct err *err)
{
	CLEANUP(json_decrefp) json_t *document = NULL;
	CLEANUP(freep) char *text = NULL;
	CLEANUP(fd_closep) int dir = dir_open(AT_FDCWD, process->run_dir, err);
	char name[ID_SIZE];

	if (dir < 0 || json_parse(process_json, strlen(process_json), PROCESS_MAX, &document, err) < 0)
		return err_prefix(err, "exec");
	process->mark = procs_new_mark();
	if (!json_is_object(document) || add_mark(document, process->mark) < 0)
		return err_set(err, RPC_INTERNAL, "exec: the process document is no object");
	text = json_text(document);
	id_new(name);
	name[16] = '\0';
	process->process_path = xasprintf("%s/exec-%s.json", process->run_dir, name);
	process->pid_path = xasprintf("%s/exec-%s.pid", process->run_dir, name);
	return file_replace_volatile(dir, strrchr(process->process_path, '/') + 1, text, strlen(text), 0600,
				     err);
}

static void build_argv(const struct exec_process *process, struct strv *argv)
{
	const struct runtime_target *target = process->target;

	strv_add(argv, target->handler->keeper);
	strv_add(argv, process->pid_path);
	if (target->handler->slim)
		strv_add(argv, "-m");
	verb_argv(target, argv);
	strv_add(argv, "exec");
	strv_add(argv, "--detach");
	strv_add(argv, "--process");
	strv_add(argv, process->process_path);
	strv_add(argv, "--pid-file");
	strv_add(argv, process->pid_path);
	if (process->console) {
		strv_add(argv, "--console-socket");
		strv_add(argv, process->console);
	}
	strv_add(argv, target->id);
}

static int pass_on(struct command *command, int fd, int target, struct err *err)
{
	if (command->fds_len == COMMAND_FDS_MAX)
		return err_set(err, RPC_INTERNAL, "exec: too many descriptors");
	command->fds[command->fds_len++] = (struct command_fd){ fd, target };
	return 0;
}

/* What is not named of stdio is not the host's /dev/null (conmon/own_null.h). */
static int complete_stdio(struct command *command, int null, struct err *err)
{
	for (int target = 0; target <= 2; target++) {
		bool named = false;

		for (size_t i = 0; i < command->fds_len; i++)
			named = named || command->fds[i].target == target;
		if (!named && pass_on(command, null, target, err) < 0)
			return -1;
	}
	return 0;
}

int exec_process_start(struct exec_process *process, const struct command_fd *fds, size_t fds_len,
		       struct err *err)
{
	const struct handler *handler = process->target->handler;
	struct strv argv CLEANUP(strv_done) = STRV_INIT;
	/* The console socket's name is looked up from here. */
	CLEANUP(fd_closep) int cwd = dir_open(AT_FDCWD, process->run_dir, err);
	CLEANUP(fd_closep) int null = own_null_open(err);

	if (cwd < 0 || null < 0)
		return -1;
	build_argv(process, &argv);
	struct command command = {
		.path = argv.items[0], .argv = (const char *const *)argv.items, .cwd = cwd, .fds_len = fds_len
	};
	assert(fds_len <= COMMAND_FDS_MAX && handler->keeper);
	memcpy(command.fds, fds, fds_len * sizeof(*fds));
	if (complete_stdio(&command, null, err) < 0)
		return -1;
	if (handler->slim && pass_on(&command, handler->slim->namespace, CRISP_EXEC_MOUNTS_FD, err) < 0)
		return -1;
	return command_start(&command, &process->runtime, err);
}

/* A runtime killed on its way would leave what it had for a moment only, such as mounts: it may go on until
 * the command is there, within reason. */
static void await_start(const struct exec_process *process, const struct ctx *ctx)
{
	while (access(process->pid_path, F_OK) < 0 && process_alive(&process->runtime) &&
	       ctx_poll_timeout(ctx) != 0) {
		struct pollfd end = { process->runtime.pidfd, POLLIN, 0 };

		(void)poll(&end, 1, START_LOOK_MS);
	}
}

void exec_process_kill(struct exec_process *process)
{
	struct err ignored;
	struct ctx ctx, soon;
	int status;

	ctx_init(&ctx, clock_deadline_in(kill_patience));
	ctx_init_child(&soon, &ctx, clock_deadline_in(end_patience));
	await_start(process, &soon);
	ctx_done(&soon);
	ctx_init_child(&soon, &ctx, clock_deadline_in(end_patience));
	if (procs_kill_marked(process->mark, process->runtime.pid, &ctx, &ignored) < 0 ||
	    procs_kill_descendants(process->runtime.pid, &ctx, &ignored) < 0 ||
	    process_wait(&process->runtime, &soon, &status, &ignored) < 0) {
		process_kill_group(&process->runtime);
		(void)!process_wait(&process->runtime, &ctx, &status, &ignored);
	}
	/* The runtime may have been about to start the command when the others were counted. */
	(void)!procs_kill_marked(process->mark, 0, &ctx, &ignored);
	ctx_done(&soon);
	ctx_done(&ctx);
}

/* The runtime failed to start the command. The text tells the cause; the code, whether it is the container's
 * content. */
static int not_started(const struct exec_process *process, const char *errors, struct err *err)
{
	static const char *const content[] = { "executable file",  "No such file",   "no such file",
					       "ermission denied", "exec format",    "Exec format",
					       "Not a directory",  "not executable", "not a regular file" };
	char text[800];

	verb_message(errors, text, sizeof(text));
	enum rpc_code code = complaint_code(text);
	if (!process_alive(process->init))
		code = RPC_FAILED_PRECONDITION;
	for (size_t i = 0; i < ARRAY_LEN(content); i++)
		if (strstr(text, content[i]))
			code = RPC_FAILED_PRECONDITION;
	return err_set(err, code, "command not started: %s",
		       *text ? text : "the runtime failed without a word");
}

static void kill_marked(const struct exec_process *process)
{
	struct err ignored;
	struct ctx ctx;

	ctx_init(&ctx, clock_deadline_in(kill_patience));
	(void)!procs_kill_marked(process->mark, 0, &ctx, &ignored);
	ctx_done(&ctx);
}

int exec_process_conclude(const struct exec_process *process, int status, const char *errors, int *ret_code,
			  struct err *err)
{
	if (access(process->pid_path, F_OK) < 0)
		return not_started(process, errors, err);
	if (WIFSIGNALED(status)) { /* the command has nobody any more */
		kill_marked(process);
		return err_set(err, RPC_INTERNAL, "exec: crisp-exec was killed by signal %d",
			       WTERMSIG(status));
	}
	*ret_code = WEXITSTATUS(status);
	return 0;
}
