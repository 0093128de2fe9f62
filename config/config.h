/*
 * crisp's configuration: an immutable snapshot, read from one TOML file and its drop-ins.
 *
 * Read are the main file (/etc/crisp/crisp.toml) and then every *.toml of the drop-in directory
 * (/etc/crisp/crisp.toml.d) in lexical order. Tables merge key by key, the later file wins, arrays are
 * replaced as a whole. A missing main file or directory counts as empty: every key has a default. Table and
 * key names are those of CRI-O's crio.conf(5) wherever the meaning is the same, with "crisp" for "crio". An
 * unknown key, a wrong type and a value out of range are errors: "file:line: key: what".
 *
 * Ownership and threads: everything hangs off one struct config, is never changed after config_load() and
 * lives until the last config_unref(). Any thread may ref, unref and read. A reload makes a new snapshot
 * beside the old one; config_diff() tells what differs and what of it takes effect without a restart.
 *
 * Conventions: no string and no items pointer is ever NULL (empty is "" and a vector of length 0); every
 * duration is in nanoseconds, whatever the file's unit; every path is absolute and clean (no "//", ".",
 * "..").
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#define CONFIG_FILE "/etc/crisp/crisp.toml"
#define CONFIG_DROPINS "/etc/crisp/crisp.toml.d"

struct config_strings {
	const char *const *items; /* NULL-terminated, never NULL itself */
	size_t len;
};

enum config_cgroup_manager { CONFIG_CGROUPFS, CONFIG_SYSTEMD };
enum config_tls_version { CONFIG_TLS12, CONFIG_TLS13 };
enum config_image_volumes { CONFIG_VOLUMES_MKDIR, CONFIG_VOLUMES_BIND, CONFIG_VOLUMES_IGNORE };

struct config_api {                     /* [crisp.api] */
	const char *listen;             /* unix socket path, at most 107 bytes */
	int64_t grpc_max_recv_msg_size; /* bytes, 1 MiB..64 MiB */
	int64_t workers_max;            /* threads for calls that wait, 4..1024 */
	const char *stream_address;     /* numeric; where exec, attach and port-forward are served */
	int64_t stream_port;            /* 0: any */
	int64_t stream_idle_timeout;    /* ns; 0: none */
	bool stream_enable_tls;
	const char *stream_tls_cert; /* path */
	const char *stream_tls_key;  /* path */
	const char *stream_tls_ca;   /* path; "": clients need no certificate */
	enum config_tls_version stream_tls_min_version;
	struct config_strings stream_tls_cipher_suites;
	int64_t drain_timeout; /* ns to let calls in progress end after SIGTERM */
};

struct config_runtime {           /* [crisp.runtime.runtimes.NAME] */
	const char *name;         /* the CRI runtime handler */
	const char *runtime_path; /* absolute, or "": `name` is searched in PATH (see config/program.h) */
	const char *runtime_type; /* "oci" */
	const char *runtime_root; /* the runtime's --root; resolved: never empty (default RUNROOT/NAME) */
	const char *monitor_path; /* absolute, or "": the [crisp.runtime] conmon */
	struct config_strings monitor_env;         /* KEY=VALUE */
	struct config_strings allowed_annotations; /* exact annotation keys handed to the runtime */
	bool privileged_without_host_devices;
	const char *monitor_cgroup; /* "": crispd's own; "/path" (cgroupfs), "x.slice" (systemd) */
};

struct config_runtimes {             /* [crisp.runtime] */
	const char *default_runtime; /* names one of runtimes[] */
	enum config_cgroup_manager cgroup_manager;
	const char *conmon; /* absolute, or "": searched in PATH */
	int64_t pids_limit; /* of a container; -1: none */
	enum log_level log_level;
	const char *log_filter; /* POSIX extended regex, "": everything */
	enum log_format log_format;
	enum log_target log_target;
	int64_t log_size_max;     /* bytes of a container's log before conmon truncates it; -1: never (kubelet
				     rotates) */
	int64_t ctr_stop_timeout; /* ns a container gets when a stop request names none of its own */
	struct config_strings default_capabilities; /* upper case, without "CAP_" */
	struct config_strings default_sysctls;      /* KEY=VALUE, keys with dots, namespaced ones only */
	struct config_strings default_env;          /* KEY=VALUE */
	struct config_strings default_ulimits;      /* config/ulimit.h */
	struct config_strings cdi_spec_dirs;        /* a later one wins */
	struct config_strings hooks_dir;            /* the same */
	const char *timezone; /* "": the image's, "local": the host's, or a zone's name */
	const char *blockio_config_file, *rdt_config_file; /* always "" */
	bool selinux;                                      /* labels where the host has SELinux */
	bool hostnetwork_disable_selinux;
	bool read_only; /* every container's root filesystem is */
	bool device_ownership_from_security_context;
	const char *seccomp_profile;           /* path of RuntimeDefault's profile (JSON), "": built in */
	const char *apparmor_profile;          /* name of RuntimeDefault's profile */
	int64_t runtime_timeout;               /* ns for one verb of an OCI runtime */
	int64_t reconcile_interval;            /* ns between two looks for what is amiss */
	bool enable_pod_events;                /* GetContainerEvents */
	const struct config_runtime *runtimes; /* in order of first mention; crun and runc always exist */
	size_t runtimes_len;
};

struct config_image {                              /* [crisp.image] */
	const char *global_auth_file;              /* "": none */
	const char *registries_conf;               /* its drop-ins are in the same path with ".d" behind */
	const char *signature_policy;              /* "": the usual place, which may be empty */
	struct config_strings certs_dirs;          /* searched in this order */
	struct config_strings insecure_registries; /* host[:port] */
	int64_t max_parallel_downloads;            /* layers at once, 1..64 */
	int64_t split_layers_above;                /* bytes; larger ones come in parts; 0: none */
	int64_t split_layers_parts;                /* at once, 2..8 */
	int64_t pull_progress_timeout;             /* ns without a byte before a pull is given up; 0: never */
	enum config_image_volumes image_volumes;   /* what becomes of an image's VOLUMEs */
	bool sync;                                 /* one syncfs at the end of a pull */
	struct config_strings pinned_images;       /* patterns, see image/pinned.h */
};

struct config_network { /* [crisp.network] */
	const char *network_dir;
	struct config_strings plugin_dirs; /* searched in this order */
	const char *cni_default_network; /* a network's name, "": the first in lexical order of file names */
	int64_t cni_timeout;             /* ns for one call of one plugin */
};

struct config_metrics { /* [crisp.metrics] */
	bool enable_metrics;
	struct config_strings metrics_collectors; /* none: all */
	const char *metrics_host;                 /* numeric */
	int64_t metrics_port;                     /* 0: no TCP */
	const char *metrics_socket;               /* unix socket path; "": none */
	const char *metrics_cert, *metrics_key;   /* PEM, both or neither; "": plain HTTP on TCP */
};

struct config_tracing { /* [crisp.tracing] */
	bool enable_tracing;
	const char *tracing_endpoint; /* host:port or URL of an OTLP/HTTP collector */
	int64_t tracing_sampling_rate_per_million;
};

struct config_stats {                               /* [crisp.stats] */
	struct config_strings included_pod_metrics; /* see config/metric_group.h; none: all */
};

struct config {
	const char *root;    /* [crisp] persistent state */
	const char *runroot; /* volatile state, on tmpfs */
	struct config_api api;
	struct config_runtimes runtime;
	struct config_image image;
	struct config_network network;
	struct config_metrics metrics;
	struct config_tracing tracing;
	struct config_stats stats;
	struct config_strings files; /* what was read, in order */
};

struct config_paths {
	const char *file;      /* NULL: CONFIG_FILE */
	const char *dropins;   /* NULL: CONFIG_DROPINS */
	bool file_needed;      /* a missing main file is an error (it was named on the command line) */
	const char *overrides; /* TOML merged last, as if it were a drop-in of the name "command line"; may be
				  NULL */
};

/* paths may be NULL. INVALID_ARGUMENT and "file:line: key: what" for bad content, NOT_FOUND for a needed file
 * that is not there; *ret has one reference. */
int config_load(const struct config_paths *paths, struct config **ret, struct err *err) MUST_CHECK;
/* The embedded defaults alone. */
struct config *config_defaults(void);

/* const: a snapshot never changes; the count is not part of it. NULL is fine; unref returns NULL. */
struct config *config_ref(const struct config *config);
struct config *config_unref(const struct config *config);
void config_unrefp(struct config **config);

/* NULL when there is none of that name; "" means the default runtime. */
const struct config_runtime *config_find_runtime(const struct config *config, const char *name);

/* The effective configuration as commented TOML; parses back to the same values. */
void config_print(const struct config *config, struct str *out);

struct config_change {
	const char *key;       /* "crisp.runtime.log_level", "crisp.runtime.runtimes.kata" */
	const char *old_value; /* TOML text; "" when the table was absent */
	const char *new_value;
	bool live; /* a reload applies it; else it takes effect after a restart */
};
/* Calls fn for each key whose value differs (old to next); returns how many. */
size_t config_diff(const struct config *old, const struct config *next,
		   void (*fn)(const struct config_change *change, void *data), void *data);

#endif
