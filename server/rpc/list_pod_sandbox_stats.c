/*
 * ListPodSandboxStats: what the ready pods that pass the filter use, with their running containers.
 */
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int list_pod_sandbox_stats(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__ListPodSandboxStatsRequest *request = message;

	return pods_stats_list(call_service(call)->sandboxes, request->filter, call_arena(call), answer, err);
}

const struct rpc rpc_list_pod_sandbox_stats = {
	.service = "RuntimeService",
	.method = "ListPodSandboxStats",
	.speed = RPC_SLOW,
	.effect = RPC_READS,
	.handle = list_pod_sandbox_stats,
};
