#include "sandbox/sandbox_metrics.h"

#include "sandbox/store.h"

METRIC(metric_containers_oom, 1, .name = "containers_oom_total",
       .help = "Containers that ended for want of memory.", .type = METRIC_COUNTER);
METRIC(metric_monitor_deaths, 1, .name = "monitor_deaths_total",
       .help = "Monitors that ended without reporting how their container did.", .type = METRIC_COUNTER);

void sandboxes_count(struct sandboxes *sandboxes, struct sandbox_counts *ret)
{
	CLEANUP(store_pods_freep) struct pod **pods = store_pods(sandboxes);
	CLEANUP(store_containers_freep) struct container **containers = store_containers(sandboxes, NULL);
	struct sandbox_counts counts = { 0 };

	for (size_t i = 0; pods[i]; i++) {
		if (pod_ready(pods[i]))
			counts.ready++;
		else
			counts.not_ready++;
	}
	for (size_t i = 0; containers[i]; i++) {
		Cri__ContainerState state = container_state(containers[i]);

		if ((size_t)state < SANDBOX_CONTAINER_STATES)
			counts.containers[state]++;
	}
	*ret = counts;
}
