/*
 * Pods and containers as the CRI knows them: the API that server/ calls. One function per verb; each RPC
 * handler in server/rpc looks up nothing itself, it passes the decoded request and answers with what comes
 * back.
 *
 * Identity: a pod is its metadata (name, namespace, uid, attempt), a container its pod and metadata (name,
 * attempt). Creating what is being created joins that work; creating what exists gives its id. Ids may be
 * abbreviated where CRI clients do so (crictl): an unambiguous prefix; empty or malformed ids are
 * INVALID_ARGUMENT, unknown ones NOT_FOUND (stop and remove of unknown ones succeed, as the CRI asks).
 *
 * Answers (statuses, stats) are built in the caller's arena, which belongs to the call; lists are encoded.
 * All functions are thread-safe. Lists and statuses touch only memory and may run on the gRPC threads; the
 * others wait for processes and run on workers, bounded by ctx.
 */
#ifndef SANDBOX_SANDBOXES_H
#define SANDBOX_SANDBOXES_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/ctx.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/pool.h"
#include "cni/network.h"
#include "config/config.h"
#include "conmon/handler.h"
#include "image/images.h"
#include "proto/cri.pb-c.h"
#include "sandbox/listed.h"
#include "sandbox/lister.h"

struct sandboxes;

/* Who is told what happens to pods and containers, as the CRI's events. All may be NULL. */
struct sandbox_listener {
	/* Nothing is made of what nobody wants to hear. Under LOCK_ANNOUNCE, as is event. */
	bool (*wanted)(void *data);
	/* In the order in which it happened. It may change the event, whose memory is the arena's, and must
	 * neither wait nor come back here. */
	void (*event)(void *data, Cri__ContainerEventResponse *event, struct arena *arena);
	/* After one or more events, without locks. */
	void (*flush)(void *data);
	void *data;
};

/* How far sandboxes_open() has come, in pods and containers: written by it, read by any thread. */
struct restore_progress {
	atomic_size_t done, all; /* all: 0 until they have been counted */
};

struct sandboxes_options {
	const struct config *config; /* a reference is taken */
	struct images *images;
	struct network *network;
	struct handlers *handlers;
	struct loop *loop; /* exits, pause deaths; not yet running */
	struct pool *pool; /* shared work of joined requests; cleanup */
	struct sandbox_listener listener;
	struct restore_progress *progress; /* may be NULL; not looked at after sandboxes_open() */
};

/* Loads what is on disk, compares it with the kernel, finishes or undoes half-done operations. Objects that
 * cannot be read are quarantined (see sandboxes_warnings), never fatal; but state of a newer crisp is left
 * alone: FAILED_PRECONDITION. */
struct sandboxes *sandboxes_open(const struct sandboxes_options *options, struct err *err);
/* Pods and containers live on; only memory is freed. The loop has stopped and the pool was freed before:
 * tasks on it use what goes here. The loop is freed after. */
struct sandboxes *sandboxes_free(struct sandboxes *sandboxes);
/* For the end: pods and containers that are being made are undone, as are those that are asked for later. */
void sandboxes_cancel(struct sandboxes *sandboxes);
const struct strv *sandboxes_warnings(const struct sandboxes *sandboxes);
/* For images_options.layer_in_use. data: struct sandboxes ** (may still point to NULL while opening). */
bool sandboxes_layer_in_use(void *data, const char *chain_id);

int pod_run(struct sandboxes *sandboxes, const struct ctx *ctx, const Cri__RunPodSandboxRequest *request,
	    char **ret_id, struct err *err) MUST_CHECK;
int pod_stop(struct sandboxes *sandboxes, const struct ctx *ctx, const char *id, struct err *err) MUST_CHECK;
int pod_remove(struct sandboxes *sandboxes, const struct ctx *ctx, const char *id,
	       struct err *err) MUST_CHECK;
/* Changes the limits of the pod's cgroup and remembers them; what the request does not have stays as it is.
 * FAILED_PRECONDITION: the pod is not ready, or the kernel refuses; then nothing has changed. */
int pod_update_resources(struct sandboxes *sandboxes, const struct ctx *ctx,
			 const Cri__UpdatePodSandboxResourcesRequest *request, struct err *err) MUST_CHECK;
int pod_status(struct sandboxes *sandboxes, const char *id, bool verbose, struct arena *arena,
	       Cri__PodSandboxStatusResponse *ret, struct err *err) MUST_CHECK;
/* A Cri__ListPodSandboxResponse, encoded (sandbox/listed.h). */
int pods_list(struct sandboxes *sandboxes, const Cri__PodSandboxFilter *filter, const struct list_room *room,
	      struct err *err) MUST_CHECK;
/* The same items as messages, a batch at a time (sandbox/lister.h). */
int pods_each(struct sandboxes *sandboxes, const Cri__PodSandboxFilter *filter, const struct list_sink *sink,
	      struct err *err) MUST_CHECK;
/* What the pod uses, read from its cgroup, network namespace and running containers (sandbox/stats.c); one
 * that is not ready has attributes only, and is left out of lists. Read files: for workers. */
int pod_stats(struct sandboxes *sandboxes, const char *id, struct arena *arena,
	      Cri__PodSandboxStatsResponse *ret, struct err *err) MUST_CHECK;
int pods_stats_list(struct sandboxes *sandboxes, const Cri__PodSandboxStatsFilter *filter,
		    struct arena *arena, Cri__ListPodSandboxStatsResponse *ret, struct err *err) MUST_CHECK;
int pods_stats_each(struct sandboxes *sandboxes, const Cri__PodSandboxStatsFilter *filter,
		    const struct list_sink *sink, struct err *err) MUST_CHECK;

int container_create(struct sandboxes *sandboxes, const struct ctx *ctx,
		     const Cri__CreateContainerRequest *request, char **ret_id, struct err *err) MUST_CHECK;
int container_start(struct sandboxes *sandboxes, const struct ctx *ctx, const char *id,
		    struct err *err) MUST_CHECK;
/* timeout: seconds of grace before SIGKILL. */
int container_stop(struct sandboxes *sandboxes, const struct ctx *ctx, const char *id, int64_t timeout,
		   struct err *err) MUST_CHECK;
int container_remove(struct sandboxes *sandboxes, const struct ctx *ctx, const char *id,
		     struct err *err) MUST_CHECK;
/* The id of the pod of a container, in arena; NULL: no such container. Touches memory only. */
const char *container_pod_id(struct sandboxes *sandboxes, const char *id, struct arena *arena);
int container_status(struct sandboxes *sandboxes, const char *id, bool verbose, struct arena *arena,
		     Cri__ContainerStatusResponse *ret, struct err *err) MUST_CHECK;
/* A Cri__ListContainersResponse, encoded. */
int containers_list(struct sandboxes *sandboxes, const Cri__ContainerFilter *filter,
		    const struct list_room *room, struct err *err) MUST_CHECK;
int containers_each(struct sandboxes *sandboxes, const Cri__ContainerFilter *filter,
		    const struct list_sink *sink, struct err *err) MUST_CHECK;
/* The same for one container; of one that is not running only attributes and the writable layer. */
int container_stats(struct sandboxes *sandboxes, const char *id, struct arena *arena,
		    Cri__ContainerStatsResponse *ret, struct err *err) MUST_CHECK;
int containers_stats_list(struct sandboxes *sandboxes, const Cri__ContainerStatsFilter *filter,
			  struct arena *arena, Cri__ListContainerStatsResponse *ret,
			  struct err *err) MUST_CHECK;
int containers_stats_each(struct sandboxes *sandboxes, const Cri__ContainerStatsFilter *filter,
			  const struct list_sink *sink, struct err *err) MUST_CHECK;
int container_exec_sync(struct sandboxes *sandboxes, const struct ctx *ctx,
			const Cri__ExecSyncRequest *request, struct arena *arena, Cri__ExecSyncResponse *ret,
			struct err *err) MUST_CHECK;
/* Changes limits of a created or running container, and remembers them: what is 0, "" or absent stays as it
 * is. FAILED_PRECONDITION: it has ended, or uses more memory than the new limit. After an error the old
 * limits are in force. */
int container_update_resources(struct sandboxes *sandboxes, const struct ctx *ctx,
			       const Cri__UpdateContainerResourcesRequest *request,
			       struct err *err) MUST_CHECK;
int container_reopen_log(struct sandboxes *sandboxes, const struct ctx *ctx, const char *id,
			 struct err *err) MUST_CHECK;

#endif
