/*
 * The inside of a call, for call.c and feed.c only.
 *
 * Every outstanding event and a running worker hold one reference; whoever drops the last frees the call.
 * Taking a reference before an event is asked for and reading it when the event has happened is also what
 * orders memory between the threads: gRPC does so too, but invisibly to ThreadSanitizer.
 */
#ifndef SERVER_GRPC_CALL_STATE_H
#define SERVER_GRPC_CALL_STATE_H

#include <stdatomic.h>

#include "server/grpc/call.h"
#include "server/grpc/calls.h"
#include "server/trace/tracer.h"

struct feed;

struct call {
	struct calls *calls;
	struct calls_entry entry;
	grpc_completion_queue *queue;
	grpc_call *core;
	grpc_call_details details;
	grpc_metadata_array metadata;
	grpc_byte_buffer *request;
	int cancelled; /* written by gRPC before the close event */
	atomic_uint refs;

	const struct method *method;
	struct ctx ctx;
	bool started; /* ctx and entry are in use */
	struct arena *arena;
	const ProtobufCMessage *asked; /* the decoded request, in arena; NULL: none */
	const char *pod;               /* which it is about, where the request does not say; in arena */
	grpc_byte_buffer *encoded;     /* the answer, where the handler has encoded it */
	int64_t began;
	struct trace_span span;
	bool headers_sent;

	struct call_event accepted, received, closed, opened, sent, finished;

	struct lock lock;
	struct cond send_over; /* call_send() waits for its event */
	/* under lock */
	bool sending, sent_ok;
	bool over;         /* the stream is; the close event has come */
	struct feed *feed; /* a reference; the handler left the call to it */
};

void call_ref(struct call *call);
void call_unref(struct call *call);
/* The call behind an event, with everything visible that was written before the event was asked for. */
struct call *call_of_event(const struct call_event *event);
/* Asks for an event that comes when all ops are done. It holds a reference. */
void call_start(struct call *call, const grpc_op *ops, size_t count, struct call_event *event);
/* What the client is told; a cancellation of ours or of the clock is given its true name. */
void call_settle(struct call *call, struct err *err);
/* Sends status and, when err is NULL, the answer (NULL: a stream, whose messages went before). */
void call_finish(struct call *call, grpc_byte_buffer *answer, const struct err *err);
/* Ends the stream at once, whatever waits to be sent: the status passes by. */
void call_cut(struct call *call, const struct err *err);

#endif
