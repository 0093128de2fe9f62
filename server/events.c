/*
 * A subscriber is in the list from before its stream starts until the stream is over; the list holds a
 * reference to its feed. It is freed by whoever takes it off the list.
 */
#include "server/events.h"

#include <assert.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/lock.h"
#include "base/log.h"
#include "server/grpc/feed.h"

struct events {
	struct lock lock;
	/* under lock */
	struct list subscribers;
	size_t count;
};

struct subscriber {
	struct list node;
	struct events *events;
	struct feed *feed; /* a reference */
	bool told;         /* under lock: there is something to flush */
};

METRIC(metric_events_subscribers, 1, .name = "events_subscribers",
       .help = "Clients that follow GetContainerEvents.", .type = METRIC_GAUGE);
METRIC(metric_events_dropped, 1, .name = "containers_events_dropped_total",
       .help = "Events that a subscriber did not get because it had fallen behind, which ended its stream.",
       .type = METRIC_COUNTER);

struct events *events_new(void)
{
	struct events *events = xnew(struct events);

	lock_init(&events->lock, "events", LOCK_EVENTS);
	list_init(&events->subscribers);
	return events;
}

struct events *events_free(struct events *events)
{
	if (!events)
		return NULL;
	assert(list_empty(&events->subscribers));
	lock_done(&events->lock);
	free(events);
	return NULL;
}

size_t events_subscribers(struct events *events)
{
	size_t count;

	lock_take(&events->lock);
	count = events->count;
	lock_drop(&events->lock);
	return count;
}

/* ---- coming and going ---- */

static bool enlist(struct events *events, struct subscriber *subscriber)
{
	bool room;

	lock_take(&events->lock);
	room = events->count < EVENTS_SUBSCRIBERS_MAX;
	if (room) {
		list_add_tail(&events->subscribers, &subscriber->node);
		metric_set(&metric_events_subscribers, ++events->count);
	}
	lock_drop(&events->lock);
	return room;
}

static void subscriber_free(struct subscriber *subscriber)
{
	feed_unref(subscriber->feed);
	free(subscriber);
}

static void unsubscribe(void *data)
{
	struct subscriber *subscriber = data;
	struct events *events = subscriber->events;

	lock_take(&events->lock);
	list_del(&subscriber->node);
	metric_set(&metric_events_subscribers, --events->count);
	lock_drop(&events->lock);
	subscriber_free(subscriber);
}

int events_subscribe(struct events *events, struct call *call, struct err *err)
{
	struct subscriber *subscriber = xnew(struct subscriber);

	subscriber->events = events;
	subscriber->feed = feed_new(call, &(struct feed_options){ .count_max = EVENTS_WAITING_MAX,
								  .bytes_max = EVENTS_BYTES_MAX,
								  .closed = unsubscribe,
								  .data = subscriber });
	if (!enlist(events, subscriber)) {
		subscriber_free(subscriber);
		return err_set(err, RPC_RESOURCE_EXHAUSTED, "more than %d clients follow the events already",
			       EVENTS_SUBSCRIBERS_MAX);
	}
	/* From here on another thread may end the stream, and with it the subscriber. */
	CLEANUP(feed_unrefp) struct feed *feed = feed_ref(subscriber->feed);
	if (feed_start(feed, err) == 0)
		return 0;
	unsubscribe(subscriber);
	return -1;
}

/* ---- what sandboxes tell ---- */

static bool wanted(void *data)
{
	return events_subscribers(data) > 0;
}

static struct feed *any_feed(struct events *events)
{
	struct feed *feed = NULL;

	lock_take(&events->lock);
	if (!list_empty(&events->subscribers))
		feed = feed_ref(list_entry(events->subscribers.next, struct subscriber, node)->feed);
	lock_drop(&events->lock);
	return feed;
}

static void put(struct events *events, grpc_byte_buffer *message)
{
	lock_take(&events->lock);
	list_for_each (node, &events->subscribers) {
		struct subscriber *subscriber = list_entry(node, struct subscriber, node);

		if (!feed_put(subscriber->feed, message))
			metric_add(&metric_events_dropped, 1);
		subscriber->told = true;
	}
	lock_drop(&events->lock);
}

static void on_event(void *data, Cri__ContainerEventResponse *event, struct arena *arena)
{
	struct events *events = data;
	CLEANUP(feed_unrefp) struct feed *feed = any_feed(events);
	grpc_byte_buffer *message;
	struct err err;

	if (!feed) /* the last one has just left */
		return;
	if (feed_pack(feed, &event->base, arena, &message, &err) < 0) {
		log_error("an event of %s is told to nobody: %s", event->container_id, err.text);
		metric_add(&metric_events_dropped, 1);
		return;
	}
	put(events, message);
	grpc_byte_buffer_destroy(message);
}

static struct feed *next_told(struct events *events)
{
	struct feed *feed = NULL;

	lock_take(&events->lock);
	list_for_each (node, &events->subscribers) {
		struct subscriber *subscriber = list_entry(node, struct subscriber, node);

		if (!subscriber->told)
			continue;
		subscriber->told = false;
		feed = feed_ref(subscriber->feed);
		break;
	}
	lock_drop(&events->lock);
	return feed;
}

static void on_flush(void *data)
{
	struct feed *feed;

	while ((feed = next_told(data))) {
		feed_flush(feed); /* may end it, and unsubscribe */
		feed_unref(feed);
	}
}

struct sandbox_listener events_listener(struct events *events)
{
	return (struct sandbox_listener){
		.wanted = wanted, .event = on_event, .flush = on_flush, .data = events
	};
}
