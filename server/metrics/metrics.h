/*
 * The metrics endpoint, as [crisp.metrics] wants it: TCP, with TLS or without, a unix socket, or both.
 *
 * Names are CRI-O's where it has the metric, with "crisp" for "crio"
 * (https://github.com/cri-o/cri-o/blob/main/tutorials/metrics.md).
 */
#ifndef SERVER_METRICS_METRICS_H
#define SERVER_METRICS_METRICS_H

#include "base/str.h"
#include "config/config.h"
#include "server/metrics/sample.h"

struct metrics;

struct metrics_options {
	const struct config_metrics *config; /* borrowed until metrics_free() */
	struct sample_source source;
};

/* Serves from here on. INVALID_ARGUMENT for a collector that there is not, FAILED_PRECONDITION when it can't
 * listen. */
struct metrics *metrics_new(const struct metrics_options *options, struct err *err);
struct metrics *metrics_free(struct metrics *metrics); /* accepts NULL, returns NULL */
/* The page, of these collectors (none: all). Any thread. */
void metrics_write(const struct sample_source *source, const struct config_strings *collectors,
		   struct str *out);

#endif
