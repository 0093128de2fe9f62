/*
 * StreamPodSandboxes: ListPodSandbox in several messages, for nodes whose list outgrows one.
 */
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/item_stream.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int stream_pod_sandboxes(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__StreamPodSandboxesRequest *request = message;
	Cri__ListPodSandboxResponse list = CRI__LIST_POD_SANDBOX_RESPONSE__INIT;

	if (pods_list(call_service(call)->sandboxes, request->filter, call_arena(call), &list, err) < 0)
		return -1;
	return item_stream(call, answer, (ProtobufCMessage **)list.items, list.n_items, err);
}

const struct rpc rpc_stream_pod_sandboxes = {
	.service = "RuntimeService",
	.method = "StreamPodSandboxes",
	.speed = RPC_SLOW,
	.effect = RPC_READS,
	.streaming = true,
	.handle = stream_pod_sandboxes,
};
