/*
 * The subscribers of GetContainerEvents. Each event is encoded once and shared by all; each subscriber has a
 * bounded queue (server/grpc/feed.h), and one that does not read is cut off with RESOURCE_EXHAUSTED.
 *
 * Threads: any. events_listener() is what sandboxes tell their events to.
 */
#ifndef SERVER_EVENTS_H
#define SERVER_EVENTS_H

#include "base/err.h"
#include "base/metric.h"
#include "sandbox/sandboxes.h"
#include "server/grpc/call.h"

enum {
	EVENTS_SUBSCRIBERS_MAX = 256,
	EVENTS_WAITING_MAX = 512,           /* events that one subscriber may be behind */
	EVENTS_BYTES_MAX = 4 * 1024 * 1024, /* the same in bytes */
};

struct events;

extern struct metric metric_events_subscribers, metric_events_dropped;

struct events *events_new(void);
/* No call is in progress, and nobody tells any more. Accepts NULL, returns NULL. */
struct events *events_free(struct events *events);

struct sandbox_listener events_listener(struct events *events);
/* For the handler: the call gets what happens from now on and ends with its client. RESOURCE_EXHAUSTED beyond
 * EVENTS_SUBSCRIBERS_MAX. */
int events_subscribe(struct events *events, struct call *call, struct err *err) MUST_CHECK;
size_t events_subscribers(struct events *events);

#endif
