/*
 * One exec or attach session: bytes between a client and a peer (request.h), both ways at once, with buffers
 * of a bounded size: whoever does not read is not read from. Runs on a thread of its own and returns at the
 * session's end.
 */
#ifndef SERVER_STREAMING_REMOTE_H
#define SERVER_STREAMING_REMOTE_H

#include "server/streaming/client.h"
#include "server/streaming/request.h"
#include "server/streaming/upgrade.h"

void remote_run(struct client *client, const struct upgrade *upgrade, const struct stream_request *request);

#endif
