/*
 * StopPodSandbox: ends the pod's containers and gives its network back. A pod that is gone counts as stopped.
 */
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int stop_pod_sandbox(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__StopPodSandboxRequest *request = message;

	(void)answer;
	return pod_stop(call_service(call)->sandboxes, call_ctx(call), request->pod_sandbox_id, err);
}

const struct rpc rpc_stop_pod_sandbox = {
	.service = "RuntimeService",
	.method = "StopPodSandbox",
	.speed = RPC_SLOW,
	.effect = RPC_CHANGES,
	.handle = stop_pod_sandbox,
};
