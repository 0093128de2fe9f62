/*
 * RemoveContainer: removes a container, by force if it runs. One that is gone counts as removed.
 */
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/container_pod.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int remove_container(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__RemoveContainerRequest *request = message;

	(void)answer;
	container_pod_note(call, request->container_id);
	return container_remove(call_service(call)->sandboxes, call_ctx(call), request->container_id, err);
}

const struct rpc rpc_remove_container = {
	.service = "RuntimeService",
	.method = "RemoveContainer",
	.speed = RPC_SLOW,
	.effect = RPC_CHANGES,
	.handle = remove_container,
};
