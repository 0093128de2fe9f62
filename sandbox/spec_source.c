/*
 * The host's side of a bind mount.
 *
 * A hostPath volume without a type means "whatever is there", and since the first container engines a
 * directory is made when nothing is. Links are resolved here, so that the runtime mounts what was checked.
 * Whether a mount is shared is told by the optional fields of /proc/self/mountinfo ("shared:N", "master:N";
 * proc(5)) of the mount that the path is on, which statx(2) names by its mount id (Linux 5.8); where the
 * kernel does not tell, the longest mount point that is a prefix of the path counts.
 */
#include "sandbox/spec_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

enum { MOUNTINFO_MAX = 64 * 1024 * 1024 };

struct sharing {
	bool shared, slave;
};

/* Reads "shared:" and "master:" among the optional fields, which end with a single "-". */
static struct sharing parse_sharing(char *fields)
{
	struct sharing sharing = { 0 };
	char *rest;

	for (char *field = strtok_r(fields, " ", &rest); field && strcmp(field, "-") != 0;
	     field = strtok_r(NULL, " ", &rest)) {
		sharing.shared = sharing.shared || str_has_prefix(field, "shared:");
		sharing.slave = sharing.slave || str_has_prefix(field, "master:");
	}
	return sharing;
}

/* "\040" stands for a space and so on. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		unsigned int octal;

		if (*from == '\\' && sscanf(from + 1, "%3o", &octal) == 1) {
			*to = (char)octal;
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

/* 0 when the kernel does not tell. */
static uint64_t mount_id_of(const char *path)
{
#ifdef STATX_MNT_ID
	struct statx stx;

	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_MNT_ID, &stx) == 0 &&
	    (stx.stx_mask & STATX_MNT_ID))
		return stx.stx_mnt_id;
#else
	(void)path;
#endif
	return 0;
}

static int read_sharing(const char *path, struct sharing *ret, struct err *err)
{
	CLEANUP(freep) char *text = NULL;
	uint64_t wanted = mount_id_of(path);
	size_t longest = 0;
	char *rest;

	if (file_read_virtual(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text, err) < 0)
		return -1;
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char mount_point[PATH_MAX];
		unsigned long long id;
		int fields = 0;

		if (sscanf(line, "%llu %*s %*s %*s %4095s %*s %n", &id, mount_point, &fields) < 2 || !fields)
			continue;
		unescape(mount_point);
		if (wanted ? id == wanted
			   : path_is_within(path, mount_point) && strlen(mount_point) >= longest) {
			longest = strlen(mount_point);
			*ret = parse_sharing(line + fields);
		}
	}
	return 0;
}

static int check_propagation(const Cri__Mount *mount, const char *path, struct err *err)
{
	struct sharing sharing = { 0 };

	if (mount->propagation == CRI__MOUNT_PROPAGATION__PROPAGATION_PRIVATE)
		return 0;
	if (read_sharing(path, &sharing, err) < 0)
		return -1;
	if (mount->propagation == CRI__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL && !sharing.shared)
		return err_set(err, RPC_FAILED_PRECONDITION, "path %s is not on a shared mount", path);
	if (!sharing.shared && !sharing.slave)
		return err_set(err, RPC_FAILED_PRECONDITION, "path %s is not on a shared or slave mount",
			       path);
	return 0;
}

int spec_source(const Cri__Mount *mount, char **ret, struct err *err)
{
	CLEANUP(freep) char *clean = NULL;
	char *real;

	if (spec_path_clean(mount->host_path, "host_path", &clean, err) < 0)
		return -1;
	real = realpath(clean, NULL);
	if (!real && errno == ENOENT) {
		CLEANUP(fd_closep) int made = dir_make(AT_FDCWD, clean, 0755, err);

		if (made < 0)
			return err_prefix(err, "host_path");
		real = realpath(clean, NULL);
	}
	if (!real)
		return err_set(err, RPC_INVALID_ARGUMENT, "host_path %s: %m", clean);
	if (check_propagation(mount, real, err) < 0) {
		free(real);
		return -1;
	}
	*ret = real;
	return 0;
}
