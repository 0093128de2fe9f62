/*
 * UpdateRuntimeConfig: kubelet tells the pod CIDR it learned. CNI configuration is not made from templates
 * here, so it is checked, remembered, also over a restart, and shown in verbose status, and has no further
 * effect. Dual-stack nodes send two, with a comma.
 */
#include <arpa/inet.h>
#include <string.h>

#include "base/crash.h"
#include "base/str.h"
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static bool cidr_valid(char *cidr)
{
	char *slash = strchr(cidr, '/');
	struct in6_addr address;
	uint64_t bits;
	int family;

	if (!slash)
		return false;
	*slash = '\0';
	family = strchr(cidr, ':') ? AF_INET6 : AF_INET;
	return inet_pton(family, cidr, &address) == 1 &&
	       parse_u64(slash + 1, family == AF_INET6 ? 128 : 32, &bits);
}

static int update_runtime_config(struct call *call, const void *message, void *answer UNUSED, struct err *err)
{
	const Cri__UpdateRuntimeConfigRequest *request = message;
	CLEANUP(strv_done) struct strv cidrs = STRV_INIT;
	const char *text;

	if (!request->runtime_config || !request->runtime_config->network_config)
		return 0;
	text = request->runtime_config->network_config->pod_cidr;
	if (strlen(text) > 256)
		return err_set(err, RPC_INVALID_ARGUMENT, "pod_cidr: longer than 256 bytes");
	if (!str_empty(text))
		strv_split(&cidrs, text, ',');
	for (size_t i = 0; i < cidrs.len; i++)
		if (!cidr_valid(cidrs.items[i]))
			return err_set(err, RPC_INVALID_ARGUMENT,
				       "pod_cidr \"%s\": not a list of ADDRESS/BITS", text);
	crash_point("update_runtime_config.checked");
	if (service_set_pod_cidr(call_service(call), call_ctx(call), text, err) < 0)
		return -1;
	crash_point("update_runtime_config.set");
	return 0;
}

const struct rpc rpc_update_runtime_config = {
	.service = "RuntimeService",
	.method = "UpdateRuntimeConfig",
	.speed = RPC_SLOW,
	.effect = RPC_CHANGES,
	.handle = update_runtime_config,
};
