/*
 * Who stands at the door while crispd starts: a thread with an event loop of its own. It accepts connections,
 * so that clients are told to try again instead of finding nobody (server/grpc/rpc_server.h answers them),
 * tells the service manager how far the start has come, and obeys SIGTERM and SIGINT: it removes the socket
 * and ends the process at once, which is safe at every instant of a start, as being killed is. SIGHUP waits
 * for the daemon.
 *
 * Made before the service is opened, freed when that is there and before the daemon's loop runs.
 */
#ifndef SERVER_PORTER_H
#define SERVER_PORTER_H

#include "base/err.h"
#include "base/loop.h"
#include "server/grpc/listener.h"

struct porter;

struct porter_options {
	struct listener_options listener; /* but its loop */
	char *(*progress)(void *data);    /* a line, which is free()d; the porter's thread */
	void *data;
};

/* The signals are blocked in the calling thread (loop_add_signals). */
struct porter *porter_new(const struct porter_options *options, struct err *err);
/* Ends the thread; the listener goes on on this loop, which does not run yet. Once, before porter_free(). */
struct listener *porter_relieve(struct porter *porter, struct loop *loop, struct err *err);
/* With the listener, when nobody has taken that over. Accepts NULL, returns NULL. */
struct porter *porter_free(struct porter *porter);

#endif
