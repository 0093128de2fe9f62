/*
 * crisp-exec PID_FILE [-m] RUNTIME ARGUMENT...
 * crisp-exec -n NAMESPACE RUNTIME ARGUMENT...
 *
 * Runs an OCI runtime's `exec --detach --pid-file PID_FILE ...` and stays in its place until the command it
 * has started ends, whose exit code becomes ours (signal n: 128 + n). A runtime that waits itself is
 * megabytes of memory for each exec, and runc and its like put pipes of their own between the command and its
 * stdio; only detached do they hand ours on, and then nobody waits. A detached command has lost its parent,
 * and the kernel gives it to the nearest subreaper above (prctl(2), PR_SET_CHILD_SUBREAPER): to us.
 *
 * Without PID_FILE at our end, no command was started: why is on stderr. Standard input and output are let go
 * once the runtime has them, so that who is at the other end sees what the command does with them.
 *
 * With -m, descriptor 3 is the mount namespace that the runtime is run in (conmon/slim_mounts.h), in the
 * folder of the same name.
 *
 * The second form is for conmon, whose runtime it then is: the runtime takes our place, in the mount
 * namespace of that path.
 *
 * No C library below (base/system_call.h): a third of a millisecond and a few pages for each exec.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <linux/prctl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>

#include "base/system_call.h"
#include "conmon/exec/crisp_exec.h"

enum { NOT_RUN = 125, DIGITS_MAX = 20 };

__attribute__((noreturn)) static void leave(int status)
{
	for (;;)
		system_call(__NR_exit_group, status);
}

__attribute__((noreturn)) static void fail(const char *text)
{
	size_t len = 0;

	while (text[len])
		len++;
	system_call(__NR_write, 2, PTR(text), (long)len);
	leave(NOT_RUN);
}

static void close_fd(int fd)
{
	system_call(__NR_close, fd);
}

/* setns(2) changes the folder, too. Where that is not to be had, the runtime just finds more mounts. */
static void enter_mounts(int mounts)
{
	long here = system_call(__NR_openat, AT_FDCWD, PTR("."), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	char folder[PATH_MAX];
	long len = system_call(__NR_readlinkat, AT_FDCWD, PTR("/proc/self/cwd"), PTR(folder),
			       sizeof(folder) - 1);

	if (here < 0 || len <= 0)
		return;
	folder[len] = '\0';
	if (system_call(__NR_setns, mounts, CLONE_NEWNS) == 0 && system_call(__NR_chdir, PTR(folder)) < 0)
		system_call(__NR_fchdir, here);
}

__attribute__((noreturn)) static void run(char **argv, char **environment)
{
	system_call(__NR_execve, PTR(argv[0]), PTR(argv), PTR(environment));
	fail("crisp-exec: the runtime cannot be run\n");
}

static long start_runtime(char **argv, bool slim, char **environment)
{
	long pid = system_call(__NR_clone, SIGCHLD);

	if (pid < 0)
		fail("crisp-exec: no process for the runtime\n");
	if (pid == 0) {
		if (slim) {
			enter_mounts(CRISP_EXEC_MOUNTS_FD);
			close_fd(CRISP_EXEC_MOUNTS_FD);
		}
		run(argv, environment);
	}
	return pid;
}

/* Reaps whatever ends until pid has: what a command in the host's PID namespace leaves behind becomes ours,
 * too. False: it is no child of ours. */
static bool wait_for(long pid, int *ret_status)
{
	for (;;) {
		long ended = system_call(__NR_wait4, -1, PTR(ret_status), __WALL, 0);

		if (ended == pid)
			return true;
		if (ended < 0 && ended != -EINTR)
			return false;
	}
}

static bool wait_for_runtime(long pid, int *ret_status)
{
	long ended;

	do
		ended = system_call(__NR_wait4, pid, PTR(ret_status), 0, 0);
	while (ended == -EINTR);
	return ended == pid;
}

/* The number in the file; 0: there is none. */
static long read_pid(const char *path)
{
	long fd = system_call(__NR_openat, AT_FDCWD, PTR(path), O_RDONLY | O_CLOEXEC, 0), len, pid = 0;
	char text[DIGITS_MAX];

	if (fd < 0)
		return 0;
	len = system_call(__NR_read, fd, PTR(text), sizeof(text));
	close_fd((int)fd);
	for (long i = 0; i < len && text[i] >= '0' && text[i] <= '9' && pid < INT32_MAX / 10; i++)
		pid = pid * 10 + (text[i] - '0');
	return pid;
}

static int code_of(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* A runtime that fails after it has told of a command has given that up: it goes, and its file. */
__attribute__((noreturn)) static void not_started(const char *pid_file, int status)
{
	long pid = read_pid(pid_file);

	if (pid && system_call(__NR_wait4, pid, 0, WNOHANG | __WALL, 0) == 0)
		system_call(__NR_kill, pid, SIGKILL);
	system_call(__NR_unlinkat, AT_FDCWD, PTR(pid_file), 0);
	leave(code_of(status));
}

static bool is_option(const char *word, char letter)
{
	return word[0] == '-' && word[1] == letter && !word[2];
}

__attribute__((noreturn)) static void run_in_place(const char *mounts, char **argv, char **environment)
{
	long fd = system_call(__NR_openat, AT_FDCWD, PTR(mounts), O_RDONLY | O_CLOEXEC, 0);

	if (fd >= 0)
		enter_mounts((int)fd);
	run(argv, environment);
}

__attribute__((used)) int exec_main(int argc, char **argv);

int exec_main(int argc, char **argv)
{
	const char *pid_file = argv[1];
	bool slim = argc > 2 && is_option(argv[2], 'm');
	int status = 0;
	long pid;

	if (argc > 3 && is_option(argv[1], 'n'))
		run_in_place(argv[2], argv + 3, argv + argc + 1);
	if (argc < 3 + slim)
		fail("usage: crisp-exec PID_FILE [-m] | -n NAMESPACE RUNTIME ARGUMENT...\n");
	if (system_call(__NR_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		fail("crisp-exec: this kernel has no subreapers\n");
	pid = start_runtime(argv + 2 + slim, slim, argv + argc + 1);
	if (slim)
		close_fd(CRISP_EXEC_MOUNTS_FD);
	close_fd(0);
	close_fd(1);
	if (!wait_for_runtime(pid, &status))
		fail("crisp-exec: the runtime is lost\n");
	if (status != 0)
		not_started(pid_file, status);
	pid = read_pid(pid_file);
	if (!pid)
		fail("crisp-exec: the runtime has told no process\n");
	close_fd(2);
	if (wait_for(pid, &status))
		return code_of(status);
	system_call(__NR_unlinkat, AT_FDCWD, PTR(pid_file), 0);
	return NOT_RUN;
}

START(exec_main);
