/*
 * The OCI runtime configuration of a container (runtime-spec 1.0.2, config.md and config-linux.md) out of the
 * CRI request, the image's configuration, the pod and what the host can do. Everything a client sent is
 * checked here; what the host cannot give is refused or clamped as written at each field.
 *
 * spec_check() is what can be refused before anything was made; spec_build() checks it again, resolves host
 * paths and needs the mounted root filesystem. Both only read their input and are thread-safe; nothing is
 * kept.
 */
#ifndef SANDBOX_SPEC_H
#define SANDBOX_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/config.h"
#include "conmon/handler.h"
#include "image/images.h"
#include "proto/cri.pb-c.h"
#include "sandbox/apparmor.h"
#include "sandbox/cdi.h"
#include "sandbox/hooks.h"
#include "sandbox/seccomp.h"
#include "sandbox/userns.h"
#include "sandbox/users.h"

enum { SPEC_JSON_MAX = 8 * 1024 * 1024 }; /* bytes of a config.json */

/* What this host can do, asked once at start. */
struct spec_host {
	bool cgroup2;             /* /sys/fs/cgroup is one unified hierarchy */
	bool swap_accounting;     /* memory.swap.max or memory.memsw.limit_in_bytes exists */
	bool hugetlb;             /* the hugetlb controller is there */
	bool selinux;             /* and the configuration does not say no */
	bool rro_mounts;          /* mount_setattr(2) with AT_RECURSIVE: Linux 5.12 */
	bool can_lower_oom_score; /* CAP_SYS_RESOURCE */
	bool can_raise_memlock;   /* CAP_SYS_RESOURCE, or no limit set: see struct handler's
				     devices_need_memlock */
	int oom_score_adj;        /* our own: the lowest a container can get without that capability */
	uint64_t capabilities;    /* capabilities_available() */
};
void spec_host_read(const struct config *config, struct spec_host *ret);

struct spec_input {
	const Cri__ContainerConfig *config;
	const Cri__PodSandboxConfig *pod_config;
	const struct config *settings;
	const struct handler *handler;
	const struct spec_host *host;
	struct seccomps *seccomps;
	struct apparmor *apparmor; /* NULL: this host has none */
	struct cdi *cdi;           /* NULL: no CDI devices are known */
	struct hooks *hooks;       /* NULL: none */

	const char *id, *pod_id;   /* container and pod */
	const char *selinux_level; /* the pod's own; may be NULL */
	const char *cgroups_path;  /* linux.cgroupsPath: below the cgroup root, e.g. "/kubepods/pod1/<id>" */

	/* For spec_build() only from here. */
	const struct image_config *image; /* may be NULL */
	const struct user *user;
	const char *rootfs;           /* absolute: root.path */
	int rootfs_fd;                /* the same, opened, borrowed */
	const char *apparmor_profile; /* spec_apparmor_profile()'s; may be NULL */
	const char *volumes_dir; /* where image volumes are made with image_volumes = "bind"; may be NULL */

	/* By the number of the mount: where its image is mounted, "" for those of no image. NULL: there are
	 * none. */
	const struct strv *image_mounts;

	/* Paths of the pod's namespaces; NULL: the host's. */
	const char *net_ns, *ipc_ns, *uts_ns;
	const char *user_ns;         /* the pod's; NULL: the host's */
	const struct userns *userns; /* what the ids in it are; with user_ns */
	const char *pid_ns;          /* the pod's, used with NamespaceMode POD; NULL when the pod has none */
	const char *target_pid_ns;   /* /proc/PID/ns/pid of target_id's container, for TARGET */

	/* The pod's files, mounted where the container's own mounts do not cover them. NULL: none. */
	const char *hosts, *hostname_file, *resolv_conf, *shm;
	const char *hostname;   /* for HOSTNAME in the environment; may be NULL */
	const char *log_path;   /* for the informational annotation; may be NULL */
	const char *image_name; /* the same */
	/* Set by spec_build(): whether config.json has hooks that `start` must run. May be NULL. */
	bool *ret_poststart_hooks;
	/* The seccomp notifier's socket (sandbox/notifier.h); NULL: there is none. And, set by spec_build(),
	 * the text of NOTIFIER_FILE, malloc'd, NULL when the container is not watched. May be NULL. */
	const char *notifier_socket;
	char **ret_notifier_file;
	/* Set by spec_build(): the paths on the host that the runtime takes mounts and namespaces from
	 * (struct monitor_spec's sources). None: it may be any, as hooks run. May be NULL. */
	struct strv *ret_sources;
};

/* The container's program: the first word of its command line, borrowed. NULL when there is none. */
const char *spec_program(const struct spec_input *input);

/* INVALID_ARGUMENT, FAILED_PRECONDITION. */
int spec_check(const struct spec_input *input, struct err *err) MUST_CHECK;
/* Once for a container, after spec_check(): the AppArmor profile to run under in *ret, borrowed, which the
 * kernel has; NULL: that of who starts it. FAILED_PRECONDITION, and what ctx ends with. */
int spec_apparmor_profile(const struct spec_input *input, const struct ctx *ctx, const char **ret,
			  struct err *err) MUST_CHECK;
/* *ret_json: config.json's text, malloc'd. Makes missing host directories of bind mounts, image volumes and
 * the working directory (inside the root filesystem). */
int spec_build(const struct spec_input *input, char **ret_json, struct err *err) MUST_CHECK;

/* The OCI process document of an exec in a container with that config.json: its process with other args and
 * terminal, without what belongs to the first start (oomScoreAdj stays). INVALID_ARGUMENT when args are empty
 * or too many. */
struct spec_exec {
	const char *config_json; /* text of the container's config.json */
	const char *const *args;
	size_t args_len;
	bool tty;
};
int spec_exec_process(const struct spec_exec *exec, char **ret_json, struct err *err) MUST_CHECK;

/* An OCI linux.resources document for `RUNTIME update` and for spec_build(). *ret is a new reference. */
int spec_resources(const Cri__LinuxContainerResources *resources, const struct spec_host *host, json_t **ret,
		   struct err *err) MUST_CHECK;
/* The oom_score_adj that a container gets on this host when `asked` is asked for. */
int spec_oom_score_adj(const struct spec_host *host, int64_t asked);

#endif
