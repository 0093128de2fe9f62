/*
 * What is counted of pulls: how they ended, bytes over the wire, layers that were there already. Names after
 * CRI-O's. Any thread; nothing fails.
 */
#ifndef IMAGE_PULL_METRICS_H
#define IMAGE_PULL_METRICS_H

#include <stdint.h>

#include "base/err.h"
#include "base/metric.h"

extern struct metric metric_pulls_success, metric_pulls_failure; /* failures by code */
extern struct metric metric_pulls_bytes, metric_pulls_skipped_bytes;
extern struct metric metric_pulls_layer_size, metric_layer_reuse;

/* A pull has ended; err NULL: well. */
void pull_count(const struct err *err);
/* Compressed bytes of layers that came in. */
void pull_count_bytes(size_t bytes);
/* A layer of so many compressed bytes was fetched, or was there already. */
void pull_count_layer(int64_t size, bool reused);

#endif
