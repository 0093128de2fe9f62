/*
 * Where state will lie. Overlay is tried for real, without a mount: fsconfig(FSCONFIG_CMD_CREATE) makes the
 * file system's superblock from a lower, an upper and a work directory, which is where every objection to the
 * file system below is raised, and closing the descriptor throws it away again. Before crisp's root exists,
 * the nearest directory above it stands for it.
 */
#include "config/check_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/id.h"

static const char *type_name(long type)
{
	switch ((unsigned long)type) {
	case EXT4_SUPER_MAGIC:
		return "ext4";
	case XFS_SUPER_MAGIC:
		return "xfs";
	case BTRFS_SUPER_MAGIC:
		return "btrfs";
	case TMPFS_MAGIC:
		return "tmpfs";
	case OVERLAYFS_SUPER_MAGIC:
		return "overlay";
	case NFS_SUPER_MAGIC:
		return "nfs";
	case FUSE_SUPER_MAGIC:
		return "fuse";
	case F2FS_SUPER_MAGIC:
		return "f2fs";
	case V9FS_MAGIC:
		return "9p";
	case 0x2fc12fc1UL:
		return "zfs";
	default:
		return "an unknown file system";
	}
}

/* The path itself, or the nearest directory above it that exists; malloc'd. */
static char *existing(const char *path)
{
	char *dir = xstrdup(path);

	while (strlen(dir) > 1) {
		struct stat st;
		if (stat(dir, &st) == 0 && S_ISDIR(st.st_mode))
			break;
		char *slash = strrchr(dir, '/');
		slash[slash == dir] = '\0'; /* "/x" becomes "/" */
	}
	return dir;
}

/* What the kernel says about a failed fsconfig, "e overlay: ..." (fsopen(2)); "" when it says nothing. */
static void read_complaint(int fs, char *text, size_t size)
{
	ssize_t n = read(fs, text, size - 1);

	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

static int set_path(int fs, const char *key, int dir, const char *name)
{
	CLEANUP(freep) char *path = xasprintf("/proc/self/fd/%d/%s", dir, name);

	return fsconfig(fs, FSCONFIG_SET_STRING, key, path, 0);
}

/* dir holds lower, upper and work. 0, or -1 with errno and the kernel's complaint. */
static int try_overlay(int dir, char *complaint, size_t size)
{
	CLEANUP(fd_closep) int fs = fsopen("overlay", FSOPEN_CLOEXEC);

	complaint[0] = '\0';
	if (fs < 0)
		return -1;
	if (set_path(fs, "lowerdir", dir, "lower") == 0 && set_path(fs, "upperdir", dir, "upper") == 0 &&
	    set_path(fs, "workdir", dir, "work") == 0 &&
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		return 0;
	int saved = errno;
	read_complaint(fs, complaint, size);
	errno = saved;
	return -1;
}

static int make_trial(int parent, const char *name)
{
	if (mkdirat(parent, name, 0700) < 0)
		return -1;
	CLEANUP(fd_closep) int dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 || mkdirat(dir, "lower", 0700) < 0 || mkdirat(dir, "upper", 0700) < 0 ||
	    mkdirat(dir, "work", 0700) < 0)
		return -1;
	return TAKE_FD(dir);
}

static void report_overlay(struct check *check, const char *where, const char *type, const char *complaint)
{
	int error = errno;

	if (error == EPERM)
		check_bad(check, CHECK_WARN, "storage.overlay", "run the check as root",
			  "can't be tried without SYS_ADMIN");
	else if (error == ENODEV || error == ENOSYS)
		check_bad(check, CHECK_FAIL, "storage.overlay", "modprobe overlay",
			  "the kernel has no overlay");
	else
		check_bad(check, CHECK_FAIL, "storage.overlay",
			  "put crisp's root on ext4, xfs (with ftype=1) or btrfs: the key root in [crisp]",
			  "does not work on %s (%s): %s%s%s", where, type, strerror(error),
			  *complaint ? ": " : "", complaint);
}

static void check_overlay_on(struct check *check, const char *where, const char *type)
{
	char id[ID_SIZE], complaint[256];
	CLEANUP(fd_closep) int parent = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	id_new(id);
	CLEANUP(freep) char *name = xasprintf(".crisp-check-%.12s", id);
	int dir = parent < 0 ? -1 : make_trial(parent, name);
	if (dir < 0) {
		check_bad(check, CHECK_FAIL, "storage.overlay",
			  "run as root, on a file system that can be written", "%s can't be written: %s",
			  where, strerror(errno));
	} else if (try_overlay(dir, complaint, sizeof(complaint)) < 0) {
		report_overlay(check, where, type, complaint);
	} else {
		check_ok(check, "storage.overlay", "works on %s (%s)", where, type);
	}
	fd_close(dir);
	if (parent >= 0 && tree_remove(parent, name, NULL) < 0)
		check_bad(check, CHECK_WARN, "storage.leftover", "remove it", "%s/%s could not be removed",
			  where, name);
}

static void check_runroot(struct check *check)
{
	CLEANUP(freep) char *where = existing(check->config->runroot);
	struct statfs fs = { 0 };

	statfs(where, &fs);
	if (fs.f_type == TMPFS_MAGIC)
		check_ok(check, "storage.runroot", "%s is on tmpfs", check->config->runroot);
	else
		check_bad(check, CHECK_WARN, "storage.runroot",
			  "set runroot in [crisp] to a directory on a tmpfs, as /run is",
			  "%s is on %s: a reboot can't be told from a restart", check->config->runroot,
			  type_name((long)fs.f_type));
}

void check_storage(struct check *check)
{
	CLEANUP(freep) char *where = existing(check->config->root);
	struct statfs fs = { 0 };

	statfs(where, &fs);
	check_overlay_on(check, where, type_name((long)fs.f_type));
	check_runroot(check);
}
