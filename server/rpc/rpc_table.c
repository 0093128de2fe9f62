/*
 * Every RPC of runtime.v1, once, in cri.proto's order. methods_new() refuses to start on a gap or a double.
 */
#include <stddef.h>

#include "server/rpc/rpc.h"
#include "server/rpc/unimplemented.h"

const struct rpc *const rpc_table[] = {
	/* RuntimeService */
	&rpc_version,
	&rpc_run_pod_sandbox,
	&rpc_stop_pod_sandbox,
	&rpc_remove_pod_sandbox,
	&rpc_pod_sandbox_status,
	&rpc_list_pod_sandbox,
	&rpc_stream_pod_sandboxes,
	&rpc_create_container,
	&rpc_start_container,
	&rpc_stop_container,
	&rpc_remove_container,
	&rpc_list_containers,
	&rpc_stream_containers,
	&rpc_container_status,
	&rpc_update_container_resources,
	&rpc_reopen_container_log,
	&rpc_exec_sync,
	&rpc_exec,
	&rpc_attach,
	&rpc_port_forward,
	&rpc_container_stats,
	&rpc_list_container_stats,
	&rpc_stream_container_stats,
	&rpc_pod_sandbox_stats,
	&rpc_list_pod_sandbox_stats,
	&rpc_stream_pod_sandbox_stats,
	&rpc_update_runtime_config,
	&rpc_status,
	&rpc_unimplemented[RPC_CHECKPOINT_CONTAINER],
	&rpc_unimplemented[RPC_CHECKPOINT_POD],
	&rpc_unimplemented[RPC_RESTORE_POD],
	&rpc_get_container_events,
	&rpc_list_metric_descriptors,
	&rpc_list_pod_sandbox_metrics,
	&rpc_stream_pod_sandbox_metrics,
	&rpc_runtime_config,
	&rpc_update_pod_sandbox_resources,

	/* ImageService */
	&rpc_list_images,
	&rpc_stream_images,
	&rpc_image_status,
	&rpc_pull_image,
	&rpc_remove_image,
	&rpc_image_fs_info,
	NULL,
};
