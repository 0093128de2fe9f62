/*
 * Kernel features, asked from the kernel itself and not from its version: distributions backport. A system
 * call is there when, called with arguments that can't succeed, it says anything but ENOSYS. Only
 * CLONE_INTO_CGROUP can't be told that way without making a process; it came with Linux 5.7.
 */
#include "config/check_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/file.h"
#include "config/program.h"

static void check_release(struct check *check)
{
	struct utsname name;
	struct program_version version;

	if (uname(&name) < 0 || !program_version_parse(name.release, &version))
		check_bad(check, CHECK_WARN, "kernel.release", "run Linux 5.15 or newer", "unknown");
	else if (program_version_before(version, 5, 15, 0))
		check_bad(check, CHECK_WARN, "kernel.release", "run Linux 5.15 or newer", "%s", name.release);
	else
		check_ok(check, "kernel.release", "%s", name.release);
}

static void check_syscall(struct check *check, const char *name, bool there, const char *since)
{
	CLEANUP(freep)
	char *mend =
		xasprintf("run Linux %s or newer; in a container, allow it in the seccomp profile", since);

	if (there)
		check_ok(check, name, "available");
	else
		check_bad(check, CHECK_FAIL, name, mend, "not available");
}

static bool has_openat2(void)
{
	CLEANUP(fd_closep) int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(fd_closep) int fd = open_beneath(root, "proc", O_PATH | O_DIRECTORY, 0);

	return fd >= 0 || errno != ENOSYS;
}

static bool has_pidfd(void)
{
	CLEANUP(fd_closep) int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	return fd >= 0;
}

static bool has_clone3(void)
{
	return syscall(SYS_clone3, NULL, 0) < 0 && errno != ENOSYS; /* a size of 0 is always refused */
}

static bool has_into_cgroup(void)
{
	return has_clone3() && kernel_at_least(5, 7);
}

static bool has_mount_api(void)
{
	CLEANUP(fd_closep) int fd = fsopen("", 0); /* no such file system: ENODEV, or EPERM */

	return fd >= 0 || errno != ENOSYS;
}

static bool has_mount_setattr(void)
{
	struct mount_attr attr = { 0 };

	return mount_setattr(-1, "x", 0, &attr, sizeof(attr)) == 0 || errno != ENOSYS;
}

static void check_calls(struct check *check)
{
	check_syscall(check, "kernel.openat2", has_openat2(), "5.6");
	check_syscall(check, "kernel.pidfd", has_pidfd(), "5.3");
	check_syscall(check, "kernel.clone3", has_clone3(), "5.3");
	check_syscall(check, "kernel.mount-api", has_mount_api(), "5.2");
	if (has_into_cgroup())
		check_ok(check, "kernel.clone-into-cgroup", "available");
	else
		check_bad(check, CHECK_WARN, "kernel.clone-into-cgroup", "run Linux 5.7 or newer",
			  "not available: pods start slower on cgroup v2");
	if (has_mount_setattr())
		check_ok(check, "kernel.mount-setattr", "available");
	else
		check_bad(
			check, CHECK_WARN, "kernel.mount-setattr", "run Linux 5.12 or newer",
			"not available: no recursive read-only mounts, no volumes in pods with user namespaces");
}

/* The name as a whole line of /proc/filesystems, whose lines are "[nodev]\tNAME". */
static bool has_filesystem(const struct check *check, const char *name)
{
	CLEANUP(freep) char *text = check_read(check, "/proc/filesystems");
	CLEANUP(strv_done) struct strv lines = STRV_INIT;

	strv_split(&lines, text ? text : "", '\n');
	for (size_t i = 0; i < lines.len; i++) {
		const char *tab = strrchr(lines.items[i], '\t');
		if (tab && str_eq(tab + 1, name))
			return true;
	}
	return false;
}

static void check_overlay(struct check *check)
{
	static const char mend[] =
		"load the module: modprobe overlay, and name it in /etc/modules-load.d/crisp.conf";

	if (has_filesystem(check, "overlay"))
		check_ok(check, "kernel.overlay", "overlay is in /proc/filesystems");
	else
		check_bad(check, CHECK_FAIL, "kernel.overlay", mend, "overlay is not in /proc/filesystems");
}

static void check_user_namespaces(struct check *check)
{
	CLEANUP(freep) char *max = check_read(check, "/proc/sys/user/max_user_namespaces");

	if (!max)
		check_bad(check, CHECK_WARN, "kernel.user-namespaces", "run a kernel with CONFIG_USER_NS",
			  "not available: pods with hostUsers: false can't run");
	else if (str_eq(max, "0"))
		check_bad(check, CHECK_WARN, "kernel.user-namespaces",
			  "sysctl -w user.max_user_namespaces=15000",
			  "user.max_user_namespaces is 0: pods with hostUsers: false can't run");
	else
		check_ok(check, "kernel.user-namespaces", "at most %s", max);
}

static void check_seccomp(struct check *check)
{
	static const char *const needed[] = { "kill_process", "errno", "log", "allow", "user_notif" };
	CLEANUP(freep) char *text = check_read(check, "/proc/sys/kernel/seccomp/actions_avail");
	CLEANUP(strv_done) struct strv actions = STRV_INIT;
	CLEANUP(strv_done) struct strv missing = STRV_INIT;

	strv_split(&actions, text ? text : "", ' ');
	for (size_t i = 0; i < ARRAY_LEN(needed); i++)
		if (!strv_has(&actions, needed[i]))
			strv_add(&missing, needed[i]);
	CLEANUP(freep) char *names = strv_join(&missing, " ");
	if (!text)
		check_bad(check, CHECK_FAIL, "kernel.seccomp", "run a kernel with CONFIG_SECCOMP_FILTER",
			  "not available");
	else if (missing.len)
		check_bad(check, CHECK_WARN, "kernel.seccomp", "run a newer kernel", "lacks the actions: %s",
			  names);
	else
		check_ok(check, "kernel.seccomp", "%s", text);
}

/* The value of a numeric sysctl, 0 when it can't be read. */
static uint64_t sysctl_number(const struct check *check, const char *path)
{
	CLEANUP(freep) char *text = check_read(check, path);
	uint64_t value = 0;

	if (text && !parse_u64(text, UINT64_MAX, &value))
		value = 0;
	return value;
}

/* kubelet, crispd and the workloads of root share the limits of one user. */
static void check_inotify(struct check *check)
{
	uint64_t instances = sysctl_number(check, "/proc/sys/fs/inotify/max_user_instances");
	uint64_t watches = sysctl_number(check, "/proc/sys/fs/inotify/max_user_watches");

	if (instances < 256 || watches < 65536)
		check_bad(check, CHECK_WARN, "kernel.inotify",
			  "sysctl -w fs.inotify.max_user_instances=8192 fs.inotify.max_user_watches=524288",
			  "max_user_instances is %llu, max_user_watches is %llu: a busy node runs out",
			  (unsigned long long)instances, (unsigned long long)watches);
	else
		check_ok(check, "kernel.inotify", "%llu instances, %llu watches",
			 (unsigned long long)instances, (unsigned long long)watches);
}

static void check_lsm(struct check *check)
{
	CLEANUP(freep) char *apparmor = check_read(check, "/sys/module/apparmor/parameters/enabled");
	CLEANUP(freep) char *selinux = check_read(check, "/sys/fs/selinux/enforce");

	if (apparmor && apparmor[0] == 'Y')
		check_ok(check, "kernel.apparmor", "enabled");
	else
		check_ok(check, "kernel.apparmor",
			 "not enabled: pods that ask for an AppArmor profile are refused");
	if (selinux)
		check_ok(check, "kernel.selinux", "%s", str_eq(selinux, "1") ? "enforcing" : "permissive");
	else
		check_ok(check, "kernel.selinux", "not enabled: SELinux options of pods have no effect");
}

void check_kernel(struct check *check)
{
	check_release(check);
	check_calls(check);
	check_overlay(check);
	check_user_namespaces(check);
	check_seccomp(check);
	check_inotify(check);
	check_lsm(check);
}
