/*
 * Groups of the metrics that ListPodSandboxMetrics gives of pods and containers, as included_pod_metrics
 * names them; named as in CRI-O's. Pure functions.
 */
#ifndef CONFIG_METRIC_GROUP_H
#define CONFIG_METRIC_GROUP_H

#include "config/config.h"

enum metric_group {
	METRIC_GROUP_CPU,
	METRIC_GROUP_DISK,
	METRIC_GROUP_DISK_IO,
	METRIC_GROUP_HUGETLB,
	METRIC_GROUP_MEMORY,
	METRIC_GROUP_MISC,
	METRIC_GROUP_NETWORK,
	METRIC_GROUP_OOM,
	METRIC_GROUP_PRESSURE,
	METRIC_GROUP_PROCESS,
	METRIC_GROUP_SPEC,
	METRIC_GROUPS,
};

/* A set has bit 1 << group for each. */
#define METRIC_GROUPS_ALL ((1U << METRIC_GROUPS) - 1)

/* The set of one name, of all for "all"; 0: there is no such group. */
unsigned metric_group_set(const char *name);
/* The set of a list of good names; of none: all. */
unsigned metric_groups_of(const struct config_strings *names);

#endif
