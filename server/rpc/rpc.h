/*
 * What the dispatcher knows about one RPC. Each RPC that is built has a file of its own in this folder, named
 * after it, which exports one `const struct rpc`; rpc_table[] lists them all, unimplemented.c answers for the
 * rest.
 *
 * A handler gets the decoded request and an answer with every field at its default, both living in the call's
 * arena. It returns 0 or -1 with err, whose code and text are what the client sees. Fast handlers run on
 * gRPC's own threads and may touch only memory; slow ones run on a worker and may wait, within call_ctx().
 * What a call offers is in server/grpc/call.h.
 */
#ifndef SERVER_RPC_RPC_H
#define SERVER_RPC_RPC_H

#include "base/err.h"

struct call;

enum rpc_speed { RPC_FAST, RPC_SLOW };
/* RPC_CHANGES: what an operator wants to read in the log afterwards. */
enum rpc_effect { RPC_READS, RPC_CHANGES };

struct rpc {
	const char *service; /* "RuntimeService" or "ImageService" */
	const char *method;
	enum rpc_speed speed;
	enum rpc_effect effect;
	/* Answers with call_send() any number of times; `answer` is unused. Always RPC_SLOW. */
	bool streaming;
	/* Needs no service, so it is answered while crispd starts, too (rpc_server_open()). */
	bool early;
	/* NULL: UNIMPLEMENTED */
	int (*handle)(struct call *call, const void *request, void *answer, struct err *err);
};

/* One a file. */
extern const struct rpc rpc_version;
extern const struct rpc rpc_run_pod_sandbox;
extern const struct rpc rpc_stop_pod_sandbox;
extern const struct rpc rpc_remove_pod_sandbox;
extern const struct rpc rpc_pod_sandbox_status;
extern const struct rpc rpc_list_pod_sandbox;
extern const struct rpc rpc_stream_pod_sandboxes;
extern const struct rpc rpc_create_container;
extern const struct rpc rpc_start_container;
extern const struct rpc rpc_stop_container;
extern const struct rpc rpc_remove_container;
extern const struct rpc rpc_list_containers;
extern const struct rpc rpc_stream_containers;
extern const struct rpc rpc_container_status;
extern const struct rpc rpc_update_container_resources;
extern const struct rpc rpc_reopen_container_log;
extern const struct rpc rpc_exec_sync;
extern const struct rpc rpc_exec;
extern const struct rpc rpc_attach;
extern const struct rpc rpc_port_forward;
extern const struct rpc rpc_container_stats;
extern const struct rpc rpc_list_container_stats;
extern const struct rpc rpc_stream_container_stats;
extern const struct rpc rpc_pod_sandbox_stats;
extern const struct rpc rpc_list_pod_sandbox_stats;
extern const struct rpc rpc_stream_pod_sandbox_stats;
extern const struct rpc rpc_list_metric_descriptors;
extern const struct rpc rpc_list_pod_sandbox_metrics;
extern const struct rpc rpc_stream_pod_sandbox_metrics;
extern const struct rpc rpc_get_container_events;
extern const struct rpc rpc_update_runtime_config;
extern const struct rpc rpc_update_pod_sandbox_resources;
extern const struct rpc rpc_status;
extern const struct rpc rpc_runtime_config;
extern const struct rpc rpc_list_images;
extern const struct rpc rpc_stream_images;
extern const struct rpc rpc_image_status;
extern const struct rpc rpc_pull_image;
extern const struct rpc rpc_remove_image;
extern const struct rpc rpc_image_fs_info;

/* Every method of runtime.v1, once each, in cri.proto's order; NULL-terminated. */
extern const struct rpc *const rpc_table[];

#endif
