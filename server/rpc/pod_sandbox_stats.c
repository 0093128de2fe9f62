/*
 * PodSandboxStats: what one pod uses, with its running containers.
 */
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int stats_of_pod(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__PodSandboxStatsRequest *request = message;

	return pod_stats(call_service(call)->sandboxes, request->pod_sandbox_id, call_arena(call), answer,
			 err);
}

const struct rpc rpc_pod_sandbox_stats = {
	.service = "RuntimeService",
	.method = "PodSandboxStats",
	.speed = RPC_SLOW,
	.effect = RPC_READS,
	.handle = stats_of_pod,
};
