/*
 * What an HTTP request asks to be upgraded to: SPDY/3.1 or WebSocket, and which of the protocols that the
 * client offers is spoken over it. Pure.
 */
#ifndef SERVER_STREAMING_UPGRADE_H
#define SERVER_STREAMING_UPGRADE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

enum { UPGRADE_OFFERS_MAX = 32, UPGRADE_PROTOCOL_SIZE = 64 };

struct upgrade_request {
	const char *connection, *upgrade; /* header values; NULL: absent */
	const char *websocket_key, *websocket_version;
	/* Values of X-Stream-Protocol-Version or of Sec-WebSocket-Protocol, each maybe a list of words. */
	struct strv spdy_offers, websocket_offers;
};
void upgrade_request_done(struct upgrade_request *request);

struct upgrade {
	bool websocket;
	int version;                          /* of remotecommand: 1 to 5 */
	bool base64;                          /* WebSocket messages are text */
	bool by_port;                         /* port-forward: channels of WebSocket, not a SPDY session */
	char protocol[UPGRADE_PROTOCOL_SIZE]; /* to be answered; "": no such header */
};

/* 0, or -1 and the HTTP status of the refusal. */
int upgrade_choose(const struct upgrade_request *request, bool forward, struct upgrade *ret, int *ret_status,
		   struct err *err) MUST_CHECK;

/* The protocols there are, for a refusal's headers; NULL-terminated. */
extern const char *const upgrade_remote_protocols[];
extern const char upgrade_forward_protocol[];

#endif
