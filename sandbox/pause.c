/*
 * Starting crisp-pause and talking to it (the protocol is at the top of sandbox/pause/crisp_pause.c): lines
 * come until "ready", an "error" or the end of file. Our end of the socket, `hold`, is what an unkept pause
 * depends on: closing it, willingly or by our death, ends pause.
 *
 * With a PID namespace the first process only forks the real one as our child and leaves; a "pid" line names
 * it. Since containers that share the namespace reach that process's /proc/1/exe, it is started from a sealed
 * copy in memory, which nobody can write (CVE-2019-5736).
 */
#include "sandbox/pause.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/file.h"
#include "base/str.h"
#include "config/program.h"

#ifndef CRISP_LIBEXECDIR
#define CRISP_LIBEXECDIR "/usr/local/libexec/crisp"
#endif
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* Linux 6.3; without it vm.memfd_noexec may forbid what we want */
#endif

enum { REPORT_TARGET = 3, REPORT_MAX = 4096, PAUSE_PROGRAM_MAX = 4 * 1024 * 1024 };
static const int64_t START_TIMEOUT = 30 * NS_PER_SEC;
static const int64_t END_TIMEOUT = NS_PER_SEC;

/* What pause has told so far. */
struct report {
	struct str text;
	bool wants_pid; /* with a PID namespace: "ready" comes from its init, "pid" from another process, in
			   either order */
	bool user;      /* wants its maps */
	bool ready;
	int error;  /* errno of an "error" line; 0: none */
	char *what; /* its text */
	pid_t pid;  /* of a "pid" line; 0: none */
};

static void report_done(struct report *report)
{
	str_done(&report->text);
	free(report->what);
}

/* The kernel's path below /proc/sys. As in sysctl(8) the first separator decides: in "net.ipv4.conf.eth0/1.x"
 * '.' separates and '/' stands for a dot in a name. */
static char *sysctl_path(const char *key)
{
	char *path = xstrdup(key);

	if (key[strcspn(key, "./")] == '/')
		return path;
	for (char *p = path; *p; p++)
		*p = *p == '.' ? '/' : *p == '/' ? '.' : *p;
	return path;
}

static bool is_path_of_names(const char *path)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;

	strv_split(&names, path, '/');
	for (size_t i = 0; i < names.len; i++)
		if (!*names.items[i] || str_eq(names.items[i], ".") || str_eq(names.items[i], ".."))
			return false;
	return true;
}

static bool only(const char *text, const char *also)
{
	for (; *text; text++)
		if (!(*text >= 'a' && *text <= 'z') && !(*text >= 'A' && *text <= 'Z') &&
		    !(*text >= '0' && *text <= '9') && !strchr(also, *text))
			return false;
	return true;
}

int pause_sysctl_check(const struct pause_sysctl *sysctl, unsigned int namespaces, bool *ret_host_shared,
		       struct err *err)
{
	const char *key = sysctl->key ? sysctl->key : "", *value = sysctl->value ? sysctl->value : "";

	if (strlen(key) > PAUSE_SYSCTL_KEY_MAX || !only(key, "._-/"))
		return err_set(err, RPC_INVALID_ARGUMENT, "sysctl \"%.64s\": not a sysctl name", key);
	CLEANUP(freep) char *path = sysctl_path(key);
	unsigned int kind = namespace_of_sysctl(key);
	if (!is_path_of_names(path))
		return err_set(err, RPC_INVALID_ARGUMENT, "sysctl \"%s\": not a sysctl name", key);
	if (!kind)
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "sysctl \"%s\": not namespaced, it would change the host", key);
	/* Lists of numbers, ranges, names and addresses; '+' and '=' were the way into the host once
	 * (CVE-2022-0811). */
	if (strlen(value) > PAUSE_SYSCTL_VALUE_MAX || !only(value, " \t.,:_-/"))
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "sysctl \"%s\": value \"%.64s\" has a byte no sysctl needs", key, value);
	*ret_host_shared = !(namespaces & kind);
	return 0;
}

static void build_argv(const struct pause_spec *spec, struct strv *argv)
{
	strv_add(argv, "crisp-pause");
	strv_add(argv, spec->id);
	if (spec->namespaces & NAMESPACE_USER)
		strv_add(argv, "--user");
	if (spec->namespaces & NAMESPACE_NET)
		strv_add(argv, "--net");
	if (spec->namespaces & NAMESPACE_IPC)
		strv_add(argv, "--ipc");
	if (spec->namespaces & NAMESPACE_UTS)
		strv_add(argv, "--uts");
	if (spec->namespaces & NAMESPACE_PID)
		strv_add(argv, "--pid");
	if ((spec->namespaces & NAMESPACE_UTS) && !str_empty(spec->hostname)) {
		strv_add(argv, "--hostname");
		strv_add(argv, spec->hostname);
	}
	for (size_t i = 0; i < spec->sysctls_len; i++) {
		CLEANUP(freep) char *path = sysctl_path(spec->sysctls[i].key);
		strv_add(argv, "--sysctl");
		strv_add(argv, path);
		strv_add(argv, spec->sysctls[i].value ? spec->sysctls[i].value : "");
	}
}

static int sealed_copy(const char *path, struct err *err)
{
	const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	CLEANUP(freep) char *program = NULL;
	size_t len;

	if (file_read(AT_FDCWD, path, PAUSE_PROGRAM_MAX, &program, &len, err) < 0)
		return -1;
	CLEANUP(fd_closep) int fd = memfd_create("crisp-pause", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("crisp-pause", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || write_all(fd, program, len) < 0 || fchmod(fd, 0555) < 0 ||
	    fcntl(fd, F_ADD_SEALS, seals) < 0)
		return err_errno(err, "copy %s into memory", path);
	return TAKE_FD(fd);
}

/* Starts the program; *ret_hold is our end of its socket. */
static int start(const struct pause_spec *spec, struct process *ret, int *ret_hold, struct err *err)
{
	CLEANUP(strv_done) struct strv argv = STRV_INIT;
	CLEANUP(fd_closep) int copy = -1;
	CLEANUP(freep) char *copy_path = NULL;
	static const char *const no_env[] = { NULL };
	char score[16];
	int pair[2];

	if (spec->namespaces & NAMESPACE_PID) {
		if ((copy = sealed_copy(spec->path, err)) < 0)
			return -1;
		copy_path = xasprintf("/proc/%d/fd/%d", (int)getpid(), copy);
	}
	build_argv(spec, &argv);
	snprintf(score, sizeof(score), "%d", spec->oom_score_adj);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, "socket for crisp-pause");
	CLEANUP(fd_closep) int ours = pair[0];
	CLEANUP(fd_closep) int theirs = pair[1];
	const struct command command = {
		.path = copy_path ? copy_path : spec->path,
		.argv = (const char *const *)argv.items,
		.env = no_env,
		.cgroup = spec->cgroup,
		.fds = { { .fd = theirs, .target = REPORT_TARGET } },
		.fds_len = 1,
		.oom_score_adj = score,
	};
	if (command_start(&command, ret, err) < 0)
		return -1;
	*ret_hold = TAKE_FD(ours);
	return 0;
}

/* One line of the protocol; false when it is none. */
static bool report_line(struct report *report, char *line)
{
	uint64_t number;

	if (str_eq(line, "user")) {
		report->user = true;
		return true;
	}
	if (str_eq(line, "ready")) {
		report->ready = true;
		return true;
	}
	if (!report->pid && str_has_prefix(line, "pid ") && parse_u64(line + 4, INT32_MAX, &number)) {
		report->pid = (pid_t)number;
		return true;
	}
	char *what = str_has_prefix(line, "error ") ? strchr(line + 6, ' ') : NULL;
	if (!what || report->what)
		return false;
	*what++ = '\0';
	if (!parse_u64(line + 6, 4095, &number) || number == 0)
		return false;
	report->error = (int)number;
	report->what = xstrdup(what);
	return true;
}

/* Takes whole lines out of the text received. */
static bool report_take_lines(struct report *report)
{
	CLEANUP(freep) char *text = str_take(&report->text);
	char *line = text, *end;

	while ((end = strchr(line, '\n'))) {
		*end = '\0';
		if (!report_line(report, line))
			return false;
		line = end + 1;
	}
	str_add(&report->text, line);
	return true;
}

/* Reads until pause wants its maps, is ready and known, has failed or is gone: 0 when one of these was told,
 * *ret_end set at the end of file. */
static int report_read(struct report *report, int hold, const struct ctx *ctx, bool *ret_end, struct err *err)
{
	char data[512];

	for (;;) {
		if (ctx_poll(ctx, hold, POLLIN, "wait for crisp-pause", err) < 0)
			return -1;
		ssize_t got = recv(hold, data, sizeof(data), MSG_DONTWAIT);
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got < 0 && errno != ECONNRESET)
			return err_errno(err, "read from crisp-pause");
		if (got <= 0) {
			*ret_end = true;
			return 0;
		}
		str_addn(&report->text, data, (size_t)got);
		if (report->text.failed || memchr(data, '\0', (size_t)got) || !report_take_lines(report))
			return err_set(err, RPC_INTERNAL, "crisp-pause: not a word of the protocol");
		if (report->user || report->error || (report->ready && (report->pid || !report->wants_pid)))
			return 0;
	}
}

static int report_error(const struct report *report, struct err *err)
{
	if (!report->error)
		return err_set(err, RPC_UNAVAILABLE, "crisp-pause ended before it was ready");
	errno = report->error;
	/* What the client asked for and the kernel does not take. */
	if (str_has_prefix(report->what, "sysctl ") || str_has_prefix(report->what, "hostname "))
		return err_set(err, RPC_INVALID_ARGUMENT, "crisp-pause: %s: %m", report->what);
	return err_errno(err, "crisp-pause: %s", report->what);
}

/* With a PID namespace the process to hold is the one named by "pid"; the first is done by then. */
static int take_over(struct process *process, const struct report *report, const struct ctx *ctx,
		     struct err *err)
{
	struct process init = PROCESS_INIT;
	int status;

	if (process_open(report->pid, 0, &init, err) < 0)
		return -1;
	if (process_wait(process, ctx, &status, err) < 0) {
		process_done(&init);
		return -1;
	}
	process_done(process);
	*process = init;
	return 0;
}

void pause_reap(const struct process *process)
{
	siginfo_t info;

	/* ECHILD: an earlier crispd was its parent, and init reaps it. */
	(void)!waitid(P_PIDFD, (id_t)process->pidfd, &info, WEXITED | WNOHANG);
}

/* Ends a pause that was not kept: it sees the end of file and leaves; what does not leave in time is killed.
 * Reading to the end of file tells that all holders of the socket are gone and names a child we might have
 * missed. */
static void abandon(struct process *process, int *hold, struct report *report)
{
	struct process init = PROCESS_INIT;
	struct err ignored;
	struct ctx ctx;
	bool end = false;

	ctx_init(&ctx, clock_deadline_in(END_TIMEOUT));
	shutdown(*hold, SHUT_WR);
	while (!end && report_read(report, *hold, &ctx, &end, &ignored) == 0)
		report->user = report->ready = false, report->error = 0;
	if (report->pid && report->pid != process->pid &&
	    process_open(report->pid, 0, &init, &ignored) == 0) {
		(void)!pause_stop(&init, NULL, &ignored);
		process_done(&init);
	}
	(void)!pause_stop(process, NULL, &ignored);
	process_done(process);
	fd_closep(hold);
	*hold = -1;
	ctx_done(&ctx);
}

/* The first word of a pause with a user namespace; any other is the caller's to look at. */
static int give_maps(const struct pause_spec *spec, struct pause_started *started, struct report *report,
		     const struct ctx *ctx, bool *ret_end, struct err *err)
{
	if (report_read(report, started->hold, ctx, ret_end, err) < 0)
		return -1;
	if (!report->user)
		return 0;
	report->user = false;
	if (userns_write_maps(&spec->userns, &started->process, err) < 0)
		return -1;
	if (send(started->hold, "m", 1, MSG_NOSIGNAL) != 1)
		return err_set(err, RPC_UNAVAILABLE, "crisp-pause has ended");
	return report_read(report, started->hold, ctx, ret_end, err);
}

static int wait_ready(const struct pause_spec *spec, struct pause_started *started, struct report *report,
		      const struct ctx *ctx, struct err *err)
{
	bool end = false;

	report->wants_pid = spec->namespaces & NAMESPACE_PID;
	if (give_maps(spec, started, report, ctx, &end, err) < 0)
		return -1;
	if (end || report->user || report->error)
		return report_error(report, err);
	if (report->wants_pid && take_over(&started->process, report, ctx, err) < 0)
		return -1;
	crash_point("pause.ready");
	return namespaces_pin(spec->ns_dir, &started->process, spec->namespaces, err);
}

int pause_start(const struct pause_spec *spec, const struct ctx *caller, struct pause_started *ret,
		struct err *err)
{
	CLEANUP(report_done) struct report report = { .text = STR_LIMIT(REPORT_MAX) };
	struct pause_started started = PAUSE_STARTED_INIT;
	struct ctx ctx;

	assert(spec->path[0] == '/' && spec->ns_dir[0] == '/' && spec->sysctls_len <= PAUSE_SYSCTLS_MAX);
	if (start(spec, &started.process, &started.hold, err) < 0)
		return -1;
	crash_point("pause.started");
	ctx_init_child(&ctx, caller, clock_deadline_in(START_TIMEOUT));
	int done = wait_ready(spec, &started, &report, &ctx, err);
	ctx_done(&ctx);
	if (done < 0) {
		abandon(&started.process, &started.hold, &report);
		return -1;
	}
	*ret = started;
	return 0;
}

int pause_keep(struct pause_started *started, struct err *err)
{
	/* When it has died its end of the socket is closed, and this fails. */
	if (send(started->hold, "k", 1, MSG_NOSIGNAL) != 1)
		return err_set(err, RPC_UNAVAILABLE, "crisp-pause has ended");
	started->hold = fd_close(started->hold);
	return 0;
}

void pause_started_done(struct pause_started *started)
{
	process_done(&started->process);
	fd_closep(&started->hold);
	started->process.pidfd = started->hold = -1;
}

int pause_stop(const struct process *process, const struct ctx *caller, struct err *err)
{
	struct err slow;
	struct ctx ctx;

	if (process_signal(process, SIGTERM, err) < 0)
		return -1;
	ctx_init_child(&ctx, caller, clock_deadline_in(END_TIMEOUT));
	int gone = process_wait_gone(process, &ctx, &slow);
	ctx_done(&ctx);
	if (gone < 0) {
		if (process_signal(process, SIGKILL, err) < 0)
			return -1;
		ctx_init_child(&ctx, caller, clock_deadline_in(END_TIMEOUT));
		gone = process_wait_gone(process, &ctx, err);
		ctx_done(&ctx);
	}
	if (gone < 0)
		return -1;
	crash_point("pause.gone");
	pause_reap(process);
	return 0;
}

int pause_find(char **ret, struct err *err)
{
	return program_find_own("crisp-pause", "CRISP_PAUSE", ret, err);
}
