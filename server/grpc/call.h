/*
 * One call of a client, from its arrival to its last byte, and what a handler may use of it.
 *
 * A call is driven by events of gRPC's completion queue: accepted, request received, answer sent, and beside
 * them the end of the stream, which cancels the call's context when the client went away or its deadline
 * passed. Request, answer and all temporary memory live in the call's arena, whose size is bounded; the
 * struct call dies when no event is outstanding.
 *
 * Threads: handlers run on one thread; call_ctx() may be handed to others that end before the handler
 * returns.
 */
#ifndef SERVER_GRPC_CALL_H
#define SERVER_GRPC_CALL_H

#include <grpc/grpc.h>
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"

struct call;
struct calls;
struct service;

enum { CALL_ARENA_MAX = 128 * 1024 * 1024 }; /* bytes of one call's messages, decoded */

/* For handlers. */
/* NULL only in tests of the dispatcher, and not to be asked for by an RPC that is `early`. */
struct service *call_service(const struct call *call);
const struct ctx *call_ctx(const struct call *call);
struct arena *call_arena(struct call *call);
/* Which pod a call is about whose request does not say so; in the call's arena, or NULL. */
void call_note_pod(struct call *call, const char *pod);
/* The encoded answer, instead of the message: room for len bytes, which the handler fills before it returns
 * 0. Once a call. NULL and RESOURCE_EXHAUSTED when that is more than an answer may have. data: the call. */
uint8_t *call_answer_room(void *data, size_t len, struct err *err);
/* The most bytes an answer may have on the wire. */
size_t call_answer_max(const struct call *call);
/* One message of a streamed answer; waits until gRPC's flow control has taken it. CANCELLED when the client
 * has gone, RESOURCE_EXHAUSTED when the message is too large. Workers only. */
int call_send(struct call *call, ProtobufCMessage *message, struct err *err) MUST_CHECK;

/* For the completion queues' threads (rpc_server.c): the tag of every event is a struct call_event. */
struct call_event {
	void (*happened)(struct call_event *event, bool ok);
	struct call *call;
};
/* Asks gRPC for the next call on queue. After the server has shut down this is harmless and does nothing. */
void call_accept(struct calls *calls, grpc_completion_queue *queue);

#endif
