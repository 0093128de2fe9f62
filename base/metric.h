/*
 * Metrics: counters, gauges and histograms that any floor counts and the server writes out as Prometheus
 * text.
 *
 * A metric is a static object of the module that counts; server/metrics/metrics_table.c lists them all. The
 * values of a label are a fixed table and a cell is chosen by number, never by a client's text: what a client
 * sends can't make metrics grow (CVE-2023-45142). Cells are static storage, so counting is one or two relaxed
 * atomic additions: no lock, no allocation, nothing that fails. Any thread, with any lock held.
 *
 * Cells hold integers in the metric's own unit (ns, bytes); `per_unit` of them are one of what is shown.
 *
 * Format: https://prometheus.io/docs/instrumenting/exposition_formats/ (text, version 0.0.4)
 */
#ifndef BASE_METRIC_H
#define BASE_METRIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_label {
	const char *key;           /* NULL: the metric has no such label */
	const char *const *values; /* values_len of them */
	size_t values_len;
};

/* Upper bounds of a histogram's buckets, ascending; one more bucket is without bound. */
struct metric_bounds {
	const uint64_t *items;
	size_t len;
};
extern const struct metric_bounds metric_bounds_time; /* ns, 0.5 ms to 60 s */
extern const struct metric_bounds metric_bounds_size; /* bytes, 1 KiB to 4 GiB */
/* Cells of one histogram without labels over either of the two. */
enum { METRIC_HISTOGRAM_CELLS = 18 };

struct metric {
	const char *name; /* without the prefix, with the unit; a counter's ends in "_total" */
	const char *help; /* one line */
	enum metric_type type;
	struct metric_label labels[2];
	bool plain;                         /* its name gets no prefix: what every process has */
	bool sparse;                        /* cells that never counted are not shown */
	uint64_t per_unit;                  /* 0: 1 */
	const struct metric_bounds *bounds; /* of a histogram */
	_Atomic uint64_t *cells;
	size_t cells_len; /* combinations of labels, times bounds + 2 for a histogram */
};

/* Declares the metric's cells with it: METRIC(name, cells, .name = "...", ...). */
#define METRIC(variable, count, ...)                     \
	static _Atomic uint64_t variable##_cells[count]; \
	struct metric variable = { .cells = variable##_cells, .cells_len = (count), __VA_ARGS__ }

/* Time as most histograms have it: in ns, shown in seconds. */
#define METRIC_TIME \
	.type = METRIC_HISTOGRAM, .per_unit = 1000000000, .bounds = &metric_bounds_time, .sparse = true

/* first and second number a value of each label; 0 without labels. A number out of range is our own mistake.
 */
void metric_add_at(struct metric *metric, size_t first, size_t second, uint64_t count);
void metric_observe_at(struct metric *metric, size_t first, size_t second, uint64_t value);
void metric_set_at(struct metric *metric, size_t first, size_t second, uint64_t value);
/* The same without labels. */
void metric_add(struct metric *metric, uint64_t count);
void metric_observe(struct metric *metric, uint64_t value);
void metric_set(struct metric *metric, uint64_t value);
/* Of a counter or gauge; of a histogram how often it was observed. */
uint64_t metric_get_at(const struct metric *metric, size_t first, size_t second);

/* The values of a label that tells a gRPC status code, and the number of one. */
enum { METRIC_CODES = 17 };
extern const char *const metric_codes[METRIC_CODES];
size_t metric_code_index(enum rpc_code code);

/* The number of the label's value that equals text; the last one ("other") when none does. */
size_t metric_label_index(const struct metric_label *label, const char *text);

/* Appends the metric's lines. */
void metric_write(const struct metric *metric, const char *prefix, struct str *out);

#endif
