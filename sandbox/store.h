/*
 * The heart of sandbox/: the maps of pods and containers and what they all share. Private to sandbox/.
 *
 * The maps are under `lock`, which is held for look-ups only; callers leave with references.
 */
#ifndef SANDBOX_STORE_H
#define SANDBOX_STORE_H

#include <stdatomic.h>

#include "base/flight.h"
#include "base/list.h"
#include "base/map.h"
#include "sandbox/announce.h"
#include "sandbox/cgroup.h"
#include "sandbox/container.h"
#include "sandbox/pod.h"
#include "sandbox/reconciler.h"
#include "sandbox/sandboxes.h"
#include "sandbox/move_lock.h"
#include "sandbox/seccomp.h"
#include "sandbox/spec.h"

struct sandboxes {
	const struct config *config;
	struct images *images;
	struct network *network;
	struct handlers *handlers;
	struct loop *loop;
	struct pool *pool;
	struct sandbox_listener listener;
	struct announcer announcer;
	struct flights *flights;
	struct cgroups *cgroups;
	struct move_lock *moves;
	struct seccomps *seccomps;
	struct apparmor *apparmor; /* NULL: this host has none */
	struct cdi *cdi;
	struct hooks *hooks;
	struct notifier *notifier;
	struct selinux_levels *selinux_levels;
	struct spec_host host;
	char *pause_path;
	char *boot_id;
	char *exit_dir, *attach_dir;             /* <runroot>/exits, <runroot>/attach */
	int pods_dir, containers_dir, trash_dir; /* fds of <root>/pods, containers, trash */
	struct layer_walker *walker;
	struct exit_watch *exits;
	struct oom_watch *ooms;
	struct reconciler *reconciler;
	atomic_int discards;  /* deletions in the trash under way */
	struct strv warnings; /* under lock while the restore goes on */

	struct lock lock;
	/* under lock; each map holds a reference to its values */
	struct map pods, containers;           /* by id */
	struct map pod_names, container_names; /* by identity */
	struct cond leftovers_changed;
	struct strv strays_told; /* ids of what has no record and runs (strays.c) */
	struct map leftovers;    /* struct leftover (leftovers.c) by the object's id; owned */
	atomic_bool ending;      /* sandboxes_cancel() was called */
	atomic_bool checked;     /* the pods' networks, once after the start */
	int64_t attachments_due, attachments_delay; /* clock_mono() ns; ns (attachments.c) */
};

/* Full id or unambiguous prefix. INVALID_ARGUMENT: empty or ambiguous; NOT_FOUND. *ret is a reference. */
int store_find_pod(struct sandboxes *sandboxes, const char *id, struct pod **ret, struct err *err) MUST_CHECK;
int store_find_container(struct sandboxes *sandboxes, const char *id, struct container **ret,
			 struct err *err) MUST_CHECK;
/* References, NULL when absent. */
struct pod *store_pod_by_identity(struct sandboxes *sandboxes, const char *identity);
struct container *store_container_by_identity(struct sandboxes *sandboxes, const char *identity);

void store_add_pod(struct sandboxes *sandboxes, struct pod *pod);
void store_add_container(struct sandboxes *sandboxes, struct container *container);
/* Out of the maps; the object lives on while referenced. */
void store_remove_pod(struct sandboxes *sandboxes, struct pod *pod);
void store_remove_container(struct sandboxes *sandboxes, struct container *container);

/* NULL-terminated arrays of references in order of creation; pod NULL: of all pods. */
struct pod **store_pods(struct sandboxes *sandboxes);
struct container **store_containers(struct sandboxes *sandboxes, const struct pod *pod);
/* Of each running container of the pod what make (as a lister's) says, in arena. */
ProtobufCMessage **store_running(const struct pod *pod,
				 ProtobufCMessage *(*make)(void *object, const void *data,
							   struct arena *arena),
				 struct arena *arena, size_t *ret_count);
void store_pods_free(struct pod **pods);
void store_pods_freep(struct pod ***pods);
void store_containers_free(struct container **containers);
void store_containers_freep(struct container ***containers);

/*
 * leftovers.c: what could not be undone of a failed creation is kept and tried again in the background. `why`
 * is logged; NULL when nothing has been tried yet, which the next leftovers_retry() does. A reference is
 * taken.
 */
void leftovers_add_pod(struct pod *pod, const struct err *why);
void leftovers_add_container(struct container *container, const struct err *why);
/* A reference, NULL when there is none. */
struct pod *leftovers_find_pod(struct sandboxes *sandboxes, const char *id);
/* Tries, on the pool, all that is due at `now` (clock_mono() ns). */
void leftovers_retry(struct sandboxes *sandboxes, int64_t now);
/* Undoes at once what is left of this pod's containers. */
int leftovers_undo_of_pod(const struct pod *pod, const struct ctx *ctx, struct err *err) MUST_CHECK;
/* At the end, when no task can be at work. */
void leftovers_free(struct sandboxes *sandboxes);

/* quarantine.c: moves what cannot be read out of the way and warns. */
void quarantine_put(struct sandboxes *owner, int dir, const char *kind, const char *id, const char *why);
/* Whether a container in quarantine may run on this layer. */
bool quarantine_uses_layer(struct sandboxes *sandboxes, const char *chain_id);

/* All that is in quarantine: "pod-<id>", "container-<id>". */
void quarantine_names(struct sandboxes *sandboxes, struct strv *ret);
/* The ids of the pods in quarantine are added. */
void quarantine_pods(struct sandboxes *sandboxes, struct strv *ret);

/*
 * attachments.c: what the pod network holds for pods that are none of ours is released, on the pool, once
 * after the start; as long as that fails it is tried again. attachments_retry: tries when it is due at `now`
 * (clock_mono() ns).
 */
void attachments_retry(struct sandboxes *sandboxes, int64_t now);

/* Pod verbs shared between files; the caller is inside the pod's gate. pod_halt: containers, network, pause,
 * namespaces, files. pod_destroy: that, and everything on disk. Idempotent. */
int pod_halt(struct pod *pod, const struct ctx *ctx, struct err *err) MUST_CHECK;
int pod_destroy(struct pod *pod, const struct ctx *ctx, struct err *err) MUST_CHECK;
/* network_pod of a pod, for attach and detach; ports and annotations live in arena. */
void pod_network(const struct pod *pod, struct arena *arena, struct network_pod *ret);

/* stats.c: the pod's interfaces; false when it has none of its own, or they can't be read. */
bool pod_net_usage(struct pod *pod, struct net_usage *ret);

/* A line for sandboxes_warnings(), while they are opened; it is taken over. */
void store_warn(struct sandboxes *sandboxes, char *line);
/* Reads all objects from disk and reconciles them with the kernel. progress: may be NULL. restore.c */
int store_restore(struct sandboxes *sandboxes, struct restore_progress *progress, struct err *err) MUST_CHECK;

/* Deletes <root>/trash/<name> on the pool. */
void store_empty_trash(struct sandboxes *sandboxes, const char *name);
/* Moves <dirfd>/<id> to the trash, so that also a power cut does not bring it back, and deletes it on the
 * pool. */
int store_discard(struct sandboxes *sandboxes, int dir, const char *id, struct err *err) MUST_CHECK;

#endif
