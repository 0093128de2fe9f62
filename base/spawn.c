/*
 * How a child is made. The parent prepares everything: paths, vectors, descriptors, a stack. Then it blocks
 * all signals and calls clone3(2) with CLONE_VM | CLONE_VFORK: the child runs in our memory, on that stack,
 * while our thread sleeps until it has exec'd or died. What the child has to say (which step failed, errno)
 * it writes into the shared struct; no pipe is needed.
 *
 * The child runs in the memory of a threaded process whose locks may be held, so it does nothing but raw
 * system calls: no libc function that locks or is watched by a sanitizer. That is why child functions go
 * uninstrumented and use sys() below. The clone itself is a few lines of assembly, because a child on a stack
 * of its own cannot return through a C wrapper. Where clone3 is missing (ENOSYS: old kernels, seccomp of an
 * outer container) or the architecture is not known here, glibc's clone() does the same and the child enters
 * its cgroup by cgroup.procs.
 *
 * Descriptors: everything from 3 up is marked close-on-exec in the child (whose table is its own), then each
 * passed descriptor is duplicated above all targets, and from there onto its target; so sources and targets
 * may overlap.
 */
#include "base/spawn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"

#define FIXED_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#if defined(__clang__) && __has_attribute(disable_sanitizer_instrumentation)
#define CHILD __attribute__((disable_sanitizer_instrumentation, noinline))
#else
#define CHILD \
	__attribute__((no_sanitize("address"), no_sanitize("thread"), no_sanitize("undefined"), noinline))
#endif

enum {
	CHILD_UMASK = 022,
	STACK_SIZE = 64 * 1024,
	SIGNALS = 64,
	SIGSET_BYTES = SIGNALS / 8,
	PASSED_MAX = COMMAND_FDS_MAX + 3
};

#ifdef CRISP_FAULTS
bool spawn_fault_no_clone3;
#endif

/* linux/sched.h collides with sched.h: struct clone_args (clone3(2), version 2 with cgroup). */
struct clone3_args {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
		set_tid_size, cgroup;
};

#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ull
#endif

enum child_step { STEP_NONE, STEP_PARENT, STEP_SESSION, STEP_CGROUP, STEP_FDS, STEP_CWD, STEP_EXEC };

/* What parent and child share. Everything is ready before the clone. */
struct child {
	const char *path;
	char *const *argv;
	char *const *env;
	int cwd;          /* -1: "/" */
	int cgroup_procs; /* fd of cgroup.procs to enter by hand, or -1 */
	const char *oom_score_adj;
	size_t oom_score_adj_len;
	bool new_session;
	int parent_death_signal;
	pid_t parent;
	struct command_fd fds[PASSED_MAX];
	size_t fds_len;
	int fd_floor; /* above every target */
	int fd_limit; /* where close-on-exec by hand ends */

	volatile enum child_step failed;
	volatile int error;
};

static CHILD long sys(long number, long a, long b, long c, long d)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return ret;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
#else
	long ret = syscall(number, a, b, c, d);

	return ret < 0 ? -errno : ret;
#endif
}

static CHILD _Noreturn void child_fail(struct child *child, enum child_step step, long error)
{
	child->error = (int)-error;
	child->failed = step;
	for (;;)
		sys(SYS_exit_group, 127, 0, 0, 0);
}

/* Ignored signals would stay ignored across exec, and handlers must not run in the shared memory. */
static CHILD void child_reset_signals(void)
{
	static const struct {
		unsigned long handler, flags, restorer, mask;
	} by_default = { 0, 0, 0, 0 };

	for (int i = 1; i <= SIGNALS; i++)
		sys(SYS_rt_sigaction, i, (long)&by_default, 0, SIGSET_BYTES); /* KILL and STOP refuse */
}

static CHILD void child_oom_score(const struct child *child)
{
	long fd;

	if (!child->oom_score_adj)
		return;
	fd = sys(SYS_openat, AT_FDCWD, (long)"/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return;
	sys(SYS_write, fd, (long)child->oom_score_adj, (long)child->oom_score_adj_len, 0);
	sys(SYS_close, fd, 0, 0, 0);
}

static CHILD void child_fds(struct child *child)
{
	/* Kernels before 5.11 do not know the flag. */
	if (sys(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC, 0) < 0)
		for (int fd = 3; fd < child->fd_limit; fd++)
			sys(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC, 0);
	for (size_t i = 0; i < child->fds_len; i++) {
		long fd = sys(SYS_fcntl, child->fds[i].fd, F_DUPFD_CLOEXEC, child->fd_floor, 0);
		if (fd < 0)
			child_fail(child, STEP_FDS, fd);
		child->fds[i].fd = (int)fd;
	}
	for (size_t i = 0; i < child->fds_len; i++) {
		long fd = sys(SYS_dup3, child->fds[i].fd, child->fds[i].target, 0, 0);
		if (fd < 0)
			child_fail(child, STEP_FDS, fd);
	}
}

static CHILD int child_main(void *data)
{
	struct child *child = data;
	const uint64_t no_signals = 0;
	long error = 0;

	child_reset_signals();
	if (child->parent_death_signal) {
		error = sys(SYS_prctl, PR_SET_PDEATHSIG, child->parent_death_signal, 0, 0);
		if (error == 0 && sys(SYS_getppid, 0, 0, 0, 0) != child->parent)
			error = -ESRCH;
	}
	if (error < 0)
		child_fail(child, STEP_PARENT, error);
	if (child->new_session && (error = sys(SYS_setsid, 0, 0, 0, 0)) < 0)
		child_fail(child, STEP_SESSION, error);
	if (child->cgroup_procs >= 0 && (error = sys(SYS_write, child->cgroup_procs, (long)"0", 1, 0)) < 0)
		child_fail(child, STEP_CGROUP, error);
	child_oom_score(child);
	sys(SYS_umask, CHILD_UMASK, 0, 0, 0);
	error = child->cwd >= 0 ? sys(SYS_fchdir, child->cwd, 0, 0, 0) : sys(SYS_chdir, (long)"/", 0, 0, 0);
	if (error < 0)
		child_fail(child, STEP_CWD, error);
	child_fds(child);
	sys(SYS_rt_sigprocmask, SIG_SETMASK, (long)&no_signals, 0, SIGSET_BYTES);
	error = sys(SYS_execve, (long)child->path, (long)child->argv, (long)child->env, 0);
	child_fail(child, STEP_EXEC, error);
}

/* Calls fn(data) in a clone on its own stack, never to return there. The pid, or a negative errno. */
static CHILD long clone3_call(const struct clone3_args *args, int (*fn)(void *), void *data)
{
#if defined(__x86_64__)
	long ret;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t" /* the outermost frame, for debuggers */
			 "mov %[data], %%rdi\n\t"
			 "call *%[fn]\n\t"
			 "ud2\n"
			 "1:"
			 : "=a"(ret)
			 : "a"(SYS_clone3), "D"(args), "S"(sizeof(*args)), [fn] "r"(fn), [data] "r"(data)
			 : "rcx", "r11", "memory", "cc");
	return ret;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = SYS_clone3;
	register long x0 __asm__("x0") = (long)args;
	register long x1 __asm__("x1") = sizeof(*args);

	__asm__ volatile("svc 0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x29, xzr\n\t"
			 "mov x30, xzr\n\t"
			 "mov x0, %[data]\n\t"
			 "blr %[fn]\n\t"
			 "brk 1\n"
			 "1:"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), [fn] "r"(fn), [data] "r"(data)
			 : "memory", "cc");
	return x0;
#else
	(void)args, (void)fn, (void)data;
	return -ENOSYS;
#endif
}

static long call_clone3(struct child *child, int cgroup, void *stack, int *ret_pidfd)
{
	struct clone3_args args = {
		.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD,
		.pidfd = (uintptr_t)ret_pidfd,
		.exit_signal = SIGCHLD,
		.stack = (uintptr_t)stack,
		.stack_size = STACK_SIZE,
	};

#ifdef CRISP_FAULTS
	if (spawn_fault_no_clone3)
		return -ENOSYS;
#endif
	if (cgroup >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)cgroup;
	}
	return clone3_call(&args, child_main, child);
}

static long call_clone(struct child *child, int cgroup, void *stack, int *ret_pidfd)
{
	CLEANUP(fd_closep) int procs = -1;

	if (cgroup >= 0) {
		procs = openat(cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);
		if (procs < 0)
			return -errno;
	}
	child->cgroup_procs = procs;
	/* The stack grows down from its end. */
	int pid = clone(child_main, (char *)stack + STACK_SIZE,
			CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, child, ret_pidfd);
	return pid < 0 ? -errno : pid;
}

/* 0, or a positive errno when there is no child. Signals are blocked with the raw call: libc spares some of
 * its own. */
static int clone_child(struct child *child, int cgroup, struct process *ret)
{
	const uint64_t all_signals = ~(uint64_t)0;
	uint64_t old_signals;
	char *map = mmap(NULL, STACK_SIZE + 4096, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

	if (map == MAP_FAILED)
		return errno;
	if (mprotect(map, 4096, PROT_NONE) < 0) { /* a guard page below */
		int error = errno;
		munmap(map, STACK_SIZE + 4096);
		return error;
	}
	sys(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all_signals, (long)&old_signals, SIGSET_BYTES);
	long pid = call_clone3(child, cgroup, map + 4096, &ret->pidfd);
	if (pid == -ENOSYS)
		pid = call_clone(child, cgroup, map + 4096, &ret->pidfd);
	sys(SYS_rt_sigprocmask, SIG_SETMASK, (long)&old_signals, 0, SIGSET_BYTES);
	munmap(map, STACK_SIZE + 4096);
	if (pid < 0) {
		ret->pidfd = -1; /* a clone that fails late has left a number there that is not ours */
		return (int)-pid;
	}
	ret->pid = (pid_t)pid;
	return 0;
}

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static const char *path_of(const char *const *env)
{
	for (; env && *env; env++)
		if (str_has_prefix(*env, "PATH="))
			return *env + strlen("PATH=");
	return FIXED_PATH;
}

/* The program's absolute path, malloc'd; NULL and err when it is in none of the directories. */
static char *find_program(const struct command *command, struct err *err)
{
	CLEANUP(strv_done) struct strv dirs = STRV_INIT;

	if (command->path[0] == '/')
		return xstrdup(command->path);
	if (str_empty(command->path) || strchr(command->path, '/')) {
		err_set(err, RPC_INVALID_ARGUMENT, "start \"%s\": neither an absolute path nor a name",
			command->path);
		return NULL;
	}
	const char *path = path_of(command->env);
	strv_split(&dirs, path, ':');
	for (size_t i = 0; i < dirs.len; i++) {
		CLEANUP(freep) char *candidate = xasprintf("%s/%s", dirs.items[i], command->path);
		if (candidate[0] == '/' && is_program(candidate))
			return TAKE(candidate);
	}
	err_set(err, RPC_FAILED_PRECONDITION, "start %s: not found in PATH %s", command->path, path);
	errno = ENOENT;
	return NULL;
}

static bool has_target(const struct command *command, int target)
{
	for (size_t i = 0; i < command->fds_len; i++)
		if (command->fds[i].target == target)
			return true;
	return false;
}

/* The command's descriptors, and /dev/null (opened into *null) for the standard ones it does not name. */
static int prepare_fds(const struct command *command, struct child *child, int *null, struct err *err)
{
	struct rlimit limit;

	if (command->fds_len > COMMAND_FDS_MAX)
		return err_set(err, RPC_INTERNAL, "start %s: more than %d descriptors", command->path,
			       COMMAND_FDS_MAX);
	child->fd_floor = 3;
	for (size_t i = 0; i < command->fds_len; i++) {
		assert(command->fds[i].target >= 0);
		child->fds[child->fds_len++] = command->fds[i];
		if (command->fds[i].target >= child->fd_floor)
			child->fd_floor = command->fds[i].target + 1;
	}
	for (int target = 0; target < 3; target++) {
		if (has_target(command, target))
			continue;
		if (*null < 0)
			*null = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (*null < 0)
			return err_errno(err, "start %s: /dev/null", command->path);
		child->fds[child->fds_len++] = (struct command_fd){ .fd = *null, .target = target };
	}
	child->fd_limit = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < INT_MAX
				  ? (int)limit.rlim_cur
				  : 65536;
	return 0;
}

/* The error of a child that never became the program; errno is left set for callers who want to know more. */
static int start_error(const char *path, enum child_step step, int error, struct err *err)
{
	static const char *const steps[] = {
		[STEP_NONE] = "clone",      [STEP_PARENT] = "parent death signal",
		[STEP_SESSION] = "setsid",  [STEP_CGROUP] = "cgroup",
		[STEP_FDS] = "descriptors", [STEP_CWD] = "working directory",
	};

	errno = error;
	if (step != STEP_EXEC)
		return err_errno(err, "start %s: %s", path, steps[step]);
	switch (error) {
	case ENOENT:
	case ENOTDIR:
	case EACCES:
	case EPERM:
	case ELOOP:
	case ENOEXEC:
		return err_set(err, RPC_FAILED_PRECONDITION, "start %s: %m", path);
	case E2BIG:
		return err_set(err, RPC_RESOURCE_EXHAUSTED, "start %s: %m", path);
	default:
		return err_errno(err, "start %s", path);
	}
}

static void reap_failed(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

int command_start(const struct command *command, struct process *ret, struct err *err)
{
	static const char *const fixed_env[] = { "PATH=" FIXED_PATH, NULL };
	CLEANUP(process_done) struct process process = PROCESS_INIT;
	CLEANUP(fd_closep) int null = -1;
	CLEANUP(freep) char *path = find_program(command, err);
	struct child child = {
		.path = path,
		.argv = (char *const *)command->argv,
		.env = (char *const *)(command->env ? command->env : fixed_env),
		.cwd = command->cwd > 0 ? command->cwd : -1,
		.cgroup_procs = -1,
		.oom_score_adj = command->oom_score_adj,
		.oom_score_adj_len = command->oom_score_adj ? strlen(command->oom_score_adj) : 0,
		.new_session = !command->same_session,
		.parent_death_signal = command->kill_on_parent_death,
		.parent = getpid(),
	};

	assert(command->argv && command->argv[0]);
	if (!path || prepare_fds(command, &child, &null, err) < 0)
		return -1;
	int error = clone_child(&child, command->cgroup > 0 ? command->cgroup : -1, &process);
	if (error)
		return start_error(path, STEP_NONE, error, err);
	if (child.failed != STEP_NONE) {
		reap_failed(process.pid);
		return start_error(path, child.failed, child.error, err);
	}
	if (process_start_time(process.pid, &process.start_time) < 0)
		process.start_time = 0; /* no /proc: the pidfd is what counts while we live */
	*ret = process;
	process.pidfd = -1;
	return 0;
}
