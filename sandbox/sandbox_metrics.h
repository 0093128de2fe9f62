/*
 * What is counted of pods and containers, and how many there are in each state.
 */
#ifndef SANDBOX_SANDBOX_METRICS_H
#define SANDBOX_SANDBOX_METRICS_H

#include "base/metric.h"
#include "sandbox/sandboxes.h"

extern struct metric metric_containers_oom, metric_monitor_deaths;

enum { SANDBOX_CONTAINER_STATES = 3 };
struct sandbox_counts {
	size_t ready, not_ready;                     /* pods */
	size_t containers[SANDBOX_CONTAINER_STATES]; /* created, running, exited */
};
/* Any thread. */
void sandboxes_count(struct sandboxes *sandboxes, struct sandbox_counts *ret);

#endif
