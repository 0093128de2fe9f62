/*
 * What the RPCs act on: pods and containers, images, the network, runtime handlers, and the configuration of
 * the moment.
 *
 * service_open() builds the floors from below (handlers, images, network, sandboxes, streaming),
 * service_close() takes them down in reverse. The pointers are fixed in between; what they point to is
 * thread-safe. Configuration is a snapshot that SIGHUP replaces: take a reference with service_config(),
 * never keep it longer than a call.
 */
#ifndef SERVER_SERVICE_H
#define SERVER_SERVICE_H

#include "base/ctx.h"
#include "base/err.h"
#include "base/gate.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/pool.h"
#include "cni/network.h"
#include "config/config.h"
#include "conmon/handler.h"
#include "image/images.h"
#include "sandbox/sandboxes.h"
#include "server/streaming/streaming.h"

struct events;

struct service {
	struct handlers *handlers;
	struct images *images;
	struct network *network;
	struct sandboxes *sandboxes;
	struct streaming *streaming;
	struct events *events; /* NULL: not offered */
	bool user_namespaces;  /* this kernel has them, with idmapped layers; as read at the start */

	struct pool *image_pool,
		*sandbox_pool; /* work that calls wait for, apart from the calls' own workers */
	struct lock lock;
	struct config *config; /* under lock */
	char *pod_cidr;        /* under lock; never NULL; changed inside the gate */
	struct gate pod_cidr_gate;
};

/* loop: not yet running; outlives the service. What could not be read is logged here. progress: may be NULL
 * (sandboxes.h). */
struct service *service_open(const struct config *config, struct loop *loop,
			     struct restore_progress *progress, struct err *err);
/* Waits until the work that no call may be waiting for any more (a pod whose client went away) has ended;
 * what has not at cancel_at is cancelled and undoes what it began. False when something still runs at the
 * deadline (clock_mono() ns). No calls may come any more; the loop runs. */
bool service_drain(struct service *service, int64_t cancel_at, int64_t deadline);
/* Cancels that work at once; any thread. */
void service_cancel(struct service *service);
/* Accepts NULL, returns NULL. The loop has stopped. Waits for all work: drain before. */
struct service *service_close(struct service *service);

struct config *service_config(struct service *service); /* a reference */
/* Hands a new configuration to all who can take it; on failure nothing has changed. */
int service_reload(struct service *service, const struct config *config, struct err *err) MUST_CHECK;

/* Kept in <root>/pod-cidr.json for the next start, when it can be. */
int service_set_pod_cidr(struct service *service, const struct ctx *ctx, const char *cidr,
			 struct err *err) MUST_CHECK;
char *service_pod_cidr(struct service *service); /* malloc'd, never NULL */

/* Goes through the stores' locks: returns soon, or never, when one of them is stuck. For the watchdog. */
void service_touch(struct service *service);

#endif
