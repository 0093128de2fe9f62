/* What `crispd check` tells of CDI specs, hooks, the seccomp profile, monitors' cgroups and labels. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "sandbox/host_check.h"

static char dir[] = "/tmp/crisp-host-check-test.XXXXXX";

static void put(const char *name, const char *text)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", dir, name);
	CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
}

/* With these keys of [crisp.runtime] beside our own folders. */
static struct check_report *report_with(const char *keys)
{
	static void (*const more[])(struct check * check) = { host_check, NULL };
	CLEANUP(freep)
	char *text = xasprintf("[crisp.runtime]\ncdi_spec_dirs = [\"%s/cdi\"]\nhooks_dir = "
			       "[\"%s/hooks\"]\n%s\n",
			       dir, dir, keys);
	CLEANUP(freep) char *absent = xasprintf("%s/none", dir);
	const struct config_paths paths = { .file = absent, .dropins = absent, .overrides = text };
	CLEANUP(config_unrefp) struct config *config = NULL;
	struct err err = { 0 };

	if (config_load(&paths, &config, &err) < 0)
		fail_msg("%s", err.text);
	return check_host(&(struct check_options){ .config = config, .more = more });
}

static void expect(const char *keys, const char *name, enum check_status status, const char *part)
{
	CLEANUP(check_freep) struct check_report *report = report_with(keys);
	const struct check_finding *finding = check_find(report, name);

	if (!finding)
		fail_msg("no finding %s", name);
	else if (finding->status != status || !strstr(finding->seen, part))
		fail_msg("%s: %d, \"%s\"", name, (int)finding->status, finding->seen);
	else if ((status == CHECK_OK) != (*finding->mend == '\0'))
		fail_msg("%s: to mend: \"%s\"", name, finding->mend);
}

static void test_documents(void **state)
{
	(void)state;
	expect("", "sandbox.cdi", CHECK_OK, "0 specs in");
	put("cdi/good.json",
	    "{\"cdiVersion\": \"0.6.0\", \"kind\": \"vendor.com/dev\", \"devices\": [{\"name\": "
	    "\"one\", \"containerEdits\": {\"env\": [\"A=b\"]}}]}");
	expect("", "sandbox.cdi", CHECK_OK, "1 specs in");
	put("cdi/bad.json", "{");
	expect("", "sandbox.cdi", CHECK_WARN, "/cdi/bad.json: ");
	expect("", "sandbox.hooks", CHECK_OK, "0 hook files in");
	put("hooks/bad.json", "{\"version\": \"9\"}");
	expect("", "sandbox.hooks", CHECK_WARN, "/hooks/bad.json: ");
}

static void test_seccomp(void **state)
{
	CLEANUP(freep) char *keys = xasprintf("seccomp_profile = \"%s/profile.json\"", dir);

	(void)state;
	expect("", "sandbox.seccomp", CHECK_OK, "the built-in profile: ");
	expect(keys, "sandbox.seccomp", CHECK_FAIL, "/profile.json");
	put("profile.json", "{\"defaultAction\": \"SCMP_ACT_NONSENSE\"}");
	expect(keys, "sandbox.seccomp", CHECK_FAIL, "SCMP_ACT_NONSENSE");
	put("profile.json", "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"mkdir\"], "
			    "\"action\": \"SCMP_ACT_ERRNO\"}]}");
	expect(keys, "sandbox.seccomp", CHECK_OK, "/profile.json: ");
}

static void test_monitor_cgroup_and_selinux(void **state)
{
	(void)state;
	expect("", "sandbox.monitor-cgroup", CHECK_OK, "crispd's own");
	expect("[crisp.runtime.runtimes.crun]\nmonitor_cgroup = \"/monitors\"", "sandbox.monitor-cgroup",
	       CHECK_OK, "crun: /monitors");
	expect("[crisp.runtime.runtimes.crun]\nmonitor_cgroup = \"x.slice\"", "sandbox.monitor-cgroup",
	       CHECK_FAIL, "crun: monitor_cgroup");
	expect("selinux = false", "sandbox.selinux", CHECK_OK, "selinux = false");
}

static int set_up(void **state)
{
	(void)state;
	umask(022);
	if (!mkdtemp(dir))
		return -1;
	CLEANUP(freep) char *cdi = xasprintf("%s/cdi", dir);
	CLEANUP(freep) char *hooks = xasprintf("%s/hooks", dir);
	return mkdir(cdi, 0755) < 0 || mkdir(hooks, 0755) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	struct err err;
	CLEANUP(fd_closep) int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	return tree_remove(tmp, strrchr(dir, '/') + 1, &err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_seccomp),
		cmocka_unit_test(test_monitor_cgroup_and_selinux),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
