/*
 * Spans as the bytes of an OTLP ExportTraceServiceRequest. Private to server/trace.
 */
#ifndef SERVER_TRACE_OTLP_H
#define SERVER_TRACE_OTLP_H

#include "base/list.h"
#include "base/str.h"
#include "server/trace/tracer.h"

/* A span that has ended; owns its texts. */
struct ended_span {
	struct list node;
	struct trace_span span;
	int64_t ended; /* clock_real() ns */
	enum rpc_code code;
	char *service, *method; /* "runtime.v1.RuntimeService", "Version"; a step has a method only */
	char *what;
	char *pod, *container, *name, *image; /* NULL: none */
	char *error;                          /* NULL: none */
};

struct ended_span *ended_span_new(const struct trace_span *span, const struct trace_facts *facts);
struct ended_span *ended_span_free(struct ended_span *span); /* returns NULL */

/* Replaces what is in out. */
void otlp_pack(struct ended_span *const *spans, size_t count, const char *host, struct str *out);

#endif
