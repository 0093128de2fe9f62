/* See container_pod.h. */
#include "server/rpc/container_pod.h"

#include "server/grpc/call.h"
#include "server/service.h"

void container_pod_note(struct call *call, const char *container_id)
{
	call_note_pod(call, container_pod_id(call_service(call)->sandboxes, container_id, call_arena(call)));
}
