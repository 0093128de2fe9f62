/* See metric_group.h. */
#include "config/metric_group.h"

#include "base/mem.h"
#include "base/str.h"

static const char *const group_names[METRIC_GROUPS] = {
	[METRIC_GROUP_CPU] = "cpu",           [METRIC_GROUP_DISK] = "disk",
	[METRIC_GROUP_DISK_IO] = "diskIO",    [METRIC_GROUP_HUGETLB] = "hugetlb",
	[METRIC_GROUP_MEMORY] = "memory",     [METRIC_GROUP_MISC] = "misc",
	[METRIC_GROUP_NETWORK] = "network",   [METRIC_GROUP_OOM] = "oom",
	[METRIC_GROUP_PRESSURE] = "pressure", [METRIC_GROUP_PROCESS] = "process",
	[METRIC_GROUP_SPEC] = "spec",
};

unsigned metric_group_set(const char *name)
{
	if (str_eq(name, "all"))
		return METRIC_GROUPS_ALL;
	for (unsigned i = 0; i < METRIC_GROUPS; i++)
		if (str_eq(name, group_names[i]))
			return 1U << i;
	return 0;
}

unsigned metric_groups_of(const struct config_strings *names)
{
	unsigned set = 0;

	for (size_t i = 0; i < names->len; i++)
		set |= metric_group_set(names->items[i]);
	return names->len ? set : METRIC_GROUPS_ALL;
}
