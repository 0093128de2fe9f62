/*
 * From the path of a gRPC request ("/runtime.v1.RuntimeService/Version") to the RPC that answers it.
 *
 * Built once from protobuf-c's service descriptors and a table of RPCs, which must name every method exactly
 * once: anything else is our own mistake and refused at start. Paths match byte by byte, nothing is
 * normalised. Immutable after methods_new; any thread.
 */
#ifndef SERVER_GRPC_METHODS_H
#define SERVER_GRPC_METHODS_H

#include <protobuf-c/protobuf-c.h>

#include "base/err.h"
#include "server/rpc/rpc.h"

struct methods;

struct method {
	const struct rpc *rpc;
	const ProtobufCMessageDescriptor *input, *output;
};

/* table: NULL-terminated, outlives methods. INTERNAL, naming the method, when the table is not complete. */
struct methods *methods_new(const struct rpc *const *table, struct err *err);
struct methods *methods_free(struct methods *methods);
/* NULL when there is none. path need not be NUL-terminated. */
const struct method *methods_find(const struct methods *methods, const void *path, size_t len);

#endif
