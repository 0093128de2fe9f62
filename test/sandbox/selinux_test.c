/*
 * SELinux: labels from options, levels, relabelling. Labels are written to a kernel without SELinux as well,
 * which keeps them for root.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/str.h"
#include "sandbox/selinux.h"

struct asked { /* of a pod and a container in it */
	Cri__PodSandboxConfig pod;
	Cri__LinuxPodSandboxConfig pod_linux;
	Cri__LinuxSandboxSecurityContext pod_security;
	Cri__NamespaceOption pod_namespaces;
	Cri__SELinuxOption pod_options, options;
	Cri__ContainerConfig container;
	Cri__LinuxContainerConfig linux_config;
	Cri__LinuxContainerSecurityContext security;
	Cri__NamespaceOption namespaces;
	struct selinux_request request;
};

static struct config *config;

static void asked_init(struct asked *asked)
{
	asked->pod = (Cri__PodSandboxConfig)CRI__POD_SANDBOX_CONFIG__INIT;
	asked->pod_linux = (Cri__LinuxPodSandboxConfig)CRI__LINUX_POD_SANDBOX_CONFIG__INIT;
	cri__linux_sandbox_security_context__init(&asked->pod_security);
	asked->pod_namespaces = (Cri__NamespaceOption)CRI__NAMESPACE_OPTION__INIT;
	asked->pod_options = asked->options = (Cri__SELinuxOption)CRI__SELINUX_OPTION__INIT;
	asked->container = (Cri__ContainerConfig)CRI__CONTAINER_CONFIG__INIT;
	asked->linux_config = (Cri__LinuxContainerConfig)CRI__LINUX_CONTAINER_CONFIG__INIT;
	cri__linux_container_security_context__init(&asked->security);
	asked->namespaces = (Cri__NamespaceOption)CRI__NAMESPACE_OPTION__INIT;
	asked->pod.linux = &asked->pod_linux;
	asked->pod_linux.security_context = &asked->pod_security;
	asked->pod_security.namespace_options = &asked->pod_namespaces;
	asked->pod_security.selinux_options = &asked->pod_options;
	asked->container.linux = &asked->linux_config;
	asked->linux_config.security_context = &asked->security;
	asked->security.namespace_options = &asked->namespaces;
	asked->security.selinux_options = &asked->options;
	asked->request = (struct selinux_request){ config, &asked->pod, &asked->container, "s0:c1,c2" };
}

static void expect(const struct asked *asked, const char *process, const char *mount)
{
	struct selinux_labels labels CLEANUP(selinux_labels_done) = { 0 };

	selinux_labels(&asked->request, &labels);
	assert_string_equal(labels.process ? labels.process : "none", process);
	assert_string_equal(labels.mount ? labels.mount : "none", mount);
}

static void test_labels(void **state)
{
	static char type[] = "container_init_t", level[] = "s0:c5", user[] = "staff_u", own[] = "s0:c6";
	struct asked asked;

	(void)state;
	asked_init(&asked);
	expect(&asked, "system_u:system_r:container_t:s0:c1,c2",
	       "system_u:object_r:container_file_t:s0:c1,c2");
	/* The pod's options hold for its containers, whose own go before them, part by part. */
	asked.pod_options.type = type;
	asked.pod_options.level = level;
	expect(&asked, "system_u:system_r:container_init_t:s0:c5",
	       "system_u:object_r:container_file_t:s0:c5");
	asked.options.user = user;
	asked.options.level = own;
	expect(&asked, "staff_u:system_r:container_init_t:s0:c6", "staff_u:object_r:container_file_t:s0:c6");
	/* The pod's files know nothing of a container. */
	asked.request.container = NULL;
	expect(&asked, "system_u:system_r:container_init_t:s0:c5",
	       "system_u:object_r:container_file_t:s0:c5");
}

static void test_not_apart_from_the_host(void **state)
{
	struct asked asked;

	(void)state;
	asked_init(&asked);
	asked.security.privileged = true;
	expect(&asked, "none", "none");
	asked_init(&asked);
	asked.namespaces.pid = CRI__NAMESPACE_MODE__NODE;
	expect(&asked, "none", "none");
	asked_init(&asked);
	asked.pod_namespaces.ipc = CRI__NAMESPACE_MODE__NODE;
	asked.request.container = NULL;
	expect(&asked, "none", "none");
	asked_init(&asked);
	asked.pod_namespaces.network = CRI__NAMESPACE_MODE__NODE;
	expect(&asked, "none", "system_u:object_r:container_file_t:s0:c1,c2");
}

static void test_options_are_checked(void **state)
{
	static char colon[] = "a:b", level[] = "s0:c1,c2-s1:c1.c3", line[] = "s0\n", many[300];
	Cri__SELinuxOption options = CRI__SELINUX_OPTION__INIT;
	struct err err = { 0 };

	(void)state;
	memset(many, 'a', sizeof(many) - 1);
	assert_int_equal(selinux_check(NULL, &err), 0);
	options.level = level;
	assert_int_equal(selinux_check(&options, &err), 0);
	options.level = line;
	assert_int_equal(selinux_check(&options, &err), -1);
	assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	options.level = level;
	options.type = colon;
	assert_int_equal(selinux_check(&options, &err), -1);
	options.type = many;
	assert_int_equal(selinux_check(&options, &err), -1);
}

static void test_levels(void **state)
{
	enum { MANY = 2000 };
	struct selinux_levels *levels = selinux_levels_new();
	CLEANUP(strv_done) struct strv taken = STRV_INIT;
	struct err err = { 0 };
	char *level;

	(void)state;
	selinux_levels_keep(levels, "s0:c1,c2");
	strv_add(&taken, "s0:c1,c2");
	for (int i = 0; i < MANY; i++) {
		unsigned int a, b;

		assert_int_equal(selinux_levels_take(levels, &level, &err), 0);
		assert_int_equal(sscanf(level, "s0:c%u,c%u", &a, &b), 2);
		assert_true(a < b && b < 1024);
		assert_false(strv_has(&taken, level));
		strv_add_take(&taken, level);
	}
	for (size_t i = 0; i < taken.len; i++)
		selinux_levels_drop(levels, taken.items[i]);
	selinux_levels_drop(levels, NULL);
	selinux_levels_free(levels);
}

static char dir[] = "/tmp/crisp-selinux-test.XXXXXX";

static char *label_of(const char *name)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", dir, name);
	static char label[256];
	ssize_t len = lgetxattr(path, "security.selinux", label, sizeof(label) - 1);

	label[len < 0 ? 0 : len] = '\0';
	return label;
}

static void make_file(const char *name)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", dir, name);
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	close(fd);
}

static void test_relabel(void **state)
{
	static const char label[] = "system_u:object_r:container_file_t:s0:c1,c2";
	static const char *const all[] = { "volume",          "volume/file", "volume/sub",
					   "volume/sub/file", "volume/link", "volume/fifo" };
	CLEANUP(freep) char *volume = xasprintf("%s/volume", dir);
	CLEANUP(freep) char *sub = xasprintf("%s/sub", volume);
	CLEANUP(freep) char *link = xasprintf("%s/link", volume);
	CLEANUP(freep) char *fifo = xasprintf("%s/fifo", volume);
	struct err err = { 0 };

	(void)state;
	assert_int_equal(mkdir(volume, 0755), 0);
	assert_int_equal(mkdir(sub, 0700), 0);
	make_file("outside");
	make_file("volume/file");
	make_file("volume/sub/file");
	assert_int_equal(symlink("../outside", link), 0);
	assert_int_equal(mkfifo(fifo, 0600), 0); /* nobody may wait for its other end */
	if (selinux_relabel(volume, label, &err) < 0)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (!str_eq(label_of(all[i]), label))
			fail_msg("%s has \"%s\"", all[i], label_of(all[i]));
	assert_string_equal(label_of("outside"), "");
	assert_int_equal(selinux_relabel(volume, "system_u:object_r:container_file_t:s0", &err), 0);
	assert_string_equal(label_of("volume/sub/file"), "system_u:object_r:container_file_t:s0");
}

static void test_relabel_refused(void **state)
{
	static const char *const places[] = { "/", "/etc", "/usr", "/var/lib", "/home", "/run" };
	struct err err = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		assert_int_equal(selinux_relabel(places[i], "a:b:c:s0", &err), -1);
		assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	}
	assert_int_equal(selinux_relabel("/tmp/crisp-there-is-none", "a:b:c:s0", &err), -1);
}

static int set_up(void **state)
{
	(void)state;
	config = config_defaults();
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	struct err err;
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	config_unref(config);
	int failed = tree_remove(tmp, strrchr(dir, '/') + 1, &err);
	close(tmp);
	return failed;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_not_apart_from_the_host),
		cmocka_unit_test(test_options_are_checked),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_relabel),
		cmocka_unit_test(test_relabel_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
