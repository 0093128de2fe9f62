/*
 * A namespace is pinned by opening /proc/PID/ns/X, making sure afterwards that the process still is the one
 * meant (its pidfd has not ended, so the pid was not reused meanwhile), and bind mounting the descriptor on
 * an empty file. The mount, not the descriptor, keeps the namespace, so it outlives crispd.
 *
 * Unpinning trusts nothing that it finds in the folder: each name is unmounted until the kernel says that it
 * is no mount, then the folder is removed as a tree.
 */
#include "sandbox/namespaces.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/crash.h"
#include "base/file.h"
#include "base/str.h"

enum { STACKED_MOUNTS_MAX = 64 };

static const struct kind {
	enum namespace_kind bit;
	int clone_flag; /* what NS_GET_NSTYPE answers */
	const char *name, *oci_name;
} kinds[] = {
	{ NAMESPACE_NET, CLONE_NEWNET, "net", "network" }, { NAMESPACE_IPC, CLONE_NEWIPC, "ipc", "ipc" },
	{ NAMESPACE_UTS, CLONE_NEWUTS, "uts", "uts" },     { NAMESPACE_PID, CLONE_NEWPID, "pid", "pid" },
	{ NAMESPACE_USER, CLONE_NEWUSER, "user", "user" },
};

static const struct kind *kind_of(enum namespace_kind bit)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].bit == bit)
			return &kinds[i];
	assert(!"one namespace kind");
	return NULL;
}

const char *namespace_name(enum namespace_kind kind)
{
	return kind_of(kind)->name;
}

const char *namespace_oci_name(enum namespace_kind kind)
{
	return kind_of(kind)->oci_name;
}

char *namespace_path(const char *ns_dir, enum namespace_kind kind)
{
	return xasprintf("%s/%s", ns_dir, namespace_name(kind));
}

static int open_namespace(const struct process *process, const struct kind *kind, struct err *err)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)process->pid, kind->name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		err_errno(err, "open %s", path);
	return fd;
}

static int pin(const char *ns_dir, int dir, const struct kind *kind, int fd, struct err *err)
{
	CLEANUP(freep) char *target = namespace_path(ns_dir, kind->bit);
	CLEANUP(fd_closep) int file = openat(dir, kind->name, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	char source[64];

	if (file < 0)
		return err_errno(err, "make %s", target);
	crash_point("namespace.file");
	snprintf(source, sizeof(source), "/proc/self/fd/%d", fd);
	if (mount(source, target, NULL, MS_BIND, NULL) < 0)
		return err_errno(err, "mount %s", target);
	crash_point("namespace.pinned");
	return 0;
}

static int pin_all(const char *ns_dir, const struct process *process, unsigned int set, struct err *err)
{
	CLEANUP(fd_closep) int dir = dir_make(AT_FDCWD, ns_dir, 0700, err);

	if (dir < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (!(set & kinds[i].bit))
			continue;
		CLEANUP(fd_closep) int fd = open_namespace(process, &kinds[i], err);
		if (fd < 0)
			return -1;
		if (!process_alive(process))
			return err_set(err, RPC_UNAVAILABLE, "pin namespaces: process %d has ended",
				       (int)process->pid);
		if (pin(ns_dir, dir, &kinds[i], fd, err) < 0)
			return -1;
	}
	return 0;
}

int namespaces_pin(const char *ns_dir, const struct process *process, unsigned int set, struct err *err)
{
	struct err ignored;

	assert(ns_dir[0] == '/');
	/* Leftovers of a crash: a pod's folder is pinned once. */
	if (namespaces_unpin(ns_dir, err) < 0)
		return -1;
	if (pin_all(ns_dir, process, set, err) < 0) {
		(void)!namespaces_unpin(ns_dir, &ignored); /* the first error is the one to tell */
		return -1;
	}
	return 0;
}

static int unmount_all(const char *ns_dir, const char *name, struct err *err)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", ns_dir, name);

	for (int i = 0; i < STACKED_MOUNTS_MAX; i++) {
		if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
			continue;
		/* EINVAL: no mount (any more). */
		return errno == EINVAL || errno == ENOENT ? 0 : err_errno(err, "unmount %s", path);
	}
	return err_set(err, RPC_INTERNAL, "unmount %s: mounted more than %d times", path, STACKED_MOUNTS_MAX);
}

/* Removes the last component of an absolute path with all below. */
static int remove_dir(const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	CLEANUP(freep) char *parent = slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
	CLEANUP(fd_closep) int dir = dir_open(AT_FDCWD, parent, err);

	return dir < 0 ? -1 : tree_remove(dir, slash + 1, err);
}

int namespaces_unpin(const char *ns_dir, struct err *err)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	struct err why;

	assert(ns_dir[0] == '/');
	if (dir_list(AT_FDCWD, ns_dir, &names, &why) < 0) {
		if (why.code == RPC_NOT_FOUND)
			return 0;
		return err_set(err, why.code, "unpin namespaces: %s", why.text);
	}
	for (size_t i = 0; i < names.len; i++)
		if (unmount_all(ns_dir, names.items[i], err) < 0 || crash_point("namespace.unpinned"))
			return -1;
	return remove_dir(ns_dir, err);
}

bool namespace_pinned(const char *ns_dir, enum namespace_kind bit)
{
	const struct kind *kind = kind_of(bit);
	CLEANUP(freep) char *path = namespace_path(ns_dir, bit);
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY);
	struct statfs fs;

	return fd >= 0 && fstatfs(fd, &fs) == 0 && (unsigned long)fs.f_type == NSFS_MAGIC &&
	       ioctl(fd, NS_GET_NSTYPE) == kind->clone_flag;
}

/* Kubernetes' list: https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/, in the kernel's
 * terms the tables with a namespace of their own. '.' here stands for '.' or '/' in the key. */
static bool key_matches(const char *key, const char *pattern, bool whole)
{
	size_t i = 0;

	for (; pattern[i]; i++)
		if (key[i] != pattern[i] && !(pattern[i] == '.' && key[i] == '/'))
			return false;
	return !whole || key[i] == '\0';
}

unsigned int namespace_of_sysctl(const char *key)
{
	static const struct {
		const char *pattern;
		bool whole;
		enum namespace_kind kind;
	} rules[] = {
		{ "net.", false, NAMESPACE_NET },       { "kernel.shm", false, NAMESPACE_IPC },
		{ "kernel.msg", false, NAMESPACE_IPC }, { "kernel.sem", true, NAMESPACE_IPC },
		{ "fs.mqueue.", false, NAMESPACE_IPC }, { "kernel.domainname", true, NAMESPACE_UTS },
	};

	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (key_matches(key, rules[i].pattern, rules[i].whole))
			return rules[i].kind;
	return 0;
}
