/*
 * One port-forward session: SPDY pairs of streams (data and error), each to a TCP connection to localhost in
 * the pod's network, as many at once as the client likes within a bound; over SPDY itself or inside a
 * WebSocket (the tunnel); or, as clients did before that, two channels for each port of the request and one
 * connection each. Runs on a thread of its own, which it takes into the pod's network, and returns at the
 * session's end. Buffers are bounded: a side that does not read is not read from.
 */
#ifndef SERVER_STREAMING_FORWARD_H
#define SERVER_STREAMING_FORWARD_H

#include "server/streaming/client.h"
#include "server/streaming/request.h"
#include "server/streaming/upgrade.h"

void forward_run(struct client *client, const struct upgrade *upgrade, const struct stream_request *request);

#endif
