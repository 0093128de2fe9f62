/*
 * Meters against what they measure: a cgroup of this host with a process in it, a network namespace, and
 * trees of files.
 */
#include "test/base/check.h"

#include <sched.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/spawn.h"
#include "sandbox/cgroup_meter.h"
#include "sandbox/layer_walk.h"
#include "sandbox/net_meter.h"

/* ---- cgroups ---- */

static size_t open_descriptors(void)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	struct err err = { 0 };

	assert_ok(dir_list(AT_FDCWD, "/proc/self/fd", &names, &err));
	return names.len;
}

static void remove_cgroup(struct cgroups *cgroups, const char *path)
{
	struct ctx ctx;
	struct err err = { 0 };

	ctx_init(&ctx, clock_deadline_in(20 * NS_PER_SEC));
	assert_ok(cgroup_remove(cgroups, path, &ctx, &err));
	ctx_done(&ctx);
}

static void test_cgroup(void **state)
{
	CLEANUP(cgroups_freep) struct cgroups *cgroups = NULL;
	CLEANUP(freep) char *path = xasprintf("/crisp-meter-%d", (int)getpid());
	struct cgroup_meter meter;
	struct cgroup_usage usage;
	struct err err = { 0 };
	size_t before, kept;

	(void)state;
	cgroups = cgroups_open(NULL, &err);
	if (!cgroups || cgroup_make(cgroups, path, &err) < 0)
		skip();
	before = open_descriptors();
	cgroup_meter_init(&meter, cgroups, path);
	cgroup_meter_read(&meter, CGROUP_METER_STATS, &usage);
	assert_true(cgroup_usage_has(&usage, CGROUP_ITEM_CPU));
	assert_true(usage.at > 0);
	kept = open_descriptors() - before;
	assert_true(kept > 0 && kept <= 10);
	for (int i = 0; i < 10; i++)
		cgroup_meter_read(&meter, CGROUP_METER_STATS, &usage);
	assert_int_equal(open_descriptors(), before + kept);

	/* What is not kept is read as well, and a set that has more than the first. */
	cgroup_meter_read(&meter, CGROUP_METER_POD | CGROUP_ITEM_BIT(CGROUP_ITEM_PROCS), &usage);
	assert_true(cgroup_usage_has(&usage, CGROUP_ITEM_CPU));
	assert_int_equal(usage.processes, 0);

	cgroup_meter_close(&meter);
	assert_int_equal(open_descriptors(), before);
	cgroup_meter_read(&meter, CGROUP_METER_STATS, &usage);
	assert_true(cgroup_usage_has(&usage, CGROUP_ITEM_CPU));
	assert_int_equal(open_descriptors(), before);
	remove_cgroup(cgroups, path);
	cgroup_meter_read(&meter, CGROUP_METER_STATS, &usage);
	assert_int_equal(usage.known, 0);
	cgroup_meter_done(&meter);
}

/* Kept files of a cgroup that is gone tell nothing, and nothing of one that came in its place. */
static void test_cgroup_removed(void **state)
{
	CLEANUP(cgroups_freep) struct cgroups *cgroups = NULL;
	CLEANUP(freep) char *path = xasprintf("/crisp-meter-%d", (int)getpid());
	struct cgroup_meter meter;
	struct cgroup_usage usage;
	struct err err = { 0 };

	(void)state;
	cgroups = cgroups_open(NULL, &err);
	if (!cgroups || cgroup_make(cgroups, path, &err) < 0)
		skip();
	cgroup_meter_init(&meter, cgroups, path);
	cgroup_meter_read(&meter, CGROUP_ITEM_BIT(CGROUP_ITEM_CPU), &usage);
	assert_true(cgroup_usage_has(&usage, CGROUP_ITEM_CPU));
	remove_cgroup(cgroups, path);
	assert_ok(cgroup_make(cgroups, path, &err));
	cgroup_meter_read(&meter, CGROUP_ITEM_BIT(CGROUP_ITEM_CPU), &usage);
	assert_int_equal(usage.known, 0);
	remove_cgroup(cgroups, path);
	cgroup_meter_done(&meter);
}

/* Without room for kept descriptors everything is still told. */
static void test_no_room(void **state)
{
	CLEANUP(cgroups_freep) struct cgroups *cgroups = NULL;
	CLEANUP(freep) char *path = xasprintf("/crisp-meter-%d", (int)getpid());
	size_t room = meter_descriptors_max(), before;
	struct cgroup_meter meter;
	struct cgroup_usage usage;
	struct err err = { 0 };

	(void)state;
	cgroups = cgroups_open(NULL, &err);
	if (!cgroups || cgroup_make(cgroups, path, &err) < 0)
		skip();
	assert_true(room > 0);
	assert_true(meter_descriptors_take(room));
	assert_false(meter_descriptors_take(1));
	before = open_descriptors();
	cgroup_meter_init(&meter, cgroups, path);
	cgroup_meter_read(&meter, CGROUP_METER_STATS, &usage);
	assert_true(cgroup_usage_has(&usage, CGROUP_ITEM_CPU));
	assert_int_equal(open_descriptors(), before);
	meter_descriptors_give(room);
	cgroup_meter_read(&meter, CGROUP_METER_STATS, &usage);
	assert_true(open_descriptors() > before);
	cgroup_meter_done(&meter);
	assert_int_equal(open_descriptors(), before);
	remove_cgroup(cgroups, path);
}

/* ---- network ---- */

/* A process in a network namespace of its own; its namespace's path. */
static char *start_in_namespace(struct process *process)
{
	const char *const argv[] = {
		"unshare", "--net", "sh", "-c", "ip link set lo up 2>/dev/null; exec sleep 1000", NULL
	};
	const struct command command = { .path = "unshare", .argv = argv };
	struct stat ours, theirs = { 0 };
	struct err err = { 0 };
	char *path;

	assert_ok(command_start(&command, process, &err));
	path = xasprintf("/proc/%d/ns/net", (int)process->pid);
	assert_int_equal(stat("/proc/self/ns/net", &ours), 0);
	theirs = ours;
	for (int i = 0; i < 2000 && theirs.st_ino == ours.st_ino; i++) {
		usleep(5000);
		assert_int_equal(stat(path, &theirs), 0);
	}
	assert_true(theirs.st_ino != ours.st_ino);
	return path;
}

static void test_network(void **state)
{
	struct process process = PROCESS_INIT;
	CLEANUP(freep) char *path = start_in_namespace(&process);
	CLEANUP(freep) struct net_usage *usage = xnew(struct net_usage);
	struct net_meter meter;
	struct stat ours, still;
	struct err err = { 0 };
	size_t before = open_descriptors();
	int status;

	(void)state;
	assert_int_equal(stat("/proc/self/ns/net", &ours), 0);
	net_meter_init(&meter);
	for (int i = 0; i < 3; i++) {
		assert_ok(net_meter_read(&meter, path, usage, &err));
		assert_true(usage->len >= 1);
		assert_string_equal(usage->links[0].name, "lo");
		assert_true(usage->links[0].loopback);
		assert_true(usage->at > 0);
		assert_int_equal(open_descriptors(), before + 1);
	}
	assert_int_equal(stat("/proc/thread-self/ns/net", &still), 0);
	assert_true(ours.st_ino == still.st_ino);
	net_meter_close(&meter);
	assert_int_equal(open_descriptors(), before);
	assert_ok(net_meter_read(&meter, path, usage, &err)); /* once more, kept no longer */
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(process_signal(&process, SIGKILL, &err), 0);
	assert_ok(process_wait(&process, NULL, &status, &err));
	process_done(&process);
	assert_fails(net_meter_read(&meter, path, usage, &err), RPC_NOT_FOUND);
	net_meter_done(&meter);
}

/* Runs a shell's command in the namespace. */
static void run_inside(const char *path, const char *text)
{
	CLEANUP(freep) char *net = xasprintf("--net=%s", path);
	const char *const argv[] = { "nsenter", net, "bash", "-c", text, NULL };
	const struct command command = { .path = "nsenter", .argv = argv };
	CLEANUP(process_done) struct process process = PROCESS_INIT;
	struct err err = { 0 };
	int status;

	assert_ok(command_start(&command, &process, &err));
	assert_ok(process_wait(&process, NULL, &status, &err));
	assert_int_equal(status, 0);
}

/* What is asked with names kept is what is asked with names, and a new interface has its own at once. */
static void test_counters(void **state)
{
	struct process process = PROCESS_INIT;
	CLEANUP(freep) char *path = start_in_namespace(&process);
	CLEANUP(freep) struct net_usage *usage = xnew(struct net_usage);
	CLEANUP(freep) struct net_usage *again = xnew(struct net_usage);
	struct net_meter meter, fresh;
	struct err err = { 0 };
	int status;

	(void)state;
	net_meter_init(&meter);
	net_meter_init(&fresh);
	assert_ok(net_meter_read(&meter, path, usage, &err));
	run_inside(path, "ip link set lo up && echo 12345 >/dev/udp/127.0.0.1/9; true");
	assert_ok(net_meter_read(&meter, path, usage, &err));
	assert_true(usage->links[0].rx_packets > 0 && usage->links[0].rx_bytes > 6);
	assert_ok(net_meter_read(&fresh, path, again, &err));
	assert_int_equal(usage->len, again->len);
	usage->at = again->at;
	assert_memory_equal(usage, again, sizeof(*usage));

	run_inside(path, "ip link add crisp-t0 type bridge");
	assert_ok(net_meter_read(&meter, path, usage, &err));
	assert_int_equal(usage->len, again->len + 1);
	assert_string_equal(usage->links[usage->len - 1].name, "crisp-t0");
	assert_false(usage->links[usage->len - 1].loopback);
	run_inside(path, "ip link del crisp-t0");
	assert_ok(net_meter_read(&meter, path, usage, &err));
	assert_int_equal(usage->len, again->len);

	net_meter_done(&meter);
	net_meter_done(&fresh);
	assert_int_equal(process_signal(&process, SIGKILL, &err), 0);
	assert_ok(process_wait(&process, NULL, &status, &err));
	process_done(&process);
}

static void name_link(struct net_usage *usage, size_t at, const char *name)
{
	snprintf(usage->links[at].name, sizeof(usage->links[at].name), "%s", name);
}

static void test_default_interface(void **state)
{
	CLEANUP(freep) struct net_usage *usage = xnew(struct net_usage);

	(void)state;
	assert_null(net_usage_default(usage));
	usage->len = 1;
	name_link(usage, 0, "lo");
	usage->links[0].loopback = true;
	assert_null(net_usage_default(usage));
	usage->len = 3;
	name_link(usage, 1, "net1");
	name_link(usage, 2, "net2");
	assert_ptr_equal(net_usage_default(usage), &usage->links[1]);
	name_link(usage, 2, "eth0");
	assert_ptr_equal(net_usage_default(usage), &usage->links[2]);
}

/* ---- layers ---- */

static uint64_t blocks_of(int dir, const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return (uint64_t)st.st_blocks * 512;
}

static void test_walk(void **state)
{
	struct scratch scratch;
	struct layer_walk walk;
	struct err err = { 0 };
	uint64_t bytes;

	(void)state;
	scratch_init(&scratch);
	assert_int_equal(mkdirat(scratch.dir, "a", 0755), 0);
	assert_int_equal(mkdirat(scratch.dir, "a/b", 0755), 0);
	put_file(scratch.dir, "a/one", "1");
	put_file(scratch.dir, "a/b/two", "22");
	assert_int_equal(linkat(scratch.dir, "a/one", scratch.dir, "a/b/again", 0), 0);
	assert_int_equal(symlinkat("/usr", scratch.dir, "a/usr"), 0);
	bytes = blocks_of(scratch.dir, ".") + blocks_of(scratch.dir, "a") + blocks_of(scratch.dir, "a/b") +
		blocks_of(scratch.dir, "a/one") + blocks_of(scratch.dir, "a/b/two") +
		blocks_of(scratch.dir, "a/usr");
	assert_ok(layer_walk(scratch.path, 1000, NULL, &walk, &err));
	assert_true(walk.whole);
	assert_int_equal(walk.inodes, 6);
	assert_int_equal(walk.bytes, bytes);

	assert_ok(layer_walk(scratch.path, 3, NULL, &walk, &err));
	assert_false(walk.whole);
	assert_true(walk.inodes <= 4);

	atomic_bool stop = true;
	assert_ok(layer_walk(scratch.path, 1000, &stop, &walk, &err));
	assert_false(walk.whole);
	scratch_done(&scratch);
	assert_fails(layer_walk("/nonexistent/upper", 1000, NULL, &walk, &err), RPC_NOT_FOUND);
}

/* Deeper than any path may be long, and wide enough for the set of linked files to grow. */
static void test_walk_deep(void **state)
{
	enum { LEVELS = 3000, LINKED = 200 };
	struct scratch scratch;
	struct layer_walk walk;
	struct err err = { 0 };
	size_t before = open_descriptors();
	int at;

	(void)state;
	scratch_init(&scratch);
	at = fcntl(scratch.dir, F_DUPFD_CLOEXEC, 3);
	for (int i = 0; i < LEVELS; i++) {
		int next;

		assert_int_equal(mkdirat(at, "deeper", 0755), 0);
		next = openat(at, "deeper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(at);
		at = next;
	}
	put_file(at, "bottom", "b");
	close(at);
	for (int i = 0; i < LINKED; i++) {
		char name[32], other[32];

		snprintf(name, sizeof(name), "f%d", i);
		snprintf(other, sizeof(other), "g%d", i);
		put_file(scratch.dir, name, "");
		assert_int_equal(linkat(scratch.dir, name, scratch.dir, other, 0), 0);
	}
	assert_ok(layer_walk(scratch.path, 100000, NULL, &walk, &err));
	assert_true(walk.whole);
	assert_int_equal(walk.inodes, 1 + LEVELS + 1 + LINKED);
	scratch_done(&scratch);
	assert_int_equal(open_descriptors(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cgroup),   cmocka_unit_test(test_cgroup_removed),
		cmocka_unit_test(test_no_room),  cmocka_unit_test(test_network),
		cmocka_unit_test(test_counters), cmocka_unit_test(test_default_interface),
		cmocka_unit_test(test_walk),     cmocka_unit_test(test_walk_deep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
