/*
 * What the log says about calls: one line for each that has ended, at a level that follows from what it did.
 * Here they are counted for the metrics and handed to the tracer, too.
 *
 * Successful changes are INFO, reads DEBUG; failures are logged here and nowhere below (WARN, or ERROR when
 * crispd itself failed). Lines carry ids and names, never a request's body; bodies appear at TRACE only, with
 * secrets redacted. Any thread.
 */
#ifndef SERVER_GRPC_RECORD_H
#define SERVER_GRPC_RECORD_H

#include <protobuf-c/protobuf-c.h>
#include <stdint.h>

#include "base/err.h"
#include "server/rpc/rpc.h"
#include "server/trace/tracer.h"

struct record {
	const struct rpc *rpc;
	const ProtobufCMessage *request; /* NULL: it could not be decoded */
	const ProtobufCMessage *answer;  /* NULL: there is none */
	const char *pod;                 /* where neither names it; may be NULL */
	const struct err *err;           /* NULL: success */
	int64_t began;                   /* clock_mono() ns */
	struct tracer *tracer;           /* may be NULL, as may span */
	const struct trace_span *span;
};

void record_request(const struct rpc *rpc, const ProtobufCMessage *request);
void record_result(const struct record *record);
/* A call that was turned away before it ran. */
void record_refusal(const struct rpc *rpc, const struct err *err);

#endif
