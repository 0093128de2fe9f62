/* Limits of a pod's cgroup: what is written where, in which order of things, and taken back when one write
 * fails. The cgroups here are folders of plain files; integration/tests has the real ones. */
#include "test/base/check.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/json.h"
#include "proto/message.h"
#include "sandbox/cgroup_hierarchy.h"
#include "sandbox/cgroup_limits.h"
#include "sandbox/pod_resources.h"

static struct err err;

struct place {
	struct scratch scratch;
	struct cgroups cgroups;
};

static void add_hierarchy(struct place *place, const char *name, bool unified)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", place->scratch.path, name);
	CLEANUP(freep) char *pod = xasprintf("%s/pod", path);

	assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
	assert_int_equal(mkdir(pod, 0700), 0);
	place->cgroups.items[place->cgroups.len++] = (struct cgroup_hierarchy){
		.name = xstrdup(name),
		.root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		.unified = unified,
	};
}

static void put(const struct place *place, const char *name, const char *text)
{
	put_file(place->scratch.dir, name, text);
}

static void open_v2(struct place *place)
{
	*place = (struct place){ .cgroups.view = CGROUP_VIEW_V2 };
	scratch_init(&place->scratch);
	add_hierarchy(place, "", true);
	put(place, "pod/cpu.weight", "1\n");
	put(place, "pod/cpu.max", "max\n");
	put(place, "pod/cpuset.cpus", "\n");
	put(place, "pod/cpuset.mems", "\n");
	put(place, "pod/memory.max", "max\n");
	put(place, "pod/memory.swap.max", "max\n");
	put(place, "pod/memory.current", "4096\n");
	put(place, "pod/hugetlb.2MB.max", "max\n");
}

static void open_v1(struct place *place)
{
	*place = (struct place){ .cgroups.view = CGROUP_VIEW_V1 };
	scratch_init(&place->scratch);
	add_hierarchy(place, "cpu,cpuacct", false);
	add_hierarchy(place, "memory", false);
	put(place, "cpu,cpuacct/pod/cpu.shares", "2\n");
	put(place, "cpu,cpuacct/pod/cpu.cfs_period_us", "1\n");
	put(place, "cpu,cpuacct/pod/cpu.cfs_quota_us", "-1\n");
	put(place, "memory/pod/memory.limit_in_bytes", "9223372036854771712\n");
	put(place, "memory/pod/memory.memsw.limit_in_bytes", "9223372036854771712\n");
	put(place, "memory/pod/memory.usage_in_bytes", "4096\n");
}

static void close_place(struct place *place)
{
	for (size_t i = 0; i < place->cgroups.len; i++) {
		free(place->cgroups.items[i].name);
		fd_close(place->cgroups.items[i].root);
	}
	scratch_done(&place->scratch);
}

/* Plain files keep what is longer than the new value: only the beginning counts. */
static void assert_begins(const struct place *place, const char *name, const char *expected)
{
	CLEANUP(freep) char *text = NULL;

	assert_ok(file_read_virtual(place->scratch.dir, name, 4096, &text, &err));
	if (!str_has_prefix(text, expected))
		fail_msg("%s: %s, %s expected", name, text, expected);
}

static int limit(const struct place *place, const char *json, enum cgroup_limit_mode mode)
{
	CLEANUP(json_decrefp) json_t *resources = NULL;

	assert_ok(json_parse(json, strlen(json), 65536, &resources, &err));
	return cgroup_limit(&place->cgroups, "/pod", resources, mode, &err);
}

static void test_weights(void **state UNUSED)
{
	assert_int_equal(cgroup_weight_of_shares(0), 1);
	assert_int_equal(cgroup_weight_of_shares(2), 1);
	assert_int_equal(cgroup_weight_of_shares(1024), 39);
	assert_int_equal(cgroup_weight_of_shares(262144), 10000);
}

static const char everything[] =
	"{\"cpu\":{\"shares\":1024,\"quota\":50000,\"period\":200000,\"cpus\":\"0-1\",\"mems\":\"0\"},"
	"\"memory\":{\"limit\":104857600,\"swap\":209715200},"
	"\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":4194304}]}";

static void test_v2(void **state UNUSED)
{
	struct place place;

	open_v2(&place);
	assert_ok(limit(&place, everything, CGROUP_LIMIT_ALL));
	assert_begins(&place, "pod/cpu.weight", "39");
	assert_begins(&place, "pod/cpu.max", "50000 200000");
	assert_begins(&place, "pod/cpuset.cpus", "0-1");
	assert_begins(&place, "pod/cpuset.mems", "0");
	assert_begins(&place, "pod/memory.max", "104857600");
	assert_begins(&place, "pod/memory.swap.max", "104857600"); /* without the memory */
	assert_begins(&place, "pod/hugetlb.2MB.max", "4194304");
	assert_ok(limit(&place, "{\"cpu\":{\"quota\":-1}}", CGROUP_LIMIT_ALL));
	assert_begins(&place, "pod/cpu.max", "max 100000");
	put(&place, "pod/io.weight", "\n");
	assert_ok(limit(&place, "{\"unified\":{\"io.weight\":\"200\"}}", CGROUP_LIMIT_ALL));
	assert_begins(&place, "pod/io.weight", "200");
	close_place(&place);
}

static void test_v1(void **state UNUSED)
{
	struct place place;

	open_v1(&place);
	assert_ok(limit(&place,
			"{\"cpu\":{\"shares\":1024,\"quota\":50000,\"period\":200000},"
			"\"memory\":{\"limit\":104857600,\"swap\":209715200}}",
			CGROUP_LIMIT_ALL));
	assert_begins(&place, "cpu,cpuacct/pod/cpu.shares", "1024");
	assert_begins(&place, "cpu,cpuacct/pod/cpu.cfs_period_us", "200000");
	assert_begins(&place, "cpu,cpuacct/pod/cpu.cfs_quota_us", "50000");
	assert_begins(&place, "memory/pod/memory.limit_in_bytes", "104857600");
	assert_begins(&place, "memory/pod/memory.memsw.limit_in_bytes", "209715200");
	/* No cpuset hierarchy here. */
	assert_int_equal(limit(&place, "{\"cpu\":{\"cpus\":\"0\"}}", CGROUP_LIMIT_ALL), -1);
	assert_int_equal(err.code, RPC_FAILED_PRECONDITION);
	assert_contains(err.text, "no cpuset controller");
	close_place(&place);
}

/* The kubelet's cgroups: what has no limit gets none. */
static void test_move(void **state UNUSED)
{
	struct place place;

	open_v2(&place);
	put(&place, "pod/cpu.max", "20000 100000\n");
	assert_ok(limit(&place, everything, CGROUP_LIMIT_MOVE));
	assert_begins(&place, "pod/cpu.weight", "39");
	assert_begins(&place, "pod/cpu.max", "50000 200000");
	assert_begins(&place, "pod/memory.max", "max");
	assert_begins(&place, "pod/cpuset.cpus", "\n");
	close_place(&place);
	open_v1(&place);
	assert_ok(limit(&place, "{\"cpu\":{\"quota\":5000},\"memory\":{\"limit\":104857600}}",
			CGROUP_LIMIT_MOVE));
	assert_begins(&place, "cpu,cpuacct/pod/cpu.cfs_quota_us", "-1");
	assert_begins(&place, "memory/pod/memory.limit_in_bytes", "9223372036854771712");
	put(&place, "memory/pod/memory.limit_in_bytes", "52428800\n");
	assert_ok(limit(&place, "{\"memory\":{\"limit\":104857600}}", CGROUP_LIMIT_MOVE));
	assert_begins(&place, "memory/pod/memory.limit_in_bytes", "104857600");
	close_place(&place);
}

static void test_all_or_nothing(void **state UNUSED)
{
	struct place place;

	open_v2(&place);
	/* Cannot be written: everything before it goes back. */
	assert_int_equal(unlinkat(place.scratch.dir, "pod/hugetlb.2MB.max", 0), 0);
	assert_int_equal(mkdirat(place.scratch.dir, "pod/hugetlb.2MB.max", 0700), 0);
	put(&place, "pod/cpu.max", "20000 100000\n");
	assert_int_equal(limit(&place, everything, CGROUP_LIMIT_ALL), -1);
	assert_contains(err.text, "hugetlb.2MB.max");
	assert_begins(&place, "pod/cpu.weight", "1\n");
	assert_begins(&place, "pod/cpu.max", "20000 100000\n");
	assert_begins(&place, "pod/memory.max", "max\n");
	/* Below what is in use: before anything is touched. */
	assert_int_equal(
		limit(&place, "{\"cpu\":{\"shares\":1024},\"memory\":{\"limit\":4095}}", CGROUP_LIMIT_ALL),
		-1);
	assert_int_equal(err.code, RPC_FAILED_PRECONDITION);
	assert_contains(err.text, "below the 4096 bytes in use");
	assert_begins(&place, "pod/cpu.weight", "1\n");
	CLEANUP(json_decrefp) json_t *nothing = json_object();
	assert_ok(cgroup_limit(&place.cgroups, "/absent", nothing, CGROUP_LIMIT_ALL, &err));
	CLEANUP(json_decrefp) json_t *shares = json_pack("{s:{s:i}}", "cpu", "shares", 2);
	assert_fails(cgroup_limit(&place.cgroups, "/absent", shares, CGROUP_LIMIT_ALL, &err), RPC_NOT_FOUND);
	close_place(&place);
}

static void test_sum(void **state UNUSED)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	Cri__LinuxContainerResources overhead = CRI__LINUX_CONTAINER_RESOURCES__INIT;
	Cri__LinuxContainerResources resources = CRI__LINUX_CONTAINER_RESOURCES__INIT;

	overhead.cpu_shares = 256;
	overhead.cpu_quota = 25000;
	overhead.cpu_period = 100000;
	overhead.memory_limit_in_bytes = 1000;
	const Cri__LinuxContainerResources *sum = pod_resources_sum(&overhead, &resources, arena);
	assert_int_equal(sum->cpu_shares, 256);
	/* Containers without a limit: the overhead is none. */
	assert_int_equal(sum->cpu_quota, 0);
	assert_int_equal(sum->memory_limit_in_bytes, 0);
	resources.cpu_shares = 1024;
	resources.cpu_quota = 100000;
	resources.cpu_period = 200000;
	resources.memory_limit_in_bytes = 5000;
	resources.oom_score_adj = 7;
	sum = pod_resources_sum(&overhead, &resources, arena);
	assert_int_equal(sum->cpu_shares, 1280);
	assert_int_equal(sum->cpu_quota, 150000); /* a quarter of a CPU is 50000 of 200000 */
	assert_int_equal(sum->cpu_period, 200000);
	assert_int_equal(sum->memory_limit_in_bytes, 6000);
	assert_int_equal(sum->memory_swap_limit_in_bytes, 0);
	assert_int_equal(sum->oom_score_adj, 0);
	resources.memory_swap_limit_in_bytes = 9000;
	assert_int_equal(pod_resources_sum(&overhead, &resources, arena)->memory_swap_limit_in_bytes, 10000);
	assert_int_equal(pod_resources_sum(NULL, NULL, arena)->cpu_shares, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_weights), cmocka_unit_test(test_v2),
		cmocka_unit_test(test_v1),      cmocka_unit_test(test_move),
		cmocka_unit_test(test_sum),     cmocka_unit_test(test_all_or_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
