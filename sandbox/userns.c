/* See userns.h. */
#include "sandbox/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "config/program.h"

bool userns_of(const Cri__UserNamespace *options, struct userns *ret)
{
	if (!options || options->mode != CRI__NAMESPACE_MODE__POD)
		return false;
	const Cri__IDMapping *uids = options->uids[0], *gids = options->gids[0];

	ret->uids = (struct userns_range){ uids->container_id, uids->host_id, uids->length };
	ret->gids = (struct userns_range){ gids->container_id, gids->host_id, gids->length };
	return true;
}

static int check_range(const Cri__IDMapping *range, const char *what, struct err *err)
{
	const uint64_t end = UINT64_C(1) << 32;

	if (range->length == 0 || (uint64_t)range->host_id + range->length >= end ||
	    (uint64_t)range->container_id + range->length >= end)
		return err_set(err, RPC_INVALID_ARGUMENT, "%s mapping %u:%u of length %u is out of range",
			       what, range->container_id, range->host_id, range->length);
	if (range->container_id != 0)
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "%s mapping does not begin with id 0 of the container", what);
	if (range->host_id == 0)
		return err_set(err, RPC_INVALID_ARGUMENT, "%s mapping has the host's id 0 in it", what);
	return 0;
}

int userns_check(const Cri__UserNamespace *options, struct err *err)
{
	if (!options)
		return 0;
	if (options->mode == CRI__NAMESPACE_MODE__NODE && (options->n_uids || options->n_gids))
		return err_set(err, RPC_INVALID_ARGUMENT, "user namespace mode NODE takes no mappings");
	if (options->mode == CRI__NAMESPACE_MODE__NODE)
		return 0;
	if (options->mode != CRI__NAMESPACE_MODE__POD)
		return err_set(err, RPC_INVALID_ARGUMENT, "user namespace mode of a pod is POD or NODE");
	if (options->n_uids != 1 || options->n_gids != 1)
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "a user namespace takes exactly one uid and one gid mapping");
	if (check_range(options->uids[0], "uid", err) < 0)
		return -1;
	return check_range(options->gids[0], "gid", err);
}

static bool range_equal(const struct userns_range *a, const struct userns_range *b)
{
	return a->container == b->container && a->host == b->host && a->length == b->length;
}

bool userns_equal(const Cri__UserNamespace *a, const Cri__UserNamespace *b)
{
	struct userns left = { 0 }, right = { 0 }; /* no range has length 0 */

	userns_of(a, &left);
	userns_of(b, &right);
	return range_equal(&left.uids, &right.uids) && range_equal(&left.gids, &right.gids);
}

uid_t userns_root_uid(const struct userns *userns)
{
	return userns->uids.host;
}

gid_t userns_root_gid(const struct userns *userns)
{
	return userns->gids.host;
}

int userns_check_id(const struct userns_range *range, uint32_t id, const char *what, struct err *err)
{
	if (id >= range->container && id - range->container < range->length)
		return 0;
	return err_set(err, RPC_INVALID_ARGUMENT,
		       "%s %u is not mapped in the pod's user namespace (%u ids from %u)", what, id,
		       range->length, range->container);
}

static int write_map(const struct process *process, const char *name, const struct userns_range *range,
		     struct err *err)
{
	char path[64], line[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)process->pid, name);
	snprintf(line, sizeof(line), "%u %u %u\n", range->container, range->host, range->length);
	CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 ||
	    !process_alive(process)) /* opened first: it is this process's file, not a successor's */
		return err_set(err, RPC_UNAVAILABLE, "write %s: the process has ended", name);
	/* The kernel takes a map in one write only. */
	if (write(fd, line, strlen(line)) != (ssize_t)strlen(line))
		return err_errno(err, "write %s", path);
	return 0;
}

int userns_write_maps(const struct userns *userns, const struct process *process, struct err *err)
{
	if (write_map(process, "uid_map", &userns->uids, err) < 0)
		return -1;
	return write_map(process, "gid_map", &userns->gids, err);
}

int userns_mount_mapped(const char *source, const char *ns, const char *target, struct err *err)
{
	CLEANUP(fd_closep) int made = dir_make(AT_FDCWD, target, 0700, err);
	if (made < 0)
		return -1;
	CLEANUP(fd_closep) int userns = open(ns, O_RDONLY | O_CLOEXEC);
	if (userns < 0)
		return err_errno(err, "open %s", ns);
	CLEANUP(fd_closep)
	int tree = (int)syscall(SYS_open_tree, AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	struct mount_attr attributes = {
		.attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV,
		.userns_fd = (uint64_t)userns,
	};
	if (tree < 0)
		return err_errno(err, "clone the mount of %s", source);
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0) {
		if (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)
			return err_set(err, RPC_FAILED_PRECONDITION,
				       "the file system of %s cannot be mounted with mapped ids", source);
		return err_errno(err, "map the ids of %s", source);
	}
	if (syscall(SYS_move_mount, tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_errno(err, "mount %s", target);
	return 0;
}

static bool switched_off(void)
{
	CLEANUP(freep) char *max = NULL;
	struct err ignored;

	return file_read_virtual(AT_FDCWD, "/proc/sys/user/max_user_namespaces", 64, &max, &ignored) < 0 ||
	       str_eq(max, "0\n");
}

bool userns_supported(void)
{
	return kernel_at_least(5, 19) && !switched_off();
}
