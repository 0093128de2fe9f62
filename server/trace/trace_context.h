/*
 * Which trace a call belongs to: what its client says in the metadata, and what becomes of it.
 *
 * `traceparent` is the W3C's (https://www.w3.org/TR/trace-context/), which OpenTelemetry clients send;
 * `grpc-trace-bin` the older binary form of OpenCensus
 * (https://github.com/census-instrumentation/opencensus-specs/blob/master/encodings/BinaryEncoding.md). What
 * cannot be read counts as not sent, as the W3C asks. Pure functions over what an untrusted client may send.
 */
#ifndef SERVER_TRACE_TRACE_CONTEXT_H
#define SERVER_TRACE_TRACE_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TRACE_ID_SIZE = 16, TRACE_SPAN_ID_SIZE = 8 };

struct trace_context {
	uint8_t trace_id[TRACE_ID_SIZE];
	uint8_t span_id[TRACE_SPAN_ID_SIZE]; /* the client's: our span's parent */
	bool sampled;
};

/* "00-<32 hex digits>-<16>-<2>"; text need not be NUL-terminated. False: not one, *ret is as it was. */
bool trace_context_parse(const char *text, size_t len, struct trace_context *ret);
/* Of grpc-trace-bin, decoded from base64. */
bool trace_context_parse_binary(const uint8_t *data, size_t len, struct trace_context *ret);

/* Of a new trace: whether this id is among `rate` of a million. Equal ids give equal answers everywhere, as
 * with OpenTelemetry's TraceIdRatioBased. */
bool trace_id_is_sampled(const uint8_t trace_id[TRACE_ID_SIZE], uint32_t rate);

#endif
