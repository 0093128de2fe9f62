/*
 * Devices: those of the request, and for privileged containers all of the host's.
 *
 * A device is looked at once, by stat(2) through its resolved path, and written as type and number: nothing
 * of the host's /dev is bound into the container. A request may name a directory, meaning every device in it.
 * Access starts from "deny all"; the OCI runtime adds the handful that every container needs (runtime-spec
 * config-linux.md, "Default Devices").
 */
#include "sandbox/spec_parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/file.h"

enum { REQUESTED_MAX = 1024, FOUND_MAX = 16384, DEPTH_MAX = 8 };

struct found { /* devices under construction */
	struct spec_context *context;
	json_t *devices, *rules;
	const char *access; /* NULL: no rule for each */
	size_t count;
};

static bool valid_access(const char *access)
{
	return *access && strspn(access, "rwm") == strlen(access) && strlen(access) <= 3;
}

int spec_devices_check(const struct spec_input *input, struct err *err)
{
	const Cri__ContainerConfig *config = input->config;

	if (config->n_devices > REQUESTED_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "more than %d devices", REQUESTED_MAX);
	for (size_t i = 0; i < config->n_devices; i++) {
		const Cri__Device *device = config->devices[i];

		if (spec_path_clean(device->host_path, "host_path", NULL, err) < 0 ||
		    (!str_empty(device->container_path) &&
		     spec_path_clean(device->container_path, "container_path", NULL, err) < 0))
			return err_prefix(err, "devices[%zu]", i);
		if (!valid_access(device->permissions))
			return err_set(err, RPC_INVALID_ARGUMENT,
				       "devices[%zu]: permissions are not made of r, w and m", i);
	}
	return 0;
}

static bool is_device(const struct stat *st)
{
	return S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);
}

/* Whose a device is in the container: the host's owner, or, where the configuration says so, the user and
 * group that the request names (https://kubernetes.io/blog/2021/11/09/non-root-containers-and-devices/). */
static void owner(const struct found *found, const struct stat *st, json_int_t *ret_uid, json_int_t *ret_gid)
{
	const struct spec_input *input = found->context->input;
	const Cri__LinuxContainerSecurityContext *security = found->context->security;
	bool asked =
		found->access && security && input->settings->runtime.device_ownership_from_security_context;

	*ret_uid = asked && security->run_as_user ? security->run_as_user->value : st->st_uid;
	*ret_gid = asked && security->run_as_group ? security->run_as_group->value : st->st_gid;
}

static void add_device(struct found *found, const char *path, const struct stat *st)
{
	const char *type = S_ISCHR(st->st_mode) ? "c" : "b";
	json_int_t major_number = major(st->st_rdev), minor_number = minor(st->st_rdev);
	json_int_t uid, gid;

	owner(found, st, &uid, &gid);
	json_array_append_new(found->devices,
			      json_pack("{s:o, s:s, s:I, s:I, s:I, s:I, s:I}", "path",
					spec_text(found->context, path), "type", type, "major", major_number,
					"minor", minor_number, "fileMode", (json_int_t)(st->st_mode & 0777),
					"uid", uid, "gid", gid));
	found->count++;
	if (found->access)
		json_array_append_new(found->rules, json_pack("{s:b, s:s, s:I, s:I, s:s}", "allow", 1, "type",
							      type, "major", major_number, "minor",
							      minor_number, "access", found->access));
}

static void closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* What a container has of its own, or what is no device. */
static bool is_skipped(const char *name)
{
	static const char *const skipped[] = { "pts",     "shm",  "fd",          "mqueue",
					       "console", ".lxc", ".lxd-mounts", ".udev" };

	for (size_t i = 0; i < ARRAY_LEN(skipped); i++)
		if (str_eq(name, skipped[i]))
			return true;
	return false;
}

/* Devices below an opened directory (taken), told as path/name. */
static int walk(struct found *found, int fd, const char *path, int depth, struct err *err)
{
	CLEANUP(closedirp) DIR *dir = fdopendir(fd);
	const struct dirent *entry;

	if (!dir) {
		fd_close(fd);
		return err_errno(err, "read %s", path);
	}
	while ((entry = readdir(dir))) {
		CLEANUP(freep) char *full = xasprintf("%s/%s", path, entry->d_name);
		struct stat st;
		int below;

		if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, "..") || is_skipped(entry->d_name) ||
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (found->count >= FOUND_MAX)
			return err_set(err, RPC_INVALID_ARGUMENT, "more than %d devices in %s", FOUND_MAX,
				       path);
		if (is_device(&st))
			add_device(found, full, &st);
		if (!S_ISDIR(st.st_mode) || depth >= DEPTH_MAX)
			continue;
		below = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below >= 0 && walk(found, below, full, depth + 1, err) < 0)
			return -1;
	}
	return 0;
}

static int add_requested(struct found *found, const Cri__Device *device, struct err *err)
{
	const char *inside = str_empty(device->container_path) ? device->host_path : device->container_path;
	CLEANUP(freep) char *path = NULL;
	struct stat st;
	int dir;

	if (spec_path_clean(inside, "container_path", &path, err) < 0)
		return -1;
	if (stat(device->host_path, &st) < 0)
		return err_set(err, RPC_INVALID_ARGUMENT, "device %s: %m", device->host_path);
	found->access = device->permissions;
	if (is_device(&st)) {
		add_device(found, path, &st);
		return 0;
	}
	if (!S_ISDIR(st.st_mode))
		return err_set(err, RPC_INVALID_ARGUMENT, "%s is not a device", device->host_path);
	dir = open(device->host_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_errno(err, "open %s", device->host_path);
	return walk(found, dir, path, 0, err);
}

static bool wants_host_devices(const struct spec_context *context)
{
	const struct spec_input *input = context->input;
	const struct config_runtime *runtime = config_find_runtime(input->settings, input->handler->name);

	return context->privileged && !(runtime && runtime->privileged_without_host_devices);
}

int spec_devices(struct spec_context *context, json_t *devices, json_t *rules, struct err *err)
{
	const Cri__ContainerConfig *config = context->input->config;
	struct found found = { .context = context, .devices = devices, .rules = rules };

	if (wants_host_devices(context)) {
		int dev = open("/dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		json_array_append_new(rules, json_pack("{s:b, s:s}", "allow", 1, "access", "rwm"));
		if (dev < 0)
			return err_errno(err, "open /dev");
		if (walk(&found, dev, "/dev", 0, err) < 0)
			return -1;
	} else {
		json_array_append_new(rules, json_pack("{s:b, s:s}", "allow", 0, "access", "rwm"));
	}
	for (size_t i = 0; i < config->n_devices; i++)
		if (add_requested(&found, config->devices[i], err) < 0)
			return err_prefix(err, "devices[%zu]", i);
	return 0;
}
