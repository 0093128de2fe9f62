/*
 * ContainerStats: what one container uses, read from its cgroup.
 */
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int stats_of_container(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__ContainerStatsRequest *request = message;

	return container_stats(call_service(call)->sandboxes, request->container_id, call_arena(call), answer,
			       err);
}

const struct rpc rpc_container_stats = {
	.service = "RuntimeService",
	.method = "ContainerStats",
	.speed = RPC_SLOW,
	.effect = RPC_READS,
	.handle = stats_of_container,
};
