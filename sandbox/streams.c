/*
 * Like ExecSync these do not pass the gate: a session may last for hours. A reference to the container keeps
 * what the exec borrows.
 */
#include "sandbox/streams.h"

#include <fcntl.h>
#include <stdlib.h>

#include "base/file.h"
#include "conmon/attach.h"
#include "sandbox/container_exec.h"
#include "sandbox/store.h"

struct container_stream {
	struct container *container;
	struct exec_stream *exec; /* NULL: an attach */
	int socket;               /* -1: an exec */
};

int container_stream_check(struct sandboxes *sandboxes, const char *id, char **ret_id, bool *ret_tty,
			   struct err *err)
{
	CLEANUP(container_unrefp) struct container *container = NULL;

	if (container_find_running(sandboxes, id, &container, err) < 0)
		return -1;
	if (ret_tty)
		*ret_tty = container->config->tty;
	*ret_id = xstrdup(container->id);
	return 0;
}

static struct container_stream *stream_new(struct container *container)
{
	struct container_stream *stream = xnew(struct container_stream);

	stream->container = container_ref(container);
	stream->socket = -1;
	return stream;
}

struct container_stream *container_stream_free(struct container_stream *stream)
{
	if (!stream)
		return NULL;
	exec_stream_free(stream->exec);
	fd_close(stream->socket);
	container_unref(stream->container);
	free(stream);
	return NULL;
}

int container_exec_start(struct sandboxes *sandboxes, const struct ctx *ctx,
			 const struct container_exec *exec, struct container_stream **ret, struct err *err)
{
	CLEANUP(container_unrefp) struct container *container = NULL;
	CLEANUP(freep) char *document = NULL;
	const struct spec_exec command = { .args = exec->args, .args_len = exec->args_len, .tty = exec->tty };
	struct exec_stream *stream;

	if (container_find_running(sandboxes, exec->id, &container, err) < 0 ||
	    container_exec_document(container, &command, &document, err) < 0)
		return -1;

	CLEANUP(process_done) struct process init = container_init_process(container);
	struct exec_stream_spec spec = { .init = &init,
					 .process_json = document,
					 .run_dir = container->run_dir,
					 .tty = exec->tty,
					 .in = exec->in,
					 .out = exec->out,
					 .width = exec->width,
					 .height = exec->height };
	if (!container_target(container, &spec.target))
		return err_set(err, RPC_FAILED_PRECONDITION,
			       "runtime handler \"%s\" is not configured any more or its program is missing",
			       container->pod->request->runtime_handler);
	if (exec_stream_start(&spec, ctx, &stream, err) < 0)
		return -1;
	*ret = stream_new(container);
	(*ret)->exec = stream;
	return 0;
}

struct exec_stream *container_stream_exec(const struct container_stream *stream)
{
	return stream->exec;
}

int container_attach(struct sandboxes *sandboxes, const char *id, struct container_stream **ret,
		     struct err *err)
{
	CLEANUP(container_unrefp) struct container *container = NULL;
	struct monitor_spec spec;
	int fd;

	if (container_find_running(sandboxes, id, &container, err) < 0)
		return -1;
	container_monitor_spec(container, &spec);
	fd = attach_connect(&spec, err);
	if (fd < 0)
		return -1;
	*ret = stream_new(container);
	(*ret)->socket = fd;
	return 0;
}

int container_stream_socket(const struct container_stream *stream)
{
	return stream->socket;
}

int container_attach_resize(const struct container_stream *stream, uint16_t width, uint16_t height,
			    struct err *err)
{
	struct monitor_spec spec;

	container_monitor_spec(stream->container, &spec);
	return attach_resize(&spec, width, height, err);
}

static int find_ready(struct sandboxes *sandboxes, const char *id, struct pod **ret, struct err *err)
{
	CLEANUP(pod_unrefp) struct pod *pod = NULL;

	if (store_find_pod(sandboxes, id, &pod, err) < 0)
		return -1;
	if (!pod_ready(pod))
		return err_set(err, RPC_FAILED_PRECONDITION, "pod %s is not ready", pod->id);
	*ret = TAKE(pod);
	return 0;
}

int pod_stream_check(struct sandboxes *sandboxes, const char *id, char **ret_id, struct err *err)
{
	CLEANUP(pod_unrefp) struct pod *pod = NULL;

	if (find_ready(sandboxes, id, &pod, err) < 0)
		return -1;
	*ret_id = xstrdup(pod->id);
	return 0;
}

/* The pause process's pidfd, a copy. */
static int pause_end(struct pod *pod)
{
	int fd = -1;

	lock_take(&pod->lock);
	if (pod->pause.pidfd >= 0)
		fd = fcntl(pod->pause.pidfd, F_DUPFD_CLOEXEC, 0);
	lock_drop(&pod->lock);
	return fd;
}

int pod_stream_network(struct sandboxes *sandboxes, const char *id, int *ret_network, int *ret_end,
		       struct err *err)
{
	CLEANUP(pod_unrefp) struct pod *pod = NULL;
	CLEANUP(fd_closep) int network = -1, end = -1;

	if (find_ready(sandboxes, id, &pod, err) < 0)
		return -1;
	end = pause_end(pod);
	if (end < 0)
		return err_set(err, RPC_FAILED_PRECONDITION, "pod %s is ending", pod->id);
	if (!pod_host_network(pod)) {
		CLEANUP(freep) char *path = namespace_path(pod->ns_dir, NAMESPACE_NET);

		network = open(path, O_RDONLY | O_CLOEXEC);
		if (network < 0)
			return err_set(err, RPC_FAILED_PRECONDITION, "network of pod %s: %m", pod->id);
	}
	*ret_network = TAKE_FD(network);
	*ret_end = TAKE_FD(end);
	return 0;
}
