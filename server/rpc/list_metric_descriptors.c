/*
 * ListMetricDescriptors: names, help and labels of what ListPodSandboxMetrics gives.
 */
#include "proto/cri.pb-c.h"
#include "sandbox/pod_metrics.h"
#include "server/grpc/call.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int list_metric_descriptors(struct call *call, const void *message UNUSED, void *answer,
				   struct err *err UNUSED)
{
	pods_metrics_describe(call_service(call)->sandboxes, call_arena(call), answer);
	return 0;
}

const struct rpc rpc_list_metric_descriptors = {
	.service = "RuntimeService",
	.method = "ListMetricDescriptors",
	.speed = RPC_FAST,
	.effect = RPC_READS,
	.handle = list_metric_descriptors,
};
