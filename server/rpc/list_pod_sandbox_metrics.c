/*
 * ListPodSandboxMetrics: what cAdvisor tells a kubelet of pods and containers, by the same names.
 */
#include "proto/cri.pb-c.h"
#include "sandbox/pod_metrics.h"
#include "server/grpc/call.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int list_pod_sandbox_metrics(struct call *call, const void *message UNUSED, void *answer,
				    struct err *err UNUSED)
{
	pods_metrics_list(call_service(call)->sandboxes, call_arena(call), answer);
	return 0;
}

const struct rpc rpc_list_pod_sandbox_metrics = {
	.service = "RuntimeService",
	.method = "ListPodSandboxMetrics",
	.speed = RPC_SLOW,
	.effect = RPC_READS,
	.handle = list_pod_sandbox_metrics,
};
