/* config.json: limits of memory, processors and the rest. */
#include "spec_fixture.h"

static struct fixture f;

static int setup(void **state)
{
	(void)state;
	fixture_open(&f);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_close(&f);
	return 0;
}

static void check_resources(const char *path, const char *expected)
{
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);

	assert_at(spec, path, expected);
}

static void test_resources(void **state)
{
	static char cpus[] = "0-1,3", mems[] = "0";
	Cri__HugepageLimit limit = CRI__HUGEPAGE_LIMIT__INIT;
	Cri__HugepageLimit *limits[] = { &limit };
	static char size[] = "2MB";

	(void)state;
	check_resources("linux.resources.memory", "{}");
	f.resources.cpu_shares = 512;
	f.resources.cpu_quota = 50000;
	f.resources.cpu_period = 100000;
	f.resources.cpuset_cpus = cpus;
	f.resources.cpuset_mems = mems;
	check_resources(
		"linux.resources.cpu",
		"{\"shares\":512,\"quota\":50000,\"period\":100000,\"cpus\":\"0-1,3\",\"mems\":\"0\"}");
	f.resources.memory_limit_in_bytes = 1 << 24;
	check_resources("linux.resources.memory", "{\"limit\":16777216,\"swap\":16777216}");
	f.resources.memory_swap_limit_in_bytes = 1 << 25;
	check_resources("linux.resources.memory", "{\"limit\":16777216,\"swap\":33554432}");
	f.host.swap_accounting = false;
	check_resources("linux.resources.memory", "{\"limit\":16777216}");
	limit.page_size = size;
	limit.limit = 4096;
	f.resources.hugepage_limits = limits;
	f.resources.n_hugepage_limits = 1;
	check_resources("linux.resources.hugepageLimits", "");
	f.host.hugetlb = true;
	check_resources("linux.resources.hugepageLimits", "[{\"pageSize\":\"2MB\",\"limit\":4096}]");
	f.resources.oom_score_adj = 500;
	check_resources("process.oomScoreAdj", "500");
	f.resources.oom_score_adj = -998;
	check_resources("process.oomScoreAdj", "-998");
	f.host.can_lower_oom_score = false;
	f.host.oom_score_adj = -10;
	check_resources("process.oomScoreAdj", "-10");
}

static void test_bad_resources(void **state)
{
	static const char *const sets[] = { "0-9e9", "1-",    "-1",    "3-1",  ",", "1,",
					    "1,,2",  "0-1-2", "99999", "8192", "a", "1 2" };
	Cri__LinuxContainerResources__UnifiedEntry entry =
		CRI__LINUX_CONTAINER_RESOURCES__UNIFIED_ENTRY__INIT;
	Cri__LinuxContainerResources__UnifiedEntry *unified[] = { &entry };
	static char value[] = "1";
	const struct {
		int64_t *field;
		int64_t value;
	} bad[] = {
		{ &f.resources.cpu_shares, -1 },
		{ &f.resources.cpu_shares, INT64_MAX },
		{ &f.resources.cpu_quota, -2 },
		{ &f.resources.cpu_quota, 1 },
		{ &f.resources.cpu_period, 1 },
		{ &f.resources.cpu_period, -1 },
		{ &f.resources.cpu_period, 1000001 },
		{ &f.resources.memory_limit_in_bytes, -1 },
		{ &f.resources.memory_swap_limit_in_bytes, -2 },
		{ &f.resources.oom_score_adj, -1001 },
		{ &f.resources.oom_score_adj, 1001 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		*bad[i].field = bad[i].value;
		fixture_refused(&f, RPC_INVALID_ARGUMENT, "");
		*bad[i].field = 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		f.resources.cpuset_cpus = (char *)(uintptr_t)sets[i];
		fixture_refused(&f, RPC_INVALID_ARGUMENT, "cpuset_cpus");
	}
	f.resources.cpuset_cpus = (char *)(uintptr_t) "";
	f.resources.memory_limit_in_bytes = 1 << 24;
	f.resources.memory_swap_limit_in_bytes = 1 << 23;
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "memory_swap_limit");
	f.resources.memory_swap_limit_in_bytes = f.resources.memory_limit_in_bytes = 0;

	f.resources.unified = unified;
	f.resources.n_unified = 1;
	entry.key = (char *)(uintptr_t) "memory.high";
	entry.value = value;
	fixture_refused(&f, RPC_FAILED_PRECONDITION, "cgroup v2");
	f.host.cgroup2 = true;
	check_resources("linux.resources.unified", "{\"memory.high\":\"1\"}");
	entry.key = (char *)(uintptr_t) "../memory.high";
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "no resource file");
	entry.key = (char *)(uintptr_t) "a/b.c";
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "no resource file");
	entry.key = (char *)(uintptr_t) "cgroup.procs";
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "no resource file");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_resources),
		TEST(test_bad_resources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
