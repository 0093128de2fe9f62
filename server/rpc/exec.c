/*
 * Exec: a URL where the client talks to a command in a container. The command is started when the client has
 * come; the URL is good for a minute.
 */
#include <string.h>

#include "conmon/exec_stream.h"
#include "proto/cri.pb-c.h"
#include "sandbox/streams.h"
#include "server/grpc/call.h"
#include "server/rpc/command.h"
#include "server/rpc/rpc.h"
#include "server/service.h"
#include "server/streaming/streaming.h"

struct exec {
	struct sandboxes *sandboxes;
	char *id;
	struct strv args;
	bool tty, in, out;
	struct container_stream *stream; /* NULL: not started */
	int errors;
};

static struct exec_stream *stream_of(const struct exec *exec)
{
	return container_stream_exec(exec->stream);
}

static int open_exec(void *data, const struct terminal_size *size, const struct ctx *ctx,
		     struct remote_peer *ret, struct err *err)
{
	struct exec *exec = data;
	const struct container_exec command = { .id = exec->id,
						.args = (const char *const *)exec->args.items,
						.args_len = exec->args.len,
						.tty = exec->tty,
						.in = exec->in,
						.out = exec->out,
						.width = size ? size->width : 0,
						.height = size ? size->height : 0 };

	if (container_exec_start(exec->sandboxes, ctx, &command, &exec->stream, err) < 0)
		return -1;
	exec->errors = exec_stream_err(stream_of(exec));
	*ret = (struct remote_peer){ .in = exec->in ? exec_stream_in(stream_of(exec)) : -1,
				     .out = exec_stream_out(stream_of(exec)),
				     .err_out = exec->errors,
				     .ended = exec_stream_end(stream_of(exec)) };
	return 0;
}

static ssize_t read_exec(void *data, int fd, uint8_t *buf, size_t size, bool *ret_is_err)
{
	struct exec *exec = data;
	ssize_t got = read(fd, buf, size);

	*ret_is_err = fd == exec->errors;
	/* runc tells on the terminal why it has not started the command. */
	if (got > 0 && (*ret_is_err || exec->errors < 0))
		exec_stream_note(stream_of(exec), buf, (size_t)got);
	return got;
}

static void end_input(void *data)
{
	exec_stream_end_input(stream_of(data));
}

static void resize(void *data, const struct terminal_size *size)
{
	exec_stream_resize(stream_of(data), size->width, size->height);
}

static int conclude(void *data, int *ret_exit_code, struct err *err)
{
	return exec_stream_conclude(stream_of(data), ret_exit_code, err);
}

static void abandon(void *data)
{
	struct exec *exec = data;

	exec->stream = container_stream_free(exec->stream);
}

static void free_exec(void *data)
{
	struct exec *exec = data;

	container_stream_free(exec->stream);
	strv_done(&exec->args);
	free(exec->id);
	free(exec);
}

static const struct remote_ops ops = {
	.open = open_exec,
	.read = read_exec,
	.end_input = end_input,
	.resize = resize,
	.conclude = conclude,
	.abandon = abandon,
};

static int handle(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__ExecRequest *request = message;
	Cri__ExecResponse *response = answer;
	struct service *service = call_service(call);
	CLEANUP(freep) char *id = NULL, *url = NULL;

	if (command_check(request->cmd, request->n_cmd, err) < 0 ||
	    container_stream_check(service->sandboxes, request->container_id, &id, NULL, err) < 0)
		return -1;

	struct exec *exec = xnew(struct exec);

	exec->sandboxes = service->sandboxes;
	exec->id = TAKE(id);
	exec->tty = request->tty;
	exec->in = request->stdin;
	exec->out = request->stdout;
	strv_add_all(&exec->args, (const char *const *)request->cmd, request->n_cmd);
	struct stream_request stream = { .kind = STREAM_EXEC,
					 .tty = request->tty,
					 .in = request->stdin,
					 .out = request->stdout,
					 .err_out = request->stderr,
					 .remote = &ops,
					 .data = exec,
					 .free = free_exec };
	if (streaming_add_take(service->streaming, &stream, &url, err) < 0)
		return -1;
	response->url = arena_strdup(call_arena(call), url);
	return 0;
}

const struct rpc rpc_exec = {
	.service = "RuntimeService",
	.method = "Exec",
	.speed = RPC_FAST,
	.effect = RPC_READS,
	.handle = handle,
};
