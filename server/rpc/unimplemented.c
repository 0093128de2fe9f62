/*
 * The RPCs that are registered but not built yet. Without a handler the dispatcher answers UNIMPLEMENTED and
 * names the RPC, after the request was read and checked like any other. An RPC that gets built moves to a
 * file of its own.
 */
#include "server/rpc/rpc.h"
#include "server/rpc/unimplemented.h"

#define RUNTIME(name)                                                                                 \
	{                                                                                             \
		.service = "RuntimeService", .method = (name), .speed = RPC_FAST, .effect = RPC_READS \
	}

const struct rpc rpc_unimplemented[RPC_UNIMPLEMENTED_COUNT] = {
	[RPC_CHECKPOINT_CONTAINER] = RUNTIME("CheckpointContainer"),
	[RPC_CHECKPOINT_POD] = RUNTIME("CheckpointPod"),
	[RPC_RESTORE_POD] = RUNTIME("RestorePod"),
};
