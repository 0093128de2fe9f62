/*
 * See cgroup_limits.h. What is to be written is first collected, with what each file holds now; then it is
 * written in order, and taken back in reverse order when one write fails.
 */
#include "sandbox/cgroup_limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "sandbox/cgroup_hierarchy.h"
#include "sandbox/cgroup_systemd.h"

enum { WRITES_MAX = 256, TEXT_MAX = 8192, MEMORY_FIRST_UNLIMITED_BIT = 62 };

struct write {
	int dir;            /* of the cgroup */
	char *file, *value; /* malloc'd */
	char *before;       /* malloc'd; NULL: could not be read */
};

struct writes {
	const struct cgroups *cgroups;
	const char *path;
	enum cgroup_limit_mode mode;
	struct write items[WRITES_MAX];
	size_t len;
};

static void writes_done(struct writes *writes)
{
	for (size_t i = 0; i < writes->len; i++) {
		fd_close(writes->items[i].dir);
		free(writes->items[i].file);
		free(writes->items[i].value);
		free(writes->items[i].before);
	}
}

uint64_t cgroup_weight_of_shares(uint64_t shares)
{
	if (shares < 2)
		shares = 2;
	return 1 + (shares - 2) * 9999 / 262142;
}

/* Is a limit in force? The v1 memory controller's "none" is the largest multiple of a page. */
static bool limits(const char *text)
{
	uint64_t number;

	if (!text || !*text || *text == '\n' || str_has_prefix(text, "max") || str_has_prefix(text, "-1"))
		return false;
	CLEANUP(freep) char *word = xstrndup(text, strcspn(text, " \n"));
	return !parse_u64(word, UINT64_MAX, &number) || !(number >> MEMORY_FIRST_UNLIMITED_BIT);
}

static int not_there(const struct writes *writes, const char *controller, struct err *err)
{
	return err_set(err, RPC_FAILED_PRECONDITION, "%s: there is no %s controller", writes->path,
		       controller);
}

/* value_take NULL: nothing is asked. A weight has no "none": it is set whatever the mode. */
static int add(struct writes *writes, const char *controller, const char *file, char *value_take, bool weight,
	       struct err *err)
{
	CLEANUP(freep) char *value = value_take;
	const struct cgroup_hierarchy *hierarchy = cgroup_hierarchy_of(writes->cgroups, controller);
	struct err ignored;

	if (!value)
		return 0;
	if (writes->len == WRITES_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "more than %d limits", WRITES_MAX);
	if (!hierarchy)
		return not_there(writes, controller, err);
	CLEANUP(fd_closep) int dir = cgroup_hierarchy_open(hierarchy, writes->path);
	if (dir < 0)
		return err_set(err, RPC_NOT_FOUND, "there is no cgroup %s", writes->path);
	if (faccessat(dir, file, F_OK, 0) < 0)
		return not_there(writes, controller, err);
	CLEANUP(freep) char *before = NULL;
	(void)!file_read_virtual(dir, file, TEXT_MAX, &before, &ignored);
	if (!weight && writes->mode == CGROUP_LIMIT_MOVE && !limits(before))
		return 0;
	writes->items[writes->len++] = (struct write){
		.dir = TAKE_FD(dir),
		.file = xstrdup(file),
		.value = TAKE(value),
		.before = TAKE(before),
	};
	return 0;
}

static char *number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return value ? xasprintf("%lld", (long long)json_integer_value(value)) : NULL;
}

static char *text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? xstrdup(value) : NULL;
}

static int add_cpuset(struct writes *writes, const json_t *cpu, struct err *err)
{
	if (add(writes, "cpuset", "cpuset.cpus", text(cpu, "cpus"), false, err) < 0)
		return -1;
	return add(writes, "cpuset", "cpuset.mems", text(cpu, "mems"), false, err);
}

static int add_cpu_v1(struct writes *writes, const json_t *cpu, struct err *err)
{
	if (add(writes, "cpu", "cpu.shares", number(cpu, "shares"), true, err) < 0 ||
	    add(writes, "cpu", "cpu.cfs_period_us", number(cpu, "period"), true, err) < 0)
		return -1;
	return add(writes, "cpu", "cpu.cfs_quota_us", number(cpu, "quota"), false, err);
}

static int add_cpu_v2(struct writes *writes, const json_t *cpu, struct err *err)
{
	const json_t *shares = json_object_get(cpu, "shares"), *quota = json_object_get(cpu, "quota");
	const json_t *period = json_object_get(cpu, "period");
	char *weight = NULL, *max = NULL;

	if (shares)
		weight = xasprintf("%llu", (unsigned long long)cgroup_weight_of_shares(
						   (uint64_t)json_integer_value(shares)));
	if (add(writes, "cpu", "cpu.weight", weight, true, err) < 0)
		return -1;
	long long period_us = period ? json_integer_value(period) : 100000; /* the kernel's default */
	if (quota)
		max = json_integer_value(quota) < 0
			      ? xasprintf("max %lld", period_us)
			      : xasprintf("%lld %lld", (long long)json_integer_value(quota), period_us);
	return add(writes, "cpu", "cpu.max", max, false, err);
}

/* The number in a file of the memory cgroup; 0 when there is none. */
static uint64_t memory_number(const struct cgroups *cgroups, const char *path, const char *file)
{
	const struct cgroup_hierarchy *hierarchy = cgroup_hierarchy_of(cgroups, "memory");
	CLEANUP(fd_closep) int dir = hierarchy ? cgroup_hierarchy_open(hierarchy, path) : -1;
	CLEANUP(freep) char *content = NULL;
	uint64_t ret = 0;
	struct err ignored;

	if (dir < 0 || file_read_virtual(dir, file, TEXT_MAX, &content, &ignored) < 0)
		return 0;
	content[strcspn(content, "\n")] = '\0';
	return parse_u64(content, UINT64_MAX, &ret) ? ret : 0;
}

int cgroup_limit_check_usage(const struct cgroups *cgroups, const char *path, const json_t *resources,
			     struct err *err)
{
	const json_t *limit = json_object_get(json_object_get(resources, "memory"), "limit");
	bool v2 = cgroups->view == CGROUP_VIEW_V2;
	uint64_t used = memory_number(cgroups, path, v2 ? "memory.current" : "memory.usage_in_bytes");

	if (limit && (uint64_t)json_integer_value(limit) < used)
		return err_set(err, RPC_FAILED_PRECONDITION,
			       "memory limit %lld is below the %llu bytes in use",
			       (long long)json_integer_value(limit), (unsigned long long)used);
	return 0;
}

/* memsw is never below the limit: which of the two goes first depends on where they move. */
static int add_memory_v1(struct writes *writes, const json_t *memory, struct err *err)
{
	static const char *const files[][2] = {
		{ "memory.limit_in_bytes", "limit" },
		{ "memory.memsw.limit_in_bytes", "swap" },
	};
	const json_t *swap = json_object_get(memory, "swap");
	bool raise =
		swap && (uint64_t)json_integer_value(swap) >
				memory_number(writes->cgroups, writes->path, "memory.memsw.limit_in_bytes");

	for (int i = 0; i < 2; i++) {
		const char *const *file = files[raise ? 1 - i : i];

		if (add(writes, "memory", file[0], number(memory, file[1]), false, err) < 0)
			return -1;
	}
	return 0;
}

static int add_memory_v2(struct writes *writes, const json_t *memory, struct err *err)
{
	const json_t *limit = json_object_get(memory, "limit"), *swap = json_object_get(memory, "swap");
	char *max = NULL;

	if (add(writes, "memory", "memory.max", number(memory, "limit"), false, err) < 0)
		return -1;
	/* OCI counts memory and swap together, v2 swap alone. */
	if (swap)
		max = json_integer_value(swap) < 0
			      ? xstrdup("max")
			      : xasprintf("%lld",
					  (long long)(json_integer_value(swap) - json_integer_value(limit)));
	return add(writes, "memory", "memory.swap.max", max, false, err);
}

static int add_huge_pages(struct writes *writes, const json_t *list, struct err *err)
{
	bool v2 = writes->cgroups->view == CGROUP_VIEW_V2;
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		const char *size = json_string_value(json_object_get(item, "pageSize"));
		CLEANUP(freep)
		char *file = xasprintf("hugetlb.%s.%s", size, v2 ? "max" : "limit_in_bytes");

		if (add(writes, "hugetlb", file, number(item, "limit"), false, err) < 0)
			return -1;
	}
	return 0;
}

static int add_unified(struct writes *writes, json_t *unified, struct err *err)
{
	const char *file;
	json_t *value;

	json_object_foreach(unified, file, value)
	{
		CLEANUP(freep) char *controller = xstrndup(file, strcspn(file, "."));

		if (add(writes, controller, file, xstrdup(json_string_value(value)), true, err) < 0)
			return -1;
	}
	return 0;
}

static int collect(struct writes *writes, const json_t *resources, struct err *err)
{
	const json_t *cpu = json_object_get(resources, "cpu"), *memory = json_object_get(resources, "memory");
	bool v2 = writes->cgroups->view == CGROUP_VIEW_V2;

	if (cgroup_limit_check_usage(writes->cgroups, writes->path, resources, err) < 0)
		return -1;
	if ((v2 ? add_cpu_v2 : add_cpu_v1)(writes, cpu, err) < 0 || add_cpuset(writes, cpu, err) < 0 ||
	    (v2 ? add_memory_v2 : add_memory_v1)(writes, memory, err) < 0)
		return -1;
	if (add_huge_pages(writes, json_object_get(resources, "hugepageLimits"), err) < 0)
		return -1;
	return add_unified(writes, json_object_get(resources, "unified"), err);
}

static void take_back(const struct writes *writes, size_t done)
{
	struct err ignored;

	while (done--) {
		const struct write *item = &writes->items[done];

		if (item->before)
			(void)!file_write_virtual(item->dir, item->file, item->before, &ignored);
	}
}

/* "max" and -1 are no limit; else the first number. */
static uint64_t number_of(const char *value)
{
	CLEANUP(freep) char *word = xstrndup(value, strcspn(value, " "));
	uint64_t ret;

	return parse_u64(word, UINT64_MAX, &ret) ? ret : UINT64_MAX;
}

/* cpu.max, "QUOTA PERIOD", as CPU time per second. */
static uint64_t per_second(const char *max)
{
	const char *space = strchr(max, ' ');
	uint64_t quota = number_of(max), period = space ? number_of(space + 1) : 0;

	return quota == UINT64_MAX || !period ? UINT64_MAX : quota * 1000000 / period;
}

/* What systemd writes again at each daemon-reload must be what was written here. Of v1's files it knows no
 * more than these either; the quota is then the one of both that counts. */
static int tell_systemd(const struct writes *writes, struct err *err)
{
	static const struct {
		const char *file, *property;
	} known[] = {
		{ "cpu.weight", "CPUWeight" },          { "cpu.shares", "CPUShares" },
		{ "cpu.max", "CPUQuotaPerSecUSec" },    { "memory.max", "MemoryMax" },
		{ "memory.swap.max", "MemorySwapMax" }, { "memory.limit_in_bytes", "MemoryLimit" },
	};
	struct cgroup_property properties[ARRAY_LEN(known)];
	size_t len = 0;

	for (size_t i = 0; i < writes->len; i++)
		for (size_t k = 0; k < ARRAY_LEN(known) && len < ARRAY_LEN(known); k++) {
			const char *value = writes->items[i].value;

			if (!str_eq(writes->items[i].file, known[k].file))
				continue;
			properties[len++] = (struct cgroup_property){
				.name = known[k].property,
				.value = str_eq(known[k].file, "cpu.max") ? per_second(value)
									  : number_of(value),
			};
		}
	return cgroup_systemd_set(strrchr(writes->path, '/') + 1, properties, len, err);
}

int cgroup_limit(const struct cgroups *cgroups, const char *path, const json_t *resources,
		 enum cgroup_limit_mode mode, struct err *err)
{
	CLEANUP(writes_done) struct writes writes = { .cgroups = cgroups, .path = path, .mode = mode };

	if (collect(&writes, resources, err) < 0)
		return -1;
	for (size_t i = 0; i < writes.len; i++) {
		const struct write *item = &writes.items[i];

		if (file_write_virtual(item->dir, item->file, item->value, err) == 0)
			continue;
		int error = errno;
		take_back(&writes, i);
		if (error == EINVAL || error == EBUSY || error == ERANGE || error == ENOSPC)
			err->code = RPC_FAILED_PRECONDITION;
		return err_prefix(err, "%s", path);
	}
	if (!cgroup_path_is_slice(path) || tell_systemd(&writes, err) == 0)
		return 0;
	take_back(&writes, writes.len);
	return -1;
}
