/* The files of a pod, in a mount namespace of the test's own (shm is a mount, the host's files are replaced).
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "sandbox/pod_files.h"

static char root[] = "/tmp/crisp-pod-files-XXXXXX";
static char *pod;

static void assert_file(const char *name, const char *text)
{
	CLEANUP(freep) char *path = pod_files_shared(pod, name);
	CLEANUP(freep) char *found = NULL;
	struct stat st;
	struct err err;

	assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, &found, NULL, &err), 0);
	assert_string_equal(found, text);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
}

/* The host's files are in folders that are the test's own, see main(). */
static void write_host_file(const char *path, const char *text)
{
	CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
}

static void test_given(void **state)
{
	static const char *const servers[] = { "10.96.0.10", "fd00::a", NULL };
	static const char *const searches[] = { "default.svc.cluster.local", "svc.cluster.local", NULL };
	static const char *const options[] = { "ndots:5", NULL };
	static const char *const ips[] = { "10.1.2.3", "fd00::3", NULL };
	const struct pod_files_spec spec = {
		.dir = pod,
		.hostname = "web-0",
		.dns_servers = servers,
		.dns_searches = searches,
		.dns_options = options,
	};
	struct err err;

	(void)state;
	assert_int_equal(pod_files_check(&spec, &err), 0);
	assert_int_equal(pod_files_make(&spec, &err), 0);
	assert_int_equal(pod_files_write_hosts(&spec, ips, &err), 0);
	assert_file("hostname", "web-0\n");
	assert_file("resolv.conf", "search default.svc.cluster.local svc.cluster.local\n"
				   "nameserver 10.96.0.10\nnameserver fd00::a\noptions ndots:5\n");
	assert_file("hosts",
		    "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n"
		    "fe00::\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"
		    "10.1.2.3\tweb-0\nfd00::3\tweb-0\n");
	CLEANUP(freep) char *shm = pod_files_path(pod, "shm");
	assert_int_equal(access(shm, F_OK), -1);
	assert_int_equal(pod_files_remove(pod, &err), 0);
	assert_int_equal(access(pod, F_OK), -1);
	assert_int_equal(pod_files_remove(pod, &err), 0);
}

static void test_hosts_own(void **state)
{
	struct pod_files_spec spec = { .dir = pod, .host_network = true };
	char name[256];
	struct err err;

	(void)state;
	write_host_file("/etc/resolv.conf", "nameserver 192.0.2.1\n");
	write_host_file("/etc/hosts", "192.0.2.7 here\n");
	assert_int_equal(pod_files_make(&spec, &err), 0);
	assert_int_equal(pod_files_write_hosts(&spec, NULL, &err), 0);
	assert_int_equal(gethostname(name, sizeof(name)), 0);
	CLEANUP(freep) char *line = xasprintf("%s\n", name);
	assert_file("hostname", line);
	assert_file("resolv.conf", "nameserver 192.0.2.1\n");
	assert_file("hosts", "192.0.2.7 here\n");
	/* The stub resolver on the host's loopback cannot be reached from another network. */
	write_host_file("/etc/resolv.conf", "nameserver 127.0.0.53\n");
	assert_int_equal(pod_files_make(&spec, &err), 0);
	assert_file("resolv.conf", "nameserver 127.0.0.53\n");
	spec.host_network = false;
	assert_int_equal(pod_files_make(&spec, &err), 0);
	assert_file("resolv.conf", "nameserver 127.0.0.53\n"); /* nothing better is known */
	assert_int_equal(mkdir("/run/systemd", 0755), 0);
	assert_int_equal(mkdir("/run/systemd/resolve", 0755), 0);
	write_host_file("/run/systemd/resolve/resolv.conf", "nameserver 192.0.2.9\n");
	assert_int_equal(pod_files_make(&spec, &err), 0);
	assert_file("resolv.conf", "nameserver 192.0.2.9\n");
	/* It often is a link. */
	assert_int_equal(rename("/etc/resolv.conf", "/etc/other"), 0);
	write_host_file("/etc/other", "nameserver 192.0.2.8\n");
	assert_int_equal(symlink("other", "/etc/resolv.conf"), 0);
	assert_int_equal(pod_files_make(&spec, &err), 0);
	assert_file("resolv.conf", "nameserver 192.0.2.8\n");
	assert_int_equal(unlink("/etc/resolv.conf"), 0);
	assert_int_equal(pod_files_remove(pod, &err), 0);
}

static void test_odd_host_files(void **state)
{
	const struct pod_files_spec spec = { .dir = pod };
	CLEANUP(freep) char *huge = xmalloc(1 << 20);
	struct err err;

	(void)state;
	assert_int_equal(pod_files_make(&spec, &err), 0); /* there is none */
	assert_file("resolv.conf", "");
	assert_int_equal(mkfifo("/etc/resolv.conf", 0600), 0);
	assert_int_equal(pod_files_make(&spec, &err), 0); /* does not block */
	assert_file("resolv.conf", "");
	assert_int_equal(unlink("/etc/resolv.conf"), 0);
	memset(huge, 'a', (1 << 20) - 1);
	huge[(1 << 20) - 1] = '\0';
	write_host_file("/etc/resolv.conf", huge);
	assert_int_equal(pod_files_make(&spec, &err), 0);
	assert_file("resolv.conf", "");
	assert_int_equal(pod_files_remove(pod, &err), 0);
}

/* CVE-2020-8557: what a container writes to its files is not the host's memory without end. */
static void test_a_file_grows(void **state)
{
	const struct pod_files_spec spec = { .dir = pod };
	CLEANUP(freep) char *big = xmalloc(1 << 20);
	struct err err;

	(void)state;
	memset(big, 'a', (1 << 20) - 1);
	big[(1 << 20) - 1] = '\0';
	assert_int_equal(pod_files_make(&spec, &err), 0);
	CLEANUP(freep) char *path = pod_files_shared(pod, "resolv.conf");
	CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, big, strlen(big)), -1);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(pod_files_remove(pod, &err), 0);
	assert_int_equal(access(pod, F_OK), -1);
}

/* As a release without the mount left them. */
static void test_older_files(void **state)
{
	CLEANUP(freep) char *file = xasprintf("%s/hosts", pod);
	CLEANUP(freep) char *path = NULL;
	struct err err;

	(void)state;
	assert_int_equal(mkdir(pod, 0700), 0);
	path = pod_files_shared(pod, "hosts");
	assert_string_equal(path, file);
	assert_int_equal(pod_files_remove(pod, &err), 0);
}

static void test_shm(void **state)
{
	const struct pod_files_spec spec = { .dir = pod, .shm_size = POD_SHM_SIZE };
	CLEANUP(freep) char *shm = pod_files_path(pod, "shm");
	struct statvfs fs;
	struct stat st;
	struct err err;

	(void)state;
	assert_int_equal(pod_files_make(&spec, &err), 0);
	assert_int_equal(pod_files_make(&spec, &err), 0); /* again: not mounted twice */
	assert_int_equal(statvfs(shm, &fs), 0);
	assert_int_equal(fs.f_blocks * fs.f_frsize, POD_SHM_SIZE);
	assert_int_equal(fs.f_flag & (ST_NOSUID | ST_NODEV | ST_NOEXEC), ST_NOSUID | ST_NODEV | ST_NOEXEC);
	assert_int_equal(stat(shm, &st), 0);
	assert_int_equal(st.st_mode & 07777, 01777);
	assert_int_equal(umount2(shm, MNT_DETACH), 0);
	assert_int_equal(umount2(shm, MNT_DETACH), -1);
	/* Busy and full of files: gone all the same. */
	assert_int_equal(pod_files_make(&spec, &err), 0);
	CLEANUP(freep) char *file = xasprintf("%s/file", shm);
	CLEANUP(fd_closep) int fd = open(file, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(mount("none", shm, "tmpfs", 0, NULL), 0);
	assert_int_equal(pod_files_remove(pod, &err), 0);
	assert_int_equal(access(pod, F_OK), -1);
}

/* lessons 3b, row 3 and CVE-2026-15809: real bytes, not their names. */
static void test_bad_hostnames(void **state)
{
	CLEANUP(freep)
	char *long_name = xstrdup("0123456789012345678901234567890123456789012345678901234567890123x");
	const struct {
		const char *hostname;
		bool good;
	} rows[] = {
		{ "", true },      { NULL, true },       { "web-0.example_1.COM", true },
		{ "a/b", false },  { "a\nb", false },    { "a b", false },
		{ "a\tb", false }, { "a:b", false },     { "-a", false },
		{ ".a", false },   { "..", false },      { "h\xc3\xa9", false },
		{ "a\rb", false }, { long_name, false },
	};
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct pod_files_spec spec = { .dir = pod, .hostname = rows[i].hostname };
		int got = pod_files_check(&spec, &err);
		print_message("%s: %d\n", rows[i].hostname, got);
		assert_int_equal(got, rows[i].good ? 0 : -1);
		if (got < 0)
			assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	}
	long_name[64] = '\0';
	const struct pod_files_spec spec = { .dir = pod, .hostname = long_name };
	assert_int_equal(pod_files_check(&spec, &err), 0);
}

/* lessons 3b, row 5 */
static void test_bad_dns(void **state)
{
	static const struct {
		const char *server, *search, *option;
		bool good;
	} rows[] = {
		{ "10.0.0.1", "a.b", "ndots:2", true },
		{ "fe80::1%eth0", ".", "edns0", true },
		{ "::ffff:10.0.0.1", "_tcp.local", "use-vc", true },
		{ "", NULL, NULL, false },
		{ "dns.example", NULL, NULL, false },
		{ "10.0.0.1\nnameserver 6.6.6.6", NULL, NULL, false },
		{ "10.0.0.1 ", NULL, NULL, false },
		{ "10.0.0.1%eth0", NULL, NULL, false },
		{ "fe80::1%", NULL, NULL, false },
		{ "fe80::1%a/b", NULL, NULL, false },
		{ NULL, "", NULL, false },
		{ NULL, "a b", NULL, false },
		{ NULL, "a\nnameserver 6.6.6.6", NULL, false },
		{ NULL, "a#b", NULL, false },
		{ NULL, NULL, "", false },
		{ NULL, NULL, "ndots:5\nnameserver 6.6.6.6", false },
	};
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *const servers[] = { rows[i].server, NULL };
		const char *const searches[] = { rows[i].search, NULL };
		const char *const options[] = { rows[i].option, NULL };
		const struct pod_files_spec spec = {
			.dir = pod, .dns_servers = servers, .dns_searches = searches, .dns_options = options
		};
		print_message("row %zu\n", i);
		assert_int_equal(pod_files_check(&spec, &err), rows[i].good ? 0 : -1);
		if (!rows[i].good)
			assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	}
}

static void test_too_much_dns(void **state)
{
	const char *items[POD_DNS_ITEMS_MAX + 2] = { NULL };
	struct pod_files_spec spec = { .dir = pod, .dns_searches = items };
	CLEANUP(freep) char *big = xmalloc(1 << 20);
	struct err err;

	(void)state;
	for (size_t i = 0; i < POD_DNS_ITEMS_MAX; i++)
		items[i] = "a";
	assert_int_equal(pod_files_check(&spec, &err), 0);
	items[POD_DNS_ITEMS_MAX] = "a";
	assert_int_equal(pod_files_check(&spec, &err), -1);
	memset(big, 'a', (1 << 20) - 1);
	big[(1 << 20) - 1] = '\0';
	items[0] = big;
	items[1] = NULL;
	assert_int_equal(pod_files_check(&spec, &err), -1);
	assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_given),          cmocka_unit_test(test_hosts_own),
		cmocka_unit_test(test_odd_host_files), cmocka_unit_test(test_shm),
		cmocka_unit_test(test_a_file_grows),   cmocka_unit_test(test_older_files),
		cmocka_unit_test(test_bad_hostnames),  cmocka_unit_test(test_bad_dns),
		cmocka_unit_test(test_too_much_dns),
	};

	if (geteuid() != 0) {
		print_message("needs root\n");
		return 0;
	}
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    !mkdtemp(root) || mount("none", "/etc", "tmpfs", 0, NULL) < 0 ||
	    mount("none", "/run", "tmpfs", 0, NULL) < 0) {
		perror("set up");
		return 1;
	}
	pod = xasprintf("%s/pods/0123", root);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(pod);
	CLEANUP(fd_closep) int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err err;
	if (tree_remove(tmp, root + strlen("/tmp/"), &err) < 0) {
		print_error("%s\n", err.text);
		return 1;
	}
	return failed;
}
