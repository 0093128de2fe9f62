/* The RPCs that answer UNIMPLEMENTED: see unimplemented.c. */
#ifndef SERVER_RPC_UNIMPLEMENTED_H
#define SERVER_RPC_UNIMPLEMENTED_H

#include "server/rpc/rpc.h"

enum {
	RPC_CHECKPOINT_CONTAINER,
	RPC_CHECKPOINT_POD,
	RPC_RESTORE_POD,
	RPC_UNIMPLEMENTED_COUNT,
};

extern const struct rpc rpc_unimplemented[RPC_UNIMPLEMENTED_COUNT];

#endif
