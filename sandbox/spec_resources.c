/*
 * linux.resources out of LinuxContainerResources. 0 and "" mean that nothing is asked. Every number is
 * checked before any is used, so that an update is all or nothing. What a limit means on v1 or v2 is the OCI
 * runtime's business, except for what only exists in one of them: `unified`, and swap and huge pages where
 * the kernel does not count them.
 */
#include "sandbox/spec_parts.h"

#include <ctype.h>
#include <string.h>

enum {
	PERIOD_MIN = 1000, /* microseconds: sched-bwc.rst */
	PERIOD_MAX = 1000000,
	SHARES_MAX = 262144,
	CPUSET_MAX = 4096, /* bytes */
	CPU_MAX = 8191,    /* CONFIG_NR_CPUS' largest */
	UNIFIED_MAX = 64,
};

static int check_range(const char *what, int64_t value, int64_t min, int64_t max, struct err *err)
{
	if (value < min || value > max)
		return err_set(err, RPC_INVALID_ARGUMENT, "%s: %lld is not in the range %lld to %lld", what,
			       (long long)value, (long long)min, (long long)max);
	return 0;
}

/* "0-3,7", cpuset(7) "List format". */
static int check_list(const char *what, const char *text, struct err *err)
{
	const char *at = text;

	if (strlen(text) > CPUSET_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "%s is longer than %d bytes", what, CPUSET_MAX);
	while (*at) {
		unsigned long bounds[2] = { 0, 0 };
		int count = 0;

		for (; count < 2; count++) {
			size_t digits = strspn(at, "0123456789");

			if (digits == 0 || digits > 4)
				return err_set(err, RPC_INVALID_ARGUMENT, "%s is malformed: \"%.64s\"", what,
					       text);
			for (; digits; digits--)
				bounds[count] = bounds[count] * 10 + (unsigned long)(*at++ - '0');
			if (*at != '-' || count == 1)
				break;
			at++;
		}
		if (bounds[0] > CPU_MAX || bounds[1] > CPU_MAX || (count == 1 && bounds[1] < bounds[0]) ||
		    (*at && *at != ',') || (*at == ',' && !at[1]))
			return err_set(err, RPC_INVALID_ARGUMENT, "%s is malformed: \"%.64s\"", what, text);
		if (*at == ',')
			at++;
	}
	return 0;
}

static int check_numbers(const Cri__LinuxContainerResources *asked, struct err *err)
{
	if (check_range("cpu_shares", asked->cpu_shares, 0, SHARES_MAX, err) < 0 ||
	    check_range("cpu_quota", asked->cpu_quota, -1, INT64_MAX / 1000, err) < 0 ||
	    (asked->cpu_period &&
	     check_range("cpu_period", asked->cpu_period, PERIOD_MIN, PERIOD_MAX, err) < 0) ||
	    check_range("memory_limit_in_bytes", asked->memory_limit_in_bytes, 0, INT64_MAX, err) < 0 ||
	    check_range("memory_swap_limit_in_bytes", asked->memory_swap_limit_in_bytes, -1, INT64_MAX, err) <
		    0 ||
	    check_range("oom_score_adj", asked->oom_score_adj, -1000, 1000, err) < 0 ||
	    check_list("cpuset_cpus", asked->cpuset_cpus, err) < 0 ||
	    check_list("cpuset_mems", asked->cpuset_mems, err) < 0)
		return -1;
	if (asked->cpu_quota > 0 && asked->cpu_quota < PERIOD_MIN)
		return err_set(err, RPC_INVALID_ARGUMENT, "cpu_quota: %lld is below %d microseconds",
			       (long long)asked->cpu_quota, PERIOD_MIN);
	if (asked->memory_swap_limit_in_bytes > 0 &&
	    asked->memory_swap_limit_in_bytes < asked->memory_limit_in_bytes)
		return err_set(
			err, RPC_INVALID_ARGUMENT,
			"memory_swap_limit_in_bytes is below memory_limit_in_bytes, which it includes");
	return 0;
}

static json_t *cpu_json(const Cri__LinuxContainerResources *asked)
{
	json_t *cpu = json_object();

	if (asked->cpu_shares)
		json_object_set_new(cpu, "shares", json_integer(asked->cpu_shares));
	if (asked->cpu_quota)
		json_object_set_new(cpu, "quota", json_integer(asked->cpu_quota));
	if (asked->cpu_period)
		json_object_set_new(cpu, "period", json_integer(asked->cpu_period));
	if (*asked->cpuset_cpus)
		json_object_set_new(cpu, "cpus", json_string(asked->cpuset_cpus));
	if (*asked->cpuset_mems)
		json_object_set_new(cpu, "mems", json_string(asked->cpuset_mems));
	return cpu;
}

/* Without a word about swap a container with a limit gets none: its limit is meant to hold. */
static json_t *memory_json(const Cri__LinuxContainerResources *asked, const struct spec_host *host)
{
	json_t *memory = json_object();
	int64_t swap = asked->memory_swap_limit_in_bytes;

	if (asked->memory_limit_in_bytes)
		json_object_set_new(memory, "limit", json_integer(asked->memory_limit_in_bytes));
	if (!swap)
		swap = asked->memory_limit_in_bytes;
	if (swap && host->swap_accounting)
		json_object_set_new(memory, "swap", json_integer(swap));
	return memory;
}

/* "2MB", "1GB", "64KB". */
static bool is_page_size(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits > 0 && digits < 8 &&
	       (str_eq(text + digits, "KB") || str_eq(text + digits, "MB") || str_eq(text + digits, "GB"));
}

static int add_huge_pages(const Cri__LinuxContainerResources *asked, const struct spec_host *host,
			  json_t *resources, struct err *err)
{
	json_t *limits = json_array();

	json_object_set_new(resources, "hugepageLimits", limits);
	for (size_t i = 0; i < asked->n_hugepage_limits; i++) {
		const Cri__HugepageLimit *limit = asked->hugepage_limits[i];

		if (!is_page_size(limit->page_size) || limit->limit > INT64_MAX)
			return err_set(err, RPC_INVALID_ARGUMENT, "malformed hugepage limit \"%.32s\"",
				       limit->page_size);
		/* kubelet sends a limit of 0 for each size that the host has: nothing is lost where they are
		 * not counted. */
		if (host->hugetlb)
			json_array_append_new(limits, json_pack("{s:s, s:I}", "pageSize", limit->page_size,
								"limit", (json_int_t)limit->limit));
	}
	if (json_array_size(limits) == 0)
		json_object_del(resources, "hugepageLimits");
	return 0;
}

static bool is_cgroup_file(const char *name)
{
	if (!islower((unsigned char)*name) || strlen(name) > 64 || !strchr(name, '.'))
		return false;
	for (const char *c = name; *c; c++)
		if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && *c != '.' && *c != '_')
			return false;
	return !strstr(name, "..") && !str_has_prefix(name, "cgroup.");
}

static int add_unified(const Cri__LinuxContainerResources *asked, const struct spec_host *host,
		       json_t *resources, struct err *err)
{
	json_t *unified = json_object();

	json_object_set_new(resources, "unified", unified);
	if (asked->n_unified && !host->cgroup2)
		return err_set(err, RPC_FAILED_PRECONDITION, "unified resources need cgroup v2");
	if (asked->n_unified > UNIFIED_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "more than %d unified resources", UNIFIED_MAX);
	for (size_t i = 0; i < asked->n_unified; i++) {
		const char *key = asked->unified[i]->key, *value = asked->unified[i]->value;

		if (!is_cgroup_file(key))
			return err_set(err, RPC_INVALID_ARGUMENT, "unified: \"%.64s\" is no resource file",
				       key);
		if (str_empty(value) || strlen(value) > 4096)
			return err_set(err, RPC_INVALID_ARGUMENT, "unified: value of %s is empty or too long",
				       key);
		if (json_object_set_new(unified, key, json_string(value)) < 0)
			return err_set(err, RPC_INVALID_ARGUMENT, "unified: value of %s is not UTF-8", key);
	}
	if (json_object_size(unified) == 0)
		json_object_del(resources, "unified");
	return 0;
}

int spec_resources(const Cri__LinuxContainerResources *asked, const struct spec_host *host, json_t **ret,
		   struct err *err)
{
	static const Cri__LinuxContainerResources nothing = CRI__LINUX_CONTAINER_RESOURCES__INIT;
	json_t *resources = json_object();

	if (!asked)
		asked = &nothing;
	if (check_numbers(asked, err) < 0 || add_huge_pages(asked, host, resources, err) < 0 ||
	    add_unified(asked, host, resources, err) < 0) {
		json_decref(resources);
		return -1;
	}
	json_object_set_new(resources, "cpu", cpu_json(asked));
	json_object_set_new(resources, "memory", memory_json(asked, host));
	*ret = resources;
	return 0;
}

int spec_oom_score_adj(const struct spec_host *host, int64_t asked)
{
	if (asked < host->oom_score_adj && !host->can_lower_oom_score)
		return host->oom_score_adj;
	return (int)asked;
}
