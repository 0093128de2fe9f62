/*
 * CreateContainer: makes a container in a ready pod, without running it. The same request again gives the
 * same id.
 */
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int create_container(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__CreateContainerRequest *request = message;
	Cri__CreateContainerResponse *response = answer;
	CLEANUP(freep) char *id = NULL;

	if (container_create(call_service(call)->sandboxes, call_ctx(call), request, &id, err) < 0)
		return -1;
	response->container_id = arena_strdup(call_arena(call), id);
	return 0;
}

const struct rpc rpc_create_container = {
	.service = "RuntimeService",
	.method = "CreateContainer",
	.speed = RPC_SLOW,
	.effect = RPC_CHANGES,
	.handle = create_container,
};
