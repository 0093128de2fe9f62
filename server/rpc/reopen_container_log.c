/*
 * ReopenContainerLog: after a rotation, the log's path is opened anew. No file appears when it fails.
 */
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/container_pod.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int reopen_container_log(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__ReopenContainerLogRequest *request = message;

	(void)answer;
	container_pod_note(call, request->container_id);
	return container_reopen_log(call_service(call)->sandboxes, call_ctx(call), request->container_id,
				    err);
}

const struct rpc rpc_reopen_container_log = {
	.service = "RuntimeService",
	.method = "ReopenContainerLog",
	.speed = RPC_SLOW,
	.effect = RPC_CHANGES,
	.handle = reopen_container_log,
};
