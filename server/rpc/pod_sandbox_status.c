/*
 * PodSandboxStatus: one pod in full, from memory.
 */
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int pod_sandbox_status(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__PodSandboxStatusRequest *request = message;

	return pod_status(call_service(call)->sandboxes, request->pod_sandbox_id, request->verbose,
			  call_arena(call), answer, err);
}

const struct rpc rpc_pod_sandbox_status = {
	.service = "RuntimeService",
	.method = "PodSandboxStatus",
	.speed = RPC_FAST,
	.effect = RPC_READS,
	.handle = pod_sandbox_status,
};
