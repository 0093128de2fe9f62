/*
 * ExecSync: runs a command in a container and answers with its output; what exec probes are made of.
 *
 * Either output may be as long as a whole message, but both have to fit into one: what is too much is cut off
 * their ends, from the longer one first.
 */
#include <inttypes.h>

#include "base/clock.h"
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/command.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

enum { ENVELOPE = 64 }; /* bytes of an answer beside the outputs */

/* Cuts the outputs so that they fit into max bytes together; a short one is left whole. */
static void fit(Cri__ExecSyncResponse *response, size_t max)
{
	size_t out = response->stdout.len, err_out = response->stderr.len, half = max / 2;

	if (out + err_out <= max)
		return;
	if (out <= half)
		err_out = max - out;
	else if (err_out <= half)
		out = max - err_out;
	else
		out = err_out = half;
	response->stdout.len = out;
	response->stderr.len = err_out;
}

static int exec_sync(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__ExecSyncRequest *request = message;

	if (command_check(request->cmd, request->n_cmd, err) < 0)
		return -1;
	if (request->timeout < 0 || request->timeout > INT64_MAX / NS_PER_SEC)
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "timeout %" PRId64 ": not a number of seconds to wait", request->timeout);
	if (container_exec_sync(call_service(call)->sandboxes, call_ctx(call), request, call_arena(call),
				answer, err) < 0)
		return -1;
	fit(answer, call_answer_max(call) - ENVELOPE);
	return 0;
}

const struct rpc rpc_exec_sync = {
	.service = "RuntimeService",
	.method = "ExecSync",
	.speed = RPC_SLOW,
	.effect = RPC_READS,
	.handle = exec_sync,
};
