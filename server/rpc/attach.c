/*
 * Attach: a URL where the client talks to a container's own process, by its monitor. Whether
 * there is a terminal is decided by the container; the request only tells whether the client sends sizes.
 */
#include <sys/socket.h>

#include "base/log.h"
#include "conmon/attach.h"
#include "proto/cri.pb-c.h"
#include "sandbox/streams.h"
#include "server/grpc/call.h"
#include "server/rpc/rpc.h"
#include "server/service.h"
#include "server/streaming/streaming.h"

struct attach {
	struct sandboxes *sandboxes;
	char *id;
	bool tty, in;
	struct container_stream *stream; /* NULL: not connected */
};

static void resize(void *data, const struct terminal_size *size)
{
	const struct attach *attach = data;
	struct err err;

	if (attach->tty && container_attach_resize(attach->stream, size->width, size->height, &err) < 0)
		log_debug("attach: ignoring: %s", err.text);
}

static int open_attach(void *data, const struct terminal_size *size, const struct ctx *ctx UNUSED,
		       struct remote_peer *ret, struct err *err)
{
	struct attach *attach = data;
	int fd;

	if (container_attach(attach->sandboxes, attach->id, &attach->stream, err) < 0)
		return -1;
	fd = container_stream_socket(attach->stream);
	*ret = (struct remote_peer){ .in = attach->in ? fd : -1,
				     .out = fd,
				     .err_out = -1,
				     .ended = -1,
				     .write_max = ATTACH_WRITE_MAX,
				     .must_drain = true };
	if (size)
		resize(attach, size);
	return 0;
}

static ssize_t read_attach(void *data UNUSED, int fd, uint8_t *buf, size_t size, bool *ret_is_err)
{
	return attach_read(fd, buf, size, ret_is_err);
}

static void end_input(void *data)
{
	const struct attach *attach = data;

	(void)shutdown(container_stream_socket(attach->stream), SHUT_WR);
}

/* The session's end is a success, however the container has ended. */
static int conclude(void *data UNUSED, int *ret_exit_code, struct err *err UNUSED)
{
	*ret_exit_code = 0;
	return 0;
}

static void abandon(void *data)
{
	struct attach *attach = data;

	attach->stream = container_stream_free(attach->stream);
}

static void free_attach(void *data)
{
	struct attach *attach = data;

	container_stream_free(attach->stream);
	free(attach->id);
	free(attach);
}

static const struct remote_ops ops = {
	.open = open_attach,
	.read = read_attach,
	.end_input = end_input,
	.resize = resize,
	.conclude = conclude,
	.abandon = abandon,
};

static int handle(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__AttachRequest *request = message;
	Cri__AttachResponse *response = answer;
	struct service *service = call_service(call);
	CLEANUP(freep) char *id = NULL, *url = NULL;
	bool tty;

	if (container_stream_check(service->sandboxes, request->container_id, &id, &tty, err) < 0)
		return -1;

	struct attach *attach = xnew(struct attach);

	attach->sandboxes = service->sandboxes;
	attach->id = TAKE(id);
	attach->tty = tty;
	attach->in = request->stdin;
	struct stream_request stream = { .kind = STREAM_ATTACH,
					 .tty = request->tty,
					 .in = request->stdin,
					 .out = request->stdout,
					 .err_out = request->stderr,
					 .remote = &ops,
					 .data = attach,
					 .free = free_attach };
	if (streaming_add_take(service->streaming, &stream, &url, err) < 0)
		return -1;
	response->url = arena_strdup(call_arena(call), url);
	return 0;
}

const struct rpc rpc_attach = {
	.service = "RuntimeService",
	.method = "Attach",
	.speed = RPC_FAST,
	.effect = RPC_READS,
	.handle = handle,
};
