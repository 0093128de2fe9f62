/*
 * RemovePodSandbox: removes a pod with all its containers, by force if they run. A pod that is gone counts as
 * removed.
 */
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int remove_pod_sandbox(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__RemovePodSandboxRequest *request = message;

	(void)answer;
	return pod_remove(call_service(call)->sandboxes, call_ctx(call), request->pod_sandbox_id, err);
}

const struct rpc rpc_remove_pod_sandbox = {
	.service = "RuntimeService",
	.method = "RemovePodSandbox",
	.speed = RPC_SLOW,
	.effect = RPC_CHANGES,
	.handle = remove_pod_sandbox,
};
