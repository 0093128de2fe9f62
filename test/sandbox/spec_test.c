/* config.json, field by field, and what is refused (rows 13-24 of the bad-input matrix). */
#include <sys/xattr.h>

#include "spec_fixture.h"

static struct fixture f;

static int setup(void **state)
{
	(void)state;
	fixture_open(&f);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_close(&f);
	return 0;
}

static void test_defaults(void **state)
{
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);

	(void)state;
	assert_at(spec, "ociVersion", "\"1.0.2\"");
	assert_at(spec, "process.args", "[\"/bin/sh\"]");
	assert_at(spec, "process.cwd", "\"/\"");
	assert_at(spec, "process.terminal", "false");
	assert_at(spec, "process.noNewPrivileges", "false");
	assert_at(spec, "process.oomScoreAdj", "0");
	assert_at(spec, "process.user", "{\"uid\":0,\"gid\":0,\"additionalGids\":[0]}");
	assert_at(
		spec, "process.env",
		"[\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\",\"HOSTNAME=web-0\",\"HOME=/root\"]");
	/* CVE-2022-27652 and its like. */
	assert_at(spec, "process.capabilities.inheritable", "[]");
	assert_at(spec, "process.capabilities.ambient", "[]");
	assert_at(spec, "process.rlimits", "");
	assert_at(spec, "root.readonly", "false");
	assert_at(spec, "hostname", "");
	assert_at(spec, "linux.cgroupsPath", "\"/crisp-test/c1\"");
	assert_at(spec, "linux.namespaces",
		  "[{\"type\":\"mount\"},{\"type\":\"pid\"},{\"type\":\"network\",\"path\":\"/ns/net\"},"
		  "{\"type\":\"ipc\",\"path\":\"/ns/ipc\"},{\"type\":\"uts\",\"path\":\"/ns/uts\"}]");
	assert_at(spec, "linux.resources.devices", "[{\"allow\":false,\"access\":\"rwm\"}]");
	assert_at(spec, "linux.devices", "[]");
	assert_at(spec, "linux.seccomp", "");
	assert_at(spec, "linux.rootfsPropagation", "");
	assert_mount(spec, "/sys",
		     "{\"destination\":\"/sys\",\"type\":\"sysfs\",\"source\":\"sysfs\","
		     "\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"ro\"]}");
	assert_mount(spec, "/etc/hosts",
		     "{\"destination\":\"/etc/hosts\",\"type\":\"bind\",\"source\":\"/pod/hosts\","
		     "\"options\":[\"bind\",\"rprivate\",\"nosuid\",\"nodev\",\"noexec\"]}");
	CLEANUP(freep) char *caps = fixture_at(spec, "process.capabilities.bounding");
	assert_non_null(strstr(caps, "CAP_CHOWN"));
	assert_null(strstr(caps, "CAP_SYS_ADMIN"));
}

static void add_all(struct strv *strv, const char *a, const char *b)
{
	strv_done(strv);
	*strv = (struct strv)STRV_INIT;
	if (a)
		strv_add(strv, a);
	if (b)
		strv_add(strv, b);
}

static void check_args(size_t n_command, size_t n_args, const char *expected)
{
	static char one[] = "one", two[] = "two";
	static char *command[] = { one }, *args[] = { two };

	f.config.command = command;
	f.config.n_command = n_command;
	f.config.args = args;
	f.config.n_args = n_args;
	if (!expected) {
		fixture_refused(&f, RPC_INVALID_ARGUMENT, "no command");
		return;
	}
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);
	assert_at(spec, "process.args", expected);
}

/* kubernetes.io: "Define a Command and Arguments for a Container", the table. */
static void test_command_rules(void **state)
{
	(void)state;
	add_all(&f.image.entrypoint, "/entry", "-e");
	add_all(&f.image.cmd, "cmd", NULL);
	check_args(0, 0, "[\"/entry\",\"-e\",\"cmd\"]");
	check_args(1, 0, "[\"one\"]");
	check_args(0, 1, "[\"/entry\",\"-e\",\"two\"]");
	check_args(1, 1, "[\"one\",\"two\"]");
	add_all(&f.image.entrypoint, NULL, NULL);
	check_args(0, 0, "[\"cmd\"]");
	check_args(0, 1, "[\"two\"]");
	add_all(&f.image.cmd, NULL, NULL);
	check_args(0, 0, NULL);
	add_all(&f.image.cmd, "", NULL);
	check_args(0, 0, NULL);
	f.input.image = NULL;
	check_args(0, 0, NULL);
	check_args(0, 1, "[\"two\"]");
}

static Cri__KeyValue env(const char *key, const char *value, size_t len)
{
	Cri__KeyValue pair = CRI__KEY_VALUE__INIT;

	pair.key = (char *)(uintptr_t)key;
	pair.value.data = (uint8_t *)(uintptr_t)value;
	pair.value.len = len;
	return pair;
}

static void test_environment(void **state)
{
	Cri__KeyValue pairs[] = { env("A", "request", 7), env("HOME", "/h", 2), env("EMPTY", NULL, 0),
				  env("N", "a\nb=c", 5) };
	Cri__KeyValue *list[] = { &pairs[0], &pairs[1], &pairs[2], &pairs[3] };

	(void)state;
	/* CVE-2026-57231: what has no "=" is dropped, the daemon's environment is not asked. */
	setenv("FROM_DAEMON", "leaked", 1);
	strv_add(&f.image.env, "A=image");
	strv_add(&f.image.env, "PATH=/image");
	strv_add(&f.image.env, "FROM_DAEMON");
	strv_add(&f.image.env, "F*");
	strv_add(&f.image.env, "=x");
	strv_add(&f.image.env, "B=b=b");
	f.config.envs = list;
	f.config.n_envs = 4;
	f.config.tty = true;
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);
	assert_at(spec, "process.env",
		  "[\"PATH=/image\",\"TERM=xterm\",\"HOSTNAME=web-0\",\"A=request\",\"B=b=b\",\"HOME=/h\","
		  "\"EMPTY=\",\"N=a\\nb=c\"]");
	assert_at(spec, "process.terminal", "true");

	pairs[0] = env("", "x", 1);
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "empty name");
	pairs[0] = env("A=B", "x", 1);
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "\"=\"");
	pairs[0] = env("A", "x\0y", 3);
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "NUL");
	pairs[0] = env("A", "\xff\xfe", 2);
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "UTF-8");
}

static void test_working_directory(void **state)
{
	static char dir[] = "/made//here/", fd[] = "/proc/self/fd/7", relative[] = "x", up[] = "/a/../../etc",
		    link[] = "/link/in";
	struct stat st;

	(void)state;
	f.config.working_dir = dir;
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);
	assert_at(spec, "process.cwd", "\"/made/here\"");
	assert_int_equal(fstatat(f.rootfs_fd, "made/here", &st, AT_SYMLINK_NOFOLLOW), 0);

	/* CVE-2024-21626: nothing is made for it, the start will fail. */
	f.config.working_dir = fd;
	CLEANUP(json_decrefp) json_t *odd = fixture_build(&f);
	assert_at(odd, "process.cwd", "\"/proc/self/fd/7\"");
	assert_int_equal(fstatat(f.rootfs_fd, "proc", &st, 0), -1);

	f.config.working_dir = relative;
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "working_dir");
	f.config.working_dir = up;
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "..");
	CLEANUP(freep) char *longer = xmalloc(8193);
	memset(longer, 'a', 8192);
	longer[0] = '/';
	longer[8192] = '\0';
	f.config.working_dir = longer;
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "working_dir");

	/* CVE-2026-55686: a link in the image leads nowhere but inside. */
	CLEANUP(freep) char *outside = xasprintf("%s/outside", f.dir);
	assert_int_equal(symlinkat(outside, f.rootfs_fd, "link"), 0);
	f.config.working_dir = link;
	CLEANUP(freep) char *text = NULL;
	(void)!spec_build(&f.input, &text, NULL);
	assert_int_equal(access(outside, F_OK), -1);

	/* The image's may be relative to the root. */
	f.config.working_dir = (char *)(uintptr_t) "";
	f.image.working_dir = xstrdup("srv/app");
	CLEANUP(json_decrefp) json_t *image = fixture_build(&f);
	assert_at(image, "process.cwd", "\"/srv/app\"");
}

static void test_security(void **state)
{
	static char ls[] = "/bin/ls", tmp[] = "/tmp";
	char *masked[] = { ls }, *readonly[] = { tmp };
	static char admin[] = "SYS_ADMIN", all[] = "ALL", junk[] = "JUNK";
	char *add[] = { admin }, *drop[] = { all };
	Cri__Capability capability = CRI__CAPABILITY__INIT;

	(void)state;
	capability.add_capabilities = add;
	capability.n_add_capabilities = 1;
	capability.drop_capabilities = drop;
	capability.n_drop_capabilities = 1;
	f.security.capabilities = &capability;
	f.security.no_new_privs = true;
	f.security.readonly_rootfs = true;
	f.security.masked_paths = masked;
	f.security.n_masked_paths = 1;
	f.security.readonly_paths = readonly;
	f.security.n_readonly_paths = 1;
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);
	assert_at(spec, "process.capabilities.bounding", "[\"CAP_SYS_ADMIN\"]");
	assert_at(spec, "process.capabilities.permitted", "[\"CAP_SYS_ADMIN\"]");
	assert_at(spec, "process.noNewPrivileges", "true");
	assert_at(spec, "root.readonly", "true");
	assert_at(spec, "linux.maskedPaths", "[\"/bin/ls\",\"/sys/devices/virtual/powercap\"]");
	assert_at(spec, "linux.readonlyPaths", "[\"/tmp\"]");
	CLEANUP(freep) char *hosts = fixture_mount(spec, "/etc/hosts");
	assert_non_null(strstr(hosts, "\"ro\""));

	add[0] = junk;
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "unknown capability");
	add[0] = admin;
	masked[0] = (char *)(uintptr_t) "relative";
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "masked_paths");
}

static void test_privileged(void **state)
{
	static char ls[] = "/bin/ls";
	char *masked[] = { ls };
	Cri__SecurityProfile profile = CRI__SECURITY_PROFILE__INIT;

	(void)state;
	f.security.privileged = true;
	f.security.masked_paths = masked;
	f.security.n_masked_paths = 1;
	f.security.seccomp = &profile;
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "privileged pod");
	f.pod_security.privileged = true;
	f.host.cgroup2 = true;
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);
	CLEANUP(freep) char *caps = fixture_at(spec, "process.capabilities.effective");
	CLEANUP(freep) char *devices = fixture_at(spec, "linux.devices");
	assert_non_null(strstr(caps, "CAP_SYS_ADMIN"));
	assert_non_null(strstr(caps, "CAP_CHECKPOINT_RESTORE"));
	assert_at(spec, "process.capabilities.inheritable", "[]");
	assert_at(spec, "linux.maskedPaths", "");
	assert_at(spec, "linux.seccomp", "");
	assert_at(spec, "linux.resources.devices", "[{\"allow\":true,\"access\":\"rwm\"}]");
	assert_non_null(strstr(devices, "{\"path\":\"/dev/null\",\"type\":\"c\",\"major\":1,\"minor\":3"));
	assert_null(strstr(devices, "/dev/pts/"));
	CLEANUP(freep) char *namespaces = fixture_at(spec, "linux.namespaces");
	assert_null(strstr(namespaces, "cgroup"));
	CLEANUP(freep) char *cgroup = fixture_mount(spec, "/sys/fs/cgroup");
	assert_non_null(strstr(cgroup, "\"rw\""));
	CLEANUP(freep) char *annotations = fixture_at(spec, "annotations");
	assert_null(strstr(annotations, "seccomp"));
}

static void test_seccomp(void **state)
{
	Cri__SecurityProfile profile = CRI__SECURITY_PROFILE__INIT;

	(void)state;
	f.security.seccomp = &profile;
	CLEANUP(json_decrefp) json_t *bpf = fixture_build(&f);
	CLEANUP(freep) char *annotations = fixture_at(bpf, "annotations");
	assert_non_null(strstr(annotations, "\"run.oci.seccomp_bpf_data\":\""));
	assert_at(bpf, "linux.seccomp", "");
	f.handler.seccomp_bpf_data = false;
	CLEANUP(json_decrefp) json_t *oci = fixture_build(&f);
	assert_at(oci, "linux.seccomp.defaultAction", "\"SCMP_ACT_ERRNO\"");
	CLEANUP(freep) char *none = fixture_at(oci, "annotations");
	assert_null(strstr(none, "seccomp"));
	profile.profile_type = CRI__SECURITY_PROFILE__PROFILE_TYPE__Localhost;
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "localhost_ref");
	profile.profile_type = CRI__SECURITY_PROFILE__PROFILE_TYPE__Unconfined;
	CLEANUP(json_decrefp) json_t *open = fixture_build(&f);
	assert_at(open, "linux.seccomp", "");
}

static void check_namespaces(const char *expected)
{
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);

	assert_at(spec, "linux.namespaces", expected);
}

static void test_namespaces(void **state)
{
	(void)state;
	f.input.net_ns = f.input.uts_ns = NULL;
	f.namespaces.pid = CRI__NAMESPACE_MODE__NODE;
	check_namespaces("[{\"type\":\"mount\"},{\"type\":\"ipc\",\"path\":\"/ns/ipc\"}]");
	f.namespaces.ipc = CRI__NAMESPACE_MODE__NODE;
	check_namespaces("[{\"type\":\"mount\"}]");
	f.input.ipc_ns = NULL;
	f.namespaces.pid = CRI__NAMESPACE_MODE__POD;
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "no PID namespace");
	f.input.pid_ns = "/ns/pid";
	check_namespaces("[{\"type\":\"mount\"},{\"type\":\"pid\",\"path\":\"/ns/pid\"}]");
	f.namespaces.pid = CRI__NAMESPACE_MODE__TARGET;
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "TARGET");
	f.input.target_pid_ns = "/proc/9/ns/pid";
	f.host.cgroup2 = true;
	check_namespaces(
		"[{\"type\":\"mount\"},{\"type\":\"pid\",\"path\":\"/proc/9/ns/pid\"},{\"type\":\"cgroup\"}]");
	f.namespaces.ipc = CRI__NAMESPACE_MODE__TARGET;
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "PID namespace only");
}

static Cri__IDMapping *mapping(Cri__IDMapping *ret, uint32_t container, uint32_t host, uint32_t length)
{
	*ret = (Cri__IDMapping)CRI__IDMAPPING__INIT;
	ret->container_id = container;
	ret->host_id = host;
	ret->length = length;
	return ret;
}

/* The pod's, joined by its path; a container cannot ask for another. */
static void test_user_namespace(void **state)
{
	const struct userns userns = { { 0, 100000, 65536 }, { 0, 200000, 65536 } };
	Cri__IDMapping uid, gid, *uids[] = { mapping(&uid, 0, 100000, 65536) },
				 *gids[] = { mapping(&gid, 0, 200000, 65536) };
	Cri__UserNamespace options = CRI__USER_NAMESPACE__INIT, node = CRI__USER_NAMESPACE__INIT;
	Cri__NamespaceOption pod = CRI__NAMESPACE_OPTION__INIT;

	(void)state;
	options.uids = uids;
	options.gids = gids;
	options.n_uids = options.n_gids = 1;
	pod.userns_options = &options;
	f.pod_security.namespace_options = &pod;
	f.namespaces.userns_options = &options;
	f.input.user_ns = "/ns/user";
	f.input.userns = &userns;
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);
	assert_at(spec, "linux.namespaces",
		  "[{\"type\":\"user\",\"path\":\"/ns/user\"},{\"type\":\"mount\"},{\"type\":\"pid\"},"
		  "{\"type\":\"network\",\"path\":\"/ns/net\"},{\"type\":\"ipc\",\"path\":\"/ns/ipc\"},"
		  "{\"type\":\"uts\",\"path\":\"/ns/uts\"}]");
	assert_at(spec, "linux.uidMappings", "[{\"containerID\":0,\"hostID\":100000,\"size\":65536}]");
	assert_at(spec, "linux.gidMappings", "[{\"containerID\":0,\"hostID\":200000,\"size\":65536}]");
	assert_mount(spec, "/sys",
		     "{\"destination\":\"/sys\",\"type\":\"sysfs\",\"source\":\"sysfs\","
		     "\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"ro\"]}");
	/* With the host's network: sysfs shows that, and may be mounted by its owner only. */
	f.input.net_ns = NULL;
	CLEANUP(json_decrefp) json_t *host_network = fixture_build(&f);
	assert_mount(host_network, "/sys",
		     "{\"destination\":\"/sys\",\"type\":\"bind\",\"source\":\"/sys\","
		     "\"options\":[\"rbind\",\"rprivate\",\"nosuid\",\"noexec\",\"nodev\",\"ro\"]}");

	node.mode = CRI__NAMESPACE_MODE__NODE;
	f.namespaces.userns_options = &node;
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "not those of the pod");
	f.namespaces.userns_options = &options;
	pod.userns_options = NULL;
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "not those of the pod");
	f.pod_security.namespace_options = NULL;
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "not those of the pod");
	options.n_uids = 0;
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "userns_options: ");
	f.namespaces.userns_options = NULL;
}

static void test_annotations(void **state)
{
	Cri__ContainerConfig__AnnotationsEntry entries[3];
	Cri__ContainerConfig__AnnotationsEntry *list[] = { &entries[0], &entries[1], &entries[2] };
	static char property[] = "org.systemd.property.ExecStart", bpf[] = "run.oci.seccomp_bpf_data",
		    prefix[] = "io.kubernetes.cri.container-type.x", value[] = "evil";

	(void)state;
	for (int i = 0; i < 3; i++) {
		entries[i] = (Cri__ContainerConfig__AnnotationsEntry)
			CRI__CONTAINER_CONFIG__ANNOTATIONS_ENTRY__INIT;
		entries[i].value = value;
	}
	entries[0].key = property;
	entries[1].key = bpf;
	entries[2].key = prefix;
	f.config.annotations = list;
	f.config.n_annotations = 3;
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);
	CLEANUP(freep) char *annotations = fixture_at(spec, "annotations");
	/* CVE-2024-3154, CVE-2023-6476: nothing is allowed that is not listed by its whole name. */
	assert_null(strstr(annotations, "evil"));
	assert_non_null(strstr(annotations, "\"io.kubernetes.cri.sandbox-id\":\"p1\""));
}

static void test_apparmor_and_selinux(void **state)
{
	Cri__SecurityProfile profile = CRI__SECURITY_PROFILE__INIT;
	Cri__SELinuxOption options = CRI__SELINUX_OPTION__INIT;
	static char name[] = "localhost/some-profile", level[] = "s0:c1,c2";

	(void)state;
	f.security.apparmor = &profile;
	f.security.selinux_options = &options;
	options.level = level;
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);
	assert_at(spec, "process.apparmorProfile", "");
	assert_at(spec, "process.selinuxLabel", "");
	profile.profile_type = CRI__SECURITY_PROFILE__PROFILE_TYPE__Localhost;
	profile.localhost_ref = name;
	fixture_refused(&f, RPC_FAILED_PRECONDITION, "some-profile");
	profile.profile_type = CRI__SECURITY_PROFILE__PROFILE_TYPE__Unconfined;
	f.host.selinux = true;
	CLEANUP(json_decrefp) json_t *labelled = fixture_build(&f);
	assert_at(labelled, "process.selinuxLabel", "\"system_u:system_r:container_t:s0:c1,c2\"");
	assert_at(labelled, "linux.mountLabel", "\"system_u:object_r:container_file_t:s0:c1,c2\"");
	/* The pod's own level, unless it is asked for another; nothing for one that is as the host. */
	f.security.selinux_options = NULL;
	f.input.selinux_level = "s0:c7,c8";
	CLEANUP(json_decrefp) json_t *inherited = fixture_build(&f);
	assert_at(inherited, "process.selinuxLabel", "\"system_u:system_r:container_t:s0:c7,c8\"");
	f.security.privileged = f.pod_security.privileged = true;
	CLEANUP(json_decrefp) json_t *privileged = fixture_build(&f);
	assert_at(privileged, "process.selinuxLabel", "");
	assert_at(privileged, "linux.mountLabel", "");
}

static void test_selinux_relabel(void **state)
{
	CLEANUP(freep) char *volume = xasprintf("%s/volume", f.dir);
	Cri__Mount mount = CRI__MOUNT__INIT, *mounts[] = { &mount };
	static char target[] = "/data", etc[] = "/etc";
	char label[256] = "";

	(void)state;
	assert_int_equal(mkdir(volume, 0755), 0);
	mount.host_path = volume;
	mount.container_path = target;
	mount.selinux_relabel = true;
	f.config.mounts = mounts;
	f.config.n_mounts = 1;
	f.input.selinux_level = "s0:c7,c8";
	/* Without meaning where the host has no SELinux. */
	CLEANUP(json_decrefp) json_t *plain = fixture_build(&f);
	assert_non_null(plain);
	assert_int_equal(getxattr(volume, "security.selinux", label, sizeof(label)), -1);
	f.host.selinux = true;
	CLEANUP(json_decrefp) json_t *labelled = fixture_build(&f);
	assert_non_null(labelled);
	assert_true(getxattr(volume, "security.selinux", label, sizeof(label)) > 0);
	assert_string_equal(label, "system_u:object_r:container_file_t:s0:c7,c8");
	mount.host_path = etc;
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "/etc may not be relabelled");
}

/* Asking for what is not done is answered, not ignored. */
static void test_classes(void **state)
{
	static char blockio[] = "blockio.resources.beta.kubernetes.io/container.ctr",
		    other[] = "blockio.resources.beta.kubernetes.io/container.other",
		    rdt[] = "io.kubernetes.cri.rdt-class", name[] = "ctr", gold[] = "gold";
	Cri__PodSandboxConfig__AnnotationsEntry of_pod = CRI__POD_SANDBOX_CONFIG__ANNOTATIONS_ENTRY__INIT,
						*of_pods[] = { &of_pod };
	Cri__ContainerConfig__AnnotationsEntry own = CRI__CONTAINER_CONFIG__ANNOTATIONS_ENTRY__INIT,
					       *owns[] = { &own };

	(void)state;
	f.metadata.name = name;
	f.pod.annotations = of_pods;
	f.pod.n_annotations = 1;
	of_pod.key = other;
	of_pod.value = gold;
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);
	assert_non_null(spec);
	of_pod.key = blockio;
	fixture_refused(&f, RPC_FAILED_PRECONDITION, "blockio class \"gold\"");
	f.pod.n_annotations = 0;
	f.config.annotations = owns;
	f.config.n_annotations = 1;
	own.key = rdt;
	own.value = gold;
	fixture_refused(&f, RPC_FAILED_PRECONDITION, "RDT class \"gold\"");
}

static void test_exec_process(void **state)
{
	static const char config[] =
		"{\"process\":{\"args\":[\"top\"],\"env\":[\"A=b\"],\"cwd\":\"/w\",\"terminal\":true,"
		"\"user\":{\"uid\":5,\"gid\":6}},\"root\":{}}";
	const char *args[] = { "ls", "-l" };
	struct spec_exec exec = { .config_json = config, .args = args, .args_len = 2 };
	CLEANUP(freep) char *text = NULL, *tty = NULL, *none = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(spec_exec_process(&exec, &text, &err), 0);
	assert_string_equal(text,
			    "{\"args\":[\"ls\",\"-l\"],\"env\":[\"A=b\"],\"cwd\":\"/w\",\"terminal\":false,"
			    "\"user\":{\"uid\":5,\"gid\":6}}");
	exec.tty = true;
	assert_int_equal(spec_exec_process(&exec, &tty, &err), 0);
	assert_non_null(strstr(tty, "[\"A=b\",\"TERM=xterm\"]"));
	exec.args_len = 0;
	assert_int_equal(spec_exec_process(&exec, &none, &err), -1);
	assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	CLEANUP(freep) const char **many = xcalloc(200000, sizeof(*many));
	for (size_t i = 0; i < 200000; i++)
		many[i] = "a";
	exec.args = many;
	exec.args_len = 200000;
	assert_int_equal(spec_exec_process(&exec, &none, &err), -1);
	assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	exec.args = args;
	exec.args_len = 1;
	exec.config_json = "{}";
	assert_int_equal(spec_exec_process(&exec, &none, &err), -1);
	assert_int_equal(err.code, RPC_DATA_LOSS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_defaults),        TEST(test_command_rules),
		TEST(test_environment),     TEST(test_working_directory),
		TEST(test_security),        TEST(test_privileged),
		TEST(test_seccomp),         TEST(test_namespaces),
		TEST(test_annotations),     TEST(test_apparmor_and_selinux),
		TEST(test_selinux_relabel), TEST(test_classes),
		TEST(test_exec_process),    TEST(test_user_namespace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
