/* See cgroup_usage.h: one function for each kind of file, and a table that tells which is which. */
#include "sandbox/cgroup_usage.h"

#include "base/clock.h"
#include "base/mem.h"

/* The v1 memory controller's "none" is the largest multiple of a page. */
#define UNLIMITED_V1 (UINT64_C(1) << 62)

#define KEY(name, field)                                   \
	{                                                  \
		name, offsetof(struct cgroup_usage, field) \
	}

static uint64_t times(uint64_t value, uint64_t factor)
{
	return value > UINT64_MAX / factor ? UINT64_MAX : value * factor;
}

static bool take_cpu_stat(struct cgroup_usage *usage, const char *text)
{
	static const struct cgroup_text_key keys[] = {
		KEY("usage_usec", cpu),
		KEY("user_usec", cpu_user),
		KEY("system_usec", cpu_system),
		KEY("nr_periods", periods),
		KEY("nr_throttled", throttled_periods),
		KEY("throttled_usec", throttled),
	};

	if (cgroup_text_keys(text, keys, ARRAY_LEN(keys), usage) < 3)
		return false;
	usage->cpu = times(usage->cpu, 1000);
	usage->cpu_user = times(usage->cpu_user, 1000);
	usage->cpu_system = times(usage->cpu_system, 1000);
	usage->throttled = times(usage->throttled, 1000);
	return true;
}

static bool take_throttled_v1(struct cgroup_usage *usage, const char *text)
{
	static const struct cgroup_text_key keys[] = {
		KEY("nr_periods", periods),
		KEY("nr_throttled", throttled_periods),
		KEY("throttled_time", throttled),
	};

	return cgroup_text_keys(text, keys, ARRAY_LEN(keys), usage) > 0;
}

static bool take_memory_stat_v2(struct cgroup_usage *usage, const char *text)
{
	static const struct cgroup_text_key keys[] = {
		KEY("anon", rss),
		KEY("file", cache),
		KEY("kernel", kernel),
		KEY("file_mapped", mapped),
		KEY("inactive_file", inactive_file),
		KEY("active_file", active_file),
		KEY("pgfault", faults),
		KEY("pgmajfault", major_faults),
	};

	return cgroup_text_keys(text, keys, ARRAY_LEN(keys), usage) > 0;
}

static bool take_memory_stat_v1(struct cgroup_usage *usage, const char *text)
{
	static const struct cgroup_text_key keys[] = {
		KEY("total_rss", rss),
		KEY("total_cache", cache),
		KEY("total_mapped_file", mapped),
		KEY("total_inactive_file", inactive_file),
		KEY("total_active_file", active_file),
		KEY("total_pgfault", faults),
		KEY("total_pgmajfault", major_faults),
		KEY("total_swap", swap),
		KEY("hierarchical_memory_limit", memory_max),
		KEY("hierarchical_memsw_limit", swap_max),
	};

	usage->memory_max = usage->swap_max = UINT64_MAX;
	if (!cgroup_text_keys(text, keys, ARRAY_LEN(keys), usage))
		return false;
	/* v1 limits memory and swap together. */
	if (usage->memory_max >= UNLIMITED_V1)
		usage->memory_max = UINT64_MAX;
	if (usage->swap_max >= UNLIMITED_V1)
		usage->swap_max = UINT64_MAX;
	else
		usage->swap_max -= usage->memory_max < usage->swap_max ? usage->memory_max : usage->swap_max;
	usage->known |= CGROUP_ITEM_BIT(CGROUP_ITEM_MEMORY_MAX) | CGROUP_ITEM_BIT(CGROUP_ITEM_SWAP) |
			CGROUP_ITEM_BIT(CGROUP_ITEM_SWAP_MAX);
	return true;
}

static bool take_memory_events(struct cgroup_usage *usage, const char *text)
{
	static const struct cgroup_text_key keys[] = {
		KEY("max", failures),
		KEY("oom_kill", oom_kills),
	};

	if (!cgroup_text_keys(text, keys, ARRAY_LEN(keys), usage))
		return false;
	usage->known |= CGROUP_ITEM_BIT(CGROUP_ITEM_OOM);
	return true;
}

static bool take_processes(struct cgroup_usage *usage, const char *text)
{
	usage->processes = cgroup_text_lines(text);
	return true;
}

static bool take_io(struct cgroup_usage *usage, bool v2, const char *text)
{
	if (v2)
		cgroup_text_io(text, &usage->io);
	else
		cgroup_text_blkio(text, true, &usage->io);
	return true;
}

static bool take_io_operations(struct cgroup_usage *usage, const char *text)
{
	cgroup_text_blkio(text, false, &usage->io);
	return true;
}

/* Files that hold a single number. */
static uint64_t *number_of(struct cgroup_usage *usage, enum cgroup_item item)
{
	switch (item) {
	case CGROUP_ITEM_CPU:
		return &usage->cpu;
	case CGROUP_ITEM_CPU_USER:
		return &usage->cpu_user;
	case CGROUP_ITEM_CPU_SYSTEM:
		return &usage->cpu_system;
	case CGROUP_ITEM_MEMORY:
		return &usage->memory;
	case CGROUP_ITEM_MEMORY_MAX:
		return &usage->memory_max;
	case CGROUP_ITEM_MEMORY_PEAK:
		return &usage->memory_peak;
	case CGROUP_ITEM_SWAP:
		return &usage->swap;
	case CGROUP_ITEM_SWAP_MAX:
		return &usage->swap_max;
	case CGROUP_ITEM_FAILURES:
		return &usage->failures;
	case CGROUP_ITEM_KERNEL:
		return &usage->kernel;
	case CGROUP_ITEM_PIDS:
		return &usage->pids;
	case CGROUP_ITEM_PIDS_MAX:
		return &usage->pids_max;
	default:
		return NULL;
	}
}

static bool take(struct cgroup_usage *usage, enum cgroup_item item, bool v2, const char *text)
{
	uint64_t *number;

	switch (item) {
	case CGROUP_ITEM_THROTTLED:
		return take_throttled_v1(usage, text);
	case CGROUP_ITEM_MEMORY_STAT:
		return (v2 ? take_memory_stat_v2 : take_memory_stat_v1)(usage, text);
	case CGROUP_ITEM_OOM:
		return cgroup_text_key(text, "oom_kill", &usage->oom_kills);
	case CGROUP_ITEM_PROCS:
		return take_processes(usage, text);
	case CGROUP_ITEM_CPU_PRESSURE:
		return cgroup_text_pressure(text, &usage->cpu_pressure);
	case CGROUP_ITEM_MEMORY_PRESSURE:
		return cgroup_text_pressure(text, &usage->memory_pressure);
	case CGROUP_ITEM_IO_PRESSURE:
		return cgroup_text_pressure(text, &usage->io_pressure);
	case CGROUP_ITEM_IO:
		return take_io(usage, v2, text);
	case CGROUP_ITEM_IO_OPS:
		return take_io_operations(usage, text);
	default:
		break;
	}
	if (v2 && item == CGROUP_ITEM_CPU)
		return take_cpu_stat(usage, text);
	if (v2 && item == CGROUP_ITEM_FAILURES)
		return take_memory_events(usage, text);
	number = number_of(usage, item);
	return number && cgroup_text_number(text, number);
}

void cgroup_usage_take(struct cgroup_usage *usage, enum cgroup_item item, bool v2, const char *text)
{
	if (take(usage, item, v2, text))
		usage->known |= CGROUP_ITEM_BIT(item);
}

bool cgroup_usage_has(const struct cgroup_usage *usage, enum cgroup_item item)
{
	return usage->known & CGROUP_ITEM_BIT(item);
}

uint64_t cgroup_usage_working_set(const struct cgroup_usage *usage)
{
	return usage->memory > usage->inactive_file ? usage->memory - usage->inactive_file : 0;
}

bool cgroup_usage_available(const struct cgroup_usage *usage, uint64_t *ret)
{
	uint64_t used = cgroup_usage_working_set(usage);

	if (!cgroup_usage_has(usage, CGROUP_ITEM_MEMORY_MAX) || usage->memory_max == UINT64_MAX)
		return false;
	*ret = usage->memory_max > used ? usage->memory_max - used : 0;
	return true;
}

bool cgroup_rate_take(struct cgroup_rate *rate, int64_t at, uint64_t cpu, uint64_t *ret)
{
	int64_t elapsed = at - rate->at;

	if (!rate->at) {
		rate->at = at;
		rate->cpu = cpu;
	} else if (elapsed >= CGROUP_RATE_WINDOW) {
		double used = cpu > rate->cpu ? (double)(cpu - rate->cpu) : 0;

		rate->nano_cores = (uint64_t)(used * (double)NS_PER_SEC / (double)elapsed);
		rate->known = true;
		rate->at = at;
		rate->cpu = cpu;
	}
	*ret = rate->nano_cores;
	return rate->known;
}
