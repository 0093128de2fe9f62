/*
 * All metrics of crispd, once each, in the order they are shown. To add one: METRIC() where it is counted,
 * and its line in metrics_table.c.
 */
#ifndef SERVER_METRICS_METRICS_TABLE_H
#define SERVER_METRICS_METRICS_TABLE_H

#include "base/metric.h"

#define METRICS_PREFIX "container_runtime_crisp_"

extern struct metric *const metrics_table[]; /* NULL-terminated */

#endif
