/*
 * UpdateContainerResources: new limits for a container that lives; all of them or none.
 */
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/container_pod.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int update_container_resources(struct call *call, const void *message, void *answer UNUSED,
				      struct err *err)
{
	const Cri__UpdateContainerResourcesRequest *request = message;

	container_pod_note(call, request->container_id);
	return container_update_resources(call_service(call)->sandboxes, call_ctx(call), request, err);
}

const struct rpc rpc_update_container_resources = {
	.service = "RuntimeService",
	.method = "UpdateContainerResources",
	.speed = RPC_SLOW,
	.effect = RPC_CHANGES,
	.handle = update_container_resources,
};
