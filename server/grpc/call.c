/*
 * A call is a chain of events, each of which starts the next: accept() -> receive() -> run(), here or on a
 * worker -> finish(). Beside the chain stands the close event, which gRPC delivers exactly once when the
 * stream is over, for whatever reason; it cancels the context unless the answer was sent.
 */
#include "server/grpc/call_state.h"

#include <assert.h>
#include <grpc/support/alloc.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/step.h"
#include "base/str.h"
#include "proto/message.h"
#include "server/grpc/feed.h"
#include "server/grpc/payload.h"
#include "server/grpc/record.h"
#include "server/grpc/status_text.h"

/* gRPC ends a call at its deadline by cancelling it, by a clock that is read a moment earlier than ours. */
#define DEADLINE_SLACK (20 * NS_PER_MS)

void call_ref(struct call *call)
{
	atomic_fetch_add(&call->refs, 1);
}

void call_unref(struct call *call)
{
	if (atomic_fetch_sub(&call->refs, 1) != 1)
		return;
	if (call->started) {
		calls_remove(call->calls, &call->entry);
		ctx_done(&call->ctx);
	}
	feed_unref(call->feed);
	arena_free(call->arena);
	if (call->request)
		grpc_byte_buffer_destroy(call->request);
	if (call->encoded)
		grpc_byte_buffer_destroy(call->encoded);
	grpc_metadata_array_destroy(&call->metadata);
	grpc_call_details_destroy(&call->details);
	if (call->core)
		grpc_call_unref(call->core);
	cond_done(&call->send_over);
	lock_done(&call->lock);
	free(call);
}

struct call *call_of_event(const struct call_event *event)
{
	unsigned int refs = atomic_load(&event->call->refs);

	assert(refs > 0);
	return event->call;
}

void call_start(struct call *call, const grpc_op *ops, size_t count, struct call_event *event)
{
	grpc_call_error error;

	call_ref(call);
	error = grpc_call_start_batch(call->core, ops, count, event, NULL);
	assert(error == GRPC_CALL_OK);
}

struct service *call_service(const struct call *call)
{
	return call->calls->service;
}

const struct ctx *call_ctx(const struct call *call)
{
	return &call->ctx;
}

struct arena *call_arena(struct call *call)
{
	return call->arena;
}

void call_note_pod(struct call *call, const char *pod)
{
	call->pod = pod;
}

uint8_t *call_answer_room(void *data, size_t len, struct err *err)
{
	struct call *call = data;

	assert(!call->encoded && !call->method->rpc->streaming);
	return payload_room(len, call->calls->send_max, &call->encoded, err);
}

size_t call_answer_max(const struct call *call)
{
	return call->calls->send_max;
}

/* ---- the answer ---- */

static void on_done(struct call_event *event, bool ok UNUSED)
{
	call_unref(call_of_event(event));
}

/* A call that gRPC ended for its deadline is left to its own clock: waiters then say what happened, and
 * within a moment. */
static bool past_deadline(const struct call *call)
{
	int64_t deadline = ctx_deadline(&call->ctx);

	return deadline != NO_DEADLINE && clock_mono() + DEADLINE_SLACK >= deadline;
}

void call_settle(struct call *call, struct err *err)
{
	if (err->code == RPC_OK || err->code > RPC_UNAUTHENTICATED)
		err_set(err, RPC_INTERNAL, "%s failed without a reason",
			call->method ? call->method->rpc->method : "the call");
	if (err->code != RPC_CANCELLED)
		return;
	if (past_deadline(call)) {
		err->code = RPC_DEADLINE_EXCEEDED;
	} else if (calls_cancelled(call->calls)) {
		err->code = RPC_UNAVAILABLE;
		err_prefix(err, "crispd is shutting down");
	}
}

void call_finish(struct call *call, grpc_byte_buffer *answer, const struct err *err)
{
	grpc_slice text = err ? status_text(err->text) : grpc_empty_slice();
	grpc_op ops[3] = { 0 };
	size_t count = 0;

	if (!call->headers_sent)
		ops[count++].op = GRPC_OP_SEND_INITIAL_METADATA;
	call->headers_sent = true;
	if (answer) {
		ops[count].data.send_message.send_message = answer;
		ops[count++].op = GRPC_OP_SEND_MESSAGE;
	}
	ops[count].data.send_status_from_server.status = err ? (grpc_status_code)err->code : GRPC_STATUS_OK;
	ops[count].data.send_status_from_server.status_details = err ? &text : NULL;
	ops[count++].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
	call_start(call, ops, count, &call->finished);
	if (answer)
		grpc_byte_buffer_destroy(answer);
	grpc_slice_unref(text);
}

void call_cut(struct call *call, const struct err *err)
{
	grpc_slice text = status_text(err->text);
	CLEANUP(freep) char *line = grpc_slice_to_c_string(text);

	grpc_call_cancel_with_status(call->core, (grpc_status_code)err->code, line, NULL);
	grpc_slice_unref(text);
}

static void refuse(struct call *call, struct err *err)
{
	call_settle(call, err);
	call_finish(call, NULL, err);
}

static void on_sent(struct call_event *event, bool ok)
{
	struct call *call = call_of_event(event);

	lock_take(&call->lock);
	call->sending = false;
	call->sent_ok = ok;
	cond_signal(&call->send_over);
	lock_drop(&call->lock);
	call_unref(call);
}

/* Until the message is on its way; false when the client has gone. One that takes nothing for too long is cut
 * off: *stalled. */
static bool wait_sent(struct call *call, bool *stalled)
{
	int64_t deadline = clock_deadline_in(call->calls->stall_max);
	bool ok;

	lock_take(&call->lock);
	while (call->sending && cond_wait_until(&call->send_over, &call->lock, deadline))
		;
	*stalled = call->sending;
	ok = call->sent_ok;
	lock_drop(&call->lock);
	return ok && !*stalled;
}

/* gRPC fails the message of a call that is cut. */
static int give_up(struct call *call, struct err *err)
{
	err_set(err, RPC_RESOURCE_EXHAUSTED, "the client took nothing for %lld seconds",
		(long long)(call->calls->stall_max / NS_PER_SEC));
	call_cut(call, err);
	lock_take(&call->lock);
	while (call->sending)
		cond_wait(&call->send_over, &call->lock);
	lock_drop(&call->lock);
	return -1;
}

int call_send(struct call *call, ProtobufCMessage *message, struct err *err)
{
	grpc_byte_buffer *buffer;
	grpc_op ops[2] = { 0 };
	size_t count = 0;
	bool stalled;

	assert(call->method->rpc->streaming);
	if (ctx_check(&call->ctx, call->method->rpc->method, err) < 0)
		return -1;
	message_mend(message, call->arena);
	if (payload_write(message, call->calls->send_max, &buffer, err) < 0)
		return -1;
	if (!call->headers_sent)
		ops[count++].op = GRPC_OP_SEND_INITIAL_METADATA;
	call->headers_sent = true;
	ops[count].data.send_message.send_message = buffer;
	ops[count++].op = GRPC_OP_SEND_MESSAGE;
	lock_take(&call->lock);
	call->sending = true;
	lock_drop(&call->lock);
	call_start(call, ops, count, &call->sent);
	grpc_byte_buffer_destroy(buffer);
	if (wait_sent(call, &stalled))
		return 0;
	if (stalled)
		return give_up(call, err);
	return err_set(err, RPC_CANCELLED, "%s: the client has gone", call->method->rpc->method);
}

/* ---- the work ---- */

static int decode(struct call *call, ProtobufCMessage **ret, struct err *err)
{
	CLEANUP(payload_done) struct payload payload;

	if (payload_read(call->request, call->calls->recv_max, &payload, err) < 0)
		return -1;
	return message_unpack(call->method->input, payload.data, payload.len, call->arena, ret, err);
}

struct exchange {
	ProtobufCMessage *request, *answer;
	grpc_byte_buffer *bytes;
};

/* Request in, answer out, as bytes. */
static int serve(struct call *call, struct exchange *exchange, struct err *err)
{
	const struct rpc *rpc = call->method->rpc;

	if (decode(call, &exchange->request, err) < 0)
		return -1;
	grpc_byte_buffer_destroy(call->request);
	call->request = NULL;
	call->asked = exchange->request;
	record_request(rpc, exchange->request);
	if (!rpc->handle)
		return err_set(err, RPC_UNIMPLEMENTED, "crispd does not implement %s yet", rpc->method);
	if (ctx_check(&call->ctx, rpc->method, err) < 0)
		return -1;
	exchange->answer = message_new(call->arena, call->method->output);
	if (rpc->handle(call, exchange->request, exchange->answer, err) < 0)
		return -1;
	if (rpc->streaming)
		return 0;
	if (call->encoded) {
		exchange->bytes = TAKE(call->encoded);
		return 0;
	}
	message_mend(exchange->answer, call->arena);
	return payload_write(exchange->answer, call->calls->send_max, &exchange->bytes, err);
}

/* A handler that fails after it has started a feed ends that; one whose feed did not start ends the call. */
static bool left_to_feed(struct call *call, int result, const struct err *err)
{
	bool started = feed_started(call->feed);

	if (started && result < 0)
		feed_end(call->feed, err);
	return started;
}

static void run(struct call *call)
{
	struct exchange exchange = { 0 };
	struct err err = { 0 };
	struct record record;
	int result;

	call->arena = arena_new(CALL_ARENA_MAX);
	tracer_enter(&call->span);
	result = serve(call, &exchange, &err);
	step_enter(NULL);
	if (call->feed && left_to_feed(call, result, &err))
		return;
	if (result < 0)
		call_settle(call, &err);
	record = (struct record){ .rpc = call->method->rpc,
				  .request = exchange.request,
				  .answer = result < 0 ? NULL : exchange.answer,
				  .pod = call->pod,
				  .err = result < 0 ? &err : NULL,
				  .began = call->began,
				  .tracer = call->calls->tracer,
				  .span = &call->span };
	record_result(&record);
	call_finish(call, exchange.bytes, result < 0 ? &err : NULL);
}

/* On a worker, which holds a reference. */
static void run_task(void *data)
{
	struct call *call = data;

	run(call);
	call_unref(call);
}

static void hand_to_worker(struct call *call)
{
	struct err err = { 0 };

	call_ref(call);
	if (pool_run(call->calls->pool, run_task, call, &err) == 0)
		return;
	call_unref(call); /* not the last: the event's own is still held */
	err_prefix(&err, "too many calls wait for a worker");
	record_refusal(call->method->rpc, &err);
	refuse(call, &err);
}

/* ---- arrival ---- */

static void on_received(struct call_event *event, bool ok)
{
	struct call *call = call_of_event(event);
	struct err err = { 0 };

	if (!ok || !call->request) {
		/* Too large a message was answered by gRPC already, and then this status goes nowhere. */
		err_set(&err, RPC_INTERNAL, "the call ended without a whole request");
		record_refusal(call->method->rpc, &err);
		refuse(call, &err);
	} else if (call->method->rpc->speed == RPC_FAST) {
		run(call);
	} else {
		hand_to_worker(call);
	}
	call_unref(call);
}

static void receive(struct call *call)
{
	grpc_op op = { .op = GRPC_OP_RECV_MESSAGE };

	op.data.recv_message.recv_message = &call->request;
	call_start(call, &op, 1, &call->received);
}

static void on_closed(struct call_event *event, bool ok UNUSED)
{
	struct call *call = call_of_event(event);
	struct feed *feed;

	if (call->cancelled && !past_deadline(call))
		ctx_cancel(&call->ctx);
	lock_take(&call->lock);
	call->over = true;
	feed = call->feed;
	lock_drop(&call->lock);
	if (feed)
		feed_closed(feed);
	call_unref(call);
}

static void watch_close(struct call *call)
{
	grpc_op op = { .op = GRPC_OP_RECV_CLOSE_ON_SERVER };

	op.data.recv_close_on_server.cancelled = &call->cancelled;
	call_start(call, &op, 1, &call->closed);
}

static int64_t deadline_of(const grpc_call_details *details)
{
	gpr_timespec left;

	if (gpr_time_cmp(details->deadline, gpr_inf_future(details->deadline.clock_type)) == 0)
		return NO_DEADLINE;
	left = gpr_time_sub(details->deadline, gpr_now(details->deadline.clock_type));
	if (left.tv_sec > INT64_MAX / NS_PER_SEC / 2)
		return NO_DEADLINE;
	return clock_deadline_in(left.tv_sec * NS_PER_SEC + left.tv_nsec);
}

static bool too_early(const struct call *call)
{
	return !call->method->rpc->early && !atomic_load_explicit(&call->calls->open, memory_order_acquire);
}

static void refuse_early(struct call *call)
{
	CLEANUP(freep) char *why = call->calls->why_closed(call->calls->why_data);
	struct err err = { 0 };

	err_set(&err, RPC_UNAVAILABLE, "%s", why);
	record_refusal(call->method->rpc, &err);
	refuse(call, &err);
}

static void refuse_for_room(struct call *call, enum calls_room room)
{
	struct err err = { 0 };

	if (room == CALLS_FULL)
		err_set(&err, RPC_RESOURCE_EXHAUSTED, "more than %zu calls are in progress",
			call->calls->count_max);
	else
		err_set(&err, RPC_RESOURCE_EXHAUSTED, "more than %zu calls of one connection are in progress",
			call->calls->connection_max);
	record_refusal(call->method->rpc, &err);
	refuse(call, &err);
}

/* gRPC calls a connection that was handed to it "fd:" and its descriptor. */
static int connection_of(grpc_call *core)
{
	static const char prefix[] = "fd:";
	char *peer = grpc_call_get_peer(core);
	uint64_t fd;
	bool known = str_has_prefix(peer, prefix) && parse_u64(peer + sizeof(prefix) - 1, INT_MAX, &fd);

	gpr_free(peer);
	return known ? (int)fd : CALLS_NO_CONNECTION;
}

static void begin(struct call *call)
{
	const grpc_slice *path = &call->details.method;
	struct err err = { 0 };
	enum calls_room room;

	call->began = clock_mono();
	tracer_begin(call->calls->tracer, &call->metadata, &call->span);
	ctx_init(&call->ctx, deadline_of(&call->details));
	call->entry.ctx = &call->ctx;
	call->entry.connection = connection_of(call->core);
	room = calls_add(call->calls, &call->entry);
	call->started = true;
	watch_close(call);
	call->method =
		methods_find(call->calls->methods, GRPC_SLICE_START_PTR(*path), GRPC_SLICE_LENGTH(*path));
	if (!call->method) {
		err_set(&err, RPC_UNIMPLEMENTED, "unknown method %.*s",
			(int)(GRPC_SLICE_LENGTH(*path) & 0xff), (const char *)GRPC_SLICE_START_PTR(*path));
		refuse(call, &err);
	} else if (room != CALLS_ROOM) {
		refuse_for_room(call, room);
	} else if (too_early(call)) {
		refuse_early(call);
	} else {
		receive(call);
	}
}

static void on_accepted(struct call_event *event, bool ok)
{
	struct call *call = call_of_event(event);

	if (ok) {
		call_accept(call->calls, call->queue);
		begin(call);
	}
	calls_asked(call->calls);
	call_unref(call);
}

static struct call *call_new(struct calls *calls, grpc_completion_queue *queue)
{
	struct call *call = xnew(struct call);

	call->calls = calls;
	call->queue = queue;
	call->accepted = (struct call_event){ on_accepted, call };
	call->received = (struct call_event){ on_received, call };
	call->closed = (struct call_event){ on_closed, call };
	call->sent = (struct call_event){ on_sent, call };
	call->opened = (struct call_event){ on_done, call };
	call->finished = (struct call_event){ on_done, call };
	grpc_call_details_init(&call->details);
	grpc_metadata_array_init(&call->metadata);
	lock_init(&call->lock, "call", LOCK_SERVER);
	cond_init(&call->send_over);
	atomic_init(&call->refs, 0);
	return call;
}

void call_accept(struct calls *calls, grpc_completion_queue *queue)
{
	struct call *call = call_new(calls, queue);

	call_ref(call);
	calls_ask(calls);
	if (grpc_server_request_call(calls->core, &call->core, &call->details, &call->metadata, queue, queue,
				     &call->accepted) == GRPC_CALL_OK)
		return;
	calls_asked(calls); /* the queue has been shut down */
	call_unref(call);
}
