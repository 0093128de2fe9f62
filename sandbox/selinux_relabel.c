/*
 * Relabelling. Whoever has the volume may change it meanwhile, so each file is first opened (O_PATH, no link
 * followed) and then labelled by that descriptor: fsetxattr(2) refuses such descriptors, their name in
 * /proc/self/fd is the file itself, also of a link. A label that is right already is left alone.
 */
#include "sandbox/selinux.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/file.h"
#include "base/str.h"

enum { DEPTH_MAX = 128 };

static const char attribute[] = "security.selinux";

/* The list that container engines share. */
static const char *const forbidden[] = { "/",           "/bin",     "/boot",       "/dev",    "/etc",
					 "/etc/passwd", "/etc/pki", "/etc/shadow", "/home",   "/lib",
					 "/lib64",      "/media",   "/opt",        "/proc",   "/root",
					 "/run",        "/sbin",    "/srv",        "/sys",    "/tmp",
					 "/usr",        "/var",     "/var/lib",    "/var/log" };

static bool has_label(const char *path, const char *label)
{
	char now[SELINUX_LABEL_MAX + 2];
	ssize_t len = getxattr(path, attribute, now, sizeof(now) - 1);

	if (len < 0)
		return false;
	now[len] = '\0';
	return str_eq(now, label);
}

static int label_open(int fd, const char *label, const char *what, struct err *err)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (has_label(path, label) || setxattr(path, attribute, label, strlen(label) + 1, 0) == 0 ||
	    errno == EOPNOTSUPP)
		return 0;
	return err_errno(err, "SELinux label of %s", what);
}

int selinux_label(int dir, const char *name, const char *label, struct err *err)
{
	CLEANUP(fd_closep) int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? err_errno(err, "open %s", name) : label_open(fd, label, name, err);
}

static void close_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static int relabel_in(int above, const char *name, const char *label, int depth, struct err *err);

static int relabel_entries(int fd, const char *label, int depth, struct err *err)
{
	int readable = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(close_dir) DIR *dir = readable < 0 ? NULL : fdopendir(readable);
	const struct dirent *entry;

	if (!dir) {
		fd_close(readable);
		return err_errno(err, "read a folder of the volume");
	}
	if (depth >= DEPTH_MAX)
		return err_set(err, RPC_FAILED_PRECONDITION,
			       "folders of the volume are nested deeper than %d", DEPTH_MAX);
	while ((entry = readdir(dir)))
		if (!str_eq(entry->d_name, ".") && !str_eq(entry->d_name, "..") &&
		    relabel_in(fd, entry->d_name, label, depth + 1, err) < 0)
			return -1;
	return 0;
}

static int relabel_in(int above, const char *name, const char *label, int depth, struct err *err)
{
	CLEANUP(fd_closep) int fd = openat(above, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return errno == ENOENT && depth ? 0 : err_errno(err, "open %s", name);
	if (label_open(fd, label, name, err) < 0)
		return -1;
	if (fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode))
		return 0;
	return relabel_entries(fd, label, depth, err);
}

int selinux_relabel(const char *path, const char *label, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(forbidden); i++)
		if (str_eq(path, forbidden[i]))
			return err_set(err, RPC_INVALID_ARGUMENT,
				       "SELinux: %s may not be relabelled: it is not a volume's alone", path);
	return relabel_in(AT_FDCWD, path, label, 0, err);
}
