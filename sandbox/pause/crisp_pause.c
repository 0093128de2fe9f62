/*
 * crisp-pause ID [--user] [--net] [--ipc] [--uts] [--pid] [--hostname NAME] [--sysctl KEY VALUE]...
 *
 * Makes and holds the namespaces of one pod (see sandbox/pause.h, which starts it). One straight line of
 * steps, each of which ends the program with a report when it fails. Descriptor 3 is a socket to crispd:
 *
 *   we write  "user\n"         with --user: the user namespace is made, its maps are wanted
 *   we read   one byte         crispd has written them
 *   we write  "pid N\n"        with --pid: who the pause process is, as crispd sees it
 *             "error E TEXT\n" errno and what was tried; we exit
 *             "ready\n"        all is set up
 *   we read   one byte         crispd has our pid on disk: stay. End of file instead: crispd died before
 * that, so do we
 *
 * Afterwards it has no descriptor, no capability, a handful of system calls, and waits for a signal. There is
 * no C library below (system_call.h): 0.3 ms and a few pages per pod are the point of this program.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/if.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/system_call.h"

enum { REPORT_FD = 3, LINE_MAX_BYTES = 512 };

/* What a pid 1 and a plain holder both need; anything else fails with EPERM. */
static const uint16_t allowed_calls[] = {
	__NR_rt_sigtimedwait, __NR_wait4, __NR_exit_group, __NR_exit,        __NR_restart_syscall,
	__NR_rt_sigreturn,    __NR_write, __NR_read,       __NR_close_range,
};
enum { ALLOWED_CALLS = sizeof(allowed_calls) / sizeof(allowed_calls[0]) };

#if defined(__x86_64__)
#define MACHINE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define MACHINE AUDIT_ARCH_AARCH64
#elif defined(__riscv)
#define MACHINE AUDIT_ARCH_RISCV64
#elif defined(__s390x__)
#define MACHINE AUDIT_ARCH_S390X
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define MACHINE AUDIT_ARCH_PPC64LE
#else
#error "the AUDIT_ARCH_ value of this machine is not known here"
#endif

struct options {
	const char *id;
	const char *hostname; /* NULL: not set */
	long namespaces;      /* CLONE_NEW* without CLONE_NEWPID */
	bool user, pid;
	char **sysctls; /* where the --sysctl options begin in argv */
	char **end;     /* argv + argc */
};

struct line {
	char text[LINE_MAX_BYTES];
	size_t len;
};

/* gcc may call these for copies and initialisers of its own, also in freestanding code. */
void *memset(void *to, int byte, size_t len);
void *memcpy(void *restrict to, const void *restrict from, size_t len);

__attribute__((used)) void *memset(void *to, int byte, size_t len)
{
	for (volatile unsigned char *p = to; len--; p++)
		*p = (unsigned char)byte;
	return to;
}

__attribute__((used)) void *memcpy(void *restrict to, const void *restrict from, size_t len)
{
	volatile unsigned char *p = to;

	for (const unsigned char *q = from; len--;)
		*p++ = *q++;
	return to;
}

static size_t length(const char *text)
{
	size_t len = 0;

	while (text[len])
		len++;
	return len;
}

static bool equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

/* What does not fit is cut: the last byte stays free for the newline. */
static void line_add(struct line *line, const char *text)
{
	while (*text && line->len < sizeof(line->text) - 1)
		line->text[line->len++] = *text++;
}

static void line_add_number(struct line *line, long number)
{
	char digits[24];
	size_t at = sizeof(digits) - 1;

	digits[at] = 0;
	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number && at);
	line_add(line, digits + at);
}

static void line_send(struct line *line)
{
	line->text[line->len++] = '\n';
	system_call(__NR_write, REPORT_FD, PTR(line->text), (long)line->len);
}

__attribute__((noreturn)) static void leave(int status)
{
	for (;;)
		system_call(__NR_exit_group, status);
}

/* result: of system_call(). what, of: "sysctl ", "net.core.somaxconn". */
static void must(long result, const char *what, const char *of)
{
	if (result >= 0)
		return;
	struct line line;
	line.len = 0;
	line_add(&line, "error ");
	line_add_number(&line, -result);
	line_add(&line, " ");
	line_add(&line, what);
	line_add(&line, of);
	line_send(&line);
	leave(1);
}

static void parse(int argc, char **argv, struct options *options)
{
	char **arg = argv + 2;

	options->end = argv + argc;
	options->sysctls = options->end;
	options->hostname = NULL;
	options->namespaces = 0;
	options->user = options->pid = false;
	must(argc < 2 ? -EINVAL : 0, "usage: crisp-pause ID [options]", "");
	options->id = argv[1];
	for (; arg < options->end && !equal(*arg, "--sysctl"); arg++) {
		if (equal(*arg, "--net"))
			options->namespaces |= CLONE_NEWNET;
		else if (equal(*arg, "--ipc"))
			options->namespaces |= CLONE_NEWIPC;
		else if (equal(*arg, "--uts"))
			options->namespaces |= CLONE_NEWUTS;
		else if (equal(*arg, "--user"))
			options->user = true;
		else if (equal(*arg, "--pid"))
			options->pid = true;
		else if (equal(*arg, "--hostname") && arg + 1 < options->end)
			options->hostname = *++arg;
		else
			must(-EINVAL, "option ", *arg);
	}
	options->sysctls = arg;
	for (; arg < options->end; arg += 3)
		must(equal(*arg, "--sysctl") && options->end - arg >= 3 ? 0 : -EINVAL, "option ", *arg);
}

/* key is a path below /proc/sys already; crispd has checked it, this only sees that it fits. */
static void write_sysctl(const char *key, const char *value)
{
	static const char root[] = "/proc/sys/";
	char path[LINE_MAX_BYTES];
	size_t len = length(key);

	must(len + sizeof(root) > sizeof(path) ? -ENAMETOOLONG : 0, "sysctl ", key);
	memcpy(path, root, sizeof(root) - 1);
	memcpy(path + sizeof(root) - 1, key, len + 1);
	long fd = system_call(__NR_openat, AT_FDCWD, PTR(path), O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0);
	must(fd, "sysctl ", key);
	must(system_call(__NR_write, fd, PTR(value), (long)length(value)), "sysctl ", key);
	system_call(__NR_close, fd);
}

/* In a new network namespace lo is there, but down. */
static void loopback_up(void)
{
	struct ifreq request;
	long fd = system_call(__NR_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd == -EAFNOSUPPORT)
		fd = system_call(__NR_socket, AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	must(fd, "socket for lo", "");
	memset(&request, 0, sizeof(request));
	memcpy(request.ifr_name, "lo", 3);
	request.ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
	must(system_call(__NR_ioctl, fd, SIOCSIFFLAGS, PTR(&request)), "bring lo up", "");
	system_call(__NR_close, fd);
}

/* Waits for crispd's word; without it nobody would ever find us again. */
static void await_word(void)
{
	char word;
	long got;

	do {
		got = system_call(__NR_read, REPORT_FD, PTR(&word), 1);
	} while (got == -EINTR);
	if (got != 1)
		leave(0);
}

/* The first of all, so that the other namespaces belong to it. Its maps can only be written from outside;
 * then we become its root. */
static void enter_user_namespace(void)
{
	struct line line;

	must(system_call(__NR_unshare, CLONE_NEWUSER), "make the user namespace", "");
	line.len = 0;
	line_add(&line, "user");
	line_send(&line);
	await_word();
	must(system_call(__NR_setgroups, 0, 0), "leave the host's groups", "");
	must(system_call(__NR_setresgid, 0, 0, 0), "become the namespace's root group", "");
	must(system_call(__NR_setresuid, 0, 0, 0), "become the namespace's root", "");
}

/*
 * unshare(CLONE_NEWPID) moves only children, so the pause process of such a pod is a child: with CLONE_PARENT
 * it is crispd's child, not ours, and we can leave. Only we know its pid as crispd sees it.
 */
static void become_init(void)
{
	struct clone_args args;
	struct line line;

	memset(&args, 0, sizeof(args));
	args.flags = CLONE_NEWPID | CLONE_PARENT;
	long pid = system_call(__NR_clone3, PTR(&args), sizeof(args));
	must(pid, "make the pid namespace", "");
	if (pid > 0) {
		line.len = 0;
		line_add(&line, "pid ");
		line_add_number(&line, pid);
		line_send(&line);
		leave(0);
	}
	system_call(__NR_setsid);
}

/* Containers that share the pid namespace reach /proc/1/root: they find an empty, read-only directory. */
static void empty_root(void)
{
	must(system_call(__NR_unshare, CLONE_NEWNS), "make the mount namespace", "");
	must(system_call(__NR_mount, 0, PTR("/"), 0, MS_REC | MS_PRIVATE, 0), "make mounts private", "");
	must(system_call(__NR_mount, PTR("crisp-pause"), PTR("/proc"), PTR("tmpfs"),
			 MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, PTR("size=4k,nr_inodes=2,mode=0555")),
	     "mount the empty root", "");
	must(system_call(__NR_chdir, PTR("/proc")), "enter the empty root", "");
	must(system_call(__NR_pivot_root, PTR("."), PTR(".")), "pivot_root", "");
	must(system_call(__NR_umount2, PTR("."), MNT_DETACH), "leave the host's root", "");
	must(system_call(__NR_chdir, PTR("/")), "enter the empty root", "");
}

/*
 * ps shows "crisp-pause ID", not the options. The kernel prints a command line up to the first NUL when the
 * last byte of the argument area is not NUL (fs/proc/base.c, get_mm_cmdline: the setproctitle convention).
 */
static void set_title(char **argv, const struct options *options)
{
	char *last = options->end[-1] + length(options->end[-1]);
	size_t head = length(argv[0]);
	char *rest = argv[1] + length(argv[1]);

	if (last > rest) {
		argv[0][head] = ' ';
		memset(rest, 0, (size_t)(last - rest));
		*last = '.';
	}
	system_call(__NR_prctl, PR_SET_NAME, PTR("crisp-pause"), 0, 0, 0);
}

static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3, .pid = 0 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];

	/* The bounding set cannot be lowered without CAP_SETPCAP; no_new_privs and an empty permitted set do
	 * the same. */
	for (long cap = 0; cap < 64; cap++)
		if (system_call(__NR_prctl, PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			break;
	system_call(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	must(system_call(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs", "");
	memset(none, 0, sizeof(none));
	must(system_call(__NR_capset, PTR(&header), PTR(none)), "drop capabilities", "");
	/* Root without capabilities in a container with the host's pids may otherwise read /proc/PID/root of
	 * any process without capabilities, which is the host's (ptrace(2), access mode checking). */
	must(system_call(__NR_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0), "close /proc", "");
}

/* arch, number, list of allowed, verdicts: seccomp(2). Needs no_new_privs. */
static void filter_system_calls(void)
{
	enum { HEAD = 4 };
	struct sock_filter code[HEAD + ALLOWED_CALLS + 3] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	};
	struct sock_fprog program = { .len = HEAD + ALLOWED_CALLS + 2, .filter = code };

	for (unsigned int i = 0; i < ALLOWED_CALLS; i++)
		code[HEAD + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed_calls[i],
							      (unsigned char)(ALLOWED_CALLS - i), 0);
	code[HEAD + ALLOWED_CALLS] =
		(struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (EPERM & SECCOMP_RET_DATA));
	code[HEAD + ALLOWED_CALLS + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	must(system_call(__NR_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, PTR(&program), 0, 0),
	     "seccomp filter", "");
}

/* Says ready and waits for crispd's word that our pid is on disk. */
static void report(void)
{
	struct line line;

	line.len = 0;
	line_add(&line, "ready");
	line_send(&line);
	await_word();
	system_call(__NR_close_range, 0, UINT32_MAX, 0);
}

static uint64_t signal_bit(int number)
{
	return UINT64_C(1) << (number - 1);
}

/* The kernel's signal set is 64 bits. Blocked signals stay pending, also for pid 1, whose defaults would
 * ignore them. */
static void block_signals(const uint64_t *set)
{
	must(system_call(__NR_rt_sigprocmask, SIG_BLOCK, PTR(set), 0, sizeof(*set)), "block signals", "");
}

__attribute__((used)) int pause_main(int argc, char **argv);

int pause_main(int argc, char **argv)
{
	uint64_t signals = signal_bit(SIGTERM) | signal_bit(SIGINT) | signal_bit(SIGCHLD);
	struct options options;

	parse(argc, argv, &options);
	block_signals(&signals);
	if (options.user)
		enter_user_namespace();
	if (options.namespaces)
		must(system_call(__NR_unshare, options.namespaces), "unshare", "");
	if (options.hostname)
		must(system_call(__NR_sethostname, PTR(options.hostname), (long)length(options.hostname)),
		     "hostname ", options.hostname);
	for (char **sysctl = options.sysctls; sysctl < options.end; sysctl += 3)
		write_sysctl(sysctl[1], sysctl[2]);
	if (options.namespaces & CLONE_NEWNET)
		loopback_up();
	if (options.pid) {
		become_init();
		empty_root();
	}
	set_title(argv, &options);
	drop_capabilities();
	filter_system_calls();
	report();
	for (;;) {
		long got = system_call(__NR_rt_sigtimedwait, PTR(&signals), 0, 0, sizeof(signals));

		if (got == SIGTERM || got == SIGINT)
			return 0;
		while (got == SIGCHLD && system_call(__NR_wait4, -1, 0, WNOHANG, 0) > 0)
			;
	}
}

START(pause_main);
