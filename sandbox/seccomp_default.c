/*
 * The built-in seccomp profile: what RuntimeDefault means when the configuration names no file.
 *
 * An allow-list: everything else fails with EPERM. It is the list that docker, containerd and
 * containers/common agree on (profiles from Linux 6.13 on; io_uring, AF_VSOCK and AF_ALG are not on it), with
 * the calls that a capability brings along only when the container has it. clone(2) without CAP_SYS_ADMIN is
 * allowed while no namespace flag is set; clone3(2), whose flags a filter cannot see, answers ENOSYS so that
 * libc falls back to clone(2). Names that a host's libseccomp does not know are left out there.
 */
#include "sandbox/seccomp_profile.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/socket.h>

#define CAP(name) (UINT64_C(1) << (name))
#define ALLOW .action = "SCMP_ACT_ALLOW", .errno_ret = SECCOMP_NO_ERRNO
#define ARG(position, operation, number) \
	.args = { { .index = (position), .op = "SCMP_CMP_" operation, .value = (number) } }, .args_len = 1
#define ARG_MASKED(position, mask)                                                                        \
	.args = { { .index = (position), .op = "SCMP_CMP_MASKED_EQ", .value = (mask), .value_two = 0 } }, \
	.args_len = 1
#define WITH(capability) .includes.caps = CAP(capability)

enum {
	NAMESPACE_FLAGS = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
			  CLONE_NEWNET | CLONE_NEWCGROUP,
	KERNEL_4_8 = 4 << 16 | 8,
};

/* clang-format off */
static const char always[] =
	"_llseek _newselect accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir "
	"chmod chown chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime "
	"clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range "
	"creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 "
	"epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 "
	"fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 "
	"fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat "
	"fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 "
	"futex_wait futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu getcwd "
	"getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 "
	"getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32 "
	"getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday "
	"getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 "
	"inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup "
	"io_submit ioctl ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset "
	"landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr "
	"listxattrat llistxattr lremovexattr lseek lsetxattr lsm_get_self_attr lsm_list_modules "
	"lsm_set_self_attr lstat lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret "
	"mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr "
	"mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 "
	"mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap "
	"name_to_handle_at nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal "
	"pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv "
	"preadv2 prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read "
	"readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg "
	"remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall rmdir rseq "
	"rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend "
	"rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max "
	"sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler "
	"sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr "
	"sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop "
	"semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list "
	"set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 "
	"setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 "
	"setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid setuid32 setxattr "
	"setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask "
	"sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink "
	"symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete "
	"timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create "
	"timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate "
	"truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64 "
	"utimes vfork vmsplice wait4 waitid waitpid write writev";

static const struct seccomp_rule rules[] = {
	{ ALLOW, .names = always },

	/* Every address family but AF_VSOCK and AF_ALG. Three rules of one range each: two conditions on one argument in one
	 * rule would be taken as alternatives by runtimes. */
	{ ALLOW, .names = "socket", ARG(0, "LT", AF_ALG) },
	{ ALLOW, .names = "socket", ARG(0, "EQ", AF_ALG + 1) },
	{ ALLOW, .names = "socket", ARG(0, "GT", AF_VSOCK) },

	/* PER_LINUX, PER_LINUX32, each also with UNAME26, and the query. */
	{ ALLOW, .names = "personality", ARG(0, "EQ", 0x0) },
	{ ALLOW, .names = "personality", ARG(0, "EQ", 0x8) },
	{ ALLOW, .names = "personality", ARG(0, "EQ", 0x20000) },
	{ ALLOW, .names = "personality", ARG(0, "EQ", 0x20008) },
	{ ALLOW, .names = "personality", ARG(0, "EQ", 0xffffffff) },

	/* Linux 4.8 checks a tracer's changes against the filter. */
	{ ALLOW, .names = "process_vm_readv process_vm_writev ptrace", .includes.kernel = KERNEL_4_8 },

	{ ALLOW, .names = "sync_file_range2 swapcontext", .includes.arches = "ppc64le" },
	{ ALLOW, .names = "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
	  .includes.arches = "arm arm64" },
	{ ALLOW, .names = "arch_prctl", .includes.arches = "amd64 x32" },
	{ ALLOW, .names = "modify_ldt", .includes.arches = "amd64 x32 x86" },
	{ ALLOW, .names = "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr", .includes.arches = "s390 s390x" },
	{ ALLOW, .names = "riscv_flush_icache riscv_hwprobe", .includes.arches = "riscv64" },

	{ ALLOW, .names = "open_by_handle_at", WITH(CAP_DAC_READ_SEARCH) },
	{ ALLOW, .names = "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr "
			  "move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog "
			  "umount umount2 unshare",
	  WITH(CAP_SYS_ADMIN) },
	{ ALLOW, .names = "reboot", WITH(CAP_SYS_BOOT) },
	{ ALLOW, .names = "chroot", WITH(CAP_SYS_CHROOT) },
	{ ALLOW, .names = "delete_module init_module finit_module", WITH(CAP_SYS_MODULE) },
	{ ALLOW, .names = "acct", WITH(CAP_SYS_PACCT) },
	{ ALLOW, .names = "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
	  WITH(CAP_SYS_PTRACE) },
	{ ALLOW, .names = "iopl ioperm", WITH(CAP_SYS_RAWIO) },
	{ ALLOW, .names = "settimeofday stime clock_settime clock_settime64", WITH(CAP_SYS_TIME) },
	{ ALLOW, .names = "vhangup", WITH(CAP_SYS_TTY_CONFIG) },
	{ ALLOW, .names = "get_mempolicy mbind set_mempolicy set_mempolicy_home_node", WITH(CAP_SYS_NICE) },
	{ ALLOW, .names = "syslog", WITH(CAP_SYSLOG) },
	{ ALLOW, .names = "bpf", WITH(CAP_BPF) },
	{ ALLOW, .names = "perf_event_open", WITH(CAP_PERFMON) },

	{ ALLOW, .names = "clone", ARG_MASKED(0, NAMESPACE_FLAGS),
	  .excludes = { .caps = CAP(CAP_SYS_ADMIN), .arches = "s390 s390x" } },
	{ ALLOW, .names = "clone", ARG_MASKED(1, NAMESPACE_FLAGS), /* s390 has the flags second */
	  .includes.arches = "s390 s390x", .excludes.caps = CAP(CAP_SYS_ADMIN) },
	{ .names = "clone3", .action = "SCMP_ACT_ERRNO", .errno_ret = ENOSYS, .excludes.caps = CAP(CAP_SYS_ADMIN) },
};
/* clang-format on */

#if defined(__x86_64__)
#define ARCHITECTURES "SCMP_ARCH_X86_64 SCMP_ARCH_X86 SCMP_ARCH_X32"
#elif defined(__aarch64__)
#define ARCHITECTURES "SCMP_ARCH_AARCH64 SCMP_ARCH_ARM"
#elif defined(__s390x__)
#define ARCHITECTURES "SCMP_ARCH_S390X SCMP_ARCH_S390"
#else
#define ARCHITECTURES "" /* the native one */
#endif

const struct seccomp_profile seccomp_default_profile = {
	.default_action = "SCMP_ACT_ERRNO",
	.default_errno = EPERM,
	.architectures = ARCHITECTURES,
	.flags = "",
	.rules = rules,
	.rules_len = ARRAY_LEN(rules),
};
