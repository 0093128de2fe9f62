/*
 * StopContainer: the stop signal, then SIGKILL after `timeout` seconds (0: at once). One that is gone counts
 * as stopped.
 *
 * The grace time may be longer than any clock of ours can count (kubelet passes on what the pod says): a year
 * is enough.
 */
#include <inttypes.h>

#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/container_pod.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

#define GRACE_MAX INT64_C(31536000) /* seconds */

static int stop_container(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__StopContainerRequest *request = message;
	int64_t timeout = request->timeout < GRACE_MAX ? request->timeout : GRACE_MAX;

	(void)answer;
	if (timeout < 0)
		return err_set(err, RPC_INVALID_ARGUMENT, "timeout %" PRId64 ": must not be negative",
			       timeout);
	container_pod_note(call, request->container_id);
	return container_stop(call_service(call)->sandboxes, call_ctx(call), request->container_id, timeout,
			      err);
}

const struct rpc rpc_stop_container = {
	.service = "RuntimeService",
	.method = "StopContainer",
	.speed = RPC_SLOW,
	.effect = RPC_CHANGES,
	.handle = stop_container,
};
