/*
 * A container in memory. Like struct pod: the request is immutable, what happens is under the lock, what
 * takes time is done inside the gate. `changed` is signalled when the state changes.
 */
#ifndef SANDBOX_CONTAINER_H
#define SANDBOX_CONTAINER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/gate.h"
#include "base/id.h"
#include "base/lock.h"
#include "base/spawn.h"
#include "base/str.h"
#include "conmon/exec.h"
#include "conmon/monitor.h"
#include "image/image.h"
#include "proto/cri.pb-c.h"
#include "sandbox/cgroup_meter.h"
#include "sandbox/layer_meter.h"
#include "sandbox/listed.h"
#include "sandbox/announce.h"
#include "sandbox/oom_watch.h"
#include "sandbox/pod.h"
#include "sandbox/users.h"
#include "sandbox/watch.h"

struct container_image { /* what of the image the container keeps, whatever becomes of the image */
	char *id;        /* "sha256:.." */
	char *name;      /* container_image_name() at the time; NULL in state of an older crisp */
	char *ref;       /* a repo digest, else the id */
	char *stop_signal;
	struct strv layers; /* chain IDs */
};

struct container {
	atomic_int refs;
	struct sandboxes *owner;
	struct pod *pod; /* a reference */
	char id[ID_SIZE];
	struct arena *arena;                /* holds config */
	const Cri__ContainerConfig *config; /* metadata and image are never NULL */
	char *identity;
	struct container_image image;
	char *dir, *run_dir, *bundle,
		*rootfs; /* <root>/containers/<id>, <runroot>/containers/<id>, dir/bundle, dir/rootfs */
	char *log_path;  /* absolute; NULL: no log */
	char *cgroup_path;
	char *oci_cgroups_path; /* the same as config.json says it */
	int64_t created_at;
	struct user user;     /* set before the container is visible */
	bool poststart_hooks; /* the same: config.json has hooks that `start` must run */
	struct listed listed; /* the same */
	struct list of_pod;   /* in pod->containers; under the store's lock */

	struct cgroup_meter meter;
	struct layer_meter layer;
	enum told told; /* under the announcer's lock */

	struct gate gate;

	struct lock lock;
	struct cond changed;
	/* under lock */
	Cri__ContainerState state;
	bool visible;  /* is or was in the maps: announced */
	bool starting; /* StartContainer is under way */
	bool ran;      /* its program was started */
	bool removed;
	bool doomed;     /* being removed: its state on disk does not matter any more */
	int stops;       /* StopContainer and what else ends it, under way */
	int64_t kill_at; /* clock_mono() ns: the earliest end of the graces they give; NO_DEADLINE: no stops
			  */
	bool exit_found; /* somebody is setting the state to what it ended with */
	bool settled;    /* after the exit: the runtime's container is deleted and the state is on disk */
	int64_t started_at, finished_at;
	int32_t exit_code;
	char *reason, *message; /* never NULL */
	char *stopped_for;      /* the forbidden system calls that crispd ends it for; else NULL */
	struct process init, monitor;
	struct watch *watch, *init_watch; /* of the monitor and of init */
	struct oom_watched *oom;          /* NULL: not watched */
	/* The request's, then as last updated; changed inside the gate only. NULL: none. */
	const Cri__LinuxContainerResources *resources;
	struct arena *resources_arena; /* holds them once updated */
};

/* What the image is called for people, as a kubelet asks for it by its id: of its names the one that the
 * client wrote, else its first tag, its first digest, or what was asked for. malloc'd. */
char *container_image_name(const Cri__ImageSpec *asked, const struct image *image);
char *container_identity(const char *pod_id, const Cri__ContainerMetadata *metadata);

struct container_birth {
	struct pod *pod;
	const char *id;      /* NULL: a new one */
	struct arena *arena; /* taken; config lives in it */
	const Cri__ContainerConfig *config;
	struct container_image image; /* taken */
	char *log_path;               /* taken */
};
struct container *container_new_take(struct container_birth *birth);
struct container *container_ref(struct container *container);
struct container *container_unref(struct container *container);
void container_unrefp(struct container **container);
void container_image_done(struct container_image *image);

/* As last updated, in arena; NULL: none. */
Cri__LinuxContainerResources *container_resources(struct container *container, struct arena *arena);
/* What holds after an update, in arena: numbers that are 0 and texts that are "" stay as in held (may be
 * NULL), hugepage limits and unified entries are replaced one by one. */
Cri__LinuxContainerResources *container_resources_merged(const Cri__LinuxContainerResources *held,
							 const Cri__LinuxContainerResources *asked,
							 struct arena *arena);
Cri__ContainerState container_state(struct container *container);
/* Encodes what lists say of it. */
void container_listed_init(struct container *container);
/* As clients see it, in arena. */
Cri__ContainerStatus *container_status_message(struct container *container, struct arena *arena);
/* Copies of the processes with pidfds of their own; -1 pidfd when gone. The caller calls process_done. */
struct process container_init_process(struct container *container);
struct process container_monitor_process(struct container *container);

/* False when there is no runtime to ask: its handler is not configured any more, or its program is not there.
 */
bool container_target(const struct container *container, struct runtime_target *ret);
void container_monitor_spec(const struct container *container, struct monitor_spec *ret);

int container_save(struct container *container, struct err *err) MUST_CHECK;
int container_save_config(struct container *container, struct err *err) MUST_CHECK;

/* Watches the monitor, whose end is the container's end, and init, lest the monitor does not tell. After a
 * failure, too, container_unwatch() ends it. */
int container_watch(struct container *container, struct err *err) MUST_CHECK;
void container_unwatch(struct container *container);
/* Looks for the exit file (or, with monitor_gone, decides without one) and sets EXITED. Any thread; does not
 * wait. */
void container_check_exit(struct container *container, bool monitor_gone);
/* Waits until EXITED; DEADLINE_EXCEEDED or CANCELLED. */
int container_wait_exit(struct container *container, const struct ctx *ctx, struct err *err) MUST_CHECK;
/* The same, but success also once the shortest grace of all stops under way is over. */
int container_wait_grace(struct container *container, const struct ctx *ctx, struct err *err) MUST_CHECK;
/* Around every stop, outside the gate: whoever is waiting inside for a longer grace hears of a shorter one at
 * once. grace in ns. */
void container_stop_begin(struct container *container, int64_t grace);
void container_stop_end(struct container *container);
/* Whether the shortest grace of all stops under way is over. */
bool container_grace_over(struct container *container);
/* Marks EXITED with the given facts; false when it is so already. */
struct container_exit {
	int32_t code;
	const char *reason, *message;
	int64_t finished_at;
};
bool container_set_exited(struct container *container, const struct container_exit *exit);

/* Signals the container's init; one that is gone is success. */
int container_signal(struct container *container, int signal, const struct ctx *ctx,
		     struct err *err) MUST_CHECK;
/* Inside the gate, of an exited container: ends what is left in its cgroup, deletes the runtime's container
 * and saves the state; once. */
int container_settle(struct container *container, const struct ctx *ctx, struct err *err) MUST_CHECK;
/* The same on the pool, outside of any gate. */
void container_settle_later(struct container *container);
/* Inside the gate: SIGKILL to all, wait, settle. */
int container_kill(struct container *container, const struct ctx *ctx, struct err *err) MUST_CHECK;
/* Undoes a creation that did not finish, of a container that is in no map: nobody else knows it. Idempotent.
 */
int container_undo(struct container *container, const struct ctx *ctx, struct err *err) MUST_CHECK;
/* Inside the gate, of a dead container: undoes everything on disk and in the kernel. Idempotent. */
int container_destroy(struct container *container, const struct ctx *ctx, struct err *err) MUST_CHECK;
/* Removes under the gate; used by RemoveContainer and RemovePodSandbox. */
int container_remove_object(struct container *container, const struct ctx *ctx, struct err *err) MUST_CHECK;
/* Stops under the gate with SIGKILL at once; used by StopPodSandbox. */
int container_stop_now(struct container *container, const struct ctx *ctx, struct err *err) MUST_CHECK;

#endif
