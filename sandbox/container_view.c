/* What clients see of containers. Answers are copies in the call's arena: the container may be gone before
 * they are sent. */
#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "image/reference.h"
#include "proto/map_entry.h"
#include "proto/message.h"
#include "proto/message_json.h"
#include "sandbox/container.h"
#include "sandbox/stop_signal.h"
#include "sandbox/store.h"

static Cri__ContainerUser *user_of(const struct container *container, struct arena *arena)
{
	const struct user *user = &container->user;
	Cri__ContainerUser *message = message_new(arena, &cri__container_user__descriptor);

	message->linux = message_new(arena, &cri__linux_container_user__descriptor);
	message->linux->uid = user->uid;
	message->linux->gid = user->gid;
	message->linux->n_supplemental_groups = user->groups_len;
	message->linux->supplemental_groups = arena_array(arena, user->groups_len + 1, sizeof(int64_t));
	for (size_t i = 0; i < user->groups_len; i++)
		message->linux->supplemental_groups[i] = user->groups[i];
	return message;
}

static Cri__ContainerResources *resources_of(struct container *container, struct arena *arena)
{
	Cri__LinuxContainerResources *linux_resources = container_resources(container, arena);

	if (!linux_resources)
		return NULL;
	Cri__ContainerResources *resources = message_new(arena, &cri__container_resources__descriptor);
	resources->linux = linux_resources;
	return resources;
}

static void copy_changing(struct container *container, struct arena *arena, Cri__ContainerStatus *status)
{
	lock_take(&container->lock);
	status->state = container->state;
	status->started_at = container->started_at;
	status->finished_at = container->finished_at;
	status->exit_code = container->exit_code;
	status->reason = arena_strdup(arena, container->reason);
	status->message = arena_strdup(arena, container->message);
	lock_drop(&container->lock);
}

/* The name by which the image has this one, when it has. */
static char *known_name(const char *asked, const struct image *image)
{
	CLEANUP(reference_done) struct reference reference = { 0 };
	CLEANUP(freep) char *repository = NULL;
	CLEANUP(freep) char *name = NULL;

	if (reference_parse(asked, &reference, NULL) < 0)
		return NULL;
	repository = reference_normalise(reference.name);
	name = reference_text(&reference, repository);
	return strv_has(&image->repo_tags, name) || strv_has(&image->repo_digests, name) ? TAKE(name) : NULL;
}

char *container_image_name(const Cri__ImageSpec *asked, const struct image *image)
{
	char *name = known_name(asked->user_specified_image, image);

	if (!name)
		name = known_name(asked->image, image);
	if (name)
		return name;
	if (image->repo_tags.len)
		return xstrdup(image->repo_tags.items[0]);
	return xstrdup(image->repo_digests.len ? image->repo_digests.items[0] : asked->image);
}

Cri__ContainerStatus *container_status_message(struct container *container, struct arena *arena)
{
	const Cri__ContainerConfig *config = container->config;
	Cri__ContainerStatus *status = message_new(arena, &cri__container_status__descriptor);

	status->id = arena_strdup(arena, container->id);
	status->metadata = message_clone(&config->metadata->base, arena);
	status->created_at = container->created_at;
	status->image = message_clone(&config->image->base, arena);
	if (container->image.name)
		status->image->image = arena_strdup(arena, container->image.name);
	status->image_ref = arena_strdup(arena, container->image.ref);
	status->image_id = arena_strdup(arena, container->image.id);
	status->n_labels = config->n_labels;
	status->labels = map_entries_clone(arena, config->labels, config->n_labels);
	status->n_annotations = config->n_annotations;
	status->annotations = map_entries_clone(arena, config->annotations, config->n_annotations);
	status->n_mounts = config->n_mounts;
	status->mounts = arena_array(arena, config->n_mounts + 1, sizeof(*status->mounts));
	for (size_t i = 0; i < config->n_mounts; i++)
		status->mounts[i] = message_clone(&config->mounts[i]->base, arena);
	status->log_path = arena_strdup(arena, container->log_path ? container->log_path : "");
	status->resources = resources_of(container, arena);
	status->user = user_of(container, arena);
	status->stop_signal =
		stop_signal_enum(stop_signal_number(config->stop_signal, container->image.stop_signal));
	copy_changing(container, arena, status);
	return status;
}

/* The OCI configuration as the runtime got it; null when it cannot be read any more. */
static json_t *runtime_spec(const struct container *container)
{
	struct err err;
	CLEANUP(fd_closep) int bundle = dir_open(AT_FDCWD, container->bundle, &err);
	CLEANUP(freep) char *text = NULL;
	size_t len = 0;
	json_t *spec = NULL;

	if (bundle < 0 || file_read(bundle, "config.json", SPEC_JSON_MAX, &text, &len, &err) < 0 ||
	    json_parse(text, len, SPEC_JSON_MAX, &spec, &err) < 0)
		return json_null();
	return spec;
}

static char *info_text(struct container *container, struct arena *arena)
{
	CLEANUP(json_decrefp) json_t *info = json_object();
	CLEANUP(freep) char *text = NULL;
	const struct handler *handler = container->pod->handler;

	lock_take(&container->lock);
	pid_t pid = container->state == CRI__CONTAINER_STATE__CONTAINER_EXITED ? 0 : container->init.pid;
	pid_t monitor = container->monitor.pid;
	lock_drop(&container->lock);
	json_object_set_new(info, "sandboxID", json_string(container->pod->id));
	json_object_set_new(info, "pid", json_integer(pid));
	json_object_set_new(info, "monitorPid", json_integer(monitor));
	json_object_set_new(info, "runtimeHandler", json_string(handler ? handler->name : ""));
	json_object_set_new(info, "rootfs", json_string(container->rootfs));
	json_object_set_new(info, "cgroupPath", json_string(container->cgroup_path));
	json_object_set_new(info, "config", message_to_json(&container->config->base, 0));
	json_object_set_new(info, "runtimeSpec", runtime_spec(container));
	text = json_text(info);
	return arena_strdup(arena, text);
}

const char *container_pod_id(struct sandboxes *sandboxes, const char *id, struct arena *arena)
{
	CLEANUP(container_unrefp) struct container *container = NULL;
	struct err ignored = { 0 };

	if (store_find_container(sandboxes, id, &container, &ignored) < 0)
		return NULL;
	return arena_strdup(arena, container->pod->id);
}

int container_status(struct sandboxes *sandboxes, const char *id, bool verbose, struct arena *arena,
		     Cri__ContainerStatusResponse *ret, struct err *err)
{
	CLEANUP(container_unrefp) struct container *container = NULL;

	if (store_find_container(sandboxes, id, &container, err) < 0)
		return -1;
	ret->status = container_status_message(container, arena);
	if (!verbose)
		return 0;
	struct map_entry **entries = arena_array(arena, 1, sizeof(*entries));
	entries[0] = map_entry_new(arena, "info", info_text(container, arena));
	ret->n_info = 1;
	ret->info = (void *)entries;
	return 0;
}

static bool passes(const struct container *container, Cri__ContainerState state,
		   const Cri__ContainerFilter *filter)
{
	const Cri__ContainerConfig *config = container->config;

	if (!filter)
		return true;
	if (*filter->id && !str_has_prefix(container->id, filter->id))
		return false;
	if (*filter->pod_sandbox_id && !str_has_prefix(container->pod->id, filter->pod_sandbox_id))
		return false;
	if (filter->state && filter->state->state != state)
		return false;
	return map_entries_match(config->labels, config->n_labels, filter->label_selector,
				 filter->n_label_selector);
}

static bool matches(void *object, const void *filter)
{
	return passes(object, container_state(object), filter);
}

static ProtobufCMessage *item_of(void *object, const void *data UNUSED, struct arena *arena)
{
	struct container *container = object;
	const Cri__ContainerConfig *config = container->config;
	Cri__Container *item = message_new(arena, &cri__container__descriptor);

	item->id = arena_strdup(arena, container->id);
	item->pod_sandbox_id = arena_strdup(arena, container->pod->id);
	item->metadata = message_clone(&config->metadata->base, arena);
	item->image = message_clone(&config->image->base, arena);
	item->image_ref = arena_strdup(arena, container->image.ref);
	item->image_id = arena_strdup(arena, container->image.id);
	item->state = container_state(container);
	item->created_at = container->created_at;
	item->n_labels = config->n_labels;
	item->labels = map_entries_clone(arena, config->labels, config->n_labels);
	item->n_annotations = config->n_annotations;
	item->annotations = map_entries_clone(arena, config->annotations, config->n_annotations);
	return &item->base;
}

static struct lister lister_of(struct container **containers, const Cri__ContainerFilter *filter)
{
	return (struct lister){
		.objects = (void *const *)containers, .matches = matches, .filter = filter, .make = item_of
	};
}

void container_listed_init(struct container *container)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);

	listed_init(&container->listed, item_of(container, NULL, arena), arena);
}

int containers_list(struct sandboxes *sandboxes, const Cri__ContainerFilter *filter,
		    const struct list_room *room, struct err *err)
{
	CLEANUP(store_containers_freep) struct container **containers = store_containers(sandboxes, NULL);
	CLEANUP(freep) struct listed_item *items = NULL;
	size_t all = 0, count = 0;

	while (containers[all])
		all++;
	items = xcalloc(all + 1, sizeof(*items));
	for (size_t i = 0; containers[i]; i++) {
		Cri__ContainerState state = container_state(containers[i]);

		if (passes(containers[i], state, filter))
			items[count++] = (struct listed_item){ &containers[i]->listed, state };
	}
	return listed_write(items, count, room, err);
}

int containers_each(struct sandboxes *sandboxes, const Cri__ContainerFilter *filter,
		    const struct list_sink *sink, struct err *err)
{
	CLEANUP(store_containers_freep) struct container **containers = store_containers(sandboxes, NULL);
	const struct lister lister = lister_of(containers, filter);

	return lister_each(&lister, sink, err);
}
