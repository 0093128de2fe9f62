/*
 * StopPodSandbox and RemovePodSandbox. Stopping is a sequence of idempotent steps (containers, network,
 * pause, namespaces, files, our cgroup); a step that fails leaves the pod not ready and stoppable again, with
 * the error of that step as the answer. Removing is stopping, then the containers' and the pod's directories.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/file.h"
#include "base/log.h"
#include "sandbox/pause.h"
#include "sandbox/pod_check.h"
#include "sandbox/pod_files.h"
#include "sandbox/store.h"
#include "sandbox/strings.h"

enum { VERB_SECONDS = 240 };

/* All are told to die first, so that they do it side by side; then each is waited for. */
static int stop_containers(struct pod *pod, const struct ctx *ctx, struct err *err)
{
	CLEANUP(store_containers_freep) struct container **containers = store_containers(pod->owner, pod);

	for (size_t i = 0; containers[i]; i++) {
		CLEANUP(process_done) struct process init = container_init_process(containers[i]);
		struct err ignored; /* container_stop_now() sends it again and answers for it */

		if (init.pidfd >= 0 && process_signal(&init, SIGKILL, &ignored) < 0)
			continue;
	}
	for (size_t i = 0; containers[i]; i++)
		if (crash_point("stop_pod.signalled") || container_stop_now(containers[i], ctx, err) < 0)
			return err_prefix(err, "container %s", containers[i]->id);
	return 0;
}

static const char *protocol_name(Cri__Protocol protocol)
{
	switch (protocol) {
	case CRI__PROTOCOL__UDP:
		return "udp";
	case CRI__PROTOCOL__SCTP:
		return "sctp";
	default:
		return "tcp";
	}
}

void pod_network(const struct pod *pod, struct arena *arena, struct network_pod *ret)
{
	const Cri__PodSandboxConfig *config = pod->config;
	struct network_port *ports = arena_array(arena, config->n_port_mappings + 1, sizeof(*ports));
	const Cri__DNSConfig *dns = config->dns_config;

	*ret = (struct network_pod){
		.id = pod->id,
		.name = config->metadata->name,
		.namespace = config->metadata->namespace_,
		.uid = config->metadata->uid,
		.netns = arena_fmt(arena, "%s/%s", pod->ns_dir, namespace_name(NAMESPACE_NET)),
		.cgroup_parent = pod->cgroup_path,
		.ports = ports,
		.annotations = pod_network_annotations(config, arena),
		.annotations_len = config->n_annotations,
	};
	for (size_t i = 0; i < config->n_port_mappings; i++) {
		const Cri__PortMapping *mapping = config->port_mappings[i];

		if (mapping->host_port > 0)
			ports[ret->ports_len++] =
				(struct network_port){ .protocol = protocol_name(mapping->protocol),
						       .host_ip = mapping->host_ip,
						       .container_port = mapping->container_port,
						       .host_port = mapping->host_port };
	}
	if (!dns)
		return;
	struct network_dns *network_dns = arena_alloc(arena, sizeof(*network_dns));
	network_dns->servers = strings_null_terminated(arena, dns->servers, dns->n_servers);
	network_dns->searches = strings_null_terminated(arena, dns->searches, dns->n_searches);
	network_dns->options = strings_null_terminated(arena, dns->options, dns->n_options);
	ret->dns = network_dns;
}

static int detach(struct pod *pod, const struct ctx *ctx, struct err *err)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct network_pod network;

	if (pod_host_network(pod))
		return 0;
	pod_network(pod, arena, &network);
	if (!namespace_pinned(pod->ns_dir, NAMESPACE_NET))
		network.netns = ""; /* plugins release addresses and ports without it */
	return network_detach(pod->owner->network, ctx, &network, err);
}

/* The pidfd and the watch leave the pod under its lock; the waiting is done without it. */
static int stop_pause(struct pod *pod, const struct ctx *ctx, struct err *err)
{
	lock_take(&pod->lock);
	struct process pause = pod->pause;
	pod->pause = (struct process)PROCESS_INIT;
	struct watch *watch = TAKE(pod->watch);
	lock_drop(&pod->lock);

	watch_cancel(watch);
	if (pause.pidfd < 0)
		return 0;
	int failed = pause_stop(&pause, ctx, err);
	if (!failed) {
		process_done(&pause);
		return 0;
	}
	lock_take(&pod->lock);
	pod->pause = pause; /* it is still there: the next attempt stops it */
	lock_drop(&pod->lock);
	return -1;
}

static bool is_stopped(struct pod *pod)
{
	lock_take(&pod->lock);
	bool stopped = pod->stopped;
	pod->ready = false;
	lock_drop(&pod->lock);
	return stopped;
}

int pod_halt(struct pod *pod, const struct ctx *ctx, struct err *err)
{
	if (is_stopped(pod))
		return stop_containers(pod, ctx, err); /* one may have been on its way in when the pod died */
	if (stop_containers(pod, ctx, err) < 0)
		return -1;
	cgroup_meter_close(&pod->meter);
	net_meter_close(&pod->net); /* it would hold the network namespace */
	if (crash_point("stop_pod.containers") || detach(pod, ctx, err) < 0 ||
	    crash_point("stop_pod.network") || stop_pause(pod, ctx, err) < 0 ||
	    crash_point("stop_pod.pause") || namespaces_unpin(pod->ns_dir, err) < 0 ||
	    crash_point("stop_pod.namespaces") || pod_files_remove(pod->run_dir, err) < 0)
		return -1;
	crash_point("stop_pod.files");
	lock_take(&pod->lock);
	pod->stopped = true;
	lock_drop(&pod->lock);
	announce_pod(pod);
	return 0;
}

static int remove_containers(struct pod *pod, const struct ctx *ctx, struct err *err)
{
	CLEANUP(store_containers_freep) struct container **containers = store_containers(pod->owner, pod);

	for (size_t i = 0; containers[i]; i++)
		if (container_remove_object(containers[i], ctx, err) < 0 ||
		    crash_point("remove_pod.container"))
			return err_prefix(err, "container %s", containers[i]->id);
	return 0;
}

int pod_destroy(struct pod *pod, const struct ctx *ctx, struct err *err)
{
	if (pod_halt(pod, ctx, err) < 0 || remove_containers(pod, ctx, err) < 0 ||
	    crash_point("remove_pod.containers") || leftovers_undo_of_pod(pod, ctx, err) < 0)
		return -1;
	if (cgroup_pod_path_is_ours(pod->cgroup_path, pod->id) &&
	    cgroup_remove(pod->owner->cgroups, pod->cgroup_path, ctx, err) < 0)
		return -1;
	crash_point("remove_pod.cgroup");
	return store_discard(pod->owner, pod->owner->pods_dir, pod->id, err);
}

/* A stop has failed: it is tried again in the background, by the next crispd as well. */
static void stop_later(struct pod *pod)
{
	struct err err;

	reconciler_halt_later(pod);
	if (pod_save(pod, &err) < 0)
		log_debug("pod sandbox %s: %s, ignoring until it is stopped", pod->id, err.text);
}

static int stop(struct pod *pod, const struct ctx *ctx, struct err *err)
{
	bool was_stopped = is_stopped(pod);
	int failed = pod_halt(pod, ctx, err);

	if (failed)
		stop_later(pod);
	else if (!was_stopped && pod_save(pod, err) < 0)
		return -1;
	crash_point("stop_pod.saved");
	return failed;
}

static int remove_object(struct pod *pod, const struct ctx *ctx, struct err *err)
{
	if (pod_destroy(pod, ctx, err) < 0) {
		if (!is_stopped(pod))
			stop_later(pod);
		return -1;
	}
	lock_take(&pod->lock);
	pod->removed = true;
	lock_drop(&pod->lock);
	store_remove_pod(pod->owner, pod);
	announce_pod(pod);
	return 0;
}

/* The joined work: what one client began is finished also when it goes away, and found by those who ask
 * again. A pod that was removed meanwhile is as they want it. */
struct verb {
	const char *key, *what;
	int (*run)(struct pod *pod, const struct ctx *ctx, struct err *err);
	struct pod *pod; /* a reference */
};

static void verb_free(void *data)
{
	struct verb *verb = data;

	pod_unref(verb->pod);
	free(verb);
}

static int run_gated(void *data, const struct ctx *ctx, char **ret UNUSED, struct err *err)
{
	const struct verb *verb = data;
	struct pod *pod = verb->pod;

	if (gate_enter(&pod->gate, ctx, verb->what, err) < 0)
		return -1;
	lock_take(&pod->lock);
	bool removed = pod->removed;
	lock_drop(&pod->lock);
	int failed = removed ? 0 : verb->run(pod, ctx, err);
	gate_leave(&pod->gate);
	return failed;
}

/* A pod that is unknown is as the client wants it. */
static int run_verb(struct sandboxes *sandboxes, const struct verb *verb, const struct ctx *ctx,
		    const char *id, struct err *err)
{
	CLEANUP(pod_unrefp) struct pod *pod = NULL;
	struct err find;

	if (store_find_pod(sandboxes, id, &pod, &find) < 0)
		return find.code == RPC_NOT_FOUND ? 0 : err_set(err, find.code, "%s", find.text);

	CLEANUP(freep) char *key = xasprintf("%s/%s", verb->key, pod->id);
	CLEANUP(freep) char *nothing = NULL;
	struct verb *own = xnew(struct verb);
	*own = *verb;
	own->pod = pod_ref(pod);
	struct flight_work work = { .key = key,
				    .what = verb->what,
				    .run = run_gated,
				    .free_data = verb_free,
				    .data = own,
				    .deadline = clock_deadline_in(VERB_SECONDS * NS_PER_SEC) };
	return flight_join(sandboxes->flights, ctx, &work, &nothing, err);
}

int pod_stop(struct sandboxes *sandboxes, const struct ctx *ctx, const char *id, struct err *err)
{
	const struct verb verb = { "stop-pod", "StopPodSandbox", stop, NULL };

	return run_verb(sandboxes, &verb, ctx, id, err);
}

int pod_remove(struct sandboxes *sandboxes, const struct ctx *ctx, const char *id, struct err *err)
{
	const struct verb verb = { "remove-pod", "RemovePodSandbox", remove_object, NULL };

	return run_verb(sandboxes, &verb, ctx, id, err);
}
