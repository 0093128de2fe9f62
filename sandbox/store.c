/*
 * Look-ups touch memory only, so an id is never more than a key here: what is not in the maps does not exist,
 * whatever bytes it is made of. An abbreviated id is found by a scan, which is fine for the people who type
 * them.
 */
#include "sandbox/store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crash.h"
#include "base/file.h"

/* The value of the full id or of the only key that starts with it. */
static void *find_locked(const struct map *map, const char *id, bool *ret_ambiguous)
{
	void *found = map_get(map, id);

	*ret_ambiguous = false;
	if (found || !id_plausible(id))
		return found;
	map_for_each (slot, map) {
		if (!str_has_prefix(slot->key, id))
			continue;
		if (found) {
			*ret_ambiguous = true;
			return NULL;
		}
		found = slot->value;
	}
	return found;
}

static int not_found(const char *kind, const char *id, bool ambiguous, struct err *err)
{
	if (!*id)
		return err_set(err, RPC_INVALID_ARGUMENT, "%s id is empty", kind);
	if (ambiguous)
		return err_set(err, RPC_INVALID_ARGUMENT, "%s id %s is ambiguous", kind, id);
	return err_set(err, RPC_NOT_FOUND, "no %s with id %.80s", kind, id);
}

int store_find_pod(struct sandboxes *sandboxes, const char *id, struct pod **ret, struct err *err)
{
	bool ambiguous = false;

	lock_take(&sandboxes->lock);
	struct pod *pod = *id ? pod_ref(find_locked(&sandboxes->pods, id, &ambiguous)) : NULL;
	lock_drop(&sandboxes->lock);
	if (!pod)
		return not_found("pod sandbox", id, ambiguous, err);
	*ret = pod;
	return 0;
}

int store_find_container(struct sandboxes *sandboxes, const char *id, struct container **ret, struct err *err)
{
	bool ambiguous = false;

	lock_take(&sandboxes->lock);
	struct container *container =
		*id ? container_ref(find_locked(&sandboxes->containers, id, &ambiguous)) : NULL;
	lock_drop(&sandboxes->lock);
	if (!container)
		return not_found("container", id, ambiguous, err);
	*ret = container;
	return 0;
}

struct pod *store_pod_by_identity(struct sandboxes *sandboxes, const char *identity)
{
	lock_take(&sandboxes->lock);
	struct pod *pod = pod_ref(map_get(&sandboxes->pod_names, identity));
	lock_drop(&sandboxes->lock);
	return pod;
}

struct container *store_container_by_identity(struct sandboxes *sandboxes, const char *identity)
{
	lock_take(&sandboxes->lock);
	struct container *container = container_ref(map_get(&sandboxes->container_names, identity));
	lock_drop(&sandboxes->lock);
	return container;
}

void store_add_pod(struct sandboxes *sandboxes, struct pod *pod)
{
	pod_listed_init(pod);
	lock_take(&sandboxes->lock);
	map_put(&sandboxes->pods, pod->id, pod_ref(pod));
	map_put(&sandboxes->pod_names, pod->identity, pod_ref(pod));
	lock_drop(&sandboxes->lock);
}

void store_add_container(struct sandboxes *sandboxes, struct container *container)
{
	container_listed_init(container);
	lock_take(&sandboxes->lock);
	map_put(&sandboxes->containers, container->id, container_ref(container));
	list_add_tail(&container->pod->containers, &container->of_pod);
	map_put(&sandboxes->container_names, container->identity, container_ref(container));
	lock_drop(&sandboxes->lock);
}

void store_remove_pod(struct sandboxes *sandboxes, struct pod *pod)
{
	struct pod *by_name = NULL;

	lock_take(&sandboxes->lock);
	struct pod *by_id = map_take(&sandboxes->pods, pod->id);
	if (map_get(&sandboxes->pod_names, pod->identity) == pod)
		by_name = map_take(&sandboxes->pod_names, pod->identity);
	lock_drop(&sandboxes->lock);
	pod_unref(by_id);
	pod_unref(by_name);
}

void store_remove_container(struct sandboxes *sandboxes, struct container *container)
{
	struct container *by_name = NULL;

	lock_take(&sandboxes->lock);
	struct container *by_id = map_take(&sandboxes->containers, container->id);
	list_del(&container->of_pod);
	if (map_get(&sandboxes->container_names, container->identity) == container)
		by_name = map_take(&sandboxes->container_names, container->identity);
	lock_drop(&sandboxes->lock);
	container_unref(by_id);
	container_unref(by_name);
}

struct pod **store_pods(struct sandboxes *sandboxes)
{
	size_t n = 0;

	lock_take(&sandboxes->lock);
	struct pod **pods = xcalloc(map_len(&sandboxes->pods) + 1, sizeof(*pods));
	map_for_each (slot, &sandboxes->pods)
		pods[n++] = pod_ref(slot->value);
	lock_drop(&sandboxes->lock);
	return pods;
}

static struct container **containers_of_locked(const struct pod *pod)
{
	struct container **containers;
	size_t n = 0;

	list_for_each (node, &pod->containers)
		n++;
	containers = xcalloc(n + 1, sizeof(*containers));
	n = 0;
	list_for_each (node, &pod->containers)
		containers[n++] = container_ref(list_entry(node, struct container, of_pod));
	return containers;
}

static struct container **containers_locked(const struct sandboxes *sandboxes)
{
	struct container **containers = xcalloc(map_len(&sandboxes->containers) + 1, sizeof(*containers));
	size_t n = 0;

	map_for_each (slot, &sandboxes->containers)
		containers[n++] = container_ref(slot->value);
	return containers;
}

struct container **store_containers(struct sandboxes *sandboxes, const struct pod *pod)
{
	lock_take(&sandboxes->lock);
	struct container **containers = pod ? containers_of_locked(pod) : containers_locked(sandboxes);
	lock_drop(&sandboxes->lock);
	return containers;
}

static bool runs(void *object, const void *filter UNUSED)
{
	return container_state(object) == CRI__CONTAINER_STATE__CONTAINER_RUNNING;
}

ProtobufCMessage **store_running(const struct pod *pod,
				 ProtobufCMessage *(*make)(void *object, const void *data,
							   struct arena *arena),
				 struct arena *arena, size_t *ret_count)
{
	CLEANUP(store_containers_freep) struct container **containers = store_containers(pod->owner, pod);
	const struct lister lister = { .objects = (void *const *)containers, .matches = runs, .make = make };

	return lister_all(&lister, arena, ret_count);
}

void store_pods_free(struct pod **pods)
{
	for (size_t i = 0; pods && pods[i]; i++)
		pod_unref(pods[i]);
	free(pods);
}

void store_pods_freep(struct pod ***pods)
{
	store_pods_free(*pods);
}

void store_containers_free(struct container **containers)
{
	for (size_t i = 0; containers && containers[i]; i++)
		container_unref(containers[i]);
	free(containers);
}

void store_containers_freep(struct container ***containers)
{
	store_containers_free(*containers);
}

void store_warn(struct sandboxes *sandboxes, char *line)
{
	lock_take(&sandboxes->lock);
	strv_add_take(&sandboxes->warnings, line);
	lock_drop(&sandboxes->lock);
}

struct discard {
	struct sandboxes *owner;
	char *name;
};

static void discard_task(void *data)
{
	struct discard *discard = data;
	struct err err;

	if (tree_remove(discard->owner->trash_dir, discard->name, &err) < 0)
		log_debug("trash: %s, ignoring: it is tried again", err.text);
	atomic_fetch_sub(&discard->owner->discards, 1);
	free(discard->name);
	free(discard);
}

void store_empty_trash(struct sandboxes *sandboxes, const char *name)
{
	struct discard *discard = xnew(struct discard);
	struct err ignored;

	discard->owner = sandboxes;
	atomic_fetch_add(&sandboxes->discards, 1);
	discard->name = xstrdup(name);
	if (pool_run(sandboxes->pool, discard_task, discard, &ignored) < 0)
		discard_task(discard);
}

int store_discard(struct sandboxes *sandboxes, int dir, const char *id, struct err *err)
{
	if (file_move(dir, id, sandboxes->trash_dir, err) < 0)
		return -1;
	crash_point("discard.moved");
	store_empty_trash(sandboxes, id);
	return 0;
}
