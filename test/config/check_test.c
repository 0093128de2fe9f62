/*
 * The checks against a made-up host: /proc and /sys below a scratch directory, programs and CNI files of the
 * test's own. What only the real kernel can tell (system calls, overlay, capabilities) is looked at for its
 * form.
 */
#include "scratch.h"

#include <sys/statfs.h>

#include <jansson.h>

#include "config/check.h"

struct host {
	struct scratch scratch;
	struct config *config;
};

static void write_program(const struct scratch *scratch, const char *name, const char *line)
{
	CLEANUP(freep) char *path = scratch_path(scratch, name);
	CLEANUP(freep) char *text = xasprintf("#!/bin/sh\necho '%s'\n", line);

	scratch_write(scratch, name, text);
	assert_int_equal(chmod(path, 0755), 0);
}

static const char hybrid[] =
	"31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
	"32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
	"34 31 0:31 / /sys/fs/cgroup/cpuset rw shared:1 master:2 - cgroup cgroup rw,cpuset\n"
	"35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
	"39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
	"40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
	"41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

/* Points every path of the configuration into the scratch directory. */
static void load_config(struct host *host)
{
	const char *path = host->scratch.path;
	struct err err = { 0 };
	CLEANUP(freep)
	char *text = xasprintf(
		"[crisp]\nroot = \"%s/root/crisp\"\nrunroot = \"%s/run/crisp\"\n[crisp.runtime]\nconmon = "
		"\"%s/bin/conmon\"\n[crisp.runtime.runtimes.crun]\nruntime_path = \"%s/bin/crun\"\n"
		"[crisp.runtime.runtimes.runc]\nruntime_path = \"%s/bin/runc\"\n[crisp.network]\n"
		"network_dir = \"%s/net.d\"\nplugin_dirs = [\"%s/none\", \"%s/plugins\"]\n"
		"[crisp.image]\nregistries_conf = \"%s/registries.conf\"\n",
		path, path, path, path, path, path, path, path, path);
	scratch_write(&host->scratch, "crisp.toml", text);
	CLEANUP(freep) char *file = scratch_path(&host->scratch, "crisp.toml");
	if (config_load(&(struct config_paths){ .file = file, .dropins = path }, &host->config, &err) < 0)
		fail_msg("%s", err.text);
}

/* A good host on hybrid cgroups, with crun 1.14 and runc. */
static struct host host_new(void)
{
	static const char *const dirs[] = { "proc",
					    "proc/self",
					    "proc/sys",
					    "proc/sys/user",
					    "proc/sys/kernel",
					    "proc/sys/kernel/seccomp",
					    "proc/sys/fs",
					    "proc/sys/fs/inotify",
					    "proc/sys/net",
					    "proc/sys/net/ipv4",
					    "sys",
					    "sys/fs",
					    "sys/fs/cgroup",
					    "bin",
					    "net.d",
					    "plugins",
					    "root",
					    "run" };
	static const char *const files[][2] = {
		{ "proc/self/mountinfo", hybrid },
		{ "proc/filesystems", "nodev\tproc\nnodev\toverlay\n\text4\n" },
		{ "proc/sys/user/max_user_namespaces", "1000\n" },
		{ "proc/sys/kernel/seccomp/actions_avail",
		  "kill_process kill_thread errno user_notif log allow\n" },
		{ "proc/sys/fs/inotify/max_user_instances", "8192\n" },
		{ "proc/sys/fs/inotify/max_user_watches", "524288\n" },
		{ "proc/sys/net/ipv4/ip_forward", "1\n" },
		{ "sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n" },
		{ "net.d/10-pods.conflist",
		  "{\"name\": \"pods\", \"plugins\": [{\"type\": \"bridge\", \"ipam\": {\"type\": \"host-local\"}}]}" },
		{ "plugins/bridge", "" },
		{ "plugins/host-local", "" },
	};
	struct host host = { .scratch = scratch_new() };

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		scratch_dir(&host.scratch, dirs[i]);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		scratch_write(&host.scratch, files[i][0], files[i][1]);
	for (const char *const *plugin =
		     (const char *const[]){ "plugins/bridge", "plugins/host-local", NULL };
	     *plugin; plugin++) {
		CLEANUP(freep) char *file = scratch_path(&host.scratch, *plugin);
		assert_int_equal(chmod(file, 0755), 0);
	}
	write_program(&host.scratch, "bin/crun", "crun version 1.14");
	write_program(&host.scratch, "bin/runc", "runc version 1.3.3");
	write_program(&host.scratch, "bin/conmon", "conmon version 2.1.6");
	load_config(&host);
	return host;
}

static void host_done(struct host *host)
{
	config_unref(host->config);
	scratch_done(&host->scratch);
}

static struct check_report *run(const struct host *host)
{
	return check_host(&(struct check_options){ .config = host->config, .root = host->scratch.path });
}

/* Runs the checks; the finding `name` is of that status and was seen as `seen` (%s in it is the scratch
 * directory). */
static void expect(const struct host *host, const char *name, enum check_status status, const char *seen)
{
	CLEANUP(check_freep) struct check_report *report = run(host);
	const struct check_finding *finding = check_find(report, name);
	CLEANUP(str_done) struct str expected = STR_INIT;

	for (const char *at = seen; *at; at++) {
		if (str_has_prefix(at, "%s")) {
			str_add(&expected, host->scratch.path);
			at++;
		} else {
			str_addc(&expected, *at);
		}
	}
	if (!finding)
		fail_msg("no finding %s", name);
	assert_string_equal(finding->seen, str_get(&expected));
	assert_int_equal(finding->status, status);
	assert_int_equal(*finding->mend == '\0', status == CHECK_OK);
}

static void test_good_host(void **state UNUSED)
{
	CLEANUP(host_done) struct host host = host_new();

	expect(&host, "kernel.overlay", CHECK_OK, "overlay is in /proc/filesystems");
	expect(&host, "kernel.user-namespaces", CHECK_OK, "at most 1000");
	expect(&host, "kernel.inotify", CHECK_OK, "8192 instances, 524288 watches");
	expect(&host, "cgroup.mode", CHECK_OK,
	       "hybrid: v1, and a cgroup2 without controllers at /sys/fs/cgroup/unified");
	expect(&host, "cgroup.controllers", CHECK_OK, "cpu cpuacct cpuset memory pids");
	expect(&host, "runtime.crun", CHECK_OK, "%s/bin/crun (crun version 1.14), the default");
	expect(&host, "runtime.runc", CHECK_OK, "%s/bin/runc (runc version 1.3.3)");
	expect(&host, "program.conmon", CHECK_OK, "%s/bin/conmon (conmon version 2.1.6)");
	expect(&host, "network.config", CHECK_OK, "%s/net.d: 10-pods.conflist");
	expect(&host, "network.plugins", CHECK_OK, "bridge host-local");
	expect(&host, "network.ip-forward", CHECK_OK, "on");
}

static void test_kernel_lacks(void **state UNUSED)
{
	CLEANUP(host_done) struct host host = host_new();

	scratch_write(&host.scratch, "proc/filesystems", "nodev\tproc\n\tnotoverlay\n");
	scratch_write(&host.scratch, "proc/sys/user/max_user_namespaces", "0\n");
	scratch_write(&host.scratch, "proc/sys/kernel/seccomp/actions_avail", "errno allow\n");
	scratch_write(&host.scratch, "proc/sys/fs/inotify/max_user_instances", "128\n");
	scratch_write(&host.scratch, "proc/sys/net/ipv4/ip_forward", "0\n");
	expect(&host, "kernel.overlay", CHECK_FAIL, "overlay is not in /proc/filesystems");
	expect(&host, "kernel.user-namespaces", CHECK_WARN,
	       "user.max_user_namespaces is 0: pods with hostUsers: false can't run");
	expect(&host, "kernel.seccomp", CHECK_WARN, "lacks the actions: kill_process log user_notif");
	expect(&host, "kernel.inotify", CHECK_WARN,
	       "max_user_instances is 128, max_user_watches is 524288: a busy node runs out");
	expect(&host, "network.ip-forward", CHECK_WARN, "off: pods reach nothing beyond the node");
}

static void test_cgroup_modes(void **state UNUSED)
{
	CLEANUP(host_done) struct host host = host_new();
	CLEANUP(freep)
	char *covered = xasprintf("%s50 31 0:40 / /sys/fs/cgroup rw - cgroup2 none rw\n",
				  hybrid); /* v2 mounted over all */

	scratch_write(&host.scratch, "proc/self/mountinfo", covered);
	expect(&host, "cgroup.mode", CHECK_OK, "v2");
	expect(&host, "cgroup.controllers", CHECK_OK, "cpuset cpu io memory pids");
	scratch_write(&host.scratch, "sys/fs/cgroup/cgroup.controllers", "\n");
	expect(&host, "cgroup.controllers", CHECK_WARN,
	       "missing: cpu cpuset memory pids (there are: none): their limits can't be set");
	CLEANUP(freep) char *v1 = xstrndup(hybrid, (size_t)(strstr(hybrid, "41 31") - hybrid));
	scratch_write(&host.scratch, "proc/self/mountinfo", v1);
	expect(&host, "cgroup.mode", CHECK_OK, "v1");
	CLEANUP(freep) char *no_pids = xstrndup(hybrid, (size_t)(strstr(hybrid, "39 31") - hybrid));
	scratch_write(&host.scratch, "proc/self/mountinfo", no_pids);
	expect(&host, "cgroup.controllers", CHECK_WARN,
	       "missing: pids (there are: cpu cpuacct cpuset memory): their limits can't be set");
	scratch_write(&host.scratch, "proc/self/mountinfo",
		      "1 1 0:1 / / rw - ext4 /dev/sda rw\nbroken line\n\n");
	expect(&host, "cgroup.mode", CHECK_FAIL, "no cgroup hierarchy at /sys/fs/cgroup");
}

static void test_old_crun_on_hybrid(void **state UNUSED)
{
	CLEANUP(host_done) struct host host = host_new();
	CLEANUP(freep) char *v1 = xstrndup(hybrid, (size_t)(strstr(hybrid, "41 31") - hybrid));

	write_program(&host.scratch, "bin/crun", "crun version 1.8.1");
	expect(&host, "runtime.crun", CHECK_FAIL,
	       "%s/bin/crun (crun version 1.8.1) does not work on hybrid cgroups");
	scratch_write(&host.scratch, "proc/self/mountinfo", v1);
	expect(&host, "runtime.crun", CHECK_OK, "%s/bin/crun (crun version 1.8.1), the default");
}

static void test_runtimes_with_flaws(void **state UNUSED)
{
	static const struct {
		const char *version;
		enum check_status status;
	} releases[] = { { "1.1.15+ds1", CHECK_WARN }, { "1.2.7", CHECK_WARN }, { "1.2.8", CHECK_OK },
			 { "1.3.2", CHECK_WARN },      { "1.3.3", CHECK_OK },   { "1.5.1", CHECK_OK } };
	CLEANUP(host_done) struct host host = host_new();

	for (size_t i = 0; i < sizeof(releases) / sizeof(releases[0]); i++) {
		CLEANUP(freep) char *line = xasprintf("runc version %s", releases[i].version);
		CLEANUP(freep)
		char *seen =
			xasprintf("%%s/bin/runc (%s)%s", line,
				  releases[i].status == CHECK_OK
					  ? ""
					  : " is older than the mending of CVE-2025-31133, CVE-2025-52565 "
					    "and CVE-2025-52881");

		write_program(&host.scratch, "bin/runc", line);
		expect(&host, "runtime.runc", releases[i].status, seen);
	}
	write_program(&host.scratch, "bin/crun", "crun version 1.4.3");
	scratch_write(&host.scratch, "proc/self/mountinfo", "");
	expect(&host, "runtime.crun", CHECK_WARN,
	       "%s/bin/crun (crun version 1.4.3) is older than the mending of CVE-2022-27650");
}

static void test_programs_lack(void **state UNUSED)
{
	CLEANUP(host_done) struct host host = host_new();
	CLEANUP(freep) char *crun = scratch_path(&host.scratch, "bin/crun");
	CLEANUP(freep) char *runc = scratch_path(&host.scratch, "bin/runc");

	assert_int_equal(unlink(crun), 0);
	expect(&host, "runtime.crun", CHECK_FAIL,
	       "%s/bin/crun is not an executable file; it is the default_runtime");
	scratch_write(&host.scratch, "bin/runc", "#!/bin/sh\necho broken >&2\nexit 1\n");
	assert_int_equal(chmod(runc, 0755), 0);
	expect(&host, "runtime.runc", CHECK_WARN, "%s/bin/runc --version: exit code 1: broken");
	write_program(&host.scratch, "bin/conmon", "conmon version 2.0.29");
	expect(&host, "program.conmon", CHECK_FAIL, "%s/bin/conmon (conmon version 2.0.29)");
}

static void test_network_lacks(void **state UNUSED)
{
	CLEANUP(host_done) struct host host = host_new();
	CLEANUP(freep) char *conf = scratch_path(&host.scratch, "net.d/10-pods.conflist");
	CLEANUP(freep) char *dir = scratch_path(&host.scratch, "net.d");

	scratch_write(&host.scratch, "net.d/20-more.conf", "{\"type\": \"../../bin/sh\"}");
	expect(&host, "network.plugins", CHECK_FAIL, "not in %s/none:%s/plugins: ../../bin/sh");
	scratch_write(&host.scratch, "net.d/20-more.conf", "{");
	CLEANUP(check_freep) struct check_report *report = run(&host);
	assert_int_equal(check_find(report, "network.config")->status, CHECK_WARN);
	assert_non_null(strstr(check_find(report, "network.config")->seen, "/net.d: 20-more.conf: "));
	CLEANUP(freep) char *more = scratch_path(&host.scratch, "net.d/20-more.conf");
	assert_int_equal(unlink(more), 0);
	assert_int_equal(unlink(conf), 0);
	expect(&host, "network.config", CHECK_WARN, "no configuration in %s/net.d");
	assert_int_equal(rmdir(dir), 0);
	CLEANUP(check_freep) struct check_report *without = run(&host);
	assert_int_equal(check_find(without, "network.config")->status, CHECK_WARN);
	assert_null(check_find(without, "network.plugins"));
}

static void test_registries(void **state UNUSED)
{
	CLEANUP(host_done) struct host host = host_new();

	expect(&host, "image.registries", CHECK_OK, "%s/registries.conf");
	scratch_write(&host.scratch, "registries.conf", "[[registry]\n");
	CLEANUP(check_freep) struct check_report *report = run(&host);
	assert_int_equal(check_find(report, "image.registries")->status, CHECK_FAIL);
	assert_non_null(strstr(check_find(report, "image.registries")->seen, "/registries.conf:1"));
}

/* What the real kernel says is not ours to know; but the trial must leave nothing, and the findings must be
 * there. */
static void test_real_probes(void **state UNUSED)
{
	static const char *const names[] = {
		"kernel.release",       "kernel.openat2",       "kernel.pidfd",
		"kernel.clone3",        "kernel.mount-api",     "kernel.clone-into-cgroup",
		"kernel.mount-setattr", "process.capabilities", "process.open-files",
		"storage.overlay",      "storage.runroot",      "kernel.apparmor",
		"kernel.selinux",       "program.criu",         "network.firewall"
	};
	CLEANUP(host_done) struct host host = host_new();
	CLEANUP(check_freep) struct check_report *report = run(&host);
	CLEANUP(freep) char *root = scratch_path(&host.scratch, "root");
	CLEANUP(strv_done) struct strv left = STRV_INIT;
	struct statfs fs;
	struct err err = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!check_find(report, names[i]))
			fail_msg("no finding %s", names[i]);
	assert_int_equal(dir_list(AT_FDCWD, root, &left, &err), 0);
	assert_int_equal(left.len, 0);
	assert_null(check_find(report, "storage.leftover"));
	assert_null(check_find(report, "nonsense"));
	assert_int_equal(statfs(root, &fs), 0);
	bool on_tmpfs = fs.f_type == 0x01021994;
	assert_int_equal(check_find(report, "storage.runroot")->status, on_tmpfs ? CHECK_OK : CHECK_WARN);
}

static void test_output(void **state UNUSED)
{
	CLEANUP(host_done) struct host host = host_new();
	CLEANUP(str_done) struct str text = STR_INIT, json_out = STR_INIT;
	size_t len;

	write_program(&host.scratch, "bin/conmon", "conmon version 1.0 \xff");
	CLEANUP(check_freep) struct check_report *report = run(&host);
	const struct check_finding *findings = check_findings(report, &len);
	assert_string_equal(findings[0].name, "kernel.release");
	assert_int_equal(len, check_count(report, CHECK_OK) + check_count(report, CHECK_WARN) +
				      check_count(report, CHECK_FAIL));

	check_print_text(report, &text);
	assert_non_null(strstr(str_get(&text), "ok    network.ip-forward       on\n"));
	assert_non_null(
		strstr(str_get(&text), "                               -> install conmon 2.1.2 or newer\n"));

	check_print_json(report, &json_out);
	json_t *root = json_loads(str_get(&json_out), 0, NULL);
	assert_non_null(root);
	assert_int_equal(json_array_size(json_object_get(root, "findings")), len);
	assert_int_equal(json_integer_value(json_object_get(root, "ok")), check_count(report, CHECK_OK));
	assert_true(json_integer_value(json_object_get(root, "fail")) >= 1);
	size_t i;
	json_t *item;
	json_array_foreach(json_object_get(root, "findings"), i, item)
	{
		assert_string_equal(json_string_value(json_object_get(item, "name")), findings[i].name);
		if (str_eq(findings[i].name, "program.conmon"))
			assert_string_equal(json_string_value(json_object_get(item, "seen")),
					    "(not valid UTF-8)");
	}
	json_decref(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_host),           cmocka_unit_test(test_kernel_lacks),
		cmocka_unit_test(test_cgroup_modes),        cmocka_unit_test(test_old_crun_on_hybrid),
		cmocka_unit_test(test_runtimes_with_flaws), cmocka_unit_test(test_programs_lack),
		cmocka_unit_test(test_network_lacks),       cmocka_unit_test(test_registries),
		cmocka_unit_test(test_real_probes),         cmocka_unit_test(test_output),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
