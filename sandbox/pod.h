/*
 * A pod sandbox in memory. What the client asked (request) and what was derived from it once is immutable
 * after pod_new(); what happens to the pod is under its lock; what takes time is done inside its gate, one
 * operation at a time.
 *
 * Shared by reference; the store (store.h) holds one, watches and callers hold theirs.
 */
#ifndef SANDBOX_POD_H
#define SANDBOX_POD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/gate.h"
#include "base/id.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/spawn.h"
#include "base/str.h"
#include "conmon/handler.h"
#include "proto/cri.pb-c.h"
#include "sandbox/cgroup_meter.h"
#include "sandbox/announce.h"
#include "sandbox/listed.h"
#include "sandbox/namespaces.h"
#include "sandbox/net_meter.h"
#include "sandbox/userns.h"
#include "sandbox/watch.h"

struct sandboxes;

struct pod {
	atomic_int refs;
	struct sandboxes *owner;
	char id[ID_SIZE];
	struct arena *arena; /* holds request */
	const Cri__RunPodSandboxRequest *request;
	const Cri__PodSandboxConfig *config; /* request->config; metadata is never NULL */
	char *identity;                      /* pod_identity() */
	const struct handler *handler;       /* NULL when this handler is not configured any more */
	unsigned int namespaces;             /* set of enum namespace_kind the pod has of its own */
	struct userns userns;                /* with NAMESPACE_USER in namespaces */
	char *dir, *run_dir, *ns_dir;        /* <root>/pods/<id>, <runroot>/pods/<id>, <runroot>/ns/<id> */
	char *cgroup_path;
	struct selinux_levels *selinux_levels; /* where it is from; with it */
	char *selinux_level;                   /* of its own; NULL: none. Set before others know the pod */
	int64_t created_at;                    /* real ns */

	struct listed listed;   /* set before the pod is visible */
	struct list containers; /* of struct container that are in the maps; under the store's lock */

	struct cgroup_meter meter;
	struct net_meter net;
	enum told told; /* under the announcer's lock */

	struct gate gate;

	struct lock lock;
	/* under lock */
	bool ready;
	bool stopped; /* network, namespaces and files are gone */
	bool down;    /* pause has died by itself */
	bool visible; /* is or was in the maps: announced */
	bool removed;
	/* A stop that failed is tried again (reconciler.h): when, and how long after the last try.
	 * NO_DEADLINE and 0: none has. */
	int64_t halt_due, halt_delay;
	struct process pause;
	struct watch *watch;
	struct strv ips;
	char *network_problem; /* what a plugin's CHECK said after a restart; NULL: nothing */
	/* The request's, then as last updated; changed inside the gate only. NULL: none. */
	const Cri__LinuxContainerResources *overhead, *resources;
	struct arena *resources_arena; /* holds both once updated */
};

/* The CRI metadata as one unambiguous string; malloc'd. */
char *pod_identity(const Cri__PodSandboxMetadata *metadata);

/* Takes the arena, in which request lives. id: NULL for a new one. */
struct pod *pod_new_take(struct sandboxes *owner, const char *id, struct arena *arena,
			 const Cri__RunPodSandboxRequest *request);
struct pod *pod_ref(struct pod *pod);
struct pod *pod_unref(struct pod *pod); /* accepts NULL, returns NULL */
void pod_unrefp(struct pod **pod);

bool pod_ready(struct pod *pod);
/* Whether its pause process lives, asked of the kernel: not ready follows its end a moment later. */
bool pod_pause_alive(struct pod *pod);
/* Encodes what lists say of it. */
void pod_listed_init(struct pod *pod);
/* As clients see it, in arena. */
Cri__PodSandboxStatus *pod_status_message(struct pod *pod, struct arena *arena);
bool pod_host_network(const struct pod *pod);
/* Has a user namespace of its own: ids in it are not the host's. */
bool pod_has_userns(const struct pod *pod);
/* The namespace options of a pod config; never NULL (defaults when absent). */
const Cri__NamespaceOption *pod_namespace_options(const Cri__PodSandboxConfig *config);

/* state.json; the caller is inside the gate. */
int pod_save(struct pod *pod, struct err *err) MUST_CHECK;
/* config.json, before anything is made and after an update; the caller is inside the gate, if others know the
 * pod. */
int pod_save_config(struct pod *pod, struct err *err) MUST_CHECK;

/* Starts watching the pause process; its death makes the pod not ready. */
int pod_watch(struct pod *pod, struct err *err) MUST_CHECK;
/* What the watch does, for whoever has found the end by himself. Any thread. */
void pod_pause_ended(struct pod *pod);

#endif
