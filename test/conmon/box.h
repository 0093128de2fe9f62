/*
 * A place for tests to run real containers in: a mount and network namespace of the test's own, one cgroup
 * view, and bundles over a root filesystem made of the host's busybox.
 */
#ifndef TEST_CONMON_BOX_H
#define TEST_CONMON_BOX_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "base/str.h"
#include "config/config.h"
#include "conmon/handler.h"
#include "conmon/monitor.h"

struct box {
	char *dir;
	bool cgroup2;
	struct config *config;
	struct handlers *handlers;
};

/* False when this host cannot give what the tests need (not root, no runtime): they are skipped then. */
static inline bool box_possible(void)
{
	return geteuid() == 0 && access("/bin/busybox", X_OK) == 0 && access("/usr/bin/conmon", X_OK) == 0;
}

static inline void box_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static inline void box_run(const char *script)
{
	const char *argv[] = { "sh", "-ec", script, NULL };
	struct command_result result CLEANUP(command_result_done) = { 0 };
	struct command command = { .path = "/bin/sh",
				   .argv = argv,
				   .stdout_max = 65536,
				   .stderr_max = 65536,
				   .timeout = 30 * NS_PER_SEC };
	struct err err = { 0 };

	if (command_run(&command, NULL, &result, &err) < 0 || !result.exited || result.status != 0)
		fail_msg("%s: %s %s", script, err.text, str_get(&result.err_out));
}

/* The process gets namespaces of its own; nothing that it mounts is seen outside. */
static inline void box_isolate(bool cgroup2)
{
	struct statfs st;

	assert_int_equal(unshare(CLONE_NEWNS | CLONE_NEWNET), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(statfs("/sys/fs/cgroup", &st), 0);
	if (st.f_type == 0x63677270) /* a host with cgroup v2 has that view only */
		return;
	if (cgroup2) {
		assert_int_equal(mount("none", "/sys/fs/cgroup", "cgroup2", 0, NULL), 0);
		return;
	}
	/* A hybrid host has its v2 hierarchy below the v1 ones; here are only these. */
	box_run("cd /sys/fs/cgroup; names=; for n in *; do [ $n = unified ] || [ -L $n ] || [ ! -d $n ] || names=\"$names $n\"; done;"
		"cd /; umount -R /sys/fs/cgroup; mount -t tmpfs -o mode=755 none /sys/fs/cgroup; cd /sys/fs/cgroup;"
		"for n in $names; do mkdir $n; o=$n; [ $n != systemd ] || o=none,name=systemd; mount -t cgroup -o $o none $n; done");
}

static inline void box_make_rootfs(const char *dir)
{
	CLEANUP(freep)
	char *script = xasprintf(
		"mkdir -p %s/rootfs; cd %s/rootfs; mkdir -p bin etc proc sys dev tmp lib lib64 lib/x86_64-linux-gnu;"
		"cp /bin/busybox bin/; for l in $(ldd /bin/busybox | grep -o '/[^ ]*'); do mkdir -p .$(dirname $l); cp -L $l .$l; done;"
		"cp bin/busybox bin/ls; for c in sh sleep cat echo id rm true false touch kill ps setsid head yes grep; do ln -s busybox bin/$c; done;"
		"echo root:x:0:0:root:/root:/bin/sh > etc/passwd; echo root:x:0: > etc/group",
		dir, dir);

	box_run(script);
}

static inline void box_open(struct box *box, bool cgroup2, const char *toml)
{
	char template[] = "/tmp/crisp-conmon-test.XXXXXX";
	struct err err = { 0 };

	memset(box, 0, sizeof(*box));
	assert_non_null(mkdtemp(template));
	box->dir = xstrdup(template);
	box->cgroup2 = cgroup2;
	CLEANUP(freep) char *file = xasprintf("%s/crisp.toml", box->dir);
	CLEANUP(freep)
	char *text = xasprintf("[crisp]\nroot = \"%s/root\"\nrunroot = \"%s/run\"\n%s\n", box->dir, box->dir,
			       toml ? toml : "");
	CLEANUP(freep)
	char *dirs = xasprintf("mkdir -p %s/run/exits %s/run/attach %s/log %s/none", box->dir, box->dir,
			       box->dir, box->dir);
	CLEANUP(freep) char *dropins = xasprintf("%s/none", box->dir);
	box_write(file, text);
	box_run(dirs);
	struct config_paths paths = { .file = file, .dropins = dropins, .file_needed = true };
	if (config_load(&paths, &box->config, &err) < 0)
		fail_msg("%s", err.text);
	box->handlers = handlers_open(box->config, false, &err);
	if (!box->handlers)
		fail_msg("%s", err.text);
}

/* Of its folder, and of the cgroup above those of its containers: tests run side by side. */
static inline const char *box_name(const struct box *box)
{
	return strrchr(box->dir, '/') + 1;
}

static inline void box_close(struct box *box)
{
	handlers_free(box->handlers);
	config_unref(box->config);
	if (box->dir) {
		const char *name = box_name(box);
		CLEANUP(freep)
		char *script = xasprintf(
			"for d in /sys/fs/cgroup/%s /sys/fs/cgroup/*/%s; do [ ! -d $d ] || rmdir $d; done",
			name, name);
		box_run(script);
		int dir = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		assert_int_equal(tree_remove(dir, name, NULL), 0);
		close(dir);
	}
	freep(&box->dir);
}

/* One container to be. */
struct box_container {
	char id[ID_SIZE];
	char *bundle, *run_dir, *log, *exit_dir, *attach_dir;
	struct monitor_spec spec;
	struct runtime_target target;
};

/* args: a JSON array; extra: JSON members put behind "ociVersion", with a leading comma. */
static inline void box_container(struct box *box, const char *runtime, const char *args, const char *extra,
				 struct box_container *ret)
{
	memset(ret, 0, sizeof(*ret));
	id_new(ret->id);
	ret->bundle = xasprintf("%s/b-%.8s", box->dir, ret->id);
	ret->run_dir = xasprintf("%s/r-%.8s", box->dir, ret->id);
	ret->log = xasprintf("%s/log/%.8s.log", box->dir, ret->id);
	ret->exit_dir = xasprintf("%s/run/exits", box->dir);
	ret->attach_dir = xasprintf("%s/run/attach", box->dir);
	CLEANUP(freep) char *dirs = xasprintf("mkdir -p %s %s", ret->bundle, ret->run_dir);
	CLEANUP(freep) char *file = xasprintf("%s/config.json", ret->bundle);
	CLEANUP(freep)
	char *text = xasprintf(
		"{\"ociVersion\":\"1.0.2\"%s,\"process\":{\"user\":{\"uid\":0,\"gid\":0},\"cwd\":\"/\",\"args\":%s,"
		"\"env\":[\"PATH=/bin\"]},\"root\":{\"path\":\"%s/rootfs\"},"
		"\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
		"{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"},"
		"{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\","
		"\"options\":[\"newinstance\",\"ptmxmode=0666\",\"mode=0620\"]}],"
		"\"linux\":{\"cgroupsPath\":\"/%s/%.16s\",\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"pid\"},"
		"{\"type\":\"ipc\"},{\"type\":\"uts\"},{\"type\":\"network\"}]}}",
		extra ? extra : "", args, box->dir, box_name(box), ret->id);
	box_run(dirs);
	box_write(file, text);
	const struct handler *handler = handlers_find(box->handlers, runtime);
	assert_non_null(handler);
	ret->spec = (struct monitor_spec){ .handler = handler,
					   .config = box->config,
					   .id = ret->id,
					   .name = "test",
					   .bundle = ret->bundle,
					   .run_dir = ret->run_dir,
					   .exit_dir = ret->exit_dir,
					   .attach_dir = ret->attach_dir,
					   .log_path = ret->log,
					   .log_size_max = -1,
					   .cgroup = -1 };
	ret->target = (struct runtime_target){
		.handler = handler, .config = box->config, .id = ret->id, .bundle = ret->bundle
	};
}

static inline void box_container_done(struct box_container *container)
{
	freep(&container->bundle);
	freep(&container->run_dir);
	freep(&container->log);
	freep(&container->exit_dir);
	freep(&container->attach_dir);
}

static inline char *box_read(const char *path)
{
	char *text = NULL;

	return file_read(AT_FDCWD, path, 32 * 1024 * 1024, &text, NULL, NULL) < 0 ? xstrdup("") : text;
}

/* Waits for the exit file, 10 s. */
static inline void box_wait_exit(const struct box_container *container, struct exit_status *ret)
{
	struct err err = { 0 };

	for (int i = 0; i < 2000; i++) {
		if (exit_status_read(container->exit_dir, container->id, ret, &err) == 0)
			return;
		assert_int_equal(err.code, RPC_NOT_FOUND);
		usleep(5000);
	}
	fail_msg("no exit file: %s", err.text);
}

#endif
