/*
 * monitor_create(): conmon is started, runs `RUNTIME create` and tells the container's pid over a pipe.
 *
 * conmon makes itself a daemon first: the process started here forks the monitor, writes its pid to a file
 * and ends. The monitor is the subreaper of all that the runtime starts. It writes one line of JSON to the
 * pipe named by _OCI_SYNCPIPE, {"pid": N} or {"pid": -1, "message": what the runtime wrote to stderr}, or
 * just closes it. What conmon itself has to complain of before that is on its own stderr, read when it is
 * over. No start pipe is used: a monitor's cgroup is chosen at its birth.
 *
 * The pid is not believed: a runtime may lie. It must be alive and below the monitor, or else stopping this
 * container could kill any process of the host. On failure everything below the monitor is killed, then the
 * monitor, then the runtime is asked to delete; this has a deadline of its own since the caller's may be what
 * has passed.
 *
 * conmon writes the file "oom" into its working directory: <exits>/<id>.monitor/, which exit_status_read()
 * looks at.
 */
#include "conmon/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/complaint.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "conmon/own_null.h"
#include "conmon/procs.h"
#include "conmon/verb.h"

enum { MESSAGE_MAX = 128 * 1024, STDERR_MAX = 8 * 1024, SYNC_FD = 3 };
static const int64_t undo_patience = 10 * NS_PER_SEC;
static const int64_t end_patience = NS_PER_SEC;

struct create { /* one call of monitor_create() */
	const struct monitor_spec *spec;
	const struct ctx *ctx;   /* the caller's, cut to runtime_timeout */
	int sync, errors;        /* our ends of the pipes */
	struct process launcher; /* the process we started; ends soon */
	bool reaped;
	struct process monitor;
	int mounts; /* the runtime's mount namespace; -1: ours */
};

void monitor_started_done(struct monitor_started *started)
{
	process_done(&started->monitor);
	process_done(&started->container);
}

static void create_done(struct create *create)
{
	fd_closep(&create->sync);
	fd_closep(&create->errors);
	process_done(&create->launcher);
	process_done(&create->monitor);
	fd_closep(&create->mounts);
}

/* conmon's runtime is crisp-exec, which becomes the handler's in that namespace; conmon passes no descriptors
 * on, but we live as long as its `create`. Its own option for systemd's cgroups would come first. */
static void add_runtime(const struct create *create, struct strv *argv)
{
	const struct handler *handler = create->spec->handler;

	strv_add(argv, "-r");
	strv_add(argv, create->mounts < 0 ? handler->path : handler->keeper);
	if (create->mounts >= 0) {
		strv_add(argv, "--runtime-arg");
		strv_add(argv, "-n");
		strv_add(argv, "--runtime-arg");
		strv_addf(argv, "/proc/%d/fd/%d", (int)getpid(), create->mounts);
		strv_add(argv, "--runtime-arg");
		strv_add(argv, handler->path);
	}
	strv_add(argv, "--runtime-arg");
	strv_addf(argv, "--root=%s", handler->root);
	if (create->spec->systemd_cgroup) {
		strv_add(argv, "--runtime-arg");
		strv_add(argv, "--systemd-cgroup");
	}
}

/* The first arguments are what monitor_end() looks for. */
static void build_argv(const struct create *create, struct strv *argv)
{
	const struct monitor_spec *spec = create->spec;

	strv_add(argv, spec->handler->monitor);
	strv_add(argv, "-b");
	strv_add(argv, spec->bundle);
	strv_add(argv, "-c");
	strv_add(argv, spec->id);
	strv_add(argv, "-u");
	strv_add(argv, spec->id);
	strv_add(argv, "-n");
	strv_add(argv, spec->name);
	add_runtime(create, argv);
	strv_add(argv, "-p");
	strv_addf(argv, "%s/pidfile", spec->run_dir);
	strv_add(argv, "-P");
	strv_addf(argv, "%s/conmon.pid", spec->run_dir);
	strv_add(argv, "-l");
	if (spec->log_path)
		strv_addf(argv, "k8s-file:%s", spec->log_path);
	else
		strv_add(argv, "none");
	if (spec->log_path && spec->log_size_max > 0) {
		strv_add(argv, "--log-size-max");
		strv_addf(argv, "%lld", (long long)spec->log_size_max);
	}
	strv_add(argv, "--exit-dir");
	strv_add(argv, spec->exit_dir);
	if (spec->attach_dir) {
		strv_add(argv, "--socket-dir-path");
		strv_add(argv, spec->attach_dir);
	} else {
		strv_add(argv, "--full-attach");
	}
	/* A log is as durable as any other file of the container: no fsync between a container's end and its
	 * exit file. */
	strv_add(argv, "--no-sync-log");
	strv_add(argv, "--log-level");
	strv_add(argv, "error");
	if (spec->tty)
		strv_add(argv, "-t");
	if (spec->stdin)
		strv_add(argv, "-i");
	if (spec->stdin && !spec->stdin_once)
		strv_add(argv, "--leave-stdin-open");
}

static void build_env(const struct monitor_spec *spec, struct strv *env)
{
	const struct config_runtime *runtime = config_find_runtime(spec->config, spec->handler->name);
	bool path = false;

	strv_addf(env, "_OCI_SYNCPIPE=%d", SYNC_FD);
	for (size_t i = 0; runtime && i < runtime->monitor_env.len; i++) {
		strv_add(env, runtime->monitor_env.items[i]);
		path = path || str_has_prefix(runtime->monitor_env.items[i], "PATH=");
	}
	if (!path)
		strv_add(env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
}

static int open_pipe(int *ret_read, int *ret_write, struct err *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(err, "pipe for the monitor");
	*ret_read = fds[0];
	*ret_write = fds[1];
	return 0;
}

/* Whatever cannot be done with few mounts is done with all of the host's. */
static void open_mounts(struct create *create)
{
	const struct monitor_spec *spec = create->spec;
	const char *const paths[] = { spec->bundle, spec->run_dir, NULL };
	struct err why;

	if (!spec->handler->slim || !spec->sources)
		return;
	create->mounts = slim_mounts_extend(spec->handler->slim, paths, spec->sources, &why);
	if (create->mounts < 0)
		log_debug("container %s is created with all mounts of the host: %s", spec->id, why.text);
}

static int launch(struct create *create, struct err *err)
{
	const struct monitor_spec *spec = create->spec;
	struct strv argv CLEANUP(strv_done) = STRV_INIT;
	struct strv env CLEANUP(strv_done) = STRV_INIT;
	CLEANUP(fd_closep) int sync = -1, errors = -1, cwd = -1;
	CLEANUP(freep) char *work = xasprintf("%s/%s.monitor", spec->exit_dir, spec->id);

	cwd = dir_make(AT_FDCWD, work, 0700, err);
	if (cwd < 0 || open_pipe(&create->sync, &sync, err) < 0 ||
	    open_pipe(&create->errors, &errors, err) < 0)
		return -1;
	open_mounts(create);
	build_argv(create, &argv);
	build_env(spec, &env);
	struct command command = { .path = spec->handler->monitor,
				   .argv = (const char *const *)argv.items,
				   .env = (const char *const *)env.items,
				   .cwd = cwd,
				   .cgroup = spec->cgroup,
				   .fds = { { errors, 1 }, { errors, 2 }, { sync, SYNC_FD } },
				   .fds_len = 3 };
	return command_start(&command, &create->launcher, err);
}

/* Reads from fd until the end, a newline or max bytes. */
static int read_line(const struct create *create, int fd, size_t max, struct str *line, struct err *err)
{
	while (line->len < max && !memchr(str_get(line), '\n', line->len)) {
		char *room = str_room(line, 4096);
		ssize_t got;

		if (ctx_poll(create->ctx, fd, POLLIN, "create container", err) < 0)
			return -1;
		got = read(fd, room, 4096);
		if (got < 0 && errno != EINTR)
			return err_errno(err, "read from the monitor");
		if (got == 0)
			return 0;
		if (got > 0)
			str_grown(line, (size_t)got);
	}
	return 0;
}

/* What conmon wrote to its stderr, as the cause of a failure. Does not wait: it has ended or closed it. */
static void monitor_complaint(const struct create *create, char *text, size_t size)
{
	struct str output CLEANUP(str_done) = STR_LIMIT(STDERR_MAX);
	char *room = str_room(&output, STDERR_MAX - 1);
	ssize_t got = -1;

	if (fcntl(create->errors, F_SETFL, O_NONBLOCK) == 0)
		got = read(create->errors, room, STDERR_MAX - 1);
	if (got > 0)
		str_grown(&output, (size_t)got);
	verb_message(str_get(&output), text, size);
}

static int reap_launcher(struct create *create, struct err *err)
{
	int status;

	if (process_wait(&create->launcher, create->ctx, &status, err) < 0)
		return err_prefix(err, "monitor");
	create->reaped = true;
	return 0;
}

static int read_pid_file(const char *dir, const char *name, pid_t *ret)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", dir, name);
	CLEANUP(freep) char *text = NULL;
	uint64_t pid;

	if (file_read(AT_FDCWD, path, 32, &text, NULL, NULL) < 0)
		return -1;
	text[strcspn(text, "\n")] = '\0';
	if (!parse_u64(text, INT32_MAX, &pid) || pid <= 1)
		return -1;
	*ret = (pid_t)pid;
	return 0;
}

/* Fills create->monitor when the launcher has told its pid and it is still alive. */
static int find_monitor(struct create *create, struct err *err)
{
	pid_t pid;

	if (create->monitor.pidfd >= 0)
		return 0;
	if (read_pid_file(create->spec->run_dir, "conmon.pid", &pid) < 0)
		return err_set(err, RPC_INTERNAL, "the monitor has not told its pid");
	return process_open(pid, 0, &create->monitor, err);
}

/* conmon passes on bytes that are no UTF-8 and some control bytes: made harmless before they are parsed. */
static void clean_message(struct str *line)
{
	for (size_t i = 0; i < line->len; i++)
		if ((unsigned char)line->data[i] < ' ' || (unsigned char)line->data[i] > '~')
			line->data[i] = line->data[i] == '\n' ? '\n' : '?';
}

/* The text inside {"pid": -1, "message": text}: a runtime's failure. */
static int runtime_failed(const struct monitor_spec *spec, const json_t *json, struct err *err)
{
	const char *message = json_string_value(json_object_get(json, "message"));
	char text[800];

	verb_message(message ? message : "", text, sizeof(text));
	const char *problem = verb_program_problem(text, spec->program);
	if (problem)
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "create container: program \"%.200s\" cannot be run: %s",
			       spec->program ? spec->program : "", problem);
	return err_set(err, complaint_code(message), "create container: %s",
		       *text ? text : "the runtime failed without a word");
}

static int parse_answer(struct create *create, struct str *line, pid_t *ret, struct err *err)
{
	CLEANUP(json_decrefp) json_t *json = NULL;
	const json_t *pid;
	char text[400];

	if (line->len == 0) {
		monitor_complaint(create, text, sizeof(text));
		return err_set(err, complaint_code(text),
			       "create container: the monitor ended without a pid%s%s", *text ? ": " : "",
			       text);
	}
	clean_message(line);
	if (json_parse(line->data, line->len, MESSAGE_MAX, &json, err) < 0)
		return err_prefix(err, "answer of the monitor");
	pid = json_object_get(json, "pid");
	if (!json_is_integer(pid) || json_integer_value(pid) <= 1 || json_integer_value(pid) > INT32_MAX)
		return runtime_failed(create->spec, json, err);
	*ret = (pid_t)json_integer_value(pid);
	return 0;
}

static int create_container(struct create *create, struct process *ret, struct err *err)
{
	struct str line CLEANUP(str_done) = STR_LIMIT(MESSAGE_MAX + 4096);
	struct process container CLEANUP(process_done) = PROCESS_INIT;
	pid_t pid;

	if (launch(create, err) < 0 || crash_point("monitor.launched") ||
	    read_line(create, create->sync, MESSAGE_MAX, &line, err) < 0 || crash_point("monitor.answered") ||
	    reap_launcher(create, err) < 0 || parse_answer(create, &line, &pid, err) < 0 ||
	    find_monitor(create, err) < 0)
		return -1;
	if (process_open(pid, 0, &container, err) < 0 || !process_alive(&container))
		return err_set(err, RPC_INTERNAL, "create container: its process %d has already ended",
			       (int)pid);
	if (!procs_is_descendant(pid, create->monitor.pid))
		return err_set(err, RPC_INTERNAL,
			       "create container: the runtime named process %d, which is not its own",
			       (int)pid);
	*ret = container;
	container = (struct process)PROCESS_INIT;
	return 0;
}

static void kill_monitor(struct create *create, const struct ctx *ctx)
{
	struct err ignored;
	struct ctx soon;

	if (find_monitor(create, &ignored) < 0)
		return;
	/* On a failed create it ends by itself, having nothing to watch. */
	ctx_init_child(&soon, ctx,
		       clock_deadline_in(ctx_check(create->ctx, "", NULL) < 0 ? 0 : end_patience));
	if (process_wait_gone(&create->monitor, &soon, &ignored) < 0 &&
	    procs_kill_descendants(create->monitor.pid, ctx, &ignored) == 0 &&
	    process_signal(&create->monitor, SIGKILL, &ignored) == 0)
		(void)!process_wait_gone(&create->monitor, ctx, &ignored);
	ctx_done(&soon);
}

/* Leaves nothing of a create that failed. What cannot be undone now is found by the next delete of this
 * container. */
static void undo(struct create *create)
{
	const struct monitor_spec *spec = create->spec;
	const struct runtime_target target = { .handler = spec->handler,
					       .config = spec->config,
					       .id = spec->id,
					       .bundle = spec->bundle,
					       .systemd_cgroup = spec->systemd_cgroup };
	struct err ignored;
	struct ctx ctx;

	ctx_init(&ctx, clock_deadline_in(undo_patience));
	if (create->launcher.pidfd >= 0 && !create->reaped) {
		int status;

		process_kill_group(&create->launcher);
		(void)!process_wait(&create->launcher, &ctx, &status, &ignored);
	}
	kill_monitor(create, &ctx);
	(void)!runtime_delete(&target, &ctx, &ignored);
	ctx_done(&ctx);
	exit_status_remove(spec->exit_dir, spec->id);
	if (spec->attach_dir) {
		CLEANUP(freep) char *link = xasprintf("%s/%s", spec->attach_dir, spec->id);

		unlink(link);
	}
}

static int check_spec(const struct monitor_spec *spec, struct err *err)
{
	if (spec->handler->problem)
		return err_set(err, RPC_INVALID_ARGUMENT, "runtime handler %s: %s", spec->handler->name,
			       spec->handler->problem);
	/* conmon cuts the option's value at colons. */
	if (spec->log_path && strchr(spec->log_path, ':'))
		return err_set(err, RPC_INVALID_ARGUMENT, "the log path must not have a colon in it");
	return 0;
}

int monitor_create(const struct monitor_spec *spec, const struct ctx *ctx, struct monitor_started *ret,
		   struct err *err)
{
	struct create create CLEANUP(create_done) = {
		.spec = spec,
		.sync = -1,
		.errors = -1,
		.launcher = PROCESS_INIT,
		.monitor = PROCESS_INIT,
		.mounts = -1,
	};
	struct process container = PROCESS_INIT;
	struct ctx bounded CLEANUP(ctx_done);

	ctx_init_child(&bounded, ctx, clock_deadline_in(spec->config->runtime.runtime_timeout));
	create.ctx = &bounded;
	if (check_spec(spec, err) < 0)
		return -1;
	int64_t began = clock_mono();
	int failed = create_container(&create, &container, err);

	host_null_repair();
	verb_count("create", began, failed);
	if (failed) {
		undo(&create);
		return -1;
	}
	*ret = (struct monitor_started){ .monitor = create.monitor, .container = container };
	create.monitor = (struct process)PROCESS_INIT;
	return 0;
}

int monitor_end(const char *bundle, const char *id, const struct ctx *ctx, struct err *err)
{
	const char *const words[] = { "-b", bundle, "-c", id };

	return procs_kill_words(words, ARRAY_LEN(words), ctx, err);
}
