/*
 * The pause process: a tiny static program (sandbox/pause/) that makes a pod's namespaces, sets them up and
 * then holds them, doing nothing. It needs no image and no OCI runtime.
 *
 * It is started by base/spawn, unshares (the user namespace first), sets the hostname, writes the sysctls
 * (pairs in argv, never joined), brings lo up, reports over a pipe, gives up all capabilities, filters its
 * own system calls and waits for SIGTERM or SIGINT. With a PID namespace it is PID 1 there, reaps, and lives
 * on an empty read-only root, so that containers which share the namespace find nothing of the host in
 * /proc/1. Its title is "crisp-pause <pod id>".
 *
 * Threads: all functions may be called from any thread.
 */
#ifndef SANDBOX_PAUSE_H
#define SANDBOX_PAUSE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "sandbox/namespaces.h"
#include "sandbox/userns.h"

enum { PAUSE_SYSCTLS_MAX = 256, PAUSE_SYSCTL_KEY_MAX = 253, PAUSE_SYSCTL_VALUE_MAX = 1024 };
#define PAUSE_STARTED_INIT                          \
	{                                           \
		.process = PROCESS_INIT, .hold = -1 \
	}

struct pause_sysctl {
	const char *key; /* "net.ipv4.ip_forward" or "net/ipv4/ip_forward" */
	const char *value;
};

struct pause_spec {
	const char *path;        /* absolute path of crisp-pause: pause_find() */
	const char *id;          /* of the pod */
	const char *ns_dir;      /* where to pin: <runroot>/ns/<id>; made if missing */
	unsigned int namespaces; /* set of enum namespace_kind. The others are the host's. 0 is fine */
	struct userns userns; /* with NAMESPACE_USER: who the ids in it are; it owns the other namespaces */
	const char *hostname; /* set with NAMESPACE_UTS; NULL or "": left alone */
	const struct pause_sysctl *sysctls; /* checked with pause_sysctl_check() */
	size_t sysctls_len;
	int cgroup; /* cgroup v2 folder fd it is born in; 0 or -1: crispd's own (always so on v1, where a move
		       costs a grace period) */
	int oom_score_adj; /* -1000..1000; where the kernel forbids it, crispd's own is kept */
};

struct pause_started {
	struct process process; /* with its pidfd; our child */
	int hold; /* while this is open and pause_keep() was not called, pause ends with it: also when crispd
		     dies */
};

/*
 * Starts it and waits until it has set everything up; then pins its namespaces in ns_dir. On failure nothing
 * is left: no process, no pin, no ns_dir. INVALID_ARGUMENT when the kernel refused a sysctl or the hostname,
 * DEADLINE_EXCEEDED or CANCELLED by ctx (30 s at most).
 */
int pause_start(const struct pause_spec *spec, const struct ctx *ctx, struct pause_started *ret,
		struct err *err) MUST_CHECK;
/* From here on pause lives by itself. Called once its pid and start time are on disk, so that a crash of
 * crispd in between leaves no process that nobody knows. UNAVAILABLE when it has died. The
 * process may have been taken out of *started before. */
int pause_keep(struct pause_started *started, struct err *err) MUST_CHECK;
/* Closes both descriptors; an unkept pause ends by itself (pins stay: namespaces_unpin). Also for CLEANUP. */
void pause_started_done(struct pause_started *started);

/* SIGTERM, then SIGKILL when it has not gone within a second; reaps it if it is our child. Gone already is
 * success. The namespaces live on while pinned. process holds a pidfd. */
int pause_stop(const struct process *process, const struct ctx *ctx, struct err *err) MUST_CHECK;
/* Reaps it if it has ended and is our child, for whoever watches the pidfd; never waits. */
void pause_reap(const struct process *process);

/*
 * One sysctl of a pod: INVALID_ARGUMENT when key or value are malformed or key is not namespaced. When the
 * pod shares the namespace it belongs to with the host, *ret_host_shared is set: it must not be written then.
 */
int pause_sysctl_check(const struct pause_sysctl *sysctl, unsigned int namespaces, bool *ret_host_shared,
		       struct err *err) MUST_CHECK;

/* Where crisp-pause is: the environment variable CRISP_PAUSE, else beside the running program, else
 * ../libexec/crisp from there, else the install prefix's libexec folder. *ret is malloc'd; NOT_FOUND with the
 * places tried. */
int pause_find(char **ret, struct err *err) MUST_CHECK;

#endif
