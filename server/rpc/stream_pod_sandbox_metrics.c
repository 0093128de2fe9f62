/*
 * StreamPodSandboxMetrics: ListPodSandboxMetrics in several messages; what the client has not taken is not
 * read yet.
 */
#include "proto/cri.pb-c.h"
#include "sandbox/pod_metrics.h"
#include "server/grpc/call.h"
#include "server/rpc/item_stream.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int stream_pod_sandbox_metrics(struct call *call, const void *message UNUSED, void *answer,
				      struct err *err)
{
	struct item_stream stream = { .call = call, .part = answer };
	const struct list_sink sink = item_stream_sink(&stream);

	return pods_metrics_each(call_service(call)->sandboxes, &sink, err);
}

const struct rpc rpc_stream_pod_sandbox_metrics = {
	.service = "RuntimeService",
	.method = "StreamPodSandboxMetrics",
	.speed = RPC_SLOW,
	.effect = RPC_READS,
	.streaming = true,
	.handle = stream_pod_sandbox_metrics,
};
