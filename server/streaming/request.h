/*
 * What a client was promised a URL for: an exec, an attach or a port-forward, as functions over `data`, so
 * that this folder knows nothing of containers. They are called on the session's own thread, which may wait;
 * `ctx` ends when the daemon stops.
 */
#ifndef SERVER_STREAMING_REQUEST_H
#define SERVER_STREAMING_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/ctx.h"
#include "base/err.h"
#include "server/streaming/resize.h"

enum { FORWARD_PORTS_MAX = 64 }; /* their channels are bytes */

enum stream_kind { STREAM_EXEC, STREAM_ATTACH, STREAM_FORWARD };

/* The other end of an exec or attach. Descriptors are non-blocking and remain the owner's; -1: there is
 * none. `in` and `out` may be the same. */
struct remote_peer {
	int in, out, err_out;
	int ended;        /* readable once it has ended; -1: its end is the end of `out` */
	size_t write_max; /* bytes of one write; 0: any */
	bool must_drain;  /* what is not read from `out` in time would hold up others */
};

struct remote_ops {
	/* Begins. size: of the terminal, or NULL when the client has not told yet. */
	int (*open)(void *data, const struct terminal_size *size, const struct ctx *ctx,
		    struct remote_peer *ret, struct err *err);
	/* Reads from `out` or `err_out`, as read(2); *ret_is_err: it is the other one's. NULL: read(2). */
	ssize_t (*read)(void *data, int fd, uint8_t *buf, size_t size, bool *ret_is_err);
	void (*end_input)(void *data); /* the client sends no more; `in` is not used any more */
	void (*resize)(void *data, const struct terminal_size *size);
	/* After the end: how it ended. */
	int (*conclude)(void *data, int *ret_exit_code, struct err *err);
	/* The client has gone before the end, or the daemon stops. */
	void (*abandon)(void *data);
};

struct forward_ops {
	/* Takes the calling thread into the pod's network for the rest of its life. *ret_ended: a descriptor
	 * that becomes readable when the pod has ended; the owner's. */
	int (*enter)(void *data, int *ret_ended, struct err *err);
};

struct stream_request {
	enum stream_kind kind;
	bool tty, in, out, err_out;        /* exec, attach */
	const struct remote_ops *remote;   /* exec, attach */
	const struct forward_ops *forward; /* port-forward */
	const uint16_t *ports; /* those that were named, for clients that name none themselves; data's own */
	size_t ports_len;      /* FORWARD_PORTS_MAX at most */
	void *data;
	void (*free)(void *data);
};

static inline void stream_request_done(struct stream_request *request)
{
	if (request->free)
		request->free(request->data);
	*request = (struct stream_request){ 0 };
}

#endif
