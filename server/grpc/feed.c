/*
 * One message is with gRPC at a time; the others queue here, as references to slices that many feeds may
 * share. The event of the one that was sent starts the next.
 *
 * While a feed is started and not over it holds a reference to its call and stands in calls->feeds. The call
 * holds one to the feed until it dies, so either may be reached from the other's events. A feed whose client
 * has fallen behind is over, but lingers: the message that is being sent goes out whole, since a Go client
 * that finds half of one does not look at the status behind it.
 */
#include "server/grpc/feed.h"

#include <assert.h>
#include <stdlib.h>

#include "base/list.h"
#include "proto/message.h"
#include "server/grpc/call_state.h"
#include "server/grpc/payload.h"
#include "server/grpc/record.h"

struct feed {
	atomic_uint refs;
	struct call *call; /* borrowed until started; from the start until it is over, a reference */
	struct feed_options options;
	size_t message_max; /* bytes */
	struct list node;   /* of calls->feeds, under its lock */
	struct call_event sent;

	struct lock lock;
	/* under lock */
	struct list queue; /* struct waiting */
	size_t count, bytes;
	bool started, sending, fell_behind;
	bool lingers; /* over, but its last message and the status wait for the client */
	bool ending, over;
	struct err end; /* with ending, or over before the start; RPC_OK: none */
};

struct waiting {
	struct list node;
	grpc_byte_buffer *message;
};

static void clear_locked(struct feed *feed)
{
	list_for_each_safe (node, &feed->queue) {
		struct waiting *waiting = list_entry(node, struct waiting, node);

		list_del(&waiting->node);
		grpc_byte_buffer_destroy(waiting->message);
		free(waiting);
	}
	feed->count = feed->bytes = 0;
}

struct feed *feed_ref(struct feed *feed)
{
	atomic_fetch_add(&feed->refs, 1);
	return feed;
}

struct feed *feed_unref(struct feed *feed)
{
	if (!feed || atomic_fetch_sub(&feed->refs, 1) != 1)
		return NULL;
	lock_take(&feed->lock);
	clear_locked(feed);
	lock_drop(&feed->lock);
	lock_done(&feed->lock);
	free(feed);
	return NULL;
}

void feed_unrefp(struct feed **feed)
{
	*feed = feed_unref(*feed);
}

/* ---- over ---- */

/* BY_DELAYED_CUT: behind the message that is being sent. */
enum ending { BY_STATUS, BY_CUT, BY_DELAYED_CUT, BY_CLIENT };

static void record_end(const struct call *call, const struct err *err)
{
	record_result(&(struct record){ .rpc = call->method->rpc,
					.request = call->asked,
					.err = err,
					.began = call->began,
					.tracer = call->calls->tracer,
					.span = &call->span });
}

static void unlist(struct feed *feed)
{
	struct calls *calls = feed->call->calls;

	lock_take(&calls->lock);
	list_del(&feed->node);
	lock_drop(&calls->lock);
}

/* Of a started one whose stream is over. */
static void release(struct feed *feed)
{
	unlist(feed);
	call_unref(feed->call);
}

/* The only way out of a started feed; once. One that is about to start hears of it there. err NULL: OK. */
static void finish(struct feed *feed, enum ending how, const struct err *err)
{
	struct call *call = feed->call;
	struct err status = { 0 };
	bool first, lingers;

	if (err)
		status = *err;
	lock_take(&feed->lock);
	first = feed->started && !feed->over;
	if (!feed->started)
		feed->end = status;
	feed->over = true;
	lingers = first && how == BY_DELAYED_CUT && feed->sending;
	if (lingers) {
		feed->lingers = true;
		call_ref(call); /* feed_closed() may come at once */
		feed->end = status;
	}
	clear_locked(feed);
	lock_drop(&feed->lock);
	if (!first)
		return;
	if (feed->options.closed)
		feed->options.closed(feed->options.data);
	if (err && !lingers)
		call_settle(call, &status);
	record_end(call, err ? &status : NULL);
	if (lingers) { /* on_sent() goes on */
		call_unref(call);
		return;
	}
	if (how == BY_CUT || how == BY_DELAYED_CUT)
		call_cut(call, &status);
	else if (how == BY_STATUS)
		call_finish(call, NULL, err ? &status : NULL);
	release(feed);
}

bool feed_started(struct feed *feed)
{
	bool started;

	lock_take(&feed->lock);
	started = feed->started;
	lock_drop(&feed->lock);
	return started;
}

void feed_closed(struct feed *feed)
{
	bool lingered;

	lock_take(&feed->lock);
	lingered = feed->lingers;
	feed->lingers = false;
	lock_drop(&feed->lock);
	if (lingered)
		release(feed);
	else
		finish(feed, BY_CLIENT, NULL);
}

/* One that is over for all but its client: the status is not waited for any longer. */
static void cut_lingering(struct feed *feed, const struct err *err)
{
	struct call *call = NULL;

	lock_take(&feed->lock);
	if (feed->lingers) {
		call = feed->call; /* held until feed_closed() */
		call_ref(call);
	}
	lock_drop(&feed->lock);
	if (!call)
		return;
	call_cut(call, err);
	call_unref(call);
}

void feed_end(struct feed *feed, const struct err *err)
{
	lock_take(&feed->lock);
	if (!feed->ending) {
		feed->ending = true;
		if (err)
			feed->end = *err;
	}
	lock_drop(&feed->lock);
	feed_flush(feed);
}

/* A reference to one that is in the list; NULL when there is none any more. */
static struct feed *take_listed(struct calls *calls)
{
	struct feed *feed = NULL;

	lock_take(&calls->lock);
	calls->feeds_stopped = true;
	if (!list_empty(&calls->feeds)) {
		feed = feed_ref(list_entry(calls->feeds.next, struct feed, node));
		list_del(&feed->node);
	}
	lock_drop(&calls->lock);
	return feed;
}

void feeds_stop(struct calls *calls)
{
	struct err err = { 0 };
	struct feed *feed;

	err_set(&err, RPC_UNAVAILABLE, "crispd is shutting down");
	while ((feed = take_listed(calls))) {
		cut_lingering(feed, &err);
		finish(feed, BY_CUT, &err);
		feed_unref(feed);
	}
}

/* ---- sending ---- */

/* One that lingered is cut off here, behind its last message. */
static void on_sent(struct call_event *event, bool ok)
{
	struct call *call = call_of_event(event);
	struct feed *feed = list_entry(event, struct feed, sent);
	bool lingers;
	struct err end;

	lock_take(&feed->lock);
	feed->sending = false;
	lingers = feed->lingers;
	end = feed->end;
	lock_drop(&feed->lock);
	if (!lingers)
		feed_flush(feed); /* a send that failed is followed by the close event */
	else if (ok)
		call_cut(call, &end);
	call_unref(call);
}

/* The next message, which then counts as being sent; NULL when none may go now. The call is held for it. */
static grpc_byte_buffer *take_locked(struct feed *feed)
{
	struct waiting *waiting;
	grpc_byte_buffer *message;

	if (feed->sending || list_empty(&feed->queue))
		return NULL;
	waiting = list_entry(feed->queue.next, struct waiting, node);
	message = waiting->message;
	list_del(&waiting->node);
	free(waiting);
	feed->count--;
	feed->bytes -= grpc_byte_buffer_length(message);
	feed->sending = true;
	call_ref(feed->call);
	return message;
}

static void send_one(struct feed *feed, grpc_byte_buffer *message)
{
	grpc_op op = { .op = GRPC_OP_SEND_MESSAGE };

	op.data.send_message.send_message = message;
	call_start(feed->call, &op, 1, &feed->sent);
	grpc_byte_buffer_destroy(message);
	call_unref(feed->call);
}

void feed_flush(struct feed *feed)
{
	grpc_byte_buffer *message = NULL;
	bool behind = false, ended = false;
	struct err err = { 0 };

	lock_take(&feed->lock);
	if (feed->started && !feed->over) {
		behind = feed->fell_behind;
		message = behind ? NULL : take_locked(feed);
		ended = feed->ending && !message && !feed->sending;
		err = feed->end;
	}
	lock_drop(&feed->lock);
	if (message) {
		send_one(feed, message);
	} else if (behind) {
		err_set(&err, RPC_RESOURCE_EXHAUSTED,
			"the client reads too slowly: more than %zu messages or %zu bytes wait for it",
			feed->options.count_max, feed->options.bytes_max);
		finish(feed, BY_DELAYED_CUT, &err);
	} else if (ended) {
		finish(feed, BY_STATUS, err.code == RPC_OK ? NULL : &err);
	}
}

int feed_pack(const struct feed *feed, ProtobufCMessage *message, struct arena *arena, grpc_byte_buffer **ret,
	      struct err *err)
{
	message_mend(message, arena);
	return payload_write(message, feed->message_max, ret, err);
}

static bool put_locked(struct feed *feed, grpc_byte_buffer *message)
{
	size_t bytes = grpc_byte_buffer_length(message);
	struct waiting *waiting;

	if (feed->over || feed->ending || feed->fell_behind)
		return false;
	if (feed->count == feed->options.count_max || bytes > feed->options.bytes_max - feed->bytes) {
		feed->fell_behind = true;
		return false;
	}
	waiting = xnew(struct waiting);
	waiting->message = grpc_byte_buffer_copy(message);
	list_add_tail(&feed->queue, &waiting->node);
	feed->count++;
	feed->bytes += bytes;
	return true;
}

bool feed_put(struct feed *feed, grpc_byte_buffer *message)
{
	bool kept;

	lock_take(&feed->lock);
	kept = put_locked(feed, message);
	lock_drop(&feed->lock);
	return kept;
}

/* ---- birth ---- */

struct feed *feed_new(struct call *call, const struct feed_options *options)
{
	struct feed *feed = xnew(struct feed);

	assert(call->method->rpc->streaming);
	atomic_init(&feed->refs, 1);
	feed->call = call;
	feed->options = *options;
	feed->message_max = call->calls->send_max;
	feed->sent = (struct call_event){ on_sent, call };
	list_init(&feed->queue);
	list_init(&feed->node);
	lock_init(&feed->lock, "feed", LOCK_FEED);
	return feed;
}

/* The headers tell the client that it listens. */
static void send_headers(struct call *call)
{
	grpc_op op = { .op = GRPC_OP_SEND_INITIAL_METADATA };

	assert(!call->headers_sent);
	call->headers_sent = true;
	call_start(call, &op, 1, &call->opened);
}

static bool enlist(struct feed *feed)
{
	struct calls *calls = feed->call->calls;
	bool open;

	lock_take(&calls->lock);
	open = !calls->feeds_stopped;
	if (open)
		list_add_tail(&calls->feeds, &feed->node);
	lock_drop(&calls->lock);
	return open;
}

/* The call tells the feed when the stream is over; false when it is already. */
static bool bind_to_call(struct feed *feed)
{
	struct call *call = feed->call;
	bool bound;

	lock_take(&call->lock);
	assert(!call->feed);
	bound = !call->over;
	if (bound)
		call->feed = feed_ref(feed);
	lock_drop(&call->lock);
	return bound;
}

/* Fails when the feed was ended since it was bound and listed. */
static int begin(struct feed *feed, struct err *err)
{
	struct err end;
	bool over;

	lock_take(&feed->lock);
	over = feed->over;
	end = feed->end;
	if (!over) {
		feed->started = true;
		call_ref(feed->call);
	}
	lock_drop(&feed->lock);
	if (!over)
		return 0;
	unlist(feed);
	if (end.code == RPC_OK)
		return err_set(err, RPC_CANCELLED, "the client has gone");
	*err = end;
	return -1;
}

int feed_start(struct feed *feed, struct err *err)
{
	struct call *call = feed->call;

	if (ctx_check(&call->ctx, call->method->rpc->method, err) < 0)
		return -1;
	send_headers(call);
	if (!bind_to_call(feed))
		return err_set(err, RPC_CANCELLED, "the client has gone");
	if (!enlist(feed))
		return err_set(err, RPC_UNAVAILABLE, "crispd is shutting down");
	if (begin(feed, err) < 0)
		return -1;
	feed_flush(feed);
	return 0;
}
