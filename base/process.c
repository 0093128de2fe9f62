/*
 * The part of base/spawn.h that holds processes. A pidfd names one process for good; a pid alone may be
 * reused, so what comes from disk is a pid with its start time: process_open() opens a pidfd first, reads the
 * start time then, and asks the pidfd last whether its process still exists, which proves that the time read
 * was its own.
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
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"

enum { STAT_MAX = 4096 };
enum { STATE_FIELD = 3, START_TIME_FIELD = 22, SIZE_FIELD = 23, START_CODE_FIELD = 26, EXIT_CODE_FIELD = 52 };

/* A field of /proc/PID/stat, by its number in proc_pid_stat(5), from STATE_FIELD on; it points into text. */
static char *stat_field(pid_t pid, int number, char text[STAT_MAX])
{
	char path[64];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	do
		len = read(fd, text, STAT_MAX - 1);
	while (len < 0 && errno == EINTR);
	if (len < 0)
		return NULL;
	text[len] = '\0';
	/* The name in field 2 may hold spaces and parentheses; what follows its last one may not. */
	char *rest = strrchr(text, ')');
	char *field = rest ? strtok_r(rest + 1, " ", &rest) : NULL;
	for (int i = STATE_FIELD; field && i < number; i++)
		field = strtok_r(NULL, " ", &rest);
	if (field)
		field[strcspn(field, "\n")] = '\0';
	else
		errno = EINVAL;
	return field;
}

static int stat_number(pid_t pid, int number, uint64_t *ret)
{
	char text[STAT_MAX];
	const char *field = stat_field(pid, number, text);

	if (!field)
		return -1;
	if (parse_u64(field, UINT64_MAX, ret))
		return 0;
	errno = EINVAL;
	return -1;
}

int process_start_time(pid_t pid, uint64_t *ret)
{
	return stat_number(pid, START_TIME_FIELD, ret);
}

bool process_in_exec(pid_t pid)
{
	uint64_t start_code, size;

	/* An exec first takes the old memory away, sets this address after the new arguments and environment
	 * are in place (load_elf_binary()), and tells 1 to who may not know it. Who has no memory is a thread
	 * of the kernel's, or has ended. */
	return stat_number(pid, START_CODE_FIELD, &start_code) == 0 && start_code == 0 &&
	       stat_number(pid, SIZE_FIELD, &size) == 0 && size > 0;
}

static int pidfd_signal(int pidfd, int signal)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

int process_open(pid_t pid, uint64_t start_time, struct process *ret, struct err *err)
{
	uint64_t found = 0;

	if (pid <= 0)
		return err_set(err, RPC_INVALID_ARGUMENT, "process %d: not a pid", (int)pid);
	CLEANUP(fd_closep) int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0 &&
	    (errno == ESRCH || errno == EINVAL)) /* EINVAL: a thread other than the first has this id */
		return err_set(err, RPC_NOT_FOUND, "process %d is gone", (int)pid);
	if (pidfd < 0)
		return err_errno(err, "open process %d", (int)pid);
	if (process_start_time(pid, &found) < 0) {
		if (errno == ENOENT || errno == ESRCH)
			return err_set(err, RPC_NOT_FOUND, "process %d is gone", (int)pid);
		return err_errno(err, "start time of process %d", (int)pid);
	}
	if (start_time && found != start_time)
		return err_set(err, RPC_NOT_FOUND, "process %d is gone, its pid is used by another",
			       (int)pid);
	if (pidfd_signal(pidfd, 0) < 0 && errno == ESRCH)
		return err_set(err, RPC_NOT_FOUND, "process %d is gone", (int)pid);
	*ret = (struct process){ .pid = pid, .pidfd = TAKE_FD(pidfd), .start_time = found };
	return 0;
}

void process_done(struct process *process)
{
	fd_closep(&process->pidfd);
}

bool process_alive(const struct process *process)
{
	struct pollfd fd = { .fd = process->pidfd, .events = POLLIN };
	int n;

	if (process->pidfd < 0)
		return false;
	do
		n = poll(&fd, 1, 0);
	while (n < 0 && errno == EINTR);
	return n == 0;
}

int process_signal(const struct process *process, int signal, struct err *err)
{
	assert(process->pidfd >= 0);
	if (pidfd_signal(process->pidfd, signal) == 0 || errno == ESRCH)
		return 0;
	return err_errno(err, "signal %d to process %d", signal, (int)process->pid);
}

void process_kill_group(const struct process *process)
{
	if (process->pid <= 1)
		return;
	/* Not reaped yet, so neither the pid nor the group's number can have been reused. */
	if (getpgid(process->pid) == process->pid)
		kill(-process->pid, SIGKILL);
	else if (process->pidfd >= 0)
		pidfd_signal(process->pidfd, SIGKILL);
}

bool process_stopped(const struct process *process)
{
	char text[STAT_MAX];
	const char *state = stat_field(process->pid, STATE_FIELD, text);

	/* Once reaped its pid may be another's; a zombie's or a living one's is its own. */
	return state && (*state == 'T' || *state == 't') && process_alive(process);
}

/* ioctl PIDFD_GET_INFO of linux/pidfd.h, which is younger than the headers that we build with. Of the
 * kernel's struct this is the first version. */
struct pidfd_info {
	uint64_t mask, cgroup;
	uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
	int32_t exit_code;
};
enum { PIDFD_INFO_HAS_EXIT = 1 << 3 };
#define PIDFD_GET_INFO_CALL _IOWR(0xFF, 11, struct pidfd_info)

/* What the kernel keeps for a reaped process as long as there is a pidfd of it. */
static bool status_of_reaped(const struct process *process, int *ret)
{
	struct pidfd_info info = { .mask = PIDFD_INFO_HAS_EXIT };

	if (ioctl(process->pidfd, PIDFD_GET_INFO_CALL, &info) < 0 || !(info.mask & PIDFD_INFO_HAS_EXIT))
		return false;
	*ret = info.exit_code;
	return true;
}

static bool status_of_zombie(const struct process *process, int *ret)
{
	uint64_t code, start;

	/* The pid is still its own if the start time is, also after the code was read. */
	if (stat_number(process->pid, EXIT_CODE_FIELD, &code) < 0 || code > INT32_MAX ||
	    process_start_time(process->pid, &start) < 0 || start != process->start_time)
		return false;
	*ret = (int)code;
	return true;
}

bool process_exit_status(const struct process *process, int *ret_status)
{
	if (process->pidfd < 0 || process_alive(process))
		return false;
	/* It may be reaped between the two questions, but not the other way round. */
	return status_of_zombie(process, ret_status) || status_of_reaped(process, ret_status);
}

static void what_text(const struct process *process, char *text, size_t size)
{
	snprintf(text, size, "wait for process %d", (int)process->pid);
}

int process_wait(struct process *process, const struct ctx *ctx, int *ret_status, struct err *err)
{
	char what[64];
	int status;
	pid_t pid;

	assert(process->pidfd >= 0);
	what_text(process, what, sizeof(what));
	if (ctx_poll(ctx, process->pidfd, POLLIN, what, err) < 0)
		return -1;
	do
		pid = waitpid(process->pid, &status, 0);
	while (pid < 0 && errno == EINTR);
	if (pid < 0)
		return err_errno(err, "%s", what);
	*ret_status = status;
	return 0;
}

int process_wait_gone(const struct process *process, const struct ctx *ctx, struct err *err)
{
	char what[64];

	assert(process->pidfd >= 0);
	what_text(process, what, sizeof(what));
	return ctx_poll(ctx, process->pidfd, POLLIN, what, err);
}
