/* Pins of namespaces: made by mounts, so everything runs in a mount namespace of the test's own. */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "sandbox/namespaces.h"

static char root[] = "/tmp/crisp-namespaces-XXXXXX";

static ino_t inode(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_ino;
}

static struct process self(void)
{
	struct process process = PROCESS_INIT;
	struct err err;

	assert_int_equal(process_open(getpid(), 0, &process, &err), 0);
	return process;
}

static void test_names(void **state)
{
	CLEANUP(freep) char *path = namespace_path("/run/x", NAMESPACE_NET);

	(void)state;
	assert_string_equal(path, "/run/x/net");
	assert_string_equal(namespace_name(NAMESPACE_PID), "pid");
	assert_string_equal(namespace_oci_name(NAMESPACE_NET), "network");
	assert_string_equal(namespace_oci_name(NAMESPACE_UTS), "uts");
}

static void test_pin_and_unpin(void **state)
{
	CLEANUP(freep) char *dir = xasprintf("%s/a/b", root);
	CLEANUP(freep) char *net = namespace_path(dir, NAMESPACE_NET);
	CLEANUP(process_done) struct process process = self();
	struct err err;

	(void)state;
	assert_int_equal(namespaces_pin(dir, &process, NAMESPACE_NET | NAMESPACE_IPC | NAMESPACE_UTS, &err),
			 0);
	assert_int_equal(inode(net), inode("/proc/self/ns/net"));
	assert_true(namespace_pinned(dir, NAMESPACE_NET));
	assert_true(namespace_pinned(dir, NAMESPACE_IPC));
	assert_true(namespace_pinned(dir, NAMESPACE_UTS));
	assert_false(namespace_pinned(dir, NAMESPACE_PID));
	assert_int_equal(namespaces_unpin(dir, &err), 0);
	assert_int_equal(access(dir, F_OK), -1);
	assert_int_equal(namespaces_unpin(dir, &err), 0);
	assert_false(namespace_pinned(dir, NAMESPACE_NET));
}

static void test_pinned_twice_and_stacked(void **state)
{
	CLEANUP(freep) char *dir = xasprintf("%s/twice", root);
	CLEANUP(freep) char *net = namespace_path(dir, NAMESPACE_NET);
	CLEANUP(process_done) struct process process = self();
	struct err err;

	(void)state;
	assert_int_equal(namespaces_pin(dir, &process, NAMESPACE_NET, &err), 0);
	assert_int_equal(namespaces_pin(dir, &process, NAMESPACE_NET, &err), 0);
	assert_int_equal(mount("/proc/self/ns/net", net, NULL, MS_BIND, NULL), 0);
	assert_int_equal(namespaces_unpin(dir, &err), 0);
	assert_int_equal(access(dir, F_OK), -1);
}

/* Fault matrix 28: the pin is replaced by a plain file. */
static void test_plain_file_is_no_pin(void **state)
{
	CLEANUP(freep) char *dir = xasprintf("%s/plain", root);
	CLEANUP(freep) char *net = namespace_path(dir, NAMESPACE_NET);
	CLEANUP(freep) char *ipc = namespace_path(dir, NAMESPACE_IPC);
	CLEANUP(process_done) struct process process = self();
	struct err err;

	(void)state;
	assert_int_equal(namespaces_pin(dir, &process, NAMESPACE_NET | NAMESPACE_IPC, &err), 0);
	assert_int_equal(umount2(net, MNT_DETACH), 0);
	assert_false(namespace_pinned(dir, NAMESPACE_NET));
	/* A namespace of another kind is none either. */
	assert_int_equal(mount("/proc/self/ns/uts", net, NULL, MS_BIND, NULL), 0);
	assert_false(namespace_pinned(dir, NAMESPACE_NET));
	/* Nor is a FIFO, which must not block. */
	assert_int_equal(umount2(ipc, MNT_DETACH), 0);
	assert_int_equal(unlink(ipc), 0);
	assert_int_equal(mkfifo(ipc, 0600), 0);
	assert_false(namespace_pinned(dir, NAMESPACE_IPC));
	assert_int_equal(namespaces_unpin(dir, &err), 0);
	assert_int_equal(access(dir, F_OK), -1);
}

static void test_dead_process_is_not_pinned(void **state)
{
	CLEANUP(freep) char *dir = xasprintf("%s/dead", root);
	static const char *const argv[] = { "true", NULL };
	const struct command command = { .path = "true", .argv = argv };
	CLEANUP(process_done) struct process process = PROCESS_INIT;
	struct err err;
	int status;

	(void)state;
	assert_int_equal(command_start(&command, &process, &err), 0);
	assert_int_equal(process_wait_gone(&process, NULL, &err), 0);
	/* A zombie: its /proc folder is still there, its namespaces are not. */
	assert_int_equal(namespaces_pin(dir, &process, NAMESPACE_NET, &err), -1);
	assert_int_equal(access(dir, F_OK), -1);
	assert_int_equal(process_wait(&process, NULL, &status, &err), 0);
	assert_int_equal(namespaces_pin(dir, &process, NAMESPACE_NET, &err), -1);
	assert_int_equal(access(dir, F_OK), -1);
}

static void test_sysctls(void **state)
{
	static const struct {
		const char *key;
		unsigned int kind;
	} rows[] = {
		{ "net.ipv4.ip_forward", NAMESPACE_NET },
		{ "net/ipv4/ip_forward", NAMESPACE_NET },
		{ "kernel.shm_rmid_forced", NAMESPACE_IPC },
		{ "kernel/shmmax", NAMESPACE_IPC },
		{ "kernel.msgmax", NAMESPACE_IPC },
		{ "kernel.sem", NAMESPACE_IPC },
		{ "fs.mqueue.msg_max", NAMESPACE_IPC },
		{ "kernel.domainname", NAMESPACE_UTS },
		{ "kernel.semx", 0 },
		{ "kernel.hostname", 0 },
		{ "kernel.core_pattern", 0 },
		{ "vm.swappiness", 0 },
		{ "netx.y", 0 },
		{ "net", 0 },
		{ "fs.mqueue", 0 },
		{ "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		print_message("%s\n", rows[i].key);
		assert_int_equal(namespace_of_sysctl(rows[i].key), rows[i].kind);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_pin_and_unpin),
		cmocka_unit_test(test_pinned_twice_and_stacked),
		cmocka_unit_test(test_plain_file_is_no_pin),
		cmocka_unit_test(test_dead_process_is_not_pinned),
		cmocka_unit_test(test_sysctls),
	};

	if (geteuid() != 0) {
		print_message("needs root\n");
		return 0;
	}
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    !mkdtemp(root)) {
		perror("set up");
		return 1;
	}
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	CLEANUP(fd_closep) int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err err;
	return tree_remove(tmp, root + strlen("/tmp/"), &err) < 0 || failed;
}
