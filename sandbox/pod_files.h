/*
 * The files of a pod that every container of it gets mounted: hostname, hosts and resolv.conf, in a small
 * tmpfs of their own, as containers may write to them, and the tmpfs of /dev/shm; in the pod's folder
 * <runroot>/pods/<id>/.
 *
 * Everything that comes in a request is checked first with pod_files_check(): no line can be smuggled into a
 * file. The kubelet writes /etc/hosts itself for its containers; the one here is for clients that do not
 * (crictl). dir is an absolute path on tmpfs, made 0700; the files are 0644. For a
 * pod with a user namespace they belong to its root, and the folder lets its root group through (0710). All
 * functions are thread-safe for different dirs.
 */
#ifndef SANDBOX_POD_FILES_H
#define SANDBOX_POD_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "sandbox/userns.h"

enum {
	POD_HOSTNAME_MAX = 64, /* bytes: the kernel's __NEW_UTS_LEN */
	POD_DNS_ITEMS_MAX =
		64, /* servers, searches and options, each; the kubelet allows 3 servers and 32 searches */
	POD_DNS_ITEM_MAX = 255,          /* bytes of one */
	POD_SHM_SIZE = 64 * 1024 * 1024, /* bytes: the docker and containerd default */
};

struct pod_files_spec {
	const char *dir;
	const char *hostname; /* "" or NULL: the host's */
	bool host_network;    /* hosts is a copy of the host's */
	/* NULL-terminated or NULL. With none of the three resolv.conf is a copy of the host's. */
	const char *const *dns_servers, *const *dns_searches, *const *dns_options;
	const struct userns *userns; /* NULL: the host's ids */
	const char *selinux_label;   /* of all of them; NULL: none */
	uint64_t shm_size;           /* bytes; 0: no shm (host IPC: containers get the host's /dev/shm) */
};

/* INVALID_ARGUMENT for a hostname that is too long or not made of letters, digits, '-', '.' and '_', and for
 * DNS items that are too many, too long, or would not stay one word of one line; servers have to be IP
 * addresses. dir is not looked at. */
int pod_files_check(const struct pod_files_spec *spec, struct err *err) MUST_CHECK;

/* Makes dir, the etc mount with hostname and resolv.conf, and the shm mount (1777, nosuid, nodev, noexec).
 * Repeating it is fine. On failure the caller removes. */
int pod_files_make(const struct pod_files_spec *spec, struct err *err) MUST_CHECK;
/* Writes hosts: localhost names and, for each of ips (NULL-terminated, may be NULL), the hostname; called
 * once the network is there. With host_network a copy of the host's file. */
int pod_files_write_hosts(const struct pod_files_spec *spec, const char *const *ips,
			  struct err *err) MUST_CHECK;
/* A mark that the pod's creation has not come to its end, for the next start after a crash: from before its
 * state is recorded until its pause process is to outlive crispd. Taking away what is not there is fine. */
int pod_files_mark(const char *dir, struct err *err) MUST_CHECK;
int pod_files_unmark(const char *dir, struct err *err) MUST_CHECK;
bool pod_files_marked(const char *dir);
/* Unmounts shm, etc and the layers (MNT_DETACH) and removes dir with all it holds. Idempotent. */
int pod_files_remove(const char *dir, struct err *err) MUST_CHECK;

/* Paths to mount, malloc'd. name: "shm", "layers" (where the image layers are seen with the ids of the pod's
 * user namespace: userns_mount_mapped()). */
char *pod_files_path(const char *dir, const char *name);
/* name: "hostname", "hosts", "resolv.conf". Pods of older releases have them in dir itself. */
char *pod_files_shared(const char *dir, const char *name);

#endif
