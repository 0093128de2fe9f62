/*
 * UpdatePodSandboxResources: what the pod as a whole may use. See sandbox/pod_resources.h for which cgroups
 * are changed.
 */
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int update_pod_sandbox_resources(struct call *call, const void *message, void *answer UNUSED,
					struct err *err)
{
	const Cri__UpdatePodSandboxResourcesRequest *request = message;

	return pod_update_resources(call_service(call)->sandboxes, call_ctx(call), request, err);
}

const struct rpc rpc_update_pod_sandbox_resources = {
	.service = "RuntimeService",
	.method = "UpdatePodSandboxResources",
	.speed = RPC_SLOW,
	.effect = RPC_CHANGES,
	.handle = update_pod_sandbox_resources,
};
