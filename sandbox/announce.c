/*
 * `told` of each object is under the announcer's lock, which is held while an event is made, so that the
 * statuses in later events are never older than those in earlier ones. It is taken before all locks of pods
 * and containers.
 *
 * As in containerd and CRI-O, a pod's own events carry its id as the container's; the statuses are those of
 * the pod's containers at this moment, a deleted one left out.
 */
#include "sandbox/announce.h"

#include "base/clock.h"
#include "proto/message.h"
#include "sandbox/store.h"

METRIC(metric_events, 1, .name = "containers_events_total",
       .help = "Events of pods and containers that were told.", .type = METRIC_COUNTER);

void announcer_init(struct announcer *announcer)
{
	lock_init(&announcer->lock, "announcer", LOCK_ANNOUNCE);
	announcer->last = 0;
}

void announcer_done(struct announcer *announcer)
{
	lock_done(&announcer->lock);
}

static bool is_wanted(const struct sandboxes *owner)
{
	return owner->listener.wanted && owner->listener.wanted(owner->listener.data);
}

static void add_containers(struct pod *pod, struct arena *arena, Cri__ContainerEventResponse *event)
{
	CLEANUP(store_containers_freep) struct container **containers = store_containers(pod->owner, pod);
	size_t count = 0;

	while (containers[count])
		count++;
	event->containers_statuses = arena_array(arena, count + 1, sizeof(*event->containers_statuses));
	for (size_t i = 0; i < count; i++)
		event->containers_statuses[event->n_containers_statuses++] =
			container_status_message(containers[i], arena);
}

static int64_t next_time_locked(struct announcer *announcer)
{
	int64_t now = clock_real();

	announcer->last = now > announcer->last ? now : announcer->last + 1;
	return announcer->last;
}

static void tell_locked(struct pod *pod, const char *id, enum told what)
{
	static const Cri__ContainerEventType types[] = {
		[TOLD_CREATED] = CRI__CONTAINER_EVENT_TYPE__CONTAINER_CREATED_EVENT,
		[TOLD_STARTED] = CRI__CONTAINER_EVENT_TYPE__CONTAINER_STARTED_EVENT,
		[TOLD_STOPPED] = CRI__CONTAINER_EVENT_TYPE__CONTAINER_STOPPED_EVENT,
		[TOLD_DELETED] = CRI__CONTAINER_EVENT_TYPE__CONTAINER_DELETED_EVENT,
	};
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	Cri__ContainerEventResponse *event = message_new(arena, &cri__container_event_response__descriptor);
	struct sandboxes *owner = pod->owner;

	event->container_id = arena_strdup(arena, id);
	event->container_event_type = types[what];
	event->created_at = next_time_locked(&owner->announcer);
	event->pod_sandbox_status = pod_status_message(pod, arena);
	add_containers(pod, arena, event);
	metric_add(&metric_events, 1);
	owner->listener.event(owner->listener.data, event, arena);
}

/* ---- what is to be told next; what was told last when there is nothing ---- */

static enum told next_of_container(struct container *container)
{
	enum told next = container->told;

	lock_take(&container->lock);
	bool exited = container->state == CRI__CONTAINER_STATE__CONTAINER_EXITED;
	bool ran = container->ran, starting = container->starting;
	bool visible = container->visible, removed = container->removed;
	lock_drop(&container->lock);
	switch (container->told) {
	case TOLD_NOTHING:
		return visible ? TOLD_CREATED : next;
	case TOLD_CREATED: /* while it is being started nobody knows whether it ran */
		if (ran)
			return TOLD_STARTED;
		return exited && !starting ? TOLD_STOPPED : next;
	case TOLD_STARTED:
		return exited ? TOLD_STOPPED : next;
	case TOLD_STOPPED:
		return removed ? TOLD_DELETED : next;
	default:
		return next;
	}
}

static enum told next_of_pod(struct pod *pod)
{
	enum told next = pod->told;

	lock_take(&pod->lock);
	bool visible = pod->visible, down = pod->down || pod->stopped, removed = pod->removed;
	lock_drop(&pod->lock);
	switch (pod->told) {
	case TOLD_NOTHING:
		return visible ? TOLD_CREATED : next;
	case TOLD_CREATED: /* a pod is created and started in one */
		return TOLD_STARTED;
	case TOLD_STARTED:
		return down ? TOLD_STOPPED : next;
	case TOLD_STOPPED:
		return removed ? TOLD_DELETED : next;
	default:
		return next;
	}
}

static void flush(const struct sandboxes *owner)
{
	if (owner->listener.flush)
		owner->listener.flush(owner->listener.data);
}

static bool container_locked(struct container *container, bool tell)
{
	bool any = false;
	enum told next;

	while ((next = next_of_container(container)) != container->told) {
		container->told = next;
		if (!tell || !is_wanted(container->owner))
			continue;
		tell_locked(container->pod, container->id, next);
		any = true;
	}
	return any;
}

static bool pod_locked(struct pod *pod, bool tell)
{
	bool any = false;
	enum told next;

	while ((next = next_of_pod(pod)) != pod->told) {
		pod->told = next;
		if (!tell || !is_wanted(pod->owner))
			continue;
		tell_locked(pod, pod->id, next);
		any = true;
	}
	return any;
}

void announce_container(struct container *container)
{
	struct sandboxes *owner = container->owner;

	lock_take(&owner->announcer.lock);
	bool any = container_locked(container, true);
	lock_drop(&owner->announcer.lock);
	if (any)
		flush(owner);
}

void announce_pod(struct pod *pod)
{
	struct sandboxes *owner = pod->owner;

	lock_take(&owner->announcer.lock);
	bool any = pod_locked(pod, true);
	lock_drop(&owner->announcer.lock);
	if (any)
		flush(owner);
}

static void show_container(struct container *container)
{
	lock_take(&container->lock);
	container->visible = true;
	lock_drop(&container->lock);
}

static void show_pod(struct pod *pod)
{
	lock_take(&pod->lock);
	pod->visible = true;
	lock_drop(&pod->lock);
}

void announce_new_container(struct container *container)
{
	show_container(container);
	announce_container(container);
}

void announce_new_pod(struct pod *pod)
{
	show_pod(pod);
	announce_pod(pod);
}

void announce_old_container(struct container *container)
{
	show_container(container);
	lock_take(&container->owner->announcer.lock);
	container_locked(container, false);
	lock_drop(&container->owner->announcer.lock);
}

void announce_old_pod(struct pod *pod)
{
	show_pod(pod);
	lock_take(&pod->owner->announcer.lock);
	pod_locked(pod, false);
	lock_drop(&pod->owner->announcer.lock);
}
