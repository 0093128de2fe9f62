/*
 * RuntimeConfig: what kubelet must agree on with us, the cgroup driver.
 */
#include "proto/cri.pb-c.h"
#include "proto/message.h"
#include "server/grpc/call.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int runtime_config(struct call *call, const void *message, void *answer, struct err *err)
{
	Cri__RuntimeConfigResponse *response = answer;
	CLEANUP(config_unrefp) struct config *config = service_config(call_service(call));

	(void)message;
	(void)err;
	response->linux = message_new(call_arena(call), &cri__linux_runtime_configuration__descriptor);
	switch (config->runtime.cgroup_manager) {
	case CONFIG_CGROUPFS:
		response->linux->cgroup_driver = CRI__CGROUP_DRIVER__CGROUPFS;
		break;
	case CONFIG_SYSTEMD:
		response->linux->cgroup_driver = CRI__CGROUP_DRIVER__SYSTEMD;
		break;
	}
	return 0;
}

const struct rpc rpc_runtime_config = {
	.service = "RuntimeService",
	.method = "RuntimeConfig",
	.speed = RPC_FAST,
	.effect = RPC_READS,
	.handle = runtime_config,
};
