/*
 * StreamContainers: ListContainers in several messages, for nodes whose list outgrows one. No more than a
 * batch is in memory at a time.
 */
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/item_stream.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int stream_containers(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__StreamContainersRequest *request = message;
	struct item_stream stream = { .call = call, .part = answer };
	const struct list_sink sink = item_stream_sink(&stream);

	return containers_each(call_service(call)->sandboxes, request->filter, &sink, err);
}

const struct rpc rpc_stream_containers = {
	.service = "RuntimeService",
	.method = "StreamContainers",
	.speed = RPC_SLOW,
	.effect = RPC_READS,
	.streaming = true,
	.handle = stream_containers,
};
