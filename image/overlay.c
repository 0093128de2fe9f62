/*
 * The new mount API first: each lower directory is one fsconfig() call (lowerdir+, Linux 6.8), so neither the
 * page that mount(2) copies its options from nor ':' and ',' in paths matter. Where that fails (before
 * 6.5, fsconfig() takes any option and the kernel complains only at the end), all options go in one string to
 * mount(2), with directories named as /proc/self/fd/N: short, and without characters that need quoting.
 *
 * overlayfs wants two lower directories for a read-only mount; with one it is a read-only bind mount of it
 * instead.
 */
#include "image/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"

enum {
	LOWERS_MAX = 500,
	VALUE_MAX = 255,    /* fsconfig() takes strings below 256 bytes */
	OPTIONS_MAX = 4095, /* mount(2) copies one page */
};

static int fs_open(const char *type)
{
	return (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
}

static int fs_set(int fs, const char *key, const char *value)
{
	return (int)syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0);
}

static int fs_flag(int fs, const char *key)
{
	return (int)syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, key, NULL, 0);
}

static int fs_mount(int fs, unsigned int attributes)
{
	if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	return (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes);
}

/* Sets a directory option; a path too long for fsconfig() goes by way of an fd, kept open in *fd. */
static int set_dir(int fs, const char *key, const char *path, int *fd)
{
	char name[64];

	if (strlen(path) <= VALUE_MAX)
		return fs_set(fs, key, path);
	*fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0)
		return -1;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", *fd);
	return fs_set(fs, key, name);
}

static int attach(int mounted, const char *target, struct err *err)
{
	if (syscall(SYS_move_mount, mounted, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_errno(err, "attach overlay at %s", target);
	return 0;
}

/* overlayfs explains itself in the context's log: "e <text>". */
static int fs_error(int fs, const char *what, struct err *err)
{
	int error = errno;
	char text[512];
	ssize_t n = read(fs, text, sizeof(text) - 1);

	errno = error;
	if (n <= 2)
		return err_errno(err, "overlay: %s", what);
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return err_errno(err, "overlay: %s: %s", what, text + 2);
}

static int set_lowers(int fs, const struct strv *lowers, struct err *err)
{
	for (size_t i = 0; i < lowers->len; i++) {
		CLEANUP(fd_closep) int fd = -1;

		if (set_dir(fs, "lowerdir+", lowers->items[i], &fd) < 0)
			return fs_error(fs, lowers->items[i], err);
	}
	return 0;
}

static int set_upper(int fs, const struct overlay_mount *mount, struct err *err)
{
	CLEANUP(fd_closep) int upper = -1;
	CLEANUP(fd_closep) int work = -1;

	if (set_dir(fs, "upperdir", mount->upper, &upper) < 0)
		return fs_error(fs, mount->upper, err);
	if (set_dir(fs, "workdir", mount->work, &work) < 0)
		return fs_error(fs, mount->work, err);
	if (fs_flag(fs, "volatile") < 0 && errno != EINVAL) /* unknown before Linux 5.10 */
		return fs_error(fs, "volatile", err);
	return 0;
}

/* *ret_old: the failure may be that of a kernel which does not know enough of this. */
static int mount_new(const struct overlay_mount *mount, bool *ret_old, struct err *err)
{
	CLEANUP(fd_closep) int fs = fs_open("overlay");
	CLEANUP(fd_closep) int mounted = -1;

	*ret_old = true;
	if (fs < 0)
		return err_errno(err, "open overlay filesystem");
	if (set_lowers(fs, mount->lowers, err) < 0 || (mount->upper && set_upper(fs, mount, err) < 0))
		return -1;
	if (mount->context && fs_set(fs, "context", mount->context) < 0)
		return fs_error(fs, mount->context, err);
	mounted = fs_mount(fs, mount->upper ? 0 : MOUNT_ATTR_RDONLY);
	if (mounted < 0)
		return fs_error(fs, mount->target, err);
	*ret_old = false;
	return attach(mounted, mount->target, err);
}

struct fds {
	int items[LOWERS_MAX + 2];
	size_t len;
};

static void fds_done(struct fds *fds)
{
	for (size_t i = 0; i < fds->len; i++)
		close(fds->items[i]);
}

static int add_dir(struct str *options, const char *before, const char *path, struct fds *fds,
		   struct err *err)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(err, "overlay: %s", path);
	fds->items[fds->len++] = fd;
	str_addf(options, "%s/proc/self/fd/%d", before, fd);
	return 0;
}

static int mount_old(const struct overlay_mount *mount, bool with_volatile, struct err *err)
{
	CLEANUP(str_done) struct str options = STR_LIMIT(OPTIONS_MAX);
	CLEANUP(fds_done) struct fds fds = { .len = 0 };

	for (size_t i = 0; i < mount->lowers->len; i++)
		if (add_dir(&options, i ? ":" : "lowerdir=", mount->lowers->items[i], &fds, err) < 0)
			return -1;
	if (mount->upper && (add_dir(&options, ",upperdir=", mount->upper, &fds, err) < 0 ||
			     add_dir(&options, ",workdir=", mount->work, &fds, err) < 0))
		return -1;
	if (mount->upper && with_volatile)
		str_add(&options, ",volatile");
	if (mount->context)
		str_addf(&options, ",context=\"%s\"", mount->context);
	if (options.failed)
		return err_set(err, RPC_FAILED_PRECONDITION,
			       "overlay: %zu layers are more than this kernel can mount", mount->lowers->len);
	if (syscall(SYS_mount, "overlay", mount->target, "overlay", mount->upper ? 0 : MS_RDONLY,
		    str_get(&options)) < 0)
		return err_errno(err, "overlay: mount at %s", mount->target);
	return 0;
}

static int bind_readonly(const char *from, const char *target, struct err *err)
{
	struct mount_attr attributes = { .attr_set = MOUNT_ATTR_RDONLY };
	CLEANUP(fd_closep)
	int mounted = (int)syscall(SYS_open_tree, AT_FDCWD, from, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (mounted < 0)
		return err_errno(err, "bind %s", from);
	if (syscall(SYS_mount_setattr, mounted, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0)
		return err_errno(err, "make the mount of %s read-only", from);
	return attach(mounted, target, err);
}

int overlay_mount(const struct overlay_mount *mount, struct err *err)
{
	struct err with_new, with_old;
	bool old;

	if (mount->lowers->len == 0 || mount->lowers->len > LOWERS_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "overlay: %zu lower directories",
			       mount->lowers->len);
	if (!mount->upper && mount->lowers->len == 1)
		return bind_readonly(mount->lowers->items[0], mount->target, err);
	if (mount_new(mount, &old, &with_new) == 0)
		return 0;
	if (!old)
		return err_set(err, with_new.code, "%s", with_new.text);
	/* "volatile" may be what mount(2) does not like. */
	if (mount_old(mount, true, &with_old) == 0 || mount_old(mount, false, &with_old) == 0)
		return 0;
	return err_set(err, with_old.code, "%s; fsmount: %s", with_old.text, with_new.text);
}

int overlay_unmount(const char *target, struct err *err)
{
	if (umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || errno == EINVAL || errno == ENOENT)
		return 0;
	return err_errno(err, "unmount %s", target);
}

bool overlay_mounted(const char *target)
{
	struct statx stx;

	return statx(AT_FDCWD, target, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &stx) == 0 &&
	       (stx.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) &&
	       (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

int overlay_reuse_work(const char *work, struct err *err)
{
	CLEANUP(freep) char *inner = xasprintf("%s/work", work);
	CLEANUP(fd_closep) int dir = open(inner, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir < 0)
		return errno == ENOENT ? 0 : err_errno(err, "open %s", inner);
	return tree_remove(dir, "incompat", err);
}
