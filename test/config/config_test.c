/* crisp.toml: defaults, every kind of key, messages with file and line, drop-ins, printing and parsing back,
 * differences. */
#include "scratch.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/str.h"
#include "config/config.h"
#include "config/metric_group.h"

/* Loads DIR/crisp.toml with DIR/crisp.toml.d. */
static int load(const struct scratch *scratch, struct config **ret, struct err *err)
{
	CLEANUP(freep) char *file = scratch_path(scratch, "crisp.toml");
	CLEANUP(freep) char *dropins = scratch_path(scratch, "crisp.toml.d");

	return config_load(&(struct config_paths){ .file = file, .dropins = dropins }, ret, err);
}

static struct config *load_text(const char *text)
{
	CLEANUP(scratch_done) struct scratch scratch = scratch_new();
	struct config *config = NULL;
	struct err err = { 0 };

	scratch_write(&scratch, "crisp.toml", text);
	if (load(&scratch, &config, &err) < 0)
		fail_msg("%s", err.text);
	return config;
}

static void check_defaults(const struct config *config)
{
	assert_string_equal(config->root, "/var/lib/crisp");
	assert_string_equal(config->runroot, "/run/crisp");
	assert_string_equal(config->api.listen, "/run/crisp/crisp.sock");
	assert_int_equal(config->api.grpc_max_recv_msg_size, 16777216);
	assert_int_equal(config->api.workers_max, 64);
	assert_string_equal(config->api.stream_address, "127.0.0.1");
	assert_int_equal(config->api.stream_port, 0);
	assert_int_equal(config->api.stream_idle_timeout, 4 * 3600 * NS_PER_SEC);
	assert_int_equal(config->api.drain_timeout, 10 * NS_PER_SEC);
	assert_string_equal(config->runtime.default_runtime, "crun");
	assert_int_equal(config->runtime.cgroup_manager, CONFIG_CGROUPFS);
	assert_string_equal(config->runtime.conmon, "");
	assert_int_equal(config->runtime.pids_limit, -1);
	assert_int_equal(config->runtime.log_level, LOG_LEVEL_INFO);
	assert_string_equal(config->runtime.log_filter, "");
	assert_int_equal(config->runtime.log_format, LOG_FORMAT_TEXT);
	assert_int_equal(config->runtime.log_target, LOG_TARGET_AUTO);
	assert_int_equal(config->runtime.log_size_max, -1);
	assert_int_equal(config->runtime.ctr_stop_timeout, 30 * NS_PER_SEC);
	assert_int_equal(config->runtime.default_capabilities.len, 9);
	assert_string_equal(config->runtime.default_capabilities.items[0], "CHOWN");
	assert_null(config->runtime.default_capabilities.items[9]);
	assert_int_equal(config->runtime.default_sysctls.len, 0);
	assert_non_null(config->runtime.default_sysctls.items);
	assert_int_equal(config->runtime.default_env.len, 0);
	assert_int_equal(config->runtime.default_ulimits.len, 0);
	assert_int_equal(config->runtime.cdi_spec_dirs.len, 2);
	assert_string_equal(config->runtime.cdi_spec_dirs.items[1], "/var/run/cdi");
	assert_string_equal(config->runtime.hooks_dir.items[0], "/usr/share/containers/oci/hooks.d");
	assert_string_equal(config->runtime.timezone, "");
	assert_false(config->runtime.read_only);
	assert_false(config->runtime.device_ownership_from_security_context);
	assert_string_equal(config->runtime.seccomp_profile, "");
	assert_string_equal(config->runtime.apparmor_profile, "crisp-default");
	assert_int_equal(config->runtime.runtime_timeout, 120 * NS_PER_SEC);
	assert_string_equal(config->image.global_auth_file, "");
	assert_string_equal(config->image.registries_conf, "/etc/containers/registries.conf");
	assert_int_equal(config->image.insecure_registries.len, 0);
	assert_int_equal(config->image.max_parallel_downloads, 6);
	assert_int_equal(config->image.split_layers_above, 0);
	assert_int_equal(config->image.split_layers_parts, 4);
	assert_int_equal(config->image.pull_progress_timeout, 60 * NS_PER_SEC);
	assert_int_equal(config->image.image_volumes, CONFIG_VOLUMES_MKDIR);
	assert_true(config->image.sync);
	assert_string_equal(config->network.network_dir, "/etc/cni/net.d");
	assert_int_equal(config->network.plugin_dirs.len, 2);
	assert_string_equal(config->network.plugin_dirs.items[1], "/usr/lib/cni");
	assert_string_equal(config->network.cni_default_network, "");
	assert_int_equal(config->network.cni_timeout, 120 * NS_PER_SEC);
	assert_true(config->runtime.enable_pod_events);
	assert_false(config->metrics.enable_metrics);
	assert_int_equal(config->metrics.metrics_collectors.len, 0);
	assert_string_equal(config->metrics.metrics_host, "127.0.0.1");
	assert_int_equal(config->metrics.metrics_port, 9090);
	assert_string_equal(config->metrics.metrics_socket, "");
	assert_string_equal(config->metrics.metrics_cert, "");
	assert_string_equal(config->metrics.metrics_key, "");
	assert_false(config->tracing.enable_tracing);
	assert_string_equal(config->tracing.tracing_endpoint, "127.0.0.1:4318");
	assert_int_equal(config->tracing.tracing_sampling_rate_per_million, 0);
	assert_int_equal(metric_groups_of(&config->stats.included_pod_metrics), METRIC_GROUPS_ALL);

	assert_int_equal(config->runtime.runtimes_len, 2);
	const struct config_runtime *crun = &config->runtime.runtimes[0];
	assert_string_equal(crun->name, "crun");
	assert_string_equal(crun->runtime_path, "");
	assert_string_equal(crun->runtime_type, "oci");
	assert_string_equal(crun->runtime_root, "/run/crisp/crun");
	assert_int_equal(crun->monitor_env.len, 1);
	assert_int_equal(crun->allowed_annotations.len, 0);
	assert_false(crun->privileged_without_host_devices);
	assert_string_equal(crun->monitor_cgroup, "");
	assert_string_equal(config->runtime.runtimes[1].runtime_root, "/run/crisp/runc");
	assert_ptr_equal(config_find_runtime(config, ""), crun);
	assert_ptr_equal(config_find_runtime(config, "crun"), crun);
	assert_null(config_find_runtime(config, "kata"));
}

static void test_defaults(void **state UNUSED)
{
	CLEANUP(scratch_done) struct scratch scratch = scratch_new();
	CLEANUP(config_unrefp) struct config *embedded = config_defaults();
	CLEANUP(config_unrefp) struct config *absent = NULL;
	CLEANUP(config_unrefp) struct config *empty = load_text("# nothing\n");
	struct err err = { 0 };

	assert_int_equal(load(&scratch, &absent, &err), 0);
	check_defaults(embedded);
	check_defaults(absent);
	check_defaults(empty);
	assert_int_equal(absent->files.len, 0);
	assert_int_equal(empty->files.len, 1);
}

static void test_needed_file(void **state UNUSED)
{
	struct config_paths paths = { "/nonexistent/crisp.toml", "/nonexistent/crisp.toml.d", true };
	CLEANUP(config_unrefp) struct config *config = NULL;
	struct err err = { 0 };

	assert_int_equal(config_load(&paths, &config, &err), -1);
	assert_int_equal(err.code, RPC_NOT_FOUND);
	assert_string_equal(err.text, "/nonexistent/crisp.toml does not exist");
	assert_null(config);
}

static const char everything[] =
	"[crisp]\nroot = \"/srv/crisp/\"\nrunroot = \"/run/other\"\n"
	"[crisp.api]\nlisten = \"/run/other/s.sock\"\ngrpc_max_recv_msg_size = 1_048_576\nworkers_max = 4\n"
	"drain_timeout = \"1m1.5s\"\n"
	"[crisp.runtime]\ndefault_runtime = \"kata\"\ncgroup_manager = \"cgroupfs\"\nconmon = \"/usr/bin/conmon\"\n"
	"pids_limit = 1024\nlog_level = \"debug\"\nlog_filter = \"^pod [a-z]+\"\nlog_format = \"json\"\n"
	"log_target = \"journald\"\nlog_size_max = 8192\nctr_stop_timeout = 0\n"
	"default_capabilities = [\"NET_RAW\", \"CHECKPOINT_RESTORE\"]\n"
	"default_sysctls = [\"net.ipv4.ping_group_range=0 0\", \"kernel.shmmax=1\"]\n"
	"default_env = [\"A=b=c\", \"EMPTY=\", 'Q=\"\\']\nseccomp_profile = \"/etc/seccomp.json\"\n"
	"runtime_timeout = \"30s\"\nreconcile_interval = \"5s\"\n"
	"[crisp.runtime.runtimes.kata]\nruntime_path = \"/usr/bin/kata-runtime\"\nruntime_type = \"oci\"\n"
	"runtime_root = \"/run/vc\"\nmonitor_path = \"/usr/libexec/conmon\"\nmonitor_env = []\n"
	"allowed_annotations = [\"io.kubernetes.cri-o.Devices\"]\nprivileged_without_host_devices = true\n"
	"monitor_cgroup = \"/crisp-monitors\"\n"
	"[crisp.runtime.runtimes.runc]\nruntime_path = \"/opt/runc\"\n"
	"[crisp.image]\nglobal_auth_file = \"/etc/auth.json\"\nregistries_conf = \"/etc/r.conf\"\n"
	"insecure_registries = [\"localhost:5000\", \"[::1]:5000\"]\nmax_parallel_downloads = 1\n"
	"split_layers_above = \"48MiB\"\nsplit_layers_parts = 8\n"
	"pull_progress_timeout = \"0s\"\nimage_volumes = \"bind\"\nsync = false\n"
	"[crisp.network]\nnetwork_dir = \"/etc/cni/other/\"\nplugin_dirs = [\"/opt/cni/bin/\"]\n"
	"cni_default_network = \"pods\"\ncni_timeout = \"1s\"\n"
	"[crisp.metrics]\nenable_metrics = true\nmetrics_collectors = [\"operations_total\", \"process\"]\n"
	"metrics_host = \"::1\"\nmetrics_port = 0\nmetrics_socket = \"/run/m.sock\"\nmetrics_cert = \"/c.pem\"\n"
	"metrics_key = \"/k.pem\"\n"
	"[crisp.tracing]\nenable_tracing = true\ntracing_endpoint = \"https://collector:4318/v1/traces\"\n"
	"tracing_sampling_rate_per_million = 1000000\n"
	"[crisp.stats]\nincluded_pod_metrics = [\"cpu\", \"diskIO\"]\n";

static void test_every_key(void **state UNUSED)
{
	CLEANUP(config_unrefp) struct config *config = load_text(everything);

	assert_string_equal(config->root, "/srv/crisp");
	assert_int_equal(config->api.grpc_max_recv_msg_size, 1048576);
	assert_int_equal(config->api.drain_timeout, 61500 * NS_PER_MS);
	assert_string_equal(config->runtime.default_runtime, "kata");
	assert_int_equal(config->runtime.pids_limit, 1024);
	assert_int_equal(config->runtime.log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(config->runtime.log_format, LOG_FORMAT_JSON);
	assert_int_equal(config->runtime.log_target, LOG_TARGET_JOURNAL);
	assert_int_equal(config->runtime.ctr_stop_timeout, 0);
	assert_string_equal(config->runtime.default_capabilities.items[1], "CHECKPOINT_RESTORE");
	assert_string_equal(config->runtime.default_sysctls.items[0], "net.ipv4.ping_group_range=0 0");
	assert_string_equal(config->runtime.default_env.items[2], "Q=\"\\");
	assert_int_equal(config->image.insecure_registries.len, 2);
	assert_int_equal(config->image.split_layers_above, 48 << 20);
	assert_int_equal(config->image.split_layers_parts, 8);
	assert_int_equal(config->image.pull_progress_timeout, 0);
	assert_int_equal(config->image.image_volumes, CONFIG_VOLUMES_BIND);
	assert_false(config->image.sync);
	assert_string_equal(config->network.network_dir, "/etc/cni/other");
	assert_string_equal(config->network.plugin_dirs.items[0], "/opt/cni/bin");

	assert_true(config->metrics.enable_metrics);
	assert_string_equal(config->metrics.metrics_collectors.items[1], "process");
	assert_string_equal(config->metrics.metrics_host, "::1");
	assert_int_equal(config->metrics.metrics_port, 0);
	assert_string_equal(config->metrics.metrics_socket, "/run/m.sock");
	assert_string_equal(config->metrics.metrics_key, "/k.pem");
	assert_true(config->tracing.enable_tracing);
	assert_string_equal(config->tracing.tracing_endpoint, "https://collector:4318/v1/traces");
	assert_int_equal(config->tracing.tracing_sampling_rate_per_million, 1000000);
	assert_int_equal(metric_groups_of(&config->stats.included_pod_metrics),
			 1 << METRIC_GROUP_CPU | 1 << METRIC_GROUP_DISK_IO);

	assert_int_equal(config->runtime.runtimes_len, 3);
	const struct config_runtime *kata = config_find_runtime(config, "");
	assert_string_equal(kata->name, "kata");
	assert_string_equal(kata->runtime_root, "/run/vc");
	assert_string_equal(kata->monitor_path, "/usr/libexec/conmon");
	assert_int_equal(kata->monitor_env.len, 0);
	assert_true(kata->privileged_without_host_devices);
	assert_string_equal(kata->monitor_cgroup, "/crisp-monitors");
	const struct config_runtime *runc = config_find_runtime(config, "runc");
	assert_string_equal(runc->runtime_path, "/opt/runc");
	assert_string_equal(runc->runtime_root, "/run/other/runc");
}

static void check_error(const char *text, const char *expected)
{
	CLEANUP(scratch_done) struct scratch scratch = scratch_new();
	CLEANUP(config_unrefp) struct config *config = NULL;
	struct err err = { 0 };

	scratch_write(&scratch, "crisp.toml", text);
	if (load(&scratch, &config, &err) == 0)
		fail_msg("accepted: %s", text);
	assert_string_equal(scratch_cut(&scratch, err.text), expected);
	assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	assert_null(config);
}

static void test_unknown_and_misplaced(void **state UNUSED)
{
	check_error("[crisp]\nrot = \"/x\"\n", "crisp.toml:2: crisp.rot: unknown key");
	check_error("[crisp.api]\nstream_enable_tls = true\nstream_tls_cert = \"/x\"\n",
		    "crisp.toml:2: crisp.api.stream_enable_tls: stream_tls_key is not set");
	check_error(
		"[crisp.api]\nstream_tls_cipher_suites = [\"ECDHE-RSA-AES128-GCM-SHA256\"]\n",
		"crisp.toml:2: crisp.api.stream_tls_cipher_suites: \"ECDHE-RSA-AES128-GCM-SHA256\" is not a cipher "
		"suite's name");
	check_error(
		"[crisp.api]\nstream_tls_min_version = \"VersionTLS11\"\n",
		"crisp.toml:2: crisp.api.stream_tls_min_version: \"VersionTLS11\" is not one of VersionTLS12 VersionTLS13");
	check_error("\n[crisp.runtim]\na = 1\n", "crisp.toml:2: crisp.runtim: unknown table");
	check_error("[crio]\nroot = \"/x\"\n",
		    "crisp.toml:1: crio: unknown: everything is in [crisp] and the tables below it");
	check_error("crisp = 1\n", "crisp.toml:1: crisp: a table expected, not an integer");
	check_error("[crisp]\napi = \"x\"\n", "crisp.toml:2: crisp.api: a table expected, not a string");
	check_error("[[crisp.api]]\n", "crisp.toml:1: crisp.api: a table expected, not an array");
	check_error("[crisp.runtime]\nruntimes = []\n",
		    "crisp.toml:2: crisp.runtime.runtimes: a table expected, not an array");
	check_error("[crisp.runtime.runtimes]\nkata = 1\n",
		    "crisp.toml:2: crisp.runtime.runtimes.kata: a table expected, not an integer");
	check_error("[crisp.runtime.runtimes.kata]\nruntime_paht = \"/x\"\n",
		    "crisp.toml:2: crisp.runtime.runtimes.kata.runtime_paht: unknown key");
	check_error(
		"[crisp.runtime.runtimes.\"a/b\"]\n",
		"crisp.toml:1: crisp.runtime.runtimes: \"a/b\" is not a runtime's name: at most 63 of a-z A-Z 0-9 . _ -, "
		"the first a letter or digit");
	check_error("[crisp]\n\"root\\u0000x\" = 1\n", "crisp.toml:2: crisp: a key that holds a NUL byte");
	check_error("[crisp\n", "crisp.toml:1: ']' after a header expected, the line ends here");
}

static void test_wrong_types(void **state UNUSED)
{
	check_error("[crisp]\nroot = 1\n", "crisp.toml:2: crisp.root: a string expected, not an integer");
	check_error("[crisp.api]\nworkers_max = \"9\"\n",
		    "crisp.toml:2: crisp.api.workers_max: an integer expected, not a string");
	check_error("[crisp.api]\nstream_address = \"localhost\"\n",
		    "crisp.toml:2: crisp.api.stream_address: \"localhost\" is not an IP address");
	check_error("[crisp.api]\ndrain_timeout = 10\n",
		    "crisp.toml:2: crisp.api.drain_timeout: a string expected, not an integer");
	check_error("[crisp.image]\nsync = 1\n",
		    "crisp.toml:2: crisp.image.sync: a boolean expected, not an integer");
	check_error("[crisp.network]\nplugin_dirs = \"/x\"\n",
		    "crisp.toml:2: crisp.network.plugin_dirs: an array expected, not a string");
	check_error(
		"[crisp.network]\nplugin_dirs = [\n\"/x\",\n2]\n",
		"crisp.toml:4: crisp.network.plugin_dirs: an array of strings expected, not of an integer");
}

static void test_out_of_range(void **state UNUSED)
{
	check_error("[crisp.api]\ngrpc_max_recv_msg_size = 1\n",
		    "crisp.toml:2: crisp.api.grpc_max_recv_msg_size: 1 is not from 1048576 to 67108864");
	check_error("[crisp.runtime]\npids_limit = 0\n",
		    "crisp.toml:2: crisp.runtime.pids_limit: 0 is not -1 or from 1 to 4194304");
	check_error("[crisp.runtime]\nctr_stop_timeout = -1\n",
		    "crisp.toml:2: crisp.runtime.ctr_stop_timeout: -1 is not from 0 to 86400");
	check_error("[crisp.runtime]\nruntime_timeout = \"0s\"\n",
		    "crisp.toml:2: crisp.runtime.runtime_timeout: \"0s\" is not from 1s to 1h");
	check_error(
		"[crisp.runtime]\nruntime_timeout = \"soon\"\n",
		"crisp.toml:2: crisp.runtime.runtime_timeout: \"soon\" is not a duration such as \"1m30s\"");
	check_error(
		"[crisp.runtime]\nlog_level = \"loud\"\n",
		"crisp.toml:2: crisp.runtime.log_level: \"loud\" is not one of fatal panic error warn info debug trace");
	check_error("[crisp.runtime]\nlog_level = \"info\\u0000\"\n",
		    "crisp.toml:2: crisp.runtime.log_level: \"info\" is followed by a NUL byte");
	check_error("[crisp.runtime]\ncgroup_manager = \"x\"\n",
		    "crisp.toml:2: crisp.runtime.cgroup_manager: \"x\" is not one of cgroupfs systemd");
}

static void test_bad_texts(void **state UNUSED)
{
	check_error("[crisp]\nroot = \"\"\n", "crisp.toml:2: crisp.root: must not be empty");
	check_error("[crisp]\nroot = \"var\"\n", "crisp.toml:2: crisp.root: \"var\" is not an absolute path");
	check_error("[crisp]\nroot = \"/a//b\"\n",
		    "crisp.toml:2: crisp.root: \"/a//b\" holds an empty path component");
	check_error("[crisp]\nroot = \"/a/../b\"\n",
		    "crisp.toml:2: crisp.root: \"/a/../b\" holds a \".\" or \"..\" component");
	check_error("[crisp]\nroot = \"/a\\u0000b\"\n",
		    "crisp.toml:2: crisp.root: a string that holds a NUL byte");
	check_error(
		"[crisp.runtime]\nlog_filter = \"(\"\n",
		"crisp.toml:2: crisp.runtime.log_filter: \"(\" is not a POSIX extended regular expression");
	check_error(
		"[crisp.runtime]\ndefault_capabilities = [\"CAP_CHOWN\"]\n",
		"crisp.toml:2: crisp.runtime.default_capabilities: \"CAP_CHOWN\" is not a capability such as \"CHOWN\"");
	check_error(
		"[crisp.runtime]\ndefault_sysctls = [\"kernel.core_pattern=|/x\"]\n",
		"crisp.toml:2: crisp.runtime.default_sysctls: \"kernel.core_pattern=|/x\" is not a sysctl of the IPC or "
		"network namespace");
	check_error(
		"[crisp.runtime]\ndefault_sysctls = [\"net.a=1+kernel.x\\n\"]\n",
		"crisp.toml:2: crisp.runtime.default_sysctls: \"net.a=1+kernel.x\n\" holds a character that is not "
		"printable");
	check_error(
		"[crisp.runtime]\ndefault_sysctls = [\"net...kernel=1\"]\n",
		"crisp.toml:2: crisp.runtime.default_sysctls: \"net...kernel=1\" holds an empty component");
	check_error("[crisp.runtime]\ndefault_env = [\"=x\"]\n",
		    "crisp.toml:2: crisp.runtime.default_env: \"=x\" is not KEY=VALUE");
	check_error(
		"[crisp.runtime]\ndefault_ulimits = [\"nofile=2:1\"]\n",
		"crisp.toml:2: crisp.runtime.default_ulimits: \"nofile=2:1\" has a soft limit above the hard one");
	check_error(
		"[crisp.runtime]\ndefault_ulimits = [\"nofiles=1\"]\n",
		"crisp.toml:2: crisp.runtime.default_ulimits: \"nofiles=1\" is not a limit that there is, such as "
		"\"nofile\"");
	check_error(
		"[crisp.runtime]\ndefault_ulimits = [\"nofile=1:\"]\n",
		"crisp.toml:2: crisp.runtime.default_ulimits: \"nofile=1:\" is not NAME=SOFT:HARD, numbers or -1");
	check_error(
		"[crisp.runtime]\ntimezone = \"../../etc/shadow\"\n",
		"crisp.toml:2: crisp.runtime.timezone: \"../../etc/shadow\" is not \"local\" or a time zone's name such "
		"as \"Europe/Berlin\"");
	check_error("[crisp.runtime]\nhooks_dir = [\"hooks\"]\n",
		    "crisp.toml:2: crisp.runtime.hooks_dir: \"hooks\" is not an absolute path");
	check_error("[crisp.runtime]\ncdi_spec_dirs = \"/etc/cdi\"\n",
		    "crisp.toml:2: crisp.runtime.cdi_spec_dirs: an array expected, not a string");
	check_error(
		"[crisp.image]\ninsecure_registries = [\"http://x\"]\n",
		"crisp.toml:2: crisp.image.insecure_registries: \"http://x\" is not a registry's host[:port]");
	check_error("[crisp.metrics]\nmetrics_collectors = [\"Operations\"]\n",
		    "crisp.toml:2: crisp.metrics.metrics_collectors: \"Operations\" is not a metric's name");
	check_error("[crisp.metrics]\nmetrics_host = \"localhost\"\n",
		    "crisp.toml:2: crisp.metrics.metrics_host: \"localhost\" is not an IP address");
	check_error("[crisp.metrics]\nmetrics_cert = \"/etc/cert.pem\"\n",
		    "crisp.toml:1: crisp.metrics: metrics_cert and metrics_key belong together");
	check_error("[crisp.metrics]\nenable_metrics = true\nmetrics_port = 0\n",
		    "crisp.toml:1: crisp.metrics: enable_metrics needs a metrics_port or a metrics_socket");
	check_error(
		"[crisp.tracing]\ntracing_endpoint = \"grpc://x\"\n",
		"crisp.toml:2: crisp.tracing.tracing_endpoint: \"grpc://x\" is neither HOST:PORT nor an http:// or "
		"https:// URL");
	check_error(
		"[crisp.stats]\nincluded_pod_metrics = [\"cpu\", \"CPU\"]\n",
		"crisp.toml:2: crisp.stats.included_pod_metrics: \"CPU\" is none of all, cpu, disk, diskIO, hugetlb, memory, "
		"misc, network, oom, pressure, process and spec");
	check_error(
		"[crisp.tracing]\ntracing_sampling_rate_per_million = 1000001\n",
		"crisp.toml:2: crisp.tracing.tracing_sampling_rate_per_million: 1000001 is not from 0 to 1000000");
	check_error(
		"[crisp.runtime.runtimes.x]\nruntime_type = \"vm\"\n",
		"crisp.toml:2: crisp.runtime.runtimes.x.runtime_type: \"vm\" is not supported: only \"oci\" runtimes are");
}

static void test_socket_path_length(void **state UNUSED)
{
	CLEANUP(str_done) struct str text = STR_INIT;

	str_add(&text, "[crisp.api]\nlisten = \"/");
	for (int i = 0; i < 106; i++)
		str_addc(&text, 'x');
	CLEANUP(freep) char *fits = xasprintf("%s\"\n", str_get(&text));
	CLEANUP(config_unrefp) struct config *config = load_text(fits);
	assert_int_equal(strlen(config->api.listen), 107);
	CLEANUP(freep) char *longer = xasprintf("%sx\"\n", str_get(&text));
	CLEANUP(freep)
	char *expected =
		xasprintf("crisp.toml:2: crisp.api.listen: \"%sx\" is longer than the 107 bytes of a "
			  "unix socket's path",
			  str_get(&text) + strlen("[crisp.api]\nlisten = \""));
	check_error(longer, expected);
}

static void test_keys_together(void **state UNUSED)
{
	check_error("[crisp.runtime]\nlog_level = \"info\"\ndefault_runtime = \"kata\"\n",
		    "crisp.toml:3: crisp.runtime.default_runtime: there is no [crisp.runtime.runtimes.kata]");
	check_error("[crisp]\nroot = \"/x\"\nrunroot = \"/x/\"\n",
		    "crisp.toml:3: crisp.runroot: must differ from root");
	check_error("[crisp]\nroot = \"/run/crisp\"\n", "crisp.toml:2: crisp.runroot: must differ from root");
}

static void test_dropins(void **state UNUSED)
{
	CLEANUP(scratch_done) struct scratch scratch = scratch_new();
	CLEANUP(config_unrefp) struct config *config = NULL, *refused = NULL;
	struct err err = { 0 };

	scratch_write(
		&scratch, "crisp.toml",
		"[crisp.runtime]\nlog_level = \"error\"\npids_limit = 5\ndefault_env = [\"A=1\", \"B=2\"]\n");
	scratch_dir(&scratch, "crisp.toml.d");
	scratch_write(&scratch, "crisp.toml.d/20-last.toml", "crisp.runtime.log_level = \"trace\"\n");
	scratch_write(
		&scratch, "crisp.toml.d/10-first.toml",
		"[crisp.runtime]\nlog_level = \"warn\"\ndefault_env = [\"C=3\"]\n[crisp.runtime.runtimes.x]\n");
	scratch_write(&scratch, "crisp.toml.d/README", "not toml");
	assert_int_equal(load(&scratch, &config, &err), 0);
	assert_int_equal(config->runtime.log_level, LOG_LEVEL_TRACE);
	assert_int_equal(config->runtime.pids_limit, 5);
	assert_int_equal(config->runtime.default_env.len, 1);
	assert_string_equal(config->runtime.default_env.items[0], "C=3");
	assert_non_null(config_find_runtime(config, "x"));
	assert_int_equal(config->files.len, 3);
	assert_string_equal(scratch_cut(&scratch, config->files.items[1]), "crisp.toml.d/10-first.toml");

	/* An error names the file that won. */
	scratch_write(&scratch, "crisp.toml.d/15-bad.toml", "\n[crisp.runtime]\npids_limit = true\n");
	assert_int_equal(load(&scratch, &refused, &err), -1);
	assert_string_equal(
		scratch_cut(&scratch, err.text),
		"crisp.toml.d/15-bad.toml:3: crisp.runtime.pids_limit: an integer expected, not a boolean");
}

static void test_overrides(void **state UNUSED)
{
	CLEANUP(scratch_done) struct scratch scratch = scratch_new();
	CLEANUP(freep) char *file = scratch_path(&scratch, "crisp.toml");
	struct config_paths paths = { .file = file, .dropins = scratch.path };
	CLEANUP(config_unrefp) struct config *config = NULL, *refused = NULL;
	struct err err = { 0 };

	scratch_write(&scratch, "crisp.toml", "[crisp.runtime]\nlog_level = \"error\"\npids_limit = 5\n");
	scratch_write(&scratch, "10.toml", "crisp.runtime.log_level = \"warn\"\n");
	paths.overrides = "crisp.runtime.log_level = \"trace\"\n";
	assert_int_equal(config_load(&paths, &config, &err), 0);
	assert_int_equal(config->runtime.log_level, LOG_LEVEL_TRACE);
	assert_int_equal(config->runtime.pids_limit, 5);
	paths.overrides = "crisp.root = \"/r\"\ncrisp.runtime.log_level = \"loud\"\n";
	assert_int_equal(config_load(&paths, &refused, &err), -1);
	assert_string_equal(
		err.text, "command line:2: crisp.runtime.log_level: \"loud\" is not one of fatal panic error "
			  "warn info debug trace");
	paths.overrides = "crisp";
	assert_int_equal(config_load(&paths, &refused, &err), -1);
	assert_string_equal(err.text, "command line:1: '=' after a key expected, the file ends here");
	assert_null(refused);
}

static void check_round_trip(const struct config *config)
{
	CLEANUP(str_done) struct str once = STR_INIT, twice = STR_INIT;

	config_print(config, &once);
	CLEANUP(config_unrefp) struct config *back = load_text(str_get(&once));
	assert_int_equal(config_diff(config, back, NULL, NULL), 0);
	config_print(back, &twice);
	assert_string_equal(str_get(&once), str_get(&twice));
}

static void test_print(void **state UNUSED)
{
	CLEANUP(config_unrefp) struct config *defaults = config_defaults();
	CLEANUP(config_unrefp) struct config *custom = load_text(everything);
	CLEANUP(str_done) struct str out = STR_INIT;

	check_round_trip(defaults);
	check_round_trip(custom);
	config_print(custom, &out);
	assert_non_null(strstr(str_get(&out),
			       "# How long requests in progress may go on after SIGTERM (0s to 10m).\n"
			       "# Default: \"10s\"\n"
			       "drain_timeout = \"1m1s500ms\"\n"));
	assert_non_null(
		strstr(str_get(&out),
		       "# Default: \"/run/crisp\" (a change needs a restart)\nrunroot = \"/run/other\"\n"));
	assert_non_null(strstr(str_get(&out),
			       "default_env = [\n\t\"A=b=c\",\n\t\"EMPTY=\",\n\t\"Q=\\\"\\\\\",\n]\n"));
	assert_non_null(strstr(str_get(&out), "[crisp.runtime.runtimes.kata]\n"));
}

static void note_change(const struct config_change *change, void *data)
{
	str_addf(data, "%s: %s -> %s%s\n", change->key, change->old_value, change->new_value,
		 change->live ? "" : " (restart)");
}

static void test_diff(void **state UNUSED)
{
	CLEANUP(config_unrefp)
	struct config *old = load_text("[crisp.runtime.runtimes.gone]\nruntime_path = \"/g\"\n");
	CLEANUP(config_unrefp)
	struct config *next = load_text(
		"[crisp]\nroot = \"/r\"\n[crisp.runtime]\nlog_level = \"debug\"\n"
		"[crisp.runtime.runtimes.runc]\nruntime_path = \"/runc\"\n[crisp.runtime.runtimes.come]\n");
	CLEANUP(str_done) struct str notes = STR_INIT;

	assert_int_equal(config_diff(old, next, note_change, &notes), 5);
	assert_string_equal(str_get(&notes),
			    "crisp.root: \"/var/lib/crisp\" -> \"/r\" (restart)\n"
			    "crisp.runtime.log_level: \"info\" -> \"debug\"\n"
			    "crisp.runtime.runtimes.runc.runtime_path: \"\" -> \"/runc\" (restart)\n"
			    "crisp.runtime.runtimes.gone: { runtime_path = \"/g\" } ->  (restart)\n"
			    "crisp.runtime.runtimes.come:  -> { runtime_path = \"\" } (restart)\n");
	assert_int_equal(config_diff(next, next, NULL, NULL), 0);
}

static void test_references(void **state UNUSED)
{
	struct config *config = config_defaults();
	const struct config *second = config_ref(config);

	assert_ptr_equal(second, config);
	assert_null(config_unref(config));
	assert_string_equal(second->root, "/var/lib/crisp");
	assert_null(config_unref(second));
	assert_null(config_unref(NULL));
	assert_null(config_ref(NULL));
}

static void *take_and_drop(void *data)
{
	for (int i = 0; i < 10000; i++) {
		const struct config *mine = config_ref(data);
		assert_string_equal(mine->root, "/var/lib/crisp");
		config_unref(mine);
	}
	config_unref(data);
	return NULL;
}

static void test_references_from_many_threads(void **state UNUSED)
{
	struct config *config = config_defaults();
	pthread_t threads[4];

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_and_drop, config_ref(config)), 0);
	config_unref(config);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_needed_file),
		cmocka_unit_test(test_every_key),
		cmocka_unit_test(test_unknown_and_misplaced),
		cmocka_unit_test(test_wrong_types),
		cmocka_unit_test(test_out_of_range),
		cmocka_unit_test(test_bad_texts),
		cmocka_unit_test(test_socket_path_length),
		cmocka_unit_test(test_keys_together),
		cmocka_unit_test(test_dropins),
		cmocka_unit_test(test_overrides),
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_diff),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_references_from_many_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
