/*
 * The listening unix socket: bound, guarded and accepted by us, so that its mode is never wrong for an
 * instant and a running crispd is never robbed of its address.
 *
 * The socket's folder is made (0700) when missing. What is at the path already decides: nothing, or a socket
 * that nobody listens on (a crashed predecessor's): it is replaced; a socket that answers, or anything that
 * is not a socket: FAILED_PRECONDITION, and it is left alone. The mode is set between bind(2) and listen(2),
 * when nobody can connect.
 *
 * Connections are accepted on the event loop and handed over as descriptors (non-blocking, close-on-exec).
 * When descriptors or memory run out, accepting pauses for a moment instead of spinning. Everything here runs
 * on the loop's thread, or while the loop does not run.
 */
#ifndef SERVER_GRPC_LISTENER_H
#define SERVER_GRPC_LISTENER_H

#include <sys/types.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"

struct listener;

struct listener_options {
	const char *path; /* absolute, at most 107 bytes (sun_path) */
	mode_t mode;
	struct loop *loop;
	void (*accepted)(void *data, int fd); /* owns fd */
	void *data;
};

struct listener *listener_new(const struct listener_options *options, struct err *err);
/* From now on connections are accepted on another loop; neither runs. After a failure only listener_free().
 */
int listener_move(struct listener *listener, struct loop *loop, struct err *err) MUST_CHECK;
/* Closes the socket and removes its name if that is still ours. Accepts NULL, returns NULL. */
struct listener *listener_free(struct listener *listener);

#endif
