/*
 * Version: who we are. The first call of every client, and its test of the connection.
 *
 * The answer's version is that of the kubelet's own API, a constant since the first CRI; what the client
 * sends is information for us and not to be echoed or judged (CRI's api.proto: "Version of the kubelet
 * runtime API").
 */
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/rpc.h"

#define KUBELET_API_VERSION "0.1.0"
#define CRI_VERSION "v1"

static int version(struct call *call UNUSED, const void *message UNUSED, void *answer, struct err *err UNUSED)
{
	Cri__VersionResponse *response = answer;

	response->version = (char *)KUBELET_API_VERSION;
	response->runtime_name = (char *)"crisp";
	response->runtime_version = (char *)CRISP_VERSION;
	response->runtime_api_version = (char *)CRI_VERSION;
	return 0;
}

const struct rpc rpc_version = {
	.service = "RuntimeService",
	.method = "Version",
	.speed = RPC_FAST,
	.effect = RPC_READS,
	.early = true,
	.handle = version,
};
