/*
 * RunPodSandbox: makes a pod, its network included. The same request again gives the same id.
 */
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int run_pod_sandbox(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__RunPodSandboxRequest *request = message;
	Cri__RunPodSandboxResponse *response = answer;
	CLEANUP(freep) char *id = NULL;

	if (pod_run(call_service(call)->sandboxes, call_ctx(call), request, &id, err) < 0)
		return -1;
	response->pod_sandbox_id = arena_strdup(call_arena(call), id);
	return 0;
}

const struct rpc rpc_run_pod_sandbox = {
	.service = "RuntimeService",
	.method = "RunPodSandbox",
	.speed = RPC_SLOW,
	.effect = RPC_CHANGES,
	.handle = run_pod_sandbox,
};
