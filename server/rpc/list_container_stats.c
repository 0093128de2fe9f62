/*
 * ListContainerStats: what the running containers that pass the filter use, read from their cgroups.
 */
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int list_container_stats(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__ListContainerStatsRequest *request = message;

	return containers_stats_list(call_service(call)->sandboxes, request->filter, call_arena(call), answer,
				     err);
}

const struct rpc rpc_list_container_stats = {
	.service = "RuntimeService",
	.method = "ListContainerStats",
	.speed = RPC_SLOW,
	.effect = RPC_READS,
	.handle = list_container_stats,
};
