/*
 * StreamContainers: ListContainers in several messages, for nodes whose list outgrows one.
 */
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/item_stream.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int stream_containers(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__StreamContainersRequest *request = message;
	Cri__ListContainersResponse list = CRI__LIST_CONTAINERS_RESPONSE__INIT;

	if (containers_list(call_service(call)->sandboxes, request->filter, call_arena(call), &list, err) < 0)
		return -1;
	return item_stream(call, answer, (ProtobufCMessage **)list.containers, list.n_containers, err);
}

const struct rpc rpc_stream_containers = {
	.service = "RuntimeService",
	.method = "StreamContainers",
	.speed = RPC_SLOW,
	.effect = RPC_READS,
	.streaming = true,
	.handle = stream_containers,
};
