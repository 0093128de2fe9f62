/*
 * GetContainerEvents: what happens to pods and containers, as it happens (the kubelet's evented PLEG).
 * Nothing is told of what was before, so a client lists after it has subscribed.
 */
#include "server/events.h"
#include "server/grpc/call.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int get_container_events(struct call *call, const void *message UNUSED, void *answer UNUSED,
				struct err *err)
{
	struct service *service = call_service(call);

	if (!service->events)
		return err_set(err, RPC_UNIMPLEMENTED, "enable_pod_events is off in crispd's configuration");
	return events_subscribe(service->events, call, err);
}

const struct rpc rpc_get_container_events = {
	.service = "RuntimeService",
	.method = "GetContainerEvents",
	.speed = RPC_SLOW,
	.effect = RPC_READS,
	.streaming = true,
	.handle = get_container_events,
};
