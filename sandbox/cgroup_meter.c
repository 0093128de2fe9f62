/*
 * The kept files are a shared set: a reading holds a reference to it, so that closing, at any time, only
 * means that the last reading closes. Reading from the start of an open cgroup file gives what it says now;
 * of a removed cgroup it fails (ENODEV).
 */
#include "sandbox/cgroup_meter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "sandbox/cgroup_hierarchy.h"

enum {
	DESCRIPTORS_MAX = 4096, /* each costs the kernel about 5 KiB: a page of what was read last */
	TEXT_MAX = 16384,       /* of a kept file: memory.stat has about 2 KiB */
	LONG_TEXT_MAX = 1024 * 1024,
};

struct meter_file {
	const char *controller; /* v1; NULL: v1 does not have it */
	const char *v1, *v2;    /* NULL: not in this view */
	bool kept;
};

static const struct meter_file table[CGROUP_ITEMS] = {
	[CGROUP_ITEM_CPU] = { "cpuacct", "cpuacct.usage", "cpu.stat", true },
	[CGROUP_ITEM_CPU_USER] = { "cpuacct", "cpuacct.usage_user", NULL, false },
	[CGROUP_ITEM_CPU_SYSTEM] = { "cpuacct", "cpuacct.usage_sys", NULL, false },
	[CGROUP_ITEM_THROTTLED] = { "cpu", "cpu.stat", NULL, false },
	[CGROUP_ITEM_MEMORY] = { "memory", "memory.usage_in_bytes", "memory.current", true },
	[CGROUP_ITEM_MEMORY_STAT] = { "memory", "memory.stat", "memory.stat", true },
	[CGROUP_ITEM_MEMORY_MAX] = { NULL, NULL, "memory.max", false },
	[CGROUP_ITEM_MEMORY_PEAK] = { "memory", "memory.max_usage_in_bytes", "memory.peak", false },
	[CGROUP_ITEM_SWAP] = { NULL, NULL, "memory.swap.current", true },
	[CGROUP_ITEM_SWAP_MAX] = { NULL, NULL, "memory.swap.max", false },
	[CGROUP_ITEM_FAILURES] = { "memory", "memory.failcnt", "memory.events", false },
	[CGROUP_ITEM_OOM] = { "memory", "memory.oom_control", NULL, false },
	[CGROUP_ITEM_KERNEL] = { "memory", "memory.kmem.usage_in_bytes", NULL, false },
	[CGROUP_ITEM_PIDS] = { "pids", "pids.current", "pids.current", true },
	[CGROUP_ITEM_PIDS_MAX] = { "pids", "pids.max", "pids.max", false },
	[CGROUP_ITEM_PROCS] = { "pids", "cgroup.procs", "cgroup.procs", false },
	[CGROUP_ITEM_CPU_PRESSURE] = { NULL, NULL, "cpu.pressure", true },
	[CGROUP_ITEM_MEMORY_PRESSURE] = { NULL, NULL, "memory.pressure", true },
	[CGROUP_ITEM_IO_PRESSURE] = { NULL, NULL, "io.pressure", true },
	[CGROUP_ITEM_IO] = { "blkio", "blkio.throttle.io_service_bytes_recursive", "io.stat", false },
	[CGROUP_ITEM_IO_OPS] = { "blkio", "blkio.throttle.io_serviced_recursive", NULL, false },
};

struct meter_files {
	atomic_uint refs;
	size_t charged;
	unsigned int asked;    /* the items that were looked for */
	int fds[CGROUP_ITEMS]; /* -1: not kept */
};

/* ---- how many may be kept ---- */

static atomic_size_t kept;

size_t meter_descriptors_max(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	return limit.rlim_cur / 4 < DESCRIPTORS_MAX ? limit.rlim_cur / 4 : DESCRIPTORS_MAX;
}

bool meter_descriptors_take(size_t count)
{
	if (atomic_fetch_add(&kept, count) + count <= meter_descriptors_max())
		return true;
	meter_descriptors_give(count);
	return false;
}

void meter_descriptors_give(size_t count)
{
	atomic_fetch_sub(&kept, count);
}

/* ---- the files ---- */

static bool is_v2(const struct cgroup_meter *meter)
{
	return cgroups_view(meter->cgroups) == CGROUP_VIEW_V2;
}

static const struct cgroup_hierarchy *hierarchy_of(const struct cgroup_meter *meter, enum cgroup_item item)
{
	if (is_v2(meter))
		return table[item].v2 ? &meter->cgroups->items[0] : NULL;
	return table[item].controller ? cgroup_hierarchy_of(meter->cgroups, table[item].controller) : NULL;
}

static int open_item(const struct cgroup_meter *meter, enum cgroup_item item)
{
	const struct cgroup_hierarchy *hierarchy = hierarchy_of(meter, item);
	char path[CGROUP_PATH_MAX + 64];

	if (!hierarchy)
		return -1;
	snprintf(path, sizeof(path), "%s/%s", meter->path + (*meter->path == '/'),
		 is_v2(meter) ? table[item].v2 : table[item].v1);
	return openat(hierarchy->root, path, O_RDONLY | O_CLOEXEC);
}

static void files_unref(struct meter_files *files)
{
	if (!files || atomic_fetch_sub(&files->refs, 1) != 1)
		return;
	for (size_t i = 0; i < CGROUP_ITEMS; i++)
		fd_close(files->fds[i]);
	meter_descriptors_give(files->charged);
	free(files);
}

static size_t kept_count(const struct cgroup_meter *meter, unsigned int items)
{
	size_t count = 0;

	for (enum cgroup_item i = 0; i < CGROUP_ITEMS; i++)
		count += (items & CGROUP_ITEM_BIT(i)) && table[i].kept && hierarchy_of(meter, i);
	return count;
}

/* What of items is to be kept, opened; NULL when there would be too many, or nothing to keep. */
static struct meter_files *files_new(const struct cgroup_meter *meter, unsigned int items)
{
	size_t count = kept_count(meter, items), opened = 0;
	struct meter_files *files;

	if (!count || !meter_descriptors_take(count))
		return NULL;
	files = xnew(struct meter_files);
	atomic_init(&files->refs, 1);
	files->asked = items;
	for (enum cgroup_item i = 0; i < CGROUP_ITEMS; i++) {
		files->fds[i] = (items & CGROUP_ITEM_BIT(i)) && table[i].kept ? open_item(meter, i) : -1;
		opened += files->fds[i] >= 0;
	}
	meter_descriptors_give(count - opened);
	files->charged = opened;
	if (opened)
		return files;
	files_unref(files);
	return NULL;
}

/* A reference to the kept files; NULL when none are. */
static struct meter_files *files_of(struct cgroup_meter *meter, unsigned int items)
{
	struct meter_files *files, *fresh;
	bool closed;

	lock_take(&meter->lock);
	files = meter->files;
	closed = meter->closed;
	if (files)
		atomic_fetch_add(&files->refs, 1);
	lock_drop(&meter->lock);
	if (files || closed || !(fresh = files_new(meter, items | CGROUP_METER_STATS)))
		return files;

	lock_take(&meter->lock);
	if (!meter->files && !meter->closed) {
		meter->files = fresh;
		atomic_fetch_add(&fresh->refs, 1);
	}
	lock_drop(&meter->lock);
	return fresh;
}

/* From the start; false when it can't be read or is longer than size. */
static bool read_all(int fd, char *text, size_t size)
{
	size_t len = 0;

	while (len < size - 1) {
		ssize_t n = pread(fd, text + len, size - 1 - len, (off_t)len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		if (n == 0)
			break;
		len += (size_t)n;
		/* A cgroup file is given out whole when there is room. */
		if (text[len - 1] == '\n' && len < size / 2)
			break;
	}
	text[len] = '\0';
	return len < size - 1;
}

static void read_item(const struct cgroup_meter *meter, enum cgroup_item item, int fd,
		      struct cgroup_usage *usage)
{
	char text[TEXT_MAX];

	if (read_all(fd, text, sizeof(text)))
		cgroup_usage_take(usage, item, is_v2(meter), text);
}

/* Files that no poll keeps: their length is the workload's business. */
static void read_once(const struct cgroup_meter *meter, enum cgroup_item item, struct cgroup_usage *usage)
{
	CLEANUP(fd_closep) int fd = open_item(meter, item);
	CLEANUP(freep) char *text = NULL;

	if (fd < 0)
		return;
	if (item != CGROUP_ITEM_PROCS && item != CGROUP_ITEM_IO && item != CGROUP_ITEM_IO_OPS) {
		read_item(meter, item, fd, usage);
		return;
	}
	text = xmalloc(LONG_TEXT_MAX);
	if (read_all(fd, text, LONG_TEXT_MAX))
		cgroup_usage_take(usage, item, is_v2(meter), text);
}

void cgroup_meter_read(struct cgroup_meter *meter, unsigned int items, struct cgroup_usage *ret)
{
	struct meter_files *files = files_of(meter, items);

	memset(ret, 0, sizeof(*ret));
	ret->memory_max = ret->swap_max = ret->pids_max = UINT64_MAX;
	ret->at = clock_real();
	for (enum cgroup_item i = 0; i < CGROUP_ITEMS; i++) {
		if (!(items & CGROUP_ITEM_BIT(i)))
			continue;
		if (files && files->fds[i] >= 0)
			read_item(meter, i, files->fds[i], ret);
		else if (!files || !table[i].kept || !(files->asked & CGROUP_ITEM_BIT(i)))
			read_once(meter, i, ret);
		/* else: it could not be opened then, so it is not there */
	}
	files_unref(files);
}

bool cgroup_meter_rate(struct cgroup_meter *meter, const struct cgroup_usage *usage, uint64_t *ret)
{
	bool known;

	lock_take(&meter->lock);
	known = cgroup_rate_take(&meter->rate, clock_mono(), usage->cpu, ret);
	lock_drop(&meter->lock);
	return known;
}

/* ---- life ---- */

void cgroup_meter_init(struct cgroup_meter *meter, const struct cgroups *cgroups, const char *path)
{
	*meter = (struct cgroup_meter){ .cgroups = cgroups, .path = path };
	lock_init(&meter->lock, "meter", LOCK_METER);
}

void cgroup_meter_close(struct cgroup_meter *meter)
{
	struct meter_files *files;

	lock_take(&meter->lock);
	files = TAKE(meter->files);
	meter->closed = true;
	lock_drop(&meter->lock);
	files_unref(files);
}

void cgroup_meter_done(struct cgroup_meter *meter)
{
	cgroup_meter_close(meter);
	lock_done(&meter->lock);
}
