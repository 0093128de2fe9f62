/*
 * Spans of calls and of their steps, sent to an OpenTelemetry collector by OTLP over HTTP.
 *
 * A span is put into a bounded queue by whoever ends it, which never waits; a thread of the tracer's own
 * sends what has gathered, a batch at a time. What does not fit, or cannot be sent in a few tries, is dropped
 * and counted.
 *
 * Threads: tracer_begin() and tracer_end(), any; new and free, one.
 */
#ifndef SERVER_TRACE_TRACER_H
#define SERVER_TRACE_TRACER_H

#include <grpc/grpc.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/metric.h"
#include "config/config.h"
#include "server/trace/trace_context.h"

struct tracer;

extern struct metric metric_spans_sent, metric_spans_dropped;

/* The span of one call while it goes on. */
struct trace_span {
	bool sampled; /* else nothing below is meant */
	bool has_parent;
	uint8_t trace_id[TRACE_ID_SIZE];
	uint8_t span_id[TRACE_SPAN_ID_SIZE], parent_id[TRACE_SPAN_ID_SIZE];
	int64_t began; /* clock_real() ns */
	/* a part of a call */
	bool step, failed;
};

/* What is told of it in the end; all but service and method may be NULL. A step has no service, its name is
 * the method, and what is what of several alike it dealt with. */
struct trace_facts {
	const char *service, *method, *what;
	const char *pod, *container, *name, *image;
	const struct err *err; /* NULL: it went well */
};

/* Nothing is sent yet: a collector that is not there is told in the log later. */
struct tracer *tracer_new(const struct config_tracing *config, struct err *err);
/* What still waits has two seconds. Accepts NULL, returns NULL. No call is in progress. */
struct tracer *tracer_free(struct tracer *tracer);

/* With the metadata of a call. tracer NULL: not sampled. */
void tracer_begin(const struct tracer *tracer, const grpc_metadata_array *metadata, struct trace_span *ret);
void tracer_end(struct tracer *tracer, const struct trace_span *span, const struct trace_facts *facts);
/* From here on, until step_enter(NULL), this thread works for the span's call: its steps (base/step.h) become
 * the span's children. */
void tracer_enter(const struct trace_span *span);

#endif
