/*
 * RunPodSandbox. The steps and what undoes them:
 *
 *   config.json         the record that this pod may exist: from here on a crash is undone at the next start
 *   cgroup, limits      cgroup_remove (if it is ours)
 *   pause + namespaces  pause_stop, namespaces_unpin
 *   files, shm, layers  pod_files_remove
 *   network             network_detach
 *   state.json          the pod exists, once pause is to outlive crispd: until then it has a mark
 *
 * Every undo is idempotent, so a failure anywhere runs pod_destroy(), which is also what removes a pod; what
 * cannot be undone at once stays recorded on disk and in the leftovers, which are tried again.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/file.h"
#include "base/log.h"
#include "proto/message.h"
#include "sandbox/pause.h"
#include "sandbox/pod_check.h"
#include "sandbox/pod_files.h"
#include "sandbox/pod_resources.h"
#include "sandbox/record.h"
#include "sandbox/selinux.h"
#include "sandbox/store.h"
#include "sandbox/strings.h"

enum { PAUSE_OOM_SCORE_ADJ = -998, RUN_SECONDS = 240 };

struct run {
	struct sandboxes *owner;
	struct arena *arena;
	Cri__RunPodSandboxRequest *request;
};

static void run_free(void *data)
{
	struct run *run = data;

	arena_free(run->arena);
	free(run);
}

static void files_spec(const struct pod *pod, struct arena *arena, struct pod_files_spec *ret)
{
	const Cri__DNSConfig *dns = pod->config->dns_config;
	const struct selinux_request selinux = { pod->owner->config, pod->config, NULL, pod->selinux_level };
	struct selinux_labels labels CLEANUP(selinux_labels_done) = { 0 };

	if (pod->owner->host.selinux)
		selinux_labels(&selinux, &labels);
	*ret = (struct pod_files_spec){
		.dir = pod->run_dir,
		.hostname = pod->config->hostname,
		.host_network = pod_host_network(pod),
		.userns = pod_has_userns(pod) ? &pod->userns : NULL,
		.shm_size = pod->namespaces & NAMESPACE_IPC ? POD_SHM_SIZE : 0,
		.selinux_label = labels.mount ? arena_strdup(arena, labels.mount) : NULL,
	};
	if (!dns)
		return;
	ret->dns_servers = strings_null_terminated(arena, dns->servers, dns->n_servers);
	ret->dns_searches = strings_null_terminated(arena, dns->searches, dns->n_searches);
	ret->dns_options = strings_null_terminated(arena, dns->options, dns->n_options);
}

/* Another pod's router advertisements, or those of a network it was put on, must not give the pod routes and
 * addresses that its network's plugins know nothing of (CVE-2020-10749): the kernel's default is to take
 * them, and only some plugins change it. Put first, so that who wants them can say so in the pod's sysctls.
 */
static void refuse_router_advertisements(const struct pod *pod, struct arena *arena,
					 struct pod_sysctls *sysctls)
{
	static const struct pause_sysctl refuse = { "net.ipv6.conf.default.accept_ra", "0" };
	struct pause_sysctl *items;

	/* Absent in a kernel without IPv6. */
	if (!(pod->namespaces & NAMESPACE_NET) ||
	    access("/proc/sys/net/ipv6/conf/default/accept_ra", F_OK) < 0)
		return;
	items = arena_array(arena, sysctls->len + 1, sizeof(*items));
	items[0] = refuse;
	if (sysctls->len)
		memcpy(items + 1, sysctls->items, sysctls->len * sizeof(*items));
	sysctls->items = items;
	sysctls->len++;
}

/* The process is the pod's at once: should a later step fail, undo stops and reaps it. `ret` keeps the hold.
 */
static int start_pause(struct pod *pod, struct arena *arena, struct pause_started *ret, const struct ctx *ctx,
		       struct err *err)
{
	struct pod_sysctls sysctls;
	struct pause_spec spec = {
		.path = pod->owner->pause_path,
		.id = pod->id,
		.ns_dir = pod->ns_dir,
		.namespaces = pod->namespaces,
		.userns = pod->userns,
		.hostname = pod->config->hostname,
		.cgroup = -1,
		.oom_score_adj = PAUSE_OOM_SCORE_ADJ,
	};

	if (pod_sysctls(pod->config, pod->owner->config, pod->namespaces, arena, &sysctls, err) < 0)
		return -1;
	if (sysctls.skipped)
		log_warn("pod sandbox %s: sysctl %s is skipped: its namespace is the host's", pod->id,
			 sysctls.skipped);
	refuse_router_advertisements(pod, arena, &sysctls);
	spec.sysctls = sysctls.items;
	spec.sysctls_len = sysctls.len;
	if (pause_start(&spec, ctx, ret, err) < 0)
		return -1;
	lock_take(&pod->lock);
	pod->pause = ret->process;
	lock_drop(&pod->lock);
	ret->process = (struct process)PROCESS_INIT;
	return 0;
}

/* What the images' files look like from inside the pod's user namespace. */
static int map_layers(const struct pod *pod, struct err *err)
{
	if (!pod_has_userns(pod))
		return 0;
	CLEANUP(freep) char *ns = namespace_path(pod->ns_dir, NAMESPACE_USER);
	CLEANUP(freep) char *target = pod_files_path(pod->run_dir, "layers");
	CLEANUP(freep) char *source = images_layers_path(pod->owner->images);
	return userns_mount_mapped(source, ns, target, err);
}

static int attach(struct pod *pod, struct arena *arena, const struct ctx *ctx, struct err *err)
{
	CLEANUP(network_result_done) struct network_result result = { 0 };
	struct network_pod network;

	if (pod_host_network(pod))
		return 0;
	pod_network(pod, arena, &network);
	if (network_attach(pod->owner->network, ctx, &network, &result, err) < 0)
		return -1;
	lock_take(&pod->lock);
	pod->ips = result.ips;
	lock_drop(&pod->lock);
	result.ips = (struct strv)STRV_INIT;
	return 0;
}

/* Once its pid is on disk, pause may outlive crispd; from then on it is watched. Between the two pause dies
 * with crispd, of a pod that nobody was told of: the mark says so to the next start, which undoes it. */
static int commit(struct pod *pod, struct pause_started *pause, struct err *err)
{
	lock_take(&pod->lock);
	pod->ready = true;
	lock_drop(&pod->lock);
	if (pod_files_mark(pod->run_dir, err) < 0 || pod_save(pod, err) < 0 || crash_point("run_pod.saved") ||
	    pod_watch(pod, err) < 0 || pause_keep(pause, err) < 0)
		return -1;
	crash_point("run_pod.outlives");
	return pod_files_unmark(pod->run_dir, err);
}

static int make_cgroup(const struct pod *pod, struct err *err)
{
	if (cgroup_make(pod->owner->cgroups, pod->cgroup_path, err) < 0)
		return -1;
	if (cgroup_pod_path_is_ours(pod->cgroup_path, pod->id))
		cgroup_mark(pod->owner->cgroups, pod->cgroup_path, pod->owner->config->root);
	return 0;
}

static int build(struct pod *pod, const struct ctx *ctx, struct err *err)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(pause_started_done) struct pause_started pause = PAUSE_STARTED_INIT;
	struct pod_files_spec files;

	files_spec(pod, arena, &files);
	if (crash_point("run_pod.recorded") || make_cgroup(pod, err) < 0 || crash_point("run_pod.cgroup") ||
	    pod_resources_apply(pod, err) < 0 || crash_point("run_pod.limits") ||
	    start_pause(pod, arena, &pause, ctx, err) < 0 || crash_point("run_pod.pause") ||
	    pod_files_make(&files, err) < 0 || crash_point("run_pod.files") || map_layers(pod, err) < 0 ||
	    crash_point("run_pod.layers"))
		return -1;
	/* The pod's first container follows. */
	move_lock_expect(pod->owner->moves);
	if (attach(pod, arena, ctx, err) < 0 || crash_point("run_pod.network"))
		return -1;
	move_lock_expect(pod->owner->moves);
	if (pod_files_write_hosts(&files, (const char *const *)pod->ips.items, err) < 0 ||
	    crash_point("run_pod.hosts"))
		return -1;
	return commit(pod, &pause, err);
}

static int make_dir(struct pod *pod, struct err *err)
{
	CLEANUP(fd_closep) int dir = dir_make(pod->owner->pods_dir, pod->id, 0700, err);

	return dir < 0 || crash_point("run_pod.folder") ? -1 : pod_save_config(pod, err);
}

/* The failed pod is known to nobody: undo with time of its own, since the caller's may be over. */
static void undo(struct pod *pod)
{
	struct ctx ctx;
	struct err err;

	ctx_init(&ctx, clock_deadline_in(60 * NS_PER_SEC));
	int failed = record_forget_state(pod->dir, &err) < 0 ? -1 : pod_destroy(pod, &ctx, &err);
	ctx_done(&ctx);
	if (failed)
		leftovers_add_pod(pod, &err);
}

static int existing(struct pod *pod, char **ret, struct err *err)
{
	if (!pod_ready(pod))
		return err_set(
			err, RPC_FAILED_PRECONDITION,
			"pod sandbox %s with this name, namespace, uid and attempt exists and is not ready",
			pod->id);
	*ret = xstrdup(pod->id);
	return 0;
}

/* Refused before anything is made. */
static int check_sysctls(const struct pod *pod, struct err *err)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct pod_sysctls sysctls;

	return pod_sysctls(pod->config, pod->owner->config, pod->namespaces, arena, &sysctls, err);
}

static int take_level(struct pod *pod, struct err *err)
{
	if (!pod->owner->host.selinux)
		return 0;
	pod->selinux_levels = pod->owner->selinux_levels;
	return selinux_levels_take(pod->selinux_levels, &pod->selinux_level, err);
}

/* The joined work: runs on the pool with a context of its own. */
static int run(void *data, const struct ctx *ctx, char **ret, struct err *err)
{
	struct run *run = data;
	CLEANUP(freep) char *identity = pod_identity(run->request->config->metadata);
	CLEANUP(pod_unrefp) struct pod *found = store_pod_by_identity(run->owner, identity);

	if (found)
		return existing(found, ret, err);
	CLEANUP(pod_unrefp) struct pod *pod = pod_new_take(run->owner, NULL, TAKE(run->arena), run->request);
	if (!pod->handler || pod->handler->problem)
		return err_set(err, RPC_INVALID_ARGUMENT, "runtime handler \"%s\" cannot be used: %s",
			       run->request->runtime_handler,
			       pod->handler ? pod->handler->problem : "not configured");
	if (pod_has_userns(pod) && !(pod->handler->user_namespaces && userns_supported()))
		return err_set(err, RPC_FAILED_PRECONDITION,
			       "user namespaces: not supported by the runtime %s or this kernel",
			       pod->handler->name);
	if (check_sysctls(pod, err) < 0 || pod_resources_check(pod, err) < 0 ||
	    pod_check_host(pod->config, err) < 0)
		return -1;
	if (take_level(pod, err) < 0)
		return -1;
	if (make_dir(pod, err) < 0 || build(pod, ctx, err) < 0) {
		undo(pod);
		return -1;
	}
	crash_point("run_pod.kept");
	store_add_pod(run->owner, pod);
	announce_new_pod(pod);
	crash_point("run_pod.told");
	*ret = xstrdup(pod->id);
	return 0;
}

int pod_run(struct sandboxes *sandboxes, const struct ctx *ctx, const Cri__RunPodSandboxRequest *request,
	    char **ret_id, struct err *err)
{
	if (pod_check(request, sandboxes->config, err) < 0)
		return -1;

	CLEANUP(freep) char *identity = pod_identity(request->config->metadata);
	CLEANUP(freep) char *key = xasprintf("pod/%s", identity);
	CLEANUP(freep)
	char *what = xasprintf("RunPodSandbox %.64s/%.64s", request->config->metadata->namespace_,
			       request->config->metadata->name);
	struct run *data = xnew(struct run);
	data->owner = sandboxes;
	data->arena = arena_new(0);
	data->request = message_clone(&request->base, data->arena);
	struct flight_work work = {
		.key = key,
		.what = what,
		.run = run,
		.free_data = run_free,
		.data = data,
		.deadline = clock_deadline_in(RUN_SECONDS * NS_PER_SEC),
	};
	return flight_join(sandboxes->flights, ctx, &work, ret_id, err);
}
