/*
 * ListContainers: the containers that pass the filter, from memory.
 */
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int list_containers(struct call *call, const void *message, void *answer UNUSED, struct err *err)
{
	const Cri__ListContainersRequest *request = message;
	const struct list_room room = { .take = call_answer_room, .data = call };

	return containers_list(call_service(call)->sandboxes, request->filter, &room, err);
}

const struct rpc rpc_list_containers = {
	.service = "RuntimeService",
	.method = "ListContainers",
	.speed = RPC_FAST,
	.effect = RPC_READS,
	.handle = list_containers,
};
