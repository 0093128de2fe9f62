/*
 * Processes. This is the only module that may fork or exec.
 *
 * A child is made with clone3(CLONE_VM | CLONE_VFORK | CLONE_PIDFD [| CLONE_INTO_CGROUP]) (posix_spawn
 * semantics: no copy of the daemon's memory, everything allocated before, all signals blocked across it and
 * reset in the child), in a session and process group of its own unless told otherwise, with the umask that
 * programs expect (022), whatever ours is. All descriptors but 0-2 and those passed are closed (close-on-exec
 * by close_range). An exec failure comes back as an error of the start. A process is held by pidfd; on disk
 * by pid + start time.
 *
 * Threads: everything may be called from any thread.
 */
#ifndef BASE_SPAWN_H
#define BASE_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

struct process {
	pid_t pid;
	int pidfd;           /* owned; -1 when not held */
	uint64_t start_time; /* clock ticks since boot, field 22 of /proc/PID/stat */
};

#define PROCESS_INIT        \
	{                   \
		.pidfd = -1 \
	}

enum { COMMAND_FDS_MAX = 8 };

struct command_fd {
	int fd;     /* ours, borrowed */
	int target; /* number in the child */
};

struct command {
	const char *path;        /* absolute, or a name searched in PATH of `env` (then of a fixed default) */
	const char *const *argv; /* NULL-terminated; argv[0] included */
	const char *const *env;  /* NULL: an empty environment with the fixed PATH */
	int cwd;                 /* directory fd; 0 or -1: "/" */
	int cgroup;              /* cgroup v2 directory fd for CLONE_INTO_CGROUP; 0 or -1: ours */
	struct command_fd
		fds[COMMAND_FDS_MAX]; /* passed on; targets 0-2 override the pipes below; unset: fd 0 */
	size_t fds_len;
	bool same_session;        /* do not setsid() */
	int kill_on_parent_death; /* PR_SET_PDEATHSIG signal, 0 for none (fires when the starting THREAD ends)
				   */
	const char *oom_score_adj; /* written to /proc/self/oom_score_adj in the child; failure ignored */

	/* for command_run only */
	const void *input; /* written to stdin, then closed; NULL: /dev/null */
	size_t input_len;
	size_t stdout_max; /* bytes kept; the rest is read and dropped; 0: /dev/null */
	size_t stderr_max;
	int64_t timeout; /* ns; 0: only ctx bounds it. On expiry the process group is killed */
	int64_t drain;   /* ns to go on reading after exit while a descendant holds the pipes; 0: 100 ms */
};

struct command_result {
	bool exited;    /* else killed by signal */
	int status;     /* exit code, or signal number */
	bool timed_out; /* killed by us: timeout or ctx ended */
	bool out_truncated, err_truncated;
	struct str out, err_out; /* stdout, stderr; freed by command_result_done */
};

/* Starts and returns at once; stdio not named in fds is /dev/null. The caller reaps with process_wait. A
 * program that is missing or not executable is FAILED_PRECONDITION; errno tells why, too. */
int command_start(const struct command *command, struct process *ret, struct err *err) MUST_CHECK;
/*
 * Starts, feeds and reads in one poll loop, reaps. 0 when the child ran (look at *ret for how it ended), -1
 * when it could not start or ended by timeout/cancel: DEADLINE_EXCEEDED, CANCELLED; *ret is valid then too
 * (partial output) if it had started. The process group is killed on timeout; a child that even SIGKILL does
 * not end (stuck in the kernel) is given up after 10 s. Takes up to three places of fds for its pipes.
 */
int command_run(const struct command *command, const struct ctx *ctx, struct command_result *ret,
		struct err *err) MUST_CHECK;
void command_result_done(struct command_result *result); /* also for CLEANUP */
/* "exit code 3: last line of stderr" / "killed by signal 9 (Killed)": for error texts. */
void command_result_text(const struct command_result *result, char *text, size_t size);

/* Opens pid if it is still the process with that start time (0: any). NOT_FOUND when it is gone. */
int process_open(pid_t pid, uint64_t start_time, struct process *ret, struct err *err) MUST_CHECK;
int process_start_time(pid_t pid, uint64_t *ret); /* 0 or -1 with errno */
/* True while /proc cannot tell its arguments and environment, since it is in the middle of its exec. */
bool process_in_exec(pid_t pid);
void process_done(struct process *process);        /* closes the pidfd; also for CLEANUP */
bool process_alive(const struct process *process); /* not reaped and not a zombie */
int process_signal(const struct process *process, int signal, struct err *err) MUST_CHECK; /* gone: 0 */
/* Kills the process group led by process, which is not reaped yet (our own child, or one that still lives);
 * itself alone when it leads none. */
void process_kill_group(const struct process *process);
/* Waits for one of our children and reaps it; status as of waitpid. -1: DEADLINE_EXCEEDED/CANCELLED, the
 * child lives on. */
int process_wait(struct process *process, const struct ctx *ctx, int *ret_status, struct err *err) MUST_CHECK;
/* Whether it is stopped by a signal or a tracer. */
bool process_stopped(const struct process *process);
/* How any process (ours or not) has ended, as of waitpid. False while it lives, and when nobody can tell any
 * more: before Linux 6.15 that is once its parent has reaped it. */
bool process_exit_status(const struct process *process, int *ret_status);
/* Waits until any process (ours or not) has ended. */
int process_wait_gone(const struct process *process, const struct ctx *ctx, struct err *err) MUST_CHECK;

#ifdef CRISP_FAULTS
/* Only in builds of spawn.c with CRISP_FAULTS, for tests: as if the kernel had no clone3. */
extern bool spawn_fault_no_clone3;
#endif

#endif
