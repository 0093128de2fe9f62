/*
 * What spec_build() writes, run by the real crun and runc in both cgroup views: what a process inside sees of
 * it.
 */
#include "spec_fixture.h"
#include "test/conmon/box.h"

#include "conmon/exec.h"

static const char *const runtimes[] = { "crun", "runc" };
static struct box box;
static char *pod_file;

#define OK(call)                                                                         \
	do {                                                                             \
		struct err ok_ = { 0 };                                                  \
		if ((call) < 0)                                                          \
			fail_msg("%s: %s %s", #call, rpc_code_name(ok_.code), ok_.text); \
	} while (0)

static char cgroup[64];

static void prepare(struct fixture *f, const char *runtime, struct box_container *container)
{
	fixture_open(f);
	close(f->rootfs_fd);
	free(f->rootfs);
	f->rootfs = xasprintf("%s/rootfs", box.dir);
	f->rootfs_fd = open(f->rootfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->handler = *handlers_find(box.handlers, runtime);
	spec_host_read(f->settings, &f->host);
	box_container(&box, runtime, "[]", NULL, container);
	f->input.rootfs = f->rootfs;
	f->input.rootfs_fd = f->rootfs_fd;
	f->input.id = container->id;
	snprintf(cgroup, sizeof(cgroup), "/%s/spec", box_name(&box));
	f->input.cgroups_path = cgroup;
	f->input.net_ns = f->input.ipc_ns = f->input.uts_ns = NULL;
	f->input.hosts = f->input.resolv_conf = f->input.hostname_file = pod_file;
	f->input.shm = "/dev/shm";
}

static void start(struct fixture *f, struct box_container *container, struct monitor_started *started)
{
	CLEANUP(freep) char *path = xasprintf("%s/config.json", container->bundle);
	CLEANUP(freep) char *text = NULL;

	OK(spec_build(&f->input, &text, &ok_));
	box_write(path, text);
	OK(monitor_create(&container->spec, NULL, started, &ok_));
	OK(runtime_start(&container->target, NULL, &ok_));
}

static void finish(struct fixture *f, struct box_container *container, struct monitor_started *started)
{
	OK(runtime_delete(&container->target, NULL, &ok_));
	OK(process_wait_gone(&started->monitor, NULL, &ok_));
	exit_status_remove(container->exit_dir, container->id);
	monitor_started_done(started);
	box_container_done(container);
	fixture_close(f);
}

/* Runs a shell script in the container; "" plus what it wrote to both streams. */
static char *in_container(struct box_container *container, const struct monitor_started *started,
			  const char *script)
{
	CLEANUP(freep) char *path = xasprintf("%s/config.json", container->bundle);
	CLEANUP(freep) char *config = box_read(path);
	CLEANUP(freep) char *process = NULL;
	const char *args[] = { "/bin/sh", "-c", script };
	struct spec_exec exec = { .config_json = config, .args = args, .args_len = 3 };
	struct exec_result result CLEANUP(exec_result_done) = { 0 };

	OK(spec_exec_process(&exec, &process, &ok_));
	struct exec_spec spec = { .target = container->target,
				  .init = &started->container,
				  .process_json = process,
				  .run_dir = container->run_dir,
				  .timeout = 20 * NS_PER_SEC,
				  .output_max = 1 << 20 };
	OK(exec_sync(&spec, NULL, &result, &ok_));
	str_add(&result.out, str_get(&result.err_out));
	return str_take(&result.out);
}

static void check_inside(struct box_container *container, const struct monitor_started *started,
			 const char *script, const char *expected)
{
	CLEANUP(freep) char *got = in_container(container, started, script);

	if (!strstr(got, expected))
		fail_msg("%s: \"%s\" is not in:\n%s", script, expected, got);
}

static char sleep_command[] = "/bin/sleep", forever[] = "1000";
static char *sleeper[] = { sleep_command, forever };

static void test_restricted(void **state)
{
	static char ls[] = "/bin/ls", tmp[] = "/tmp", all[] = "ALL", bind_service[] = "NET_BIND_SERVICE";
	char *masked[] = { ls }, *readonly[] = { tmp }, *drop[] = { all }, *add[] = { bind_service };
	Cri__SecurityProfile profile = CRI__SECURITY_PROFILE__INIT;
	Cri__Capability capability = CRI__CAPABILITY__INIT;
	uint32_t groups[] = { 1234, 2000 };

	(void)state;
	capability.drop_capabilities = drop;
	capability.n_drop_capabilities = 1;
	capability.add_capabilities = add;
	capability.n_add_capabilities = 1;
	for (size_t i = 0; i < ARRAY_LEN(runtimes); i++) {
		struct fixture f;
		struct box_container container;
		struct monitor_started started;

		prepare(&f, runtimes[i], &container);
		f.config.command = sleeper;
		f.config.n_command = 2;
		f.security.seccomp = &profile;
		f.security.capabilities = &capability;
		f.security.no_new_privs = true;
		f.security.readonly_rootfs = true;
		f.security.masked_paths = masked;
		f.security.n_masked_paths = 1;
		f.security.readonly_paths = readonly;
		f.security.n_readonly_paths = 1;
		f.user.uid = 1000;
		f.user.gid = 2000;
		f.user.groups = groups;
		f.user.groups_len = 2;
		start(&f, &container, &started);
		check_inside(&container, &started, "id -u; id -g; id -G", "1000\n2000\n2000 1234");
		for (int pid = 0; pid < 2; pid++) { /* of the container's own process and of the exec's */
			const char *status = pid ? "cat /proc/self/status" : "cat /proc/1/status";

			check_inside(&container, &started, status, "Seccomp:\t2\n");
			check_inside(&container, &started, status, "NoNewPrivs:\t1\n");
			check_inside(&container, &started, status, "CapInh:\t0000000000000000\n");
			check_inside(&container, &started, status, "CapAmb:\t0000000000000000\n");
			check_inside(&container, &started, status, "CapBnd:\t0000000000000400\n");
			check_inside(&container, &started, status, "CapEff:\t0000000000000000\n");
		}
		check_inside(&container, &started, "cat /etc/hosts /etc/resolv.conf /etc/hostname",
			     "127.0.0.1 localhost\n");
		check_inside(&container, &started, "touch /x", "Read-only file system");
		check_inside(&container, &started, "touch /tmp/x", "Read-only file system");
		check_inside(&container, &started, "/bin/ls", "ermission denied");
		check_inside(&container, &started, "cat /proc/mounts", " /sys/fs/cgroup ");
		check_inside(&container, &started, "cat /proc/self/oom_score_adj; echo $HOME", "\n/root\n");
		finish(&f, &container, &started);
	}
}

static void test_root_and_mounts(void **state)
{
	static char all[] = "ALL", data[] = "/data", sub[] = "/data/sub";
	char *add[] = { all };
	Cri__Capability capability = CRI__CAPABILITY__INIT;
	Cri__Mount mounts[] = { CRI__MOUNT__INIT, CRI__MOUNT__INIT };
	Cri__Mount *list[] = { &mounts[1], &mounts[0] };

	(void)state;
	capability.add_capabilities = add;
	capability.n_add_capabilities = 1;
	for (size_t i = 0; i < ARRAY_LEN(runtimes); i++) {
		CLEANUP(freep) char *host = xasprintf("%s/host-%zu", box.dir, i);
		CLEANUP(freep) char *inner = xasprintf("%s/inner-%zu", box.dir, i);
		CLEANUP(freep)
		char *mount =
			xasprintf("mkdir -p %s/sub %s/tmpfs; mount -t tmpfs none %s/tmpfs", host, host, host);
		CLEANUP(freep) char *unmount = xasprintf("umount %s/tmpfs", host);
		struct fixture f;
		struct box_container container;
		struct monitor_started started;

		box_run(mount);
		prepare(&f, runtimes[i], &container);
		mounts[0].container_path = data;
		mounts[0].host_path = host;
		mounts[0].readonly = mounts[0].recursive_read_only = true;
		mounts[1].container_path = sub;
		mounts[1].host_path = inner;
		f.config.mounts = list;
		f.config.n_mounts = 2;
		f.config.command = sleeper;
		f.config.n_command = 2;
		f.security.capabilities = &capability;
		start(&f, &container, &started);
		check_inside(&container, &started, "cat /proc/self/status", "Seccomp:\t0\n");
		check_inside(&container, &started, "cat /proc/self/status", "NoNewPrivs:\t0\n");
		check_inside(&container, &started, "touch /data/x", "Read-only file system");
		check_inside(&container, &started, "touch /data/tmpfs/x", "Read-only file system");
		check_inside(&container, &started, "touch /data/sub/x && echo fine", "fine");
		check_inside(&container, &started, "touch /y && rm /y && echo fine", "fine");
		finish(&f, &container, &started);
		box_run(unmount);
		CLEANUP(freep) char *made = xasprintf("%s/x", inner);
		assert_int_equal(access(made, F_OK), 0);
	}
}

static void test_privileged_with_limits(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(runtimes); i++) {
		struct fixture f;
		struct box_container container;
		struct monitor_started started;

		prepare(&f, runtimes[i], &container);
		f.config.command = sleeper;
		f.config.n_command = 2;
		f.security.privileged = f.pod_security.privileged = true;
		f.resources.oom_score_adj = -998;
		if (!box.cgroup2) { /* the tests' v2 view has no controllers */
			f.resources.memory_limit_in_bytes = 64 << 20;
			f.resources.cpu_shares = 100;
		}
		start(&f, &container, &started);
		check_inside(&container, &started, "ls /dev; ls -d /dev/null", "/dev/null");
		check_inside(&container, &started, "cat /proc/self/status", "Seccomp:\t0\n");
		CLEANUP(freep) char *score = xasprintf("%d\n", spec_oom_score_adj(&f.host, -998));
		check_inside(&container, &started, "cat /proc/1/oom_score_adj", score);
		finish(&f, &container, &started);
	}
}

static int setup(bool cgroup2)
{
	box_isolate(cgroup2);
	box_open(&box, cgroup2, NULL);
	box_make_rootfs(box.dir);
	pod_file = xasprintf("%s/pod-file", box.dir);
	box_write(pod_file, "127.0.0.1 localhost\n");
	return 0;
}

static int setup_v1(void **state)
{
	(void)state;
	return setup(false);
}

static int setup_v2(void **state)
{
	(void)state;
	return setup(true);
}

static int teardown(void **state)
{
	(void)state;
	freep(&pod_file);
	box_close(&box);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_restricted),
		cmocka_unit_test(test_root_and_mounts),
		cmocka_unit_test(test_privileged_with_limits),
	};

	if (!box_possible()) {
		puts("skipped: needs root, busybox and conmon");
		return 0;
	}
	return cmocka_run_group_tests_name("cgroup v1", tests, setup_v1, teardown) +
	       cmocka_run_group_tests_name("cgroup v2", tests, setup_v2, teardown);
}
