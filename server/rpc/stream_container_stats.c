/*
 * StreamContainerStats: ListContainerStats in several messages; what the client has not taken is not read
 * yet.
 */
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/item_stream.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int stream_container_stats(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__StreamContainerStatsRequest *request = message;
	struct item_stream stream = { .call = call, .part = answer };
	const struct list_sink sink = item_stream_sink(&stream);

	return containers_stats_each(call_service(call)->sandboxes, request->filter, &sink, err);
}

const struct rpc rpc_stream_container_stats = {
	.service = "RuntimeService",
	.method = "StreamContainerStats",
	.speed = RPC_SLOW,
	.effect = RPC_READS,
	.streaming = true,
	.handle = stream_container_stats,
};
