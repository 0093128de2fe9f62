/*
 * Seccomp profiles: parsed, compiled, loaded by this program run again, cached, refused (row 14 of the
 * bad-input matrix).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "base/spawn.h"
#include "proto/base64.h"
#include "sandbox/seccomp.h"
#include "sandbox/seccomp_profile.h"

#define CAP(name) (UINT64_C(1) << (name))

static char dir[] = "/tmp/crisp-seccomp-test.XXXXXX";
static struct config *config;
static struct seccomps *seccomps;

static char *put(const char *name, const char *text)
{
	char *path = xasprintf("%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
	close(fd);
	return path;
}

struct ask {
	int type; /* of the profile; -1: no profile message */
	const char *reference, *old;
	uint64_t caps;
	bool oci, privileged;
};

static int ask(struct ask ask, struct seccomp_program **ret, struct err *err)
{
	Cri__LinuxContainerSecurityContext security;
	Cri__SecurityProfile profile = CRI__SECURITY_PROFILE__INIT;
	CLEANUP(freep) char *reference = xstrdup(ask.reference ? ask.reference : "");
	CLEANUP(freep) char *old = xstrdup(ask.old ? ask.old : "");

	cri__linux_container_security_context__init(&security);
	profile.profile_type = (Cri__SecurityProfile__ProfileType)ask.type;
	profile.localhost_ref = reference;
	security.seccomp = ask.type < 0 ? NULL : &profile;
	security.privileged = ask.privileged;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
	security.seccomp_profile_path = old;
#pragma GCC diagnostic pop
	struct seccomp_request request = { .security = &security, .capabilities = ask.caps, .bpf = !ask.oci };
	return seccomp_get(seccomps, &request, ret, err);
}

static struct seccomp_program *get(struct ask asked)
{
	struct seccomp_program *program = NULL;
	struct err err = { 0 };

	if (ask(asked, &program, &err) < 0)
		fail_msg("%s", err.text);
	return program;
}

static void refuse(struct ask asked, enum rpc_code code, const char *part)
{
	struct seccomp_program *program = NULL;
	struct err err = { 0 };

	assert_int_equal(ask(asked, &program, &err), -1);
	assert_int_equal(err.code, code);
	if (!strstr(err.text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, err.text);
}

/* --- The program run again: loads the filter that comes on stdin and tries system calls named on the command
 * line. */

static long try_call(const char *name)
{
	struct {
		uint64_t flags[11];
	} clone_args = { { 0 } };
	struct io_uring_params params;

	memset(&params, 0, sizeof(params));
	if (strcmp(name, "getpid") == 0)
		return syscall(SYS_getppid);
	if (strcmp(name, "unshare") == 0)
		return unshare(CLONE_NEWUTS);
	if (strcmp(name, "clone-ns") == 0)
		return syscall(SYS_clone, CLONE_NEWUTS | CLONE_SIGHAND, 0, 0, 0,
			       0); /* EINVAL without a filter */
	if (strcmp(name, "clone3") == 0)
		return syscall(SYS_clone3, &clone_args, 1); /* EINVAL without a filter */
	if (strcmp(name, "alg") == 0)
		return socket(AF_ALG, SOCK_SEQPACKET, 0);
	if (strcmp(name, "vsock") == 0)
		return socket(AF_VSOCK, SOCK_STREAM, 0);
	if (strcmp(name, "unix") == 0)
		return socket(AF_UNIX, SOCK_STREAM, 0);
	if (strcmp(name, "netlink") == 0)
		return socket(AF_NETLINK, SOCK_RAW, 0);
	if (strcmp(name, "personality") == 0)
		return personality(0xffffffff);
	if (strcmp(name, "personality-odd") == 0)
		return personality(ADDR_NO_RANDOMIZE);
	if (strcmp(name, "uring") == 0)
		return syscall(SYS_io_uring_setup, 0, &params); /* EINVAL without a filter */
	if (strcmp(name, "keyctl") == 0)
		return syscall(SYS_keyctl, 0, 0, 0, 0, 0);
	if (strcmp(name, "chmod") == 0)
		return chmod("/nowhere", 0);
	return -2;
}

static int child(int argc, char **argv)
{
	static struct sock_filter filter[BPF_MAXINSNS];
	size_t len = fread(filter, 1, sizeof(filter), stdin);
	struct sock_fprog program = { .len = (unsigned short)(len / sizeof(filter[0])), .filter = filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0) {
		printf("load: %s\n", strerror(errno));
		return 1;
	}
	for (int i = 2; i < argc; i++) {
		errno = 0;
		printf("%s=%s\n", argv[i], try_call(argv[i]) < 0 ? strerrorname_np(errno) : "ok");
	}
	return 0;
}

/* "getpid=ok\n.." for the calls (separated by spaces) under the program. */
static char *run(const struct seccomp_program *program, const char *calls)
{
	const char *text = seccomp_bpf_base64(program);
	CLEANUP(freep) uint8_t *bpf = xmalloc(base64_room(strlen(text)));
	struct strv argv CLEANUP(strv_done) = STRV_INIT;
	struct command_result result CLEANUP(command_result_done) = { 0 };
	struct err err = { 0 };
	size_t len;

	assert_true(base64_decode(text, strlen(text), bpf, &len));
	assert_int_equal(len % sizeof(struct sock_filter), 0);
	strv_add(&argv, "test");
	strv_add(&argv, "child");
	strv_split(&argv, calls, ' ');
	struct command command = { .path = "/proc/self/exe",
				   .argv = (const char *const *)argv.items,
				   .input = bpf,
				   .input_len = len,
				   .stdout_max = 65536,
				   .stderr_max = 65536,
				   .timeout = 20 * NS_PER_SEC };
	if (command_run(&command, NULL, &result, &err) < 0)
		fail_msg("%s", err.text);
	if (!result.exited || result.status != 0)
		fail_msg("%s %s", str_get(&result.out), str_get(&result.err_out));
	return str_take(&result.out);
}

static void test_default_under_the_kernel(void **state)
{
	static const char calls[] =
		"getpid unshare clone-ns clone3 alg vsock unix netlink personality personality-odd uring keyctl chmod";
	CLEANUP(seccomp_unrefp) struct seccomp_program *plain = get((struct ask){ 0 });
	CLEANUP(seccomp_unrefp)
	struct seccomp_program *admin = get((struct ask){ .caps = CAP(CAP_SYS_ADMIN) });
	CLEANUP(freep) char *got = run(plain, calls);
	CLEANUP(freep) char *with_admin = run(admin, "clone-ns clone3 keyctl uring");

	(void)state;
	assert_string_equal(
		got,
		"getpid=ok\nunshare=EPERM\nclone-ns=EPERM\nclone3=ENOSYS\nalg=EPERM\nvsock=EPERM\nunix=ok\n"
		"netlink=ok\npersonality=ok\npersonality-odd=EPERM\nuring=EPERM\nkeyctl=EPERM\nchmod=ENOENT\n");
	assert_string_equal(with_admin, "clone-ns=EINVAL\nclone3=EINVAL\nkeyctl=EPERM\nuring=EPERM\n");
}

static void test_kinds(void **state)
{
	CLEANUP(freep)
	char *deny = put("deny.json",
			 "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"chmod\","
			 "\"no_such_call_in_any_kernel\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":95}]}");
	CLEANUP(freep) char *prefixed = xasprintf("localhost/%s", deny);
	CLEANUP(seccomp_unrefp)
	struct seccomp_program *local = get((struct ask){ .type = 2, .reference = deny });
	CLEANUP(seccomp_unrefp)
	struct seccomp_program *again = get((struct ask){ .type = 2, .reference = prefixed });
	CLEANUP(seccomp_unrefp)
	struct seccomp_program *old = get((struct ask){ .type = -1, .old = prefixed });
	CLEANUP(seccomp_unrefp)
	struct seccomp_program *standard = get((struct ask){ .type = -1, .old = "runtime/default" });
	CLEANUP(seccomp_unrefp) struct seccomp_program *builtin = get((struct ask){ .type = 0 });
	CLEANUP(freep) char *got = run(local, "chmod getpid keyctl");

	(void)state;
	assert_non_null(strstr(got, "chmod=EOPNOTSUPP\ngetpid=ok\n"));
	assert_ptr_equal(local, again);
	assert_ptr_equal(local, old);
	assert_ptr_equal(standard, builtin);
	assert_null(get((struct ask){ .type = 1 }));
	assert_null(get((struct ask){ .type = -1 }));
	assert_null(get((struct ask){ .type = -1, .old = "unconfined" }));
	assert_null(get((struct ask){ .type = 0, .privileged = true }));
}

static void test_cache(void **state)
{
	CLEANUP(seccomp_unrefp) struct seccomp_program *first = get((struct ask){ 0 });
	/* A capability that no rule names does not matter, one that is named does; so does the form. */
	CLEANUP(seccomp_unrefp) struct seccomp_program *same = get((struct ask){ .caps = CAP(CAP_NET_RAW) });
	CLEANUP(seccomp_unrefp)
	struct seccomp_program *other = get((struct ask){ .caps = CAP(CAP_SYS_CHROOT) });
	CLEANUP(seccomp_unrefp) struct seccomp_program *oci = get((struct ask){ .oci = true });
	CLEANUP(freep) char *path = NULL;

	(void)state;
	assert_ptr_equal(first, same);
	assert_ptr_not_equal(first, other);
	assert_ptr_not_equal(first, oci);
	assert_null(seccomp_bpf_base64(oci));
	assert_null(seccomp_oci_json(first));

	/* A file that has changed is another profile; many profiles push the oldest out and stay usable by
	 * who holds them. */
	for (int i = 0; i < 3 * SECCOMP_CACHE_MAX; i++) {
		CLEANUP(freep)
		char *text = xasprintf(
			"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"chmod\"],"
			"\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":%d}]}",
			i + 1);
		free(path);
		path = put("changing.json", text);
		CLEANUP(seccomp_unrefp)
		struct seccomp_program *program = get((struct ask){ .type = 2, .reference = path });
		CLEANUP(freep) char *got = i == 0 ? run(program, "chmod") : NULL;
		if (i == 0)
			assert_string_equal(got, "chmod=EPERM\n");
	}
	CLEANUP(seccomp_unrefp) struct seccomp_program *fresh = get((struct ask){ 0 });
	assert_ptr_not_equal(first, fresh);
	assert_string_equal(seccomp_bpf_base64(first), seccomp_bpf_base64(fresh));
}

static void *get_many(void *data)
{
	(void)data;
	for (unsigned int i = 0; i < 24; i++) {
		struct seccomp_request request = { .capabilities = CAP(CAP_SYS_CHROOT) * (i & 1),
						   .bpf = i & 2 };
		Cri__LinuxContainerSecurityContext security;
		Cri__SecurityProfile profile = CRI__SECURITY_PROFILE__INIT;
		struct seccomp_program *program = NULL;

		cri__linux_container_security_context__init(&security);
		security.seccomp = &profile;
		request.security = &security;
		if (seccomp_get(seccomps, &request, &program, NULL) < 0 || !program)
			return seccomps; /* anything but NULL */
		seccomp_unref(program);
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t threads[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, get_many, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		void *failed;

		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
}

static void test_oci_form(void **state)
{
	CLEANUP(seccomp_unrefp)
	struct seccomp_program *program = get((struct ask){ .oci = true, .caps = CAP(CAP_SYS_CHROOT) });
	CLEANUP(json_decrefp) json_t *json = NULL;
	const char *text = seccomp_oci_json(program);
	bool chroot_there = false, reboot_there = false, clone3_there = false;
	json_t *rule, *name;
	size_t i, j;

	(void)state;
	assert_int_equal(json_parse(text, strlen(text), 1 << 20, &json, NULL), 0);
	assert_string_equal(json_string_value(json_object_get(json, "defaultAction")), "SCMP_ACT_ERRNO");
	assert_int_equal(json_integer_value(json_object_get(json, "defaultErrnoRet")), EPERM);
#ifdef __x86_64__
	assert_int_equal(json_array_size(json_object_get(json, "architectures")), 3);
#endif
	json_array_foreach(json_object_get(json, "syscalls"), i, rule)
		json_array_foreach(json_object_get(rule, "names"), j, name)
	{
		chroot_there |= strcmp(json_string_value(name), "chroot") == 0;
		reboot_there |= strcmp(json_string_value(name), "reboot") == 0;
		if (strcmp(json_string_value(name), "clone3") == 0) {
			clone3_there = true;
			assert_int_equal(json_integer_value(json_object_get(rule, "errnoRet")), ENOSYS);
		}
	}
	assert_true(chroot_there);
	assert_false(reboot_there);
	assert_true(clone3_there);

	/* What only the OCI form can say goes that way for every runtime. */
	CLEANUP(freep)
	char *flags = put("flags.json",
			  "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"],"
			  "\"syscalls\":[]}");
	CLEANUP(seccomp_unrefp)
	struct seccomp_program *flagged = get((struct ask){ .type = 2, .reference = flags });
	assert_null(seccomp_bpf_base64(flagged));
	assert_non_null(strstr(seccomp_oci_json(flagged), "SECCOMP_FILTER_FLAG_LOG"));
}

static void test_conditions(void **state)
{
	CLEANUP(freep)
	char *path = put(
		"conditions.json",
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"archMap\":[{\"architecture\":\"SCMP_ARCH_X86_64\",\"subArchitectures\":"
		"[\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\"]},{\"architecture\":\"SCMP_ARCH_AARCH64\",\"subArchitectures\":null}],"
		"\"syscalls\":["
		"{\"name\":\"chmod\",\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":5,\"includes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}},"
		"{\"name\":\"keyctl\",\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":6,\"includes\":{\"minKernel\":\"4.8\"}},"
		"{\"name\":\"unshare\",\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":7,\"includes\":{\"minKernel\":\"99.0\"}},"
		"{\"name\":\"unshare\",\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":8,\"includes\":{\"caps\":[\"CAP_FROM_THE_FUTURE\"]}},"
		"{\"name\":\"unshare\",\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":9,\"includes\":{\"arches\":[\"vax\"]}},"
		"{\"name\":\"socket\",\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":10,\"excludes\":{\"caps\":[\"CAP_SYS_ADMIN\"]},"
		"\"args\":[{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_EQ\"}]}]}");
	CLEANUP(seccomp_unrefp)
	struct seccomp_program *plain = get((struct ask){ .type = 2, .reference = path });
	CLEANUP(seccomp_unrefp)
	struct seccomp_program *admin =
		get((struct ask){ .type = 2, .reference = path, .caps = CAP(CAP_SYS_ADMIN) });
	CLEANUP(freep) char *got = run(plain, "chmod keyctl unix netlink");
	CLEANUP(freep) char *with_admin = run(admin, "chmod keyctl unix netlink");

	(void)state;
	assert_string_equal(got, "chmod=ENOENT\nkeyctl=ENXIO\nunix=ECHILD\nnetlink=ok\n");
	assert_string_equal(with_admin, "chmod=EIO\nkeyctl=ENXIO\nunix=ok\nnetlink=ok\n");
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *part;
	} bad[] = {
		{ "", "JSON" },
		{ "[]", "" },
		{ "{}", "defaultAction" },
		{ "{\"defaultAction\":\"ALLOW\"}", "defaultAction" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"chmod\"],\"action\":\"NO\"}]}",
		  "syscalls[0]" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[],\"action\":\"SCMP_ACT_LOG\"}]}",
		  "no names" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"a b\"],\"action\":\"SCMP_ACT_LOG\"}]}",
		  "is no name" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"chmod\"],\"action\":\"SCMP_ACT_LOG\",\"args\":"
		  "[{\"index\":6,\"value\":0,\"op\":\"SCMP_CMP_EQ\"}]}]}",
		  "index" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"chmod\"],\"action\":\"SCMP_ACT_LOG\",\"args\":"
		  "[{\"index\":0,\"value\":0,\"op\":\"EQ\"}]}]}",
		  "unknown op" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"chmod\"],\"action\":\"SCMP_ACT_ERRNO\","
		  "\"errnoRet\":-3}]}",
		  "errno" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_VAX\"]}",
		  "unknown architecture" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"defaultAction\":\"SCMP_ACT_LOG\"}", "" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\"} x", "JSON" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"chmod\"],\"action\":\"SCMP_ACT_LOG\","
		  "\"includes\":{\"minKernel\":\"new\"}}]}",
		  "minKernel" },
	};
	CLEANUP(freep) char *deep = xmalloc(20002);
	CLEANUP(freep) char *path = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		free(path);
		path = put("bad.json", bad[i].text);
		refuse((struct ask){ .type = 2, .reference = path }, RPC_INVALID_ARGUMENT, bad[i].part);
	}
	memset(deep, '[', 10000);
	memset(deep + 10000, ']', 10000);
	deep[20000] = '\0';
	free(path);
	path = put("bad.json", deep);
	refuse((struct ask){ .type = 2, .reference = path }, RPC_INVALID_ARGUMENT, "deeper");
	assert_int_equal(truncate(path, 100 * 1024 * 1024), 0);
	refuse((struct ask){ .type = 2, .reference = path }, RPC_INVALID_ARGUMENT, "");
	refuse((struct ask){ .type = 2, .reference = "" }, RPC_INVALID_ARGUMENT, "empty");
	refuse((struct ask){ .type = 2, .reference = "localhost/" }, RPC_INVALID_ARGUMENT, "empty");
	refuse((struct ask){ .type = 2, .reference = "profiles/x.json" }, RPC_INVALID_ARGUMENT, "absolute");
	refuse((struct ask){ .type = 2, .reference = "/nowhere/x.json" }, RPC_NOT_FOUND, "");
	refuse((struct ask){ .type = 2, .reference = dir }, RPC_INVALID_ARGUMENT, "");
	refuse((struct ask){ .type = 2, .reference = "/dev/zero" }, RPC_INVALID_ARGUMENT, "");
	refuse((struct ask){ .type = 9 }, RPC_INVALID_ARGUMENT, "unknown seccomp profile type");
	refuse((struct ask){ .type = -1, .old = "localhost" }, RPC_INVALID_ARGUMENT, "unknown");
}

static int setup(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(dir));
	config = config_defaults();
	seccomps = seccomps_new(config);
	return 0;
}

static int teardown(void **state)
{
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	seccomps_free(seccomps);
	config_unref(config);
	assert_int_equal(tree_remove(tmp, strrchr(dir, '/') + 1, NULL), 0);
	close(tmp);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default_under_the_kernel),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_cache),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_oci_form),
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_refused),
	};

	if (argc > 1 && strcmp(argv[1], "child") == 0)
		return child(argc, argv);
	return cmocka_run_group_tests(tests, setup, teardown);
}
