/*
 * A request for a container with everything that sandbox/spec.h reads, to be changed by a test in one place.
 */
#ifndef TEST_SANDBOX_SPEC_FIXTURE_H
#define TEST_SANDBOX_SPEC_FIXTURE_H

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
#include "base/json.h"
#include "sandbox/spec.h"

struct fixture {
	char *dir, *rootfs;
	int rootfs_fd;
	struct config *settings;
	struct seccomps *seccomps;
	struct handler handler;
	struct spec_host host;
	struct image_config image;
	struct user user;
	uint32_t groups[1];

	Cri__PodSandboxConfig pod;
	Cri__PodSandboxMetadata pod_metadata;
	Cri__LinuxPodSandboxConfig pod_linux;
	Cri__LinuxSandboxSecurityContext pod_security;
	Cri__ContainerConfig config;
	Cri__ContainerMetadata metadata;
	Cri__LinuxContainerConfig linux_config;
	Cri__LinuxContainerSecurityContext security;
	Cri__LinuxContainerResources resources;
	Cri__NamespaceOption namespaces;
	struct spec_input input;
};

static char fixture_sh[] = "/bin/sh";
static char *fixture_command[] = { fixture_sh };

static inline void fixture_messages(struct fixture *f)
{
	f->pod = (Cri__PodSandboxConfig)CRI__POD_SANDBOX_CONFIG__INIT;
	f->pod_metadata = (Cri__PodSandboxMetadata)CRI__POD_SANDBOX_METADATA__INIT;
	f->pod_linux = (Cri__LinuxPodSandboxConfig)CRI__LINUX_POD_SANDBOX_CONFIG__INIT;
	cri__linux_sandbox_security_context__init(&f->pod_security);
	f->config = (Cri__ContainerConfig)CRI__CONTAINER_CONFIG__INIT;
	f->metadata = (Cri__ContainerMetadata)CRI__CONTAINER_METADATA__INIT;
	f->linux_config = (Cri__LinuxContainerConfig)CRI__LINUX_CONTAINER_CONFIG__INIT;
	cri__linux_container_security_context__init(&f->security);
	f->resources = (Cri__LinuxContainerResources)CRI__LINUX_CONTAINER_RESOURCES__INIT;
	f->namespaces = (Cri__NamespaceOption)CRI__NAMESPACE_OPTION__INIT;
	f->pod.metadata = &f->pod_metadata;
	f->pod.linux = &f->pod_linux;
	f->pod_linux.security_context = &f->pod_security;
	f->config.metadata = &f->metadata;
	f->config.linux = &f->linux_config;
	f->config.command = fixture_command;
	f->config.n_command = 1;
	f->linux_config.security_context = &f->security;
	f->linux_config.resources = &f->resources;
	f->security.namespace_options = &f->namespaces;
	f->namespaces.pid = CRI__NAMESPACE_MODE__CONTAINER;
}

static inline void fixture_open(struct fixture *f)
{
	char template[] = "/tmp/crisp-spec-test.XXXXXX";

	memset(f, 0, sizeof(*f));
	assert_non_null(mkdtemp(template));
	f->dir = xstrdup(template);
	f->rootfs = xasprintf("%s/rootfs", template);
	assert_int_equal(mkdir(f->rootfs, 0755), 0);
	f->rootfs_fd = open(f->rootfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->settings = config_defaults();
	f->seccomps = seccomps_new(f->settings);
	f->handler = (struct handler){
		.name = "crun", .is_crun = true, .recursive_read_only_mounts = true, .seccomp_bpf_data = true
	};
	f->host = (struct spec_host){ .swap_accounting = true,
				      .rro_mounts = true,
				      .can_lower_oom_score = true,
				      .can_raise_memlock = true,
				      .capabilities = (UINT64_C(1) << 41) - 1 };
	f->user = (struct user){ .groups = f->groups,
				 .groups_len = 1,
				 .name = (char *)(uintptr_t) "",
				 .home = (char *)(uintptr_t) "/root" };
	fixture_messages(f);
	f->input = (struct spec_input){ .config = &f->config,
					.pod_config = &f->pod,
					.settings = f->settings,
					.handler = &f->handler,
					.host = &f->host,
					.seccomps = f->seccomps,
					.id = "c1",
					.pod_id = "p1",
					.cgroups_path = "/crisp-test/c1",
					.image = &f->image,
					.user = &f->user,
					.rootfs = f->rootfs,
					.rootfs_fd = f->rootfs_fd,
					.net_ns = "/ns/net",
					.ipc_ns = "/ns/ipc",
					.uts_ns = "/ns/uts",
					.hosts = "/pod/hosts",
					.hostname_file = "/pod/hostname",
					.resolv_conf = "/pod/resolv.conf",
					.shm = "/pod/shm",
					.hostname = "web-0" };
}

static inline void fixture_close(struct fixture *f)
{
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	seccomps_free(f->seccomps);
	config_unref(f->settings);
	strv_done(&f->image.env);
	strv_done(&f->image.entrypoint);
	strv_done(&f->image.cmd);
	strv_done(&f->image.volumes);
	free(f->image.working_dir);
	close(f->rootfs_fd);
	assert_int_equal(tree_remove(tmp, strrchr(f->dir, '/') + 1, NULL), 0);
	close(tmp);
	free(f->dir);
	free(f->rootfs);
}

static inline json_t *fixture_build(struct fixture *f)
{
	CLEANUP(freep) char *text = NULL;
	struct err err = { 0 };
	json_t *json = NULL;

	if (spec_build(&f->input, &text, &err) < 0)
		fail_msg("%s: %s", rpc_code_name(err.code), err.text);
	assert_int_equal(json_parse(text, strlen(text), SPEC_JSON_MAX, &json, &err), 0);
	return json;
}

static inline void fixture_refused(struct fixture *f, enum rpc_code code, const char *part)
{
	CLEANUP(freep) char *text = NULL;
	struct err err = { 0 };

	if (spec_build(&f->input, &text, &err) == 0)
		fail_msg("built, \"%s\" expected", part);
	if (err.code != code || !strstr(err.text, part))
		fail_msg("%s: %s; %s \"%s\" expected", rpc_code_name(err.code), err.text, rpc_code_name(code),
			 part);
}

/* "process.args" as compact text; "" when absent. */
static inline char *fixture_at(const json_t *json, const char *path)
{
	struct strv keys CLEANUP(strv_done) = STRV_INIT;

	strv_split(&keys, path, '.');
	for (size_t i = 0; i < keys.len && json; i++)
		json = json_object_get(json, keys.items[i]);
	return json ? json_text(json) : xstrdup("");
}

#define assert_at(json, path, expected)                                           \
	do {                                                                      \
		CLEANUP(freep) char *at_ = fixture_at((json), (path));            \
		if (strcmp(at_, (expected)) != 0)                                 \
			fail_msg("%s: %s, %s expected", (path), at_, (expected)); \
	} while (0)

/* The mount at a destination as compact text; "" when there is none. */
static inline char *fixture_mount(const json_t *json, const char *destination)
{
	json_t *mount;
	size_t i;

	json_array_foreach(json_object_get(json, "mounts"), i,
			   mount) if (strcmp(json_string_value(json_object_get(mount, "destination")),
					     destination) == 0) return json_text(mount);
	return xstrdup("");
}

#define assert_mount(json, destination, expected)                                           \
	do {                                                                                \
		CLEANUP(freep) char *mount_ = fixture_mount((json), (destination));         \
		if (strcmp(mount_, (expected)) != 0)                                        \
			fail_msg("%s: %s, %s expected", (destination), mount_, (expected)); \
	} while (0)

#endif
