/*
 * StartContainer: runs the process of a created container, once.
 */
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/container_pod.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int start_container(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__StartContainerRequest *request = message;

	(void)answer;
	container_pod_note(call, request->container_id);
	return container_start(call_service(call)->sandboxes, call_ctx(call), request->container_id, err);
}

const struct rpc rpc_start_container = {
	.service = "RuntimeService",
	.method = "StartContainer",
	.speed = RPC_SLOW,
	.effect = RPC_CHANGES,
	.handle = start_container,
};
