/*
 * ContainerStatus: one container in full, from memory.
 */
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int status_of_container(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__ContainerStatusRequest *request = message;

	return container_status(call_service(call)->sandboxes, request->container_id, request->verbose,
				call_arena(call), answer, err);
}

const struct rpc rpc_container_status = {
	.service = "RuntimeService",
	.method = "ContainerStatus",
	.speed = RPC_FAST,
	.effect = RPC_READS,
	.handle = status_of_container,
};
