/*
 * The HTTP side of the streaming server, on libmicrohttpd: one thread that reads requests (bounded in size,
 * time and number), answers the bad ones and hands the good ones' sockets to sessions. It is given its
 * connections by a door. Private to server/streaming.
 */
#ifndef SERVER_STREAMING_GATEWAY_H
#define SERVER_STREAMING_GATEWAY_H

#include "base/err.h"
#include "server/streaming/sessions.h"
#include "server/streaming/tokens.h"
#include "server/tls/keys.h"

struct gateway;

struct gateway_options {
	int listener;             /* a listening socket, taken */
	struct tls_keys *keys;    /* NULL: no TLS; borrowed */
	int64_t request_patience; /* ns from the connection to the end of its request; 0: 30 s */
	struct tokens *tokens;
	struct sessions *sessions;
	int64_t creation_patience; /* ns for the streams of a session or a connection; 0: 30 s */
	int64_t idle_timeout;
};

struct gateway *gateway_new_take(const struct gateway_options *options, struct err *err);
/* No request is accepted any more. */
void gateway_quiet(struct gateway *gateway);
/* All sessions have ended before. */
struct gateway *gateway_free(struct gateway *gateway); /* accepts NULL, returns NULL */

/* "/exec/TOKEN", "/attach/TOKEN", "/portforward/TOKEN": the kind, and where the token begins; NULL: no such
 * path. */
const char *gateway_parse_path(const char *path, enum stream_kind *ret);

#endif
