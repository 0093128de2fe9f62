/* What clients see of pods. Answers are copies in the call's arena: the pod may be gone before they are sent.
 */
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "proto/map_entry.h"
#include "proto/message.h"
#include "proto/message_json.h"
#include "sandbox/pod_resources.h"
#include "sandbox/store.h"

static Cri__PodSandboxMetadata *metadata_copy(const struct pod *pod, struct arena *arena)
{
	return message_clone(&pod->config->metadata->base, arena);
}

static Cri__PodSandboxState cri_state(bool ready)
{
	return ready ? CRI__POD_SANDBOX_STATE__SANDBOX_READY : CRI__POD_SANDBOX_STATE__SANDBOX_NOTREADY;
}

static Cri__PodSandboxNetworkStatus *network_status_locked(const struct pod *pod, struct arena *arena)
{
	Cri__PodSandboxNetworkStatus *status =
		message_new(arena, &cri__pod_sandbox_network_status__descriptor);

	if (!pod->ips.len)
		return status;
	status->ip = arena_strdup(arena, pod->ips.items[0]);
	status->n_additional_ips = pod->ips.len - 1;
	status->additional_ips = arena_array(arena, pod->ips.len, sizeof(*status->additional_ips));
	for (size_t i = 1; i < pod->ips.len; i++) {
		Cri__PodIP *ip = message_new(arena, &cri__pod_ip__descriptor);

		ip->ip = arena_strdup(arena, pod->ips.items[i]);
		status->additional_ips[i - 1] = ip;
	}
	return status;
}

static Cri__LinuxPodSandboxStatus *linux_status(const struct pod *pod, struct arena *arena)
{
	Cri__LinuxPodSandboxStatus *status = message_new(arena, &cri__linux_pod_sandbox_status__descriptor);

	status->namespaces = message_new(arena, &cri__namespace__descriptor);
	status->namespaces->options = message_clone(&pod_namespace_options(pod->config)->base, arena);
	return status;
}

Cri__PodSandboxStatus *pod_status_message(struct pod *pod, struct arena *arena)
{
	const Cri__PodSandboxConfig *config = pod->config;
	Cri__PodSandboxStatus *status = message_new(arena, &cri__pod_sandbox_status__descriptor);

	status->id = arena_strdup(arena, pod->id);
	status->metadata = metadata_copy(pod, arena);
	status->created_at = pod->created_at;
	status->linux = linux_status(pod, arena);
	status->n_labels = config->n_labels;
	status->labels = map_entries_clone(arena, config->labels, config->n_labels);
	status->n_annotations = config->n_annotations;
	status->annotations = map_entries_clone(arena, config->annotations, config->n_annotations);
	status->runtime_handler = arena_strdup(arena, pod->request->runtime_handler);
	lock_take(&pod->lock);
	status->state = cri_state(pod->ready);
	status->network = network_status_locked(pod, arena);
	lock_drop(&pod->lock);
	return status;
}

static char *info_text(struct pod *pod, struct arena *arena)
{
	CLEANUP(json_decrefp) json_t *info = json_object();
	CLEANUP(freep) char *text = NULL;

	lock_take(&pod->lock);
	pid_t pid = pod->pause.pidfd >= 0 ? pod->pause.pid : 0;
	const char *problem = pod->network_problem ? arena_strdup(arena, pod->network_problem) : NULL;
	lock_drop(&pod->lock);
	json_object_set_new(info, "pid", json_integer(pid));
	json_object_set_new(info, "cgroupPath", json_string(pod->cgroup_path));
	json_object_set_new(info, "namespaces", json_string(pod->ns_dir));
	json_object_set_new(info, "runtimeHandler", json_string(pod->handler ? pod->handler->name : ""));
	if (problem)
		json_object_set_new(info, "networkProblem", json_string(problem));
	json_object_set_new(info, "config", message_to_json(&pod_resources_config(pod, arena)->base, 0));
	text = json_text(info);
	return arena_strdup(arena, text);
}

int pod_status(struct sandboxes *sandboxes, const char *id, bool verbose, struct arena *arena,
	       Cri__PodSandboxStatusResponse *ret, struct err *err)
{
	CLEANUP(pod_unrefp) struct pod *pod = NULL;

	if (store_find_pod(sandboxes, id, &pod, err) < 0)
		return -1;
	ret->status = pod_status_message(pod, arena);
	if (!verbose)
		return 0;
	struct map_entry **entries = arena_array(arena, 1, sizeof(*entries));
	entries[0] = map_entry_new(arena, "info", info_text(pod, arena));
	ret->n_info = 1;
	ret->info = (void *)entries;
	return 0;
}

static bool passes(const struct pod *pod, Cri__PodSandboxState state, const Cri__PodSandboxFilter *filter)
{
	if (!filter)
		return true;
	if (*filter->id && !str_has_prefix(pod->id, filter->id))
		return false;
	if (filter->state && filter->state->state != state)
		return false;
	return map_entries_match(pod->config->labels, pod->config->n_labels, filter->label_selector,
				 filter->n_label_selector);
}

static bool matches(void *object, const void *filter)
{
	return passes(object, cri_state(pod_ready(object)), filter);
}

static ProtobufCMessage *item_of(void *object, const void *data UNUSED, struct arena *arena)
{
	struct pod *pod = object;
	const Cri__PodSandboxConfig *config = pod->config;
	Cri__PodSandbox *item = message_new(arena, &cri__pod_sandbox__descriptor);

	item->id = arena_strdup(arena, pod->id);
	item->metadata = metadata_copy(pod, arena);
	item->state = cri_state(pod_ready(pod));
	item->created_at = pod->created_at;
	item->n_labels = config->n_labels;
	item->labels = map_entries_clone(arena, config->labels, config->n_labels);
	item->n_annotations = config->n_annotations;
	item->annotations = map_entries_clone(arena, config->annotations, config->n_annotations);
	item->runtime_handler = arena_strdup(arena, pod->request->runtime_handler);
	return &item->base;
}

static struct lister lister_of(struct pod **pods, const Cri__PodSandboxFilter *filter)
{
	return (struct lister){
		.objects = (void *const *)pods, .matches = matches, .filter = filter, .make = item_of
	};
}

void pod_listed_init(struct pod *pod)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);

	listed_init(&pod->listed, item_of(pod, NULL, arena), arena);
}

int pods_list(struct sandboxes *sandboxes, const Cri__PodSandboxFilter *filter, const struct list_room *room,
	      struct err *err)
{
	CLEANUP(store_pods_freep) struct pod **pods = store_pods(sandboxes);
	CLEANUP(freep) struct listed_item *items = NULL;
	size_t all = 0, count = 0;

	while (pods[all])
		all++;
	items = xcalloc(all + 1, sizeof(*items));
	for (size_t i = 0; pods[i]; i++) {
		Cri__PodSandboxState state = cri_state(pod_ready(pods[i]));

		if (passes(pods[i], state, filter))
			items[count++] = (struct listed_item){ &pods[i]->listed, state };
	}
	return listed_write(items, count, room, err);
}

int pods_each(struct sandboxes *sandboxes, const Cri__PodSandboxFilter *filter, const struct list_sink *sink,
	      struct err *err)
{
	CLEANUP(store_pods_freep) struct pod **pods = store_pods(sandboxes);
	const struct lister lister = lister_of(pods, filter);

	return lister_each(&lister, sink, err);
}
