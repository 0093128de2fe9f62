/*
 * The namespaces of a pod: which there are, and keeping them alive as bind mounts of /proc/PID/ns/X on files
 * of the pod's folder <runroot>/ns/<pod id>/{net,ipc,uts,pid} (namespaces(7), "The /proc/[pid]/ns/
 * directory"). OCI runtimes join them and CNI plugins find the network by these paths, also after the pause
 * process has died.
 *
 * ns_dir is an absolute path on tmpfs. A pin is a mount in crispd's mount namespace; it lives until unpinned
 * or rebooted. All functions are thread-safe and none waits.
 */
#ifndef SANDBOX_NAMESPACES_H
#define SANDBOX_NAMESPACES_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/spawn.h"

/* Bits; several together make a set. */
enum namespace_kind {
	NAMESPACE_NET = 1,
	NAMESPACE_IPC = 2,
	NAMESPACE_UTS = 4,
	NAMESPACE_PID = 8,
	NAMESPACE_USER = 16,
};

/* "net", "ipc", "uts", "pid", "user": the file's name in /proc/PID/ns and in ns_dir; kind is one bit. */
const char *namespace_name(enum namespace_kind kind);
/* The OCI runtime spec's name: "network", "ipc", "uts", "pid", "user". */
const char *namespace_oci_name(enum namespace_kind kind);
/* ns_dir/<name>, malloc'd; says nothing about whether it exists. */
char *namespace_path(const char *ns_dir, enum namespace_kind kind);

/* Makes ns_dir (0700) and pins those of process's namespaces that are in the set. process is alive (its pidfd
 * is checked after the namespaces are opened, so a reused pid is never pinned). On failure nothing stays
 * pinned. */
int namespaces_pin(const char *ns_dir, const struct process *process, unsigned int kinds,
		   struct err *err) MUST_CHECK;
/* Unmounts every pin (MNT_DETACH, as often as it was mounted), removes the files and ns_dir itself.
 * Idempotent; what is not a pin any more (a plain file in its place) is removed too. */
int namespaces_unpin(const char *ns_dir, struct err *err) MUST_CHECK;
/* True when the pin exists and really is a namespace of that kind, not a plain file left behind or put there.
 */
bool namespace_pinned(const char *ns_dir, enum namespace_kind kind);

/* The set a sysctl belongs to (one bit): NAMESPACE_NET for net.*, NAMESPACE_IPC for kernel.shm*, kernel.msg*,
 * kernel.sem and fs.mqueue.*, NAMESPACE_UTS for kernel.domainname; 0 when it is not namespaced. Both "a.b"
 * and "a/b" are understood. */
unsigned int namespace_of_sysctl(const char *key);

#endif
