#include "image/pull_metrics.h"

METRIC(metric_pulls_success, 1, .name = "image_pulls_success_total", .help = "Image pulls that succeeded.",
       .type = METRIC_COUNTER);
METRIC(metric_pulls_failure, METRIC_CODES, .name = "image_pulls_failure_total",
       .help = "Image pulls that failed, by gRPC status code.", .type = METRIC_COUNTER, .sparse = true,
       .labels = { { "error", metric_codes, METRIC_CODES } });
METRIC(metric_pulls_bytes, 1, .name = "image_pulls_bytes_total",
       .help = "Compressed bytes of layers that were fetched.", .type = METRIC_COUNTER);
METRIC(metric_pulls_skipped_bytes, 1, .name = "image_pulls_skipped_bytes_total",
       .help = "Compressed bytes of layers that were there already.", .type = METRIC_COUNTER);
METRIC(metric_pulls_layer_size, METRIC_HISTOGRAM_CELLS, .name = "image_pulls_layer_size_bytes",
       .help = "Compressed sizes of the layers that were fetched.", .type = METRIC_HISTOGRAM,
       .bounds = &metric_bounds_size);
METRIC(metric_layer_reuse, 1, .name = "image_layer_reuse_total",
       .help = "Layers that a pull found in the store.", .type = METRIC_COUNTER);

void pull_count(const struct err *err)
{
	if (err)
		metric_add_at(&metric_pulls_failure, metric_code_index(err->code), 0, 1);
	else
		metric_add(&metric_pulls_success, 1);
}

void pull_count_bytes(size_t bytes)
{
	metric_add(&metric_pulls_bytes, bytes);
}

void pull_count_layer(int64_t size, bool reused)
{
	uint64_t bytes = size > 0 ? (uint64_t)size : 0;

	if (reused) {
		metric_add(&metric_layer_reuse, 1);
		metric_add(&metric_pulls_skipped_bytes, bytes);
	} else {
		metric_observe(&metric_pulls_layer_size, bytes);
	}
}
