/* What an update of a container's resources leaves as it was, and what it replaces. */
#include "test/base/check.h"

#include "base/json.h"
#include "proto/message_json.h"
#include "sandbox/container.h"

static Cri__LinuxContainerResources *of(const char *json, struct arena *arena)
{
	CLEANUP(json_decrefp) json_t *parsed = NULL;
	ProtobufCMessage *message = NULL;
	struct err err = { 0 };

	if (json_parse(json, strlen(json), 65536, &parsed, &err) < 0 ||
	    message_from_json(&cri__linux_container_resources__descriptor, parsed, 0, arena, &message, &err) <
		    0)
		fail_msg("%s", err.text);
	return (Cri__LinuxContainerResources *)message;
}

static void merges_to(const char *held, const char *asked, const char *expected)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	const Cri__LinuxContainerResources *now =
		container_resources_merged(held ? of(held, arena) : NULL, of(asked, arena), arena);
	CLEANUP(freep) char *text = message_json_text(&now->base, 0);
	CLEANUP(freep) char *wanted = message_json_text(&of(expected, arena)->base, 0);

	assert_string_equal(text, wanted);
}

static void test_merge(void **state UNUSED)
{
	merges_to(NULL, "{}", "{}");
	merges_to(NULL, "{\"cpuShares\":5}", "{\"cpuShares\":5}");
	merges_to("{\"cpuShares\":5,\"cpusetCpus\":\"0\",\"memoryLimitInBytes\":7,\"oomScoreAdj\":3}",
		  "{\"cpuQuota\":-1,\"memoryLimitInBytes\":8,\"cpusetMems\":\"1\",\"oomScoreAdj\":9}",
		  "{\"cpuShares\":5,\"cpusetCpus\":\"0\",\"memoryLimitInBytes\":8,\"oomScoreAdj\":3,"
		  "\"cpuQuota\":-1,\"cpusetMems\":\"1\"}");
	merges_to(
		"{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":4},{\"pageSize\":\"1GB\",\"limit\":5}]}",
		"{\"hugepageLimits\":[{\"pageSize\":\"1GB\",\"limit\":6},{\"pageSize\":\"64KB\",\"limit\":7}]}",
		"{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":4},{\"pageSize\":\"1GB\",\"limit\":6},"
		"{\"pageSize\":\"64KB\",\"limit\":7}]}");
	merges_to("{\"unified\":{\"memory.high\":\"1\",\"io.max\":\"2\"}}",
		  "{\"unified\":{\"memory.high\":\"3\",\"cpu.idle\":\"1\"}}",
		  "{\"unified\":{\"memory.high\":\"3\",\"io.max\":\"2\",\"cpu.idle\":\"1\"}}");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_merge) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
