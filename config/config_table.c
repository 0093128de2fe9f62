/*
 * Every key of crisp.toml. To add one: a field in config.h and a row here; nothing else. Names and meanings
 * follow CRI-O's crio.conf(5); a key that CRI-O lacks says nothing about CRI-O. `live` is true where a
 * reload (SIGHUP) hands the value to all who use it; server/service.c does.
 */
#include "base/clock.h"
#include "config/config.h"
#include "config/config_key.h"

#define OFFSET(member) offsetof(struct config, member)
#define MIB (INT64_C(1024) * 1024)
#define SECOND NS_PER_SEC
#define MINUTE (60 * NS_PER_SEC)
#define HOUR (60 * MINUTE)

/* clang-format off */
static const struct config_choice cgroup_managers[] = {
	{ "cgroupfs", CONFIG_CGROUPFS },
	{ "systemd", CONFIG_SYSTEMD },
	{ NULL },
};

static const struct config_choice tls_versions[] = {
	{ "VersionTLS12", CONFIG_TLS12 },
	{ "VersionTLS13", CONFIG_TLS13 },
	{ NULL },
};

static const struct config_choice log_levels[] = {
	{ "fatal", LOG_LEVEL_FATAL }, { "panic", LOG_LEVEL_FATAL }, { "error", LOG_LEVEL_ERROR },
	{ "warn", LOG_LEVEL_WARN },   { "info", LOG_LEVEL_INFO },   { "debug", LOG_LEVEL_DEBUG },
	{ "trace", LOG_LEVEL_TRACE }, { NULL },
};

static const struct config_choice log_formats[] = {
	{ "text", LOG_FORMAT_TEXT }, { "json", LOG_FORMAT_JSON }, { NULL },
};

static const struct config_choice log_targets[] = {
	{ "auto", LOG_TARGET_AUTO }, { "stderr", LOG_TARGET_STDERR }, { "journald", LOG_TARGET_JOURNAL }, { NULL },
};

static const struct config_choice image_volumes[] = {
	{ "mkdir", CONFIG_VOLUMES_MKDIR }, { "bind", CONFIG_VOLUMES_BIND }, { "ignore", CONFIG_VOLUMES_IGNORE }, { NULL },
};

static const struct config_key crisp_keys[] = {
	{ "root", CONFIG_PATH, OFFSET(root), "\"/var/lib/crisp\"",
	  "Where images, pods and containers are kept across reboots.", .rule = rule_path },
	{ "runroot", CONFIG_PATH, OFFSET(runroot), "\"/run/crisp\"",
	  "Where sockets, namespaces and exit codes are kept: a tmpfs, empty after a reboot.", .rule = rule_path },
};

static const struct config_key api_keys[] = {
	{ "listen", CONFIG_PATH, OFFSET(api.listen), "\"/run/crisp/crisp.sock\"",
	  "The unix socket that kubelet and crictl talk to.", .rule = rule_socket },
	{ "grpc_max_recv_msg_size", CONFIG_INT, OFFSET(api.grpc_max_recv_msg_size), "16777216",
	  "The largest request accepted, in bytes (1048576 to 67108864).", .min = MIB, .max = 64 * MIB },
	{ "workers_max", CONFIG_INT, OFFSET(api.workers_max), "64",
	  "The most threads for requests that wait for something (4 to 1024). They come with the load and go with it.",
	  .min = 4, .max = 1024 },
	{ "stream_address", CONFIG_STRING, OFFSET(api.stream_address), "\"127.0.0.1\"",
	  "The IP address where exec, attach and port-forward are served. Whoever reaches it and knows a URL that was\n"
	  "given out in the last minute may use it: leave it on loopback unless the kubelet is elsewhere.",
	  .rule = rule_address },
	{ "stream_port", CONFIG_INT, OFFSET(api.stream_port), "0",
	  "Its TCP port (1 to 65535); 0: any that is free.", .min = 0, .max = 65535 },
	{ "stream_idle_timeout", CONFIG_DURATION, OFFSET(api.stream_idle_timeout), "\"4h\"",
	  "How long a session may go on without a byte from or to its client (0s to 168h); 0s: for ever.",
	  .min = 0, .max = 168 * 60 * MINUTE },
	{ "stream_enable_tls", CONFIG_BOOL, OFFSET(api.stream_enable_tls), "false",
	  "Serve them by https." },
	{ "stream_tls_cert", CONFIG_PATH, OFFSET(api.stream_tls_cert), "\"\"",
	  "The certificate for that (PEM), followed by those between it and its CA. This file, the key and the CA may be\n"
	  "replaced: what changed is taken with the next connection, sessions go on.", .live = true, .may_be_empty = true,
	  .rule = rule_path },
	{ "stream_tls_key", CONFIG_PATH, OFFSET(api.stream_tls_key), "\"\"",
	  "Its private key (PEM, without a pass phrase).", .live = true, .may_be_empty = true, .rule = rule_path },
	{ "stream_tls_ca", CONFIG_PATH, OFFSET(api.stream_tls_ca), "\"\"",
	  "Only clients with a certificate of these CAs (PEM) are let in; empty: any client.", .live = true,
	  .may_be_empty = true, .rule = rule_path },
	{ "stream_tls_min_version", CONFIG_CHOICE, OFFSET(api.stream_tls_min_version), "\"VersionTLS12\"",
	  "\"VersionTLS12\" or \"VersionTLS13\".", .live = true, .choices = tls_versions },
	{ "stream_tls_cipher_suites", CONFIG_STRINGS, OFFSET(api.stream_tls_cipher_suites), "[]",
	  "Cipher suites of TLS 1.2 (\"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\"); empty: those with forward secrecy and\n"
	  "authenticated encryption. TLS 1.3 has none to be chosen.", .live = true, .rule = rule_cipher_suite },
	{ "drain_timeout", CONFIG_DURATION, OFFSET(api.drain_timeout), "\"10s\"",
	  "How long requests in progress may go on after SIGTERM (0s to 10m).",
	  .live = true, .min = 0, .max = 10 * MINUTE },
};

static const struct config_key runtime_keys[] = {
	{ "default_runtime", CONFIG_STRING, OFFSET(runtime.default_runtime), "\"crun\"",
	  "The [crisp.runtime.runtimes.NAME] of pods that name no runtime handler.",
	  .rule = rule_handler },
	{ "cgroup_manager", CONFIG_CHOICE, OFFSET(runtime.cgroup_manager), "\"cgroupfs\"",
	  "Who makes cgroups: \"cgroupfs\", or \"systemd\" by slices and scopes. kubelet's cgroupDriver must be the same;\n"
	  "the node must be drained before it is changed.", .choices = cgroup_managers },
	{ "conmon", CONFIG_PATH, OFFSET(runtime.conmon), "\"\"",
	  "conmon's path; empty: searched in PATH.", .may_be_empty = true, .rule = rule_path },
	{ "pids_limit", CONFIG_INT, OFFSET(runtime.pids_limit), "-1",
	  "The most processes in a container (1 to 4194304); -1: no limit but that of the pod's cgroup.",
	  .may_be_unlimited = true, .min = 1, .max = 4194304 },
	{ "log_level", CONFIG_CHOICE, OFFSET(runtime.log_level), "\"info\"",
	  "What crispd logs: fatal, panic, error, warn, info, debug or trace.", .live = true, .choices = log_levels },
	{ "log_filter", CONFIG_STRING, OFFSET(runtime.log_filter), "\"\"",
	  "A POSIX extended regular expression: only messages that match are logged. Empty: all.", .live = true,
	  .may_be_empty = true, .rule = rule_regex },
	{ "log_format", CONFIG_CHOICE, OFFSET(runtime.log_format), "\"text\"",
	  "\"text\" or \"json\".", .live = true, .choices = log_formats },
	{ "log_target", CONFIG_CHOICE, OFFSET(runtime.log_target), "\"auto\"",
	  "\"stderr\", \"journald\", or \"auto\": the journal if it is what stderr is connected to.", .live = true,
	  .choices = log_targets },
	{ "log_size_max", CONFIG_INT, OFFSET(runtime.log_size_max), "-1",
	  "The most bytes of a container's log (8192 and up); -1: no limit, kubelet rotates.",
	  .may_be_unlimited = true, .min = 8192, .max = INT64_MAX },
	{ "ctr_stop_timeout", CONFIG_SECONDS, OFFSET(runtime.ctr_stop_timeout), "30",
	  "Seconds from SIGTERM to SIGKILL when a pod is stopped without a grace period of its own (0 to 86400).",
	  .min = 0, .max = 86400 },
	{ "default_capabilities", CONFIG_STRINGS, OFFSET(runtime.default_capabilities),
	  "[\"CHOWN\", \"DAC_OVERRIDE\", \"FSETID\", \"FOWNER\", \"SETGID\", \"SETUID\", \"SETPCAP\","
	  " \"NET_BIND_SERVICE\", \"KILL\"]",
	  "Capabilities of a container before its own additions and drops.", .rule = rule_capability },
	{ "default_sysctls", CONFIG_STRINGS, OFFSET(runtime.default_sysctls), "[]",
	  "Sysctls of each pod, \"net.ipv4.ping_group_range=0 0\": of the IPC and network namespaces only.\n"
	  "Left out where the pod shares the host's namespace.", .rule = rule_sysctl },
	{ "default_env", CONFIG_STRINGS, OFFSET(runtime.default_env), "[]",
	  "Environment variables of each container, \"KEY=VALUE\", before the image's and its own.",
	  .rule = rule_env },
	{ "seccomp_profile", CONFIG_PATH, OFFSET(runtime.seccomp_profile), "\"\"",
	  "The JSON profile that RuntimeDefault means; empty: the built-in one.", .may_be_empty = true,
	  .rule = rule_path },
	{ "apparmor_profile", CONFIG_STRING, OFFSET(runtime.apparmor_profile), "\"crisp-default\"",
	  "The AppArmor profile of containers that name none, on hosts with AppArmor. crisp-default is built in, and loaded by\n"
	  "crispd; any other must be loaded already. \"unconfined\": none.", .rule = rule_profile },
	{ "default_ulimits", CONFIG_STRINGS, OFFSET(runtime.default_ulimits), "[]",
	  "Resource limits of each container, \"nofile=1024:2048\": soft and hard; -1: none.", .rule = rule_ulimit },
	{ "blockio_config_file", CONFIG_STRING, OFFSET(runtime.blockio_config_file), "\"\"",
	  "Not supported: must be empty.", .may_be_empty = true, .rule = rule_no_classes },
	{ "rdt_config_file", CONFIG_STRING, OFFSET(runtime.rdt_config_file), "\"\"",
	  "Not supported: must be empty.", .may_be_empty = true, .rule = rule_no_classes },
	{ "selinux", CONFIG_BOOL, OFFSET(runtime.selinux), "true",
	  "Give pods and containers SELinux labels where the host has SELinux." },
	{ "hostnetwork_disable_selinux", CONFIG_BOOL, OFFSET(runtime.hostnetwork_disable_selinux), "true",
	  "No label for processes in the host's network." },
	{ "read_only", CONFIG_BOOL, OFFSET(runtime.read_only), "false",
	  "Make every container's root filesystem read-only, with a tmpfs each on /run, /tmp and /var/tmp." },
	{ "timezone", CONFIG_STRING, OFFSET(runtime.timezone), "\"\"",
	  "What /etc/localtime is in containers: \"local\": the host's, a name such as \"Europe/Berlin\" (needs tzdata on\n"
	  "the host), or empty: the image's own.", .may_be_empty = true, .rule = rule_timezone },
	{ "hooks_dir", CONFIG_PATHS, OFFSET(runtime.hooks_dir), "[\"/usr/share/containers/oci/hooks.d\"]",
	  "Where oci-hooks(5) files are found (version 1.0.0), re-read when they change; a file in a later directory\n"
	  "replaces one of the same name.", .rule = rule_path },
	{ "cdi_spec_dirs", CONFIG_PATHS, OFFSET(runtime.cdi_spec_dirs), "[\"/etc/cdi\", \"/var/run/cdi\"]",
	  "Where CDI specs are found: JSON files (not YAML), re-read when they change; a later directory wins.",
	  .rule = rule_path },
	{ "device_ownership_from_security_context", CONFIG_BOOL, OFFSET(runtime.device_ownership_from_security_context), "false",
	  "Give requested devices to the container's run_as_user and run_as_group, not to whom they belong on the host." },
	{ "runtime_timeout", CONFIG_DURATION, OFFSET(runtime.runtime_timeout), "\"2m\"",
	  "How long one call of an OCI runtime may take before it is killed (1s to 1h).",
	  .min = SECOND, .max = HOUR },
	{ "reconcile_interval", CONFIG_DURATION, OFFSET(runtime.reconcile_interval), "\"1m\"",
	  "How often pods and containers are compared with what is there (1s to 1h): processes that ended unnoticed, and what\n"
	  "nobody owns any more. What could not be undone is tried again sooner, after 10 s at most, and then ever more seldom.",
	  .min = SECOND, .max = HOUR },
	{ "enable_pod_events", CONFIG_BOOL, OFFSET(runtime.enable_pod_events), "true",
	  "Whether GetContainerEvents is offered, for a kubelet with the feature gate EventedPLEG. Without a subscriber it\n"
	  "costs nothing." },
};

static const struct config_key image_keys[] = {
	{ "global_auth_file", CONFIG_PATH, OFFSET(image.global_auth_file), "\"\"",
	  "Registry credentials for requests that bring none: a file like ~/.docker/config.json, asked before root's own.\n"
	  "Empty: none. Credential helpers named in such files, or in registries.conf, are run.",
	  .live = true, .may_be_empty = true, .rule = rule_path },
	{ "registries_conf", CONFIG_PATH, OFFSET(image.registries_conf), "\"/etc/containers/registries.conf\"",
	  "containers-registries.conf(5), version 2; drop-ins are read from this path with \".d\" behind.",
	  .live = true, .rule = rule_path },
	{ "signature_policy", CONFIG_PATH, OFFSET(image.signature_policy), "\"\"",
	  "containers-policy.json(5): which images may be pulled. Empty: /etc/containers/policy.json, if there is one; a file\n"
	  "named here must exist. It is read for each pull. What demands signatures is refused: they can't be checked yet.",
	  .live = true, .may_be_empty = true, .rule = rule_path },
	{ "certs_dirs", CONFIG_PATHS, OFFSET(image.certs_dirs),
	  "[\"/etc/containers/certs.d\", \"/etc/docker/certs.d\"]",
	  "containers-certs.d(5): HOST[:PORT]/*.crt are CAs trusted for that registry, *.cert with *.key is shown to it.\n"
	  "The first of these directories that has the registry decides. Docker Hub is docker.io here.", .live = true, .rule = rule_path },
	{ "insecure_registries", CONFIG_STRINGS, OFFSET(image.insecure_registries), "[]",
	  "Registries (host[:port]) that may use plain HTTP or a certificate that does not verify.", .live = true,
	  .rule = rule_registry },
	{ "max_parallel_downloads", CONFIG_INT, OFFSET(image.max_parallel_downloads), "6",
	  "Layers of one image fetched at once (1 to 64).", .live = true, .min = 1, .max = 64 },
	{ "split_layers_above", CONFIG_SIZE, OFFSET(image.split_layers_above), "\"0\"",
	  "Layers (compressed) of more than this, such as \"64MiB\", are fetched in parts, each on a connection of its own, and\n"
	  "put together in memory (18 MiB for all of them). Worth it where the registry gives one connection less than the line\n"
	  "can carry. Needs HTTP Range requests; a registry that ignores them is read as ever. 0: never.", .live = true,
	  .min = 0, .max = INT64_MAX },
	{ "split_layers_parts", CONFIG_INT, OFFSET(image.split_layers_parts), "4",
	  "How many parts of such a layer are fetched at once (2 to 8).", .live = true, .min = 2, .max = 8 },
	{ "pull_progress_timeout", CONFIG_DURATION, OFFSET(image.pull_progress_timeout), "\"1m\"",
	  "A pull that receives nothing, or under 100 bytes a second, for so long is given up (0s: never; to 1h).", .live = true,
	  .min = 0, .max = HOUR },
	{ "image_volumes", CONFIG_CHOICE, OFFSET(image.image_volumes), "\"mkdir\"",
	  "An image's VOLUMEs: \"mkdir\" makes the directories, \"bind\" mounts a directory of the container's own there,\n"
	  "\"ignore\" does nothing.", .choices = image_volumes },
	{ "pinned_images", CONFIG_STRINGS, OFFSET(image.pinned_images), "[]",
	  "Images that kubelet's garbage collection leaves alone: whole names (\"registry.k8s.io/pause:3.10\"), or patterns in\n"
	  "which \"*\" stands for any text (\"quay.io/our/*\", \"*pause*\").", .live = true, .rule = rule_image_pattern },
	{ "sync", CONFIG_BOOL, OFFSET(image.sync), "true",
	  "Write an image's files to the disk (one syncfs) before a pull is answered.", .live = true },
};

static const struct config_key network_keys[] = {
	{ "network_dir", CONFIG_PATH, OFFSET(network.network_dir), "\"/etc/cni/net.d\"",
	  "Where CNI configuration is found. It is watched: no reload is needed when a file comes or goes.",
	  .rule = rule_path },
	{ "plugin_dirs", CONFIG_PATHS, OFFSET(network.plugin_dirs), "[\"/opt/cni/bin\", \"/usr/lib/cni\"]",
	  "Where CNI plugins are searched, in this order.", .rule = rule_path },
	{ "cni_default_network", CONFIG_STRING, OFFSET(network.cni_default_network), "\"\"",
	  "The name of the network that pods join; empty: the first in lexical order of the files' names.",
	  .may_be_empty = true, .rule = rule_network },
	{ "cni_timeout", CONFIG_DURATION, OFFSET(network.cni_timeout), "\"2m\"",
	  "How long one call of one CNI plugin may take (1s to 1h).",
	  .min = SECOND, .max = HOUR },
};

static const struct config_key metrics_keys[] = {
	{ "enable_metrics", CONFIG_BOOL, OFFSET(metrics.enable_metrics), "false",
	  "Whether metrics are served for Prometheus, at /metrics." },
	{ "metrics_collectors", CONFIG_STRINGS, OFFSET(metrics.metrics_collectors), "[]",
	  "Which metrics: names without \"container_runtime_crisp_\", such as \"operations_total\", and \"process\" for those of\n"
	  "crispd's process. Empty: all.", .rule = rule_collector },
	{ "metrics_host", CONFIG_STRING, OFFSET(metrics.metrics_host), "\"127.0.0.1\"",
	  "The IP address to serve them on. Whoever reaches it may read them.", .rule = rule_address },
	{ "metrics_port", CONFIG_INT, OFFSET(metrics.metrics_port), "9090",
	  "The TCP port (1 to 65535); 0: none, only metrics_socket.", .min = 0, .max = 65535 },
	{ "metrics_socket", CONFIG_PATH, OFFSET(metrics.metrics_socket), "\"\"",
	  "A unix socket, for root only, to serve them on, too. Empty: none.", .may_be_empty = true, .rule = rule_socket },
	{ "metrics_cert", CONFIG_PATH, OFFSET(metrics.metrics_cert), "\"\"",
	  "With metrics_key: the certificate (PEM, with its chain) for HTTPS on the TCP port. Read again when it changes.",
	  .may_be_empty = true, .rule = rule_path },
	{ "metrics_key", CONFIG_PATH, OFFSET(metrics.metrics_key), "\"\"",
	  "Its private key (PEM).", .may_be_empty = true, .rule = rule_path },
};

static const struct config_key stats_keys[] = {
	{ "included_pod_metrics", CONFIG_STRINGS, OFFSET(stats.included_pod_metrics), "[]",
	  "Which metrics ListPodSandboxMetrics gives: groups of \"cpu\", \"disk\", \"diskIO\", \"hugetlb\", \"memory\", \"misc\", \"network\",\n"
	  "\"oom\", \"pressure\", \"process\", \"spec\"; empty, or \"all\": all.", .rule = rule_metric_group },
};

static const struct config_key tracing_keys[] = {
	{ "enable_tracing", CONFIG_BOOL, OFFSET(tracing.enable_tracing), "false",
	  "Whether a span of each sampled request is sent to an OpenTelemetry collector." },
	{ "tracing_endpoint", CONFIG_STRING, OFFSET(tracing.tracing_endpoint), "\"127.0.0.1:4318\"",
	  "The collector's OTLP/HTTP receiver: HOST:PORT, or a URL when it is HTTPS or not at /v1/traces.", .rule = rule_endpoint },
	{ "tracing_sampling_rate_per_million", CONFIG_INT, OFFSET(tracing.tracing_sampling_rate_per_million), "0",
	  "How many of a million requests whose client says nothing about sampling are traced (0 to 1000000). What a client\n"
	  "has sampled, or not, is followed.", .min = 0, .max = 1000000 },
};

const struct config_section config_sections[] = {
	{ "crisp", "crisp: the CRI server's configuration.", crisp_keys, ARRAY_LEN(crisp_keys) },
	{ "crisp.api", "The gRPC server.", api_keys, ARRAY_LEN(api_keys) },
	{ "crisp.runtime", "Pods, containers and the log of crispd.", runtime_keys, ARRAY_LEN(runtime_keys) },
	{ "crisp.image", "Images and registries.", image_keys, ARRAY_LEN(image_keys) },
	{ "crisp.network", "Pod networks: CNI.", network_keys, ARRAY_LEN(network_keys) },
	{ "crisp.metrics", "Metrics for Prometheus.", metrics_keys, ARRAY_LEN(metrics_keys) },
	{ "crisp.tracing", "OpenTelemetry traces.", tracing_keys, ARRAY_LEN(tracing_keys) },
	{ "crisp.stats", "What a kubelet is told of the use of resources.", stats_keys, ARRAY_LEN(stats_keys) },
};
const size_t config_sections_len = ARRAY_LEN(config_sections);

#undef OFFSET
#define OFFSET(member) offsetof(struct config_runtime, member)

static const struct config_key one_runtime_keys[] = {
	{ "runtime_path", CONFIG_PATH, OFFSET(runtime_path), "\"\"",
	  "The OCI runtime's path; empty: the table's name is searched in PATH.", .may_be_empty = true,
	  .rule = rule_path },
	{ "runtime_type", CONFIG_STRING, OFFSET(runtime_type), "\"oci\"",
	  "\"oci\".", .rule = rule_runtime_type },
	{ "runtime_root", CONFIG_PATH, OFFSET(runtime_root), "\"\"",
	  "The runtime's own state (--root); empty: a directory with the table's name in crisp's runroot.",
	  .may_be_empty = true, .rule = rule_path },
	{ "monitor_path", CONFIG_PATH, OFFSET(monitor_path), "\"\"",
	  "conmon's path for this runtime; empty: that of [crisp.runtime].", .may_be_empty = true,
	  .rule = rule_path },
	{ "monitor_env", CONFIG_STRINGS, OFFSET(monitor_env),
	  "[\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"]",
	  "The environment of conmon and the runtime, \"KEY=VALUE\".", .rule = rule_env },
	{ "allowed_annotations", CONFIG_STRINGS, OFFSET(allowed_annotations), "[]",
	  "Pod annotations handed on to the runtime: exact keys.", .rule = rule_annotation },
	{ "privileged_without_host_devices", CONFIG_BOOL, OFFSET(privileged_without_host_devices), "false",
	  "Whether privileged containers do without the host's devices." },
	{ "monitor_cgroup", CONFIG_STRING, OFFSET(monitor_cgroup), "\"\"",
	  "Where conmon runs: a cgroup's path (cgroup_manager \"cgroupfs\") or a slice (\"systemd\"); empty: where crispd runs.\n"
	  "Never the pod's own, whose memory limit would reach it.", .may_be_empty = true, .rule = rule_cgroup },
};
/* clang-format on */

const struct config_section config_runtime_section = {
	"crisp.runtime.runtimes",
	"One OCI runtime; the table's name is the CRI runtime handler.",
	one_runtime_keys,
	ARRAY_LEN(one_runtime_keys),
};
