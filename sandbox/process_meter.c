/*
 * A descriptor is a link in /proc/PID/fd; what it leads to begins with "socket:" for a socket (proc(5)). Huge
 * page sizes are the folders of /sys/kernel/mm/hugepages (kernel
 * Documentation/admin-guide/mm/hugetlbpage.rst), named by their number of KiB; the files of cgroups write
 * them with the largest unit that divides them.
 */
#include "sandbox/process_meter.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "sandbox/cgroup_hierarchy.h"
#include "sandbox/cgroup_text.h"

enum { TEXT_MAX = 1024 * 1024, LIMITS_MAX = 16 * 1024 };

static void dir_closep(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* Takes over fd, which may be -1. */
static DIR *dir_take(int fd)
{
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir)
		fd_close(fd);
	return dir;
}

static int cgroup_dir(const struct cgroups *cgroups, const char *controller, const char *path)
{
	const struct cgroup_hierarchy *hierarchy = cgroup_hierarchy_of(cgroups, controller);

	return hierarchy ? cgroup_hierarchy_open(hierarchy, path) : -1;
}

/* ---- descriptors ---- */

static bool is_socket(int dir, const char *name)
{
	static const char start[] = "socket:";
	char target[sizeof(start)];
	ssize_t len = readlinkat(dir, name, target, sizeof(start) - 1);

	return len == (ssize_t)sizeof(start) - 1 && memcmp(target, start, sizeof(start) - 1) == 0;
}

/* False: there are too many. */
static bool add_process(uint64_t pid, struct process_usage *usage)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%llu/fd", (unsigned long long)pid);
	CLEANUP(dir_closep) DIR *dir = dir_take(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (!dir)
		return true; /* it has ended */
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (entry->d_name[0] == '.')
			continue;
		if (usage->descriptors == PROCESS_DESCRIPTORS_MAX)
			return false;
		usage->descriptors++;
		usage->sockets += is_socket(dirfd(dir), entry->d_name);
	}
	return true;
}

bool process_usage_read(const struct cgroups *cgroups, const char *path, struct process_usage *ret)
{
	CLEANUP(fd_closep) int dir = cgroup_dir(cgroups, "pids", path);
	struct process_usage usage = { 0 };
	CLEANUP(freep) char *text = NULL;
	struct err ignored;

	if (dir < 0 || file_read_virtual(dir, "cgroup.procs", TEXT_MAX, &text, &ignored) < 0)
		return false;
	for (char *rest = text, *line; (line = strtok_r(rest, "\n", &rest));) {
		uint64_t pid;

		if (parse_u64(line, INT32_MAX, &pid) && pid && !add_process(pid, &usage))
			return false;
	}
	*ret = usage;
	return usage.descriptors > 0;
}

/* ---- limits ---- */

bool process_files_max(const struct process *process, uint64_t *ret)
{
	static const char name[] = "\nMax open files";
	CLEANUP(freep) char *text = NULL;
	char path[64], value[32] = "";
	struct err ignored;

	snprintf(path, sizeof(path), "/proc/%d/limits", (int)process->pid);
	if (process->pidfd < 0 || file_read_virtual(AT_FDCWD, path, LIMITS_MAX, &text, &ignored) < 0)
		return false;
	/* Asked after reading: then the text was not another's. */
	const char *line = process_alive(process) ? strstr(text, name) : NULL;
	if (!line || sscanf(line + sizeof(name) - 1, "%31s", value) != 1)
		return false;
	if (str_eq(value, "unlimited")) {
		*ret = UINT64_MAX;
		return true;
	}
	return parse_u64(value, UINT64_MAX, ret);
}

/* ---- huge pages ---- */

/* "hugepages-2048kB" is "2MB"; false: not such a name. */
static bool size_name(const char *folder, char *ret)
{
	static const char start[] = "hugepages-";
	uint64_t kib;
	char digits[24] = "";

	if (!str_has_prefix(folder, start) || sscanf(folder + sizeof(start) - 1, "%20[0-9]kB", digits) != 1 ||
	    !parse_u64(digits, UINT32_MAX, &kib) || !kib)
		return false;
	unsigned int size = (unsigned int)kib;
	if (size % (1024 * 1024) == 0)
		snprintf(ret, HUGE_SIZE_LEN, "%uGB", size / (1024 * 1024));
	else if (size % 1024 == 0)
		snprintf(ret, HUGE_SIZE_LEN, "%uMB", size / 1024);
	else
		snprintf(ret, HUGE_SIZE_LEN, "%uKB", size);
	return true;
}

static bool read_number(int dir, const char *size, const char *what, uint64_t *ret)
{
	CLEANUP(freep) char *text = NULL;
	char name[64];
	struct err ignored;

	snprintf(name, sizeof(name), "hugetlb.%s.%s", size, what);
	return file_read_virtual(dir, name, 64, &text, &ignored) == 0 && cgroup_text_number(text, ret);
}

static bool read_size(int dir, bool v2, struct huge_size *size)
{
	if (!read_number(dir, size->size, v2 ? "current" : "usage_in_bytes", &size->bytes))
		return false;
	size->has_max = !v2 && read_number(dir, size->size, "max_usage_in_bytes", &size->bytes_max);
	return true;
}

void huge_usage_read(const struct cgroups *cgroups, const char *path, struct huge_usage *ret)
{
	CLEANUP(fd_closep) int cgroup = cgroup_dir(cgroups, "hugetlb", path);
	CLEANUP(dir_closep) DIR *sizes = cgroup < 0 ? NULL : opendir("/sys/kernel/mm/hugepages");

	ret->len = 0;
	for (struct dirent *entry; sizes && ret->len < HUGE_SIZES_MAX && (entry = readdir(sizes));) {
		struct huge_size *size = &ret->items[ret->len];

		*size = (struct huge_size){ 0 };
		if (size_name(entry->d_name, size->size) &&
		    read_size(cgroup, cgroups_view(cgroups) == CGROUP_VIEW_V2, size))
			ret->len++;
	}
}
