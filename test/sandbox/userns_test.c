/* User namespaces of pods: what is accepted, whose ids are whose, maps and idmapped mounts for real. */
#include "test/base/check.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "sandbox/userns.h"

static Cri__IDMapping mapping(uint32_t container, uint32_t host, uint32_t length)
{
	Cri__IDMapping ret = CRI__IDMAPPING__INIT;

	ret.container_id = container;
	ret.host_id = host;
	ret.length = length;
	return ret;
}

/* A namespace with one uid and one gid range. */
struct options {
	Cri__IDMapping uid, gid, *uids[2], *gids[2];
	Cri__UserNamespace message;
};

static void fill(struct options *options, Cri__IDMapping uid, Cri__IDMapping gid)
{
	options->uid = uid;
	options->gid = gid;
	options->uids[0] = options->uids[1] = &options->uid;
	options->gids[0] = options->gids[1] = &options->gid;
	options->message = (Cri__UserNamespace)CRI__USER_NAMESPACE__INIT;
	options->message.mode = CRI__NAMESPACE_MODE__POD;
	options->message.uids = options->uids;
	options->message.gids = options->gids;
	options->message.n_uids = options->message.n_gids = 1;
}

static void refused(const struct options *options, const char *text)
{
	struct err err = { 0 };

	assert_int_equal(userns_check(&options->message, &err), -1);
	assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	if (!strstr(err.text, text))
		fail_msg("\"%s\" has no \"%s\"", err.text, text);
}

static void test_check(void **state UNUSED)
{
	static const struct {
		uint32_t container, host, length;
		const char *text;
	} rows[] = {
		{ 0, 65536, 0, "length 0" },         { 0, UINT32_MAX, 2, "out of range" },
		{ UINT32_MAX, 65536, 2, "range" },   { 0, UINT32_MAX - 9, 10, "out of range" },
		{ 1, 65536, 10, "begin with id 0" }, { 0, 0, 65536, "host's id 0" },
	};
	const Cri__IDMapping good = mapping(0, 65536, 65536);
	struct options options;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		fill(&options, mapping(rows[i].container, rows[i].host, rows[i].length), good);
		refused(&options, rows[i].text);
		fill(&options, good, mapping(rows[i].container, rows[i].host, rows[i].length));
		refused(&options, rows[i].text);
	}
	fill(&options, good, good);
	assert_ok(userns_check(&options.message, &err));
	options.message.n_uids = 2;
	refused(&options, "exactly one");
	options.message.n_uids = 1;
	options.message.n_gids = 0;
	refused(&options, "exactly one");
	options.message.n_gids = 1;
	options.message.mode = CRI__NAMESPACE_MODE__CONTAINER;
	refused(&options, "POD or NODE");
	options.message.mode = CRI__NAMESPACE_MODE__NODE;
	refused(&options, "NODE takes no mappings");
	options.message.n_uids = options.message.n_gids = 0;
	assert_ok(userns_check(&options.message, &err));
	assert_ok(userns_check(NULL, &err));
}

static void test_ids(void **state UNUSED)
{
	struct options options, other;
	struct userns userns;
	struct err err;

	fill(&options, mapping(0, 100000, 1000), mapping(0, 200000, 10));
	assert_true(userns_of(&options.message, &userns));
	assert_int_equal(userns_root_uid(&userns), 100000);
	assert_int_equal(userns_root_gid(&userns), 200000);
	assert_ok(userns_check_id(&userns.uids, 999, "user", &err));
	assert_int_equal(userns_check_id(&userns.uids, 1000, "user", &err), -1);
	assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	assert_int_equal(userns_check_id(&userns.gids, UINT32_MAX, "group", &err), -1);

	other = options;
	fill(&other, options.uid, options.gid);
	assert_true(userns_equal(&options.message, &other.message));
	other.gid.length++;
	assert_false(userns_equal(&options.message, &other.message));
	assert_false(userns_equal(&options.message, NULL));
	assert_false(userns_equal(NULL, &options.message));
	other.message.mode = CRI__NAMESPACE_MODE__NODE;
	assert_false(userns_of(&other.message, &userns));
	assert_true(userns_equal(&other.message, NULL));
}

static ino_t user_namespace_of(pid_t pid)
{
	CLEANUP(freep) char *path = xasprintf("/proc/%d/ns/user", (int)pid);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_ino;
}

/* A child in a user namespace of its own, without maps. */
static void start_child(struct process *ret)
{
	static const char *const argv[] = { "unshare", "--user", "sleep", "600", NULL };
	const struct command command = { .path = "unshare", .argv = argv };
	struct err err;

	assert_ok(command_start(&command, ret, &err));
	for (int i = 0; user_namespace_of(ret->pid) == user_namespace_of(getpid()); i++) {
		assert_true(i < 10000);
		poll(NULL, 0, 1);
	}
}

static void assert_owner(const char *path, uid_t uid, gid_t gid)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_uid, uid);
	assert_int_equal(st.st_gid, gid);
}

static void make_source(const char *dir)
{
	CLEANUP(freep) char *source = xasprintf("%s/source", dir);
	CLEANUP(freep) char *early = xasprintf("%s/early", source);

	assert_int_equal(mkdir(source, 0755), 0);
	assert_int_equal(mkdir(early, 0755), 0);
	assert_int_equal(chown(early, 7, 8), 0);
}

static void check_mapped(const char *dir, const struct userns *userns, pid_t pid)
{
	CLEANUP(freep) char *ns = xasprintf("/proc/%d/ns/user", (int)pid);
	CLEANUP(freep) char *source = xasprintf("%s/source", dir);
	CLEANUP(freep) char *target = xasprintf("%s/target", dir);
	CLEANUP(freep) char *early = xasprintf("%s/target/early", dir);
	CLEANUP(freep) char *late = xasprintf("%s/source/late", dir);
	CLEANUP(freep) char *late_mapped = xasprintf("%s/target/late", dir);
	struct err err;

	assert_ok(userns_mount_mapped(source, ns, target, &err));
	assert_owner(early, userns_root_uid(userns) + 7, userns_root_gid(userns) + 8);
	/* What comes into the source later is seen too, and the source itself stays as it was. */
	assert_int_equal(mkdir(late, 0700), 0);
	assert_owner(late, 0, 0);
	assert_owner(late_mapped, userns_root_uid(userns), userns_root_gid(userns));
	assert_int_equal(mkdir(early, 0700), -1);
	assert_int_equal(rmdir(early), -1);
	assert_int_equal(errno, EROFS);
	assert_int_equal(umount2(target, MNT_DETACH), 0);
}

static void test_maps_and_mounts(void **state UNUSED)
{
	char dir[] = "/tmp/crisp-userns-XXXXXX";
	struct options options;
	struct userns userns;
	struct process process;
	struct err err;
	int status;

	if (!userns_supported()) {
		print_message("this kernel has no user namespaces for pods\n");
		return;
	}
	assert_non_null(mkdtemp(dir));
	/* A file system that can be mounted with mapped ids whatever /tmp is on. */
	assert_int_equal(mount("tmpfs", dir, "tmpfs", 0, "mode=700"), 0);
	make_source(dir);
	fill(&options, mapping(0, 300000, 1000), mapping(0, 400000, 1000));
	assert_true(userns_of(&options.message, &userns));
	start_child(&process);
	assert_ok(userns_write_maps(&userns, &process, &err));
	CLEANUP(freep) char *path = xasprintf("/proc/%d/gid_map", (int)process.pid);
	CLEANUP(freep) char *map = NULL;
	assert_ok(file_read_virtual(AT_FDCWD, path, 4096, &map, &err));
	assert_string_equal(map, "         0     400000       1000\n");
	check_mapped(dir, &userns, process.pid);
	assert_ok(process_signal(&process, SIGKILL, &err));
	assert_ok(process_wait(&process, NULL, &status, &err));
	assert_fails(userns_write_maps(&userns, &process, &err), RPC_UNAVAILABLE);
	process_done(&process);
	assert_int_equal(umount2(dir, 0), 0);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_maps_and_mounts),
	};

	if (geteuid() != 0) {
		print_message("needs root\n");
		return 0;
	}
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		perror("set up");
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
