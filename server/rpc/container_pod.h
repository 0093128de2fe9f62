/* For the log and traces of a call about a container, which names no pod: whose pod it is. */
#ifndef SERVER_RPC_CONTAINER_POD_H
#define SERVER_RPC_CONTAINER_POD_H

struct call;

/* Before the work, which may be the container's end. An unknown container is of none. */
void container_pod_note(struct call *call, const char *container_id);

#endif
