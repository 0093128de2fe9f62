/*
 * PortForward: a URL where the client opens connections to ports of a pod. Which ports is told with each
 * connection; those of the request are for
 * clients that speak the oldest form (server/streaming/forward.h).
 */
#include <sched.h>
#include <stdlib.h>

#include "base/file.h"
#include "proto/cri.pb-c.h"
#include "sandbox/streams.h"
#include "server/grpc/call.h"
#include "server/rpc/rpc.h"
#include "server/service.h"
#include "server/streaming/streaming.h"

enum { PORT_MAX = 65535 };

struct port_forward {
	struct sandboxes *sandboxes;
	char *id;
	int end; /* -1: not begun */
	uint16_t ports[FORWARD_PORTS_MAX];
};

/* setns(2) for a network is for the calling thread only, which is the session's own and ends with it. */
static int enter(void *data, int *ret_ended, struct err *err)
{
	struct port_forward *forward = data;
	CLEANUP(fd_closep) int network = -1;

	if (pod_stream_network(forward->sandboxes, forward->id, &network, &forward->end, err) < 0)
		return -1;
	if (network >= 0 && setns(network, CLONE_NEWNET) < 0)
		return err_errno(err, "enter the network of pod %s", forward->id);
	*ret_ended = forward->end;
	return 0;
}

static void free_forward(void *data)
{
	struct port_forward *forward = data;

	fd_close(forward->end);
	free(forward->id);
	free(forward);
}

static const struct forward_ops ops = { .enter = enter };

static int handle(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__PortForwardRequest *request = message;
	Cri__PortForwardResponse *response = answer;
	struct service *service = call_service(call);
	CLEANUP(freep) char *id = NULL, *url = NULL;

	if (request->n_port > FORWARD_PORTS_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "more than %d ports", FORWARD_PORTS_MAX);
	for (size_t i = 0; i < request->n_port; i++)
		if (request->port[i] < 1 || request->port[i] > PORT_MAX)
			return err_set(err, RPC_INVALID_ARGUMENT, "port %d: not in 1 to %d", request->port[i],
				       PORT_MAX);
	if (pod_stream_check(service->sandboxes, request->pod_sandbox_id, &id, err) < 0)
		return -1;

	struct port_forward *forward = xnew(struct port_forward);

	forward->sandboxes = service->sandboxes;
	forward->id = TAKE(id);
	forward->end = -1;
	for (size_t i = 0; i < request->n_port; i++)
		forward->ports[i] = (uint16_t)request->port[i];
	struct stream_request stream = { .kind = STREAM_FORWARD,
					 .forward = &ops,
					 .ports = forward->ports,
					 .ports_len = request->n_port,
					 .data = forward,
					 .free = free_forward };
	if (streaming_add_take(service->streaming, &stream, &url, err) < 0)
		return -1;
	response->url = arena_strdup(call_arena(call), url);
	return 0;
}

const struct rpc rpc_port_forward = {
	.service = "RuntimeService",
	.method = "PortForward",
	.speed = RPC_FAST,
	.effect = RPC_READS,
	.handle = handle,
};
