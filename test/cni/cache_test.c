/* The cache is read by other tools and by later versions: its format is libcni's
 * (github.com/containernetworking/cni, libcni/api.go). */
#include "test/cni/fake.h"

#include "cni/cache.h"

static const char list_text[] =
	"{\"cniVersion\":\"0.4.0\",\"name\":\"pod-net\",\"plugins\":[{\"type\":\"bridge\"}]}";

static struct fake fake;
static struct cache *cache;

static struct cache_entry entry_of(const char *ifname)
{
	struct cache_entry entry = {
		.container_id = xstrdup(FAKE_ID),
		.ifname = xstrdup(ifname),
		.netns = xstrdup("/run/ns/x"),
		.args = xstrdup("IgnoreUnknown=1;K8S_POD_NAME=a"),
		.capabilities = json_pack("{s:[]}", "portMappings"),
		.result = json_pack("{s:s}", "cniVersion", "0.4.0"),
	};
	struct err err;

	assert_int_equal(conflist_parse("10-x.conflist", list_text, strlen(list_text), &entry.list, &err), 0);
	return entry;
}

static void test_format(void **state)
{
	CLEANUP(cache_entry_done) struct cache_entry entry = entry_of("eth0");
	struct err err;

	(void)state;
	assert_int_equal(cache_put(cache, &entry, &err), 0);
	CLEANUP(json_decrefp) json_t *json = fake_read_json(&fake, "cni/results/pod-net-" FAKE_ID "-eth0");
	CLEANUP(json_decrefp)
	json_t *expected = json_pack(
		"{s:s, s:s, s:s, s:s, s:s, s:s, s:[[s,s],[s,s]], s:{s:[]}, s:{s:s}}", "kind", "cniCacheV1",
		"containerId", FAKE_ID, "config",
		"eyJjbmlWZXJzaW9uIjoiMC40LjAiLCJuYW1lIjoicG9kLW5ldCIsInBsdWdpbnMiOlt7InR5cGUiOiJicmlkZ2UifV19",
		"ifName", "eth0", "networkName", "pod-net", "netns", "/run/ns/x", "cniArgs", "IgnoreUnknown",
		"1", "K8S_POD_NAME", "a", "capabilityArgs", "portMappings", "result", "cniVersion", "0.4.0");
	CLEANUP(freep) char *text = json_text(json);
	CLEANUP(freep) char *expected_text = json_text(expected);
	assert_string_equal(text, expected_text);
	assert_int_equal(cache_del(cache, &entry, &err), 0);
	assert_int_equal(cache_del(cache, &entry, &err), 0);
}

static void test_find(void **state)
{
	CLEANUP(cache_entry_done) struct cache_entry one = entry_of("eth0");
	CLEANUP(cache_entry_done) struct cache_entry two = entry_of("net-1");
	CLEANUP(cache_entries_done) struct cache_entries found = { .len = 0 };
	CLEANUP(strv_done) struct strv ids = STRV_INIT;
	struct err err;

	(void)state;
	json_decref(one.result);
	one.result = NULL; /* ADD did not come to its end */
	assert_int_equal(cache_put(cache, &one, &err), 0);
	assert_int_equal(cache_put(cache, &two, &err), 0);
	assert_int_equal(cache_find(cache, FAKE_ID, &found, &err), 0);
	assert_int_equal(found.len, 2);
	assert_string_equal(found.items[0].ifname, "eth0");
	assert_string_equal(found.items[0].args, "IgnoreUnknown=1;K8S_POD_NAME=a");
	assert_string_equal(found.items[0].netns, "/run/ns/x");
	assert_string_equal(found.items[0].list->name, "pod-net");
	assert_string_equal(found.items[0].list->plugins[0].type, "bridge");
	assert_null(found.items[0].result);
	assert_string_equal(found.items[1].ifname, "net-1");
	assert_non_null(found.items[1].result);
	assert_non_null(json_object_get(found.items[1].capabilities, "portMappings"));
	assert_int_equal(cache_ids(cache, &ids, &err), 0);
	assert_true(strv_has(&ids, FAKE_ID));
	assert_int_equal(ids.len, 1);
	assert_int_equal(cache_del(cache, &found.items[0], &err), 0);
	assert_int_equal(cache_del(cache, &found.items[1], &err), 0);
	cache_entries_done(&found);
	assert_int_equal(cache_find(cache, FAKE_ID, &found, &err), 0);
	assert_int_equal(found.len, 0);
}

/* Fault matrix 23: whatever happened to the file, its container is known and can be cleaned up. */
static void test_damaged(void **state)
{
	static const char *const contents[] = {
		"",
		"garbage",
		"{}",
		"{\"kind\":\"cniCacheV9\"}",
		"{\"kind\":\"cniCacheV1\",\"containerId\":\"" FAKE_ID "\",\"ifName\":\"eth0\"}",
		"{\"kind\":\"cniCacheV1\",\"containerId\":\"" FAKE_ID
		"\",\"ifName\":\"eth0\",\"config\":\"!!\"}",
		"{\"kind\":\"cniCacheV1\",\"containerId\":\"" FAKE_ID
		"\",\"ifName\":\"eth0\",\"config\":\"e30=\"}",
		"{\"kind\":\"cniCacheV1\",\"containerId\":\"other\",\"ifName\":\"eth0\",\"config\":\"e30=\"}",
	};
	CLEANUP(freep) char *results = xasprintf("%s/cni/results", fake.root);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(contents); i++) {
		CLEANUP(cache_entries_done) struct cache_entries found = { .len = 0 };
		struct err err;
		fake_write(results, "pod-net-" FAKE_ID "-eth0", contents[i], 0600);
		assert_int_equal(cache_find(cache, FAKE_ID, &found, &err), 0);
		assert_int_equal(found.len, 1);
		assert_null(found.items[0].list);
		assert_string_equal(found.items[0].ifname, "eth0");
		assert_int_equal(cache_del(cache, &found.items[0], &err), 0);
	}
}

/* A file of libcni's own, as found on a node. */
static void test_reads_libcnis(void **state)
{
	static const char text[] =
		"{\"kind\":\"cniCacheV1\",\"containerId\":\"" FAKE_ID
		"\",\"config\":\"eyJuYW1lIjoiY2JyMCIsImNuaVZlcnNpb24iOiIwLjMuM"
		"SIsInBsdWdpbnMiOlt7InR5cGUiOiJmbGFubmVsIn0seyJ0eXBlIjoicG9ydG1hcCJ9XX0=\",\"ifName\":\"eth0\",\"networkName\":\"cbr"
		"0\",\"cniArgs\":[[\"IgnoreUnknown\",\"1\"],[\"K8S_POD_NAMESPACE\",\"kube-system\"]],\"capabilityArgs\":{\"dns\":{}},"
		"\"result\":{\"cniVersion\":\"0.3.1\",\"dns\":{},\"ips\":[{\"address\":\"10.244.0.2/24\",\"version\":\"4\"}]}}";
	CLEANUP(freep) char *results = xasprintf("%s/cni/results", fake.root);
	CLEANUP(cache_entries_done) struct cache_entries found = { .len = 0 };
	struct err err;

	(void)state;
	fake_write(results, "cbr0-" FAKE_ID "-eth0", text, 0600);
	assert_int_equal(cache_find(cache, FAKE_ID, &found, &err), 0);
	assert_int_equal(found.len, 1);
	assert_string_equal(found.items[0].list->name, "cbr0");
	assert_int_equal(found.items[0].list->plugins_len, 2);
	assert_string_equal(found.items[0].args, "IgnoreUnknown=1;K8S_POD_NAMESPACE=kube-system");
	assert_non_null(json_object_get(found.items[0].result, "ips"));
	assert_int_equal(cache_del(cache, &found.items[0], &err), 0);
}

/* What other tools read is always a list with one version, whatever the file was. */
static void test_other_files_become_lists(void **state)
{
	static const struct {
		const char *file, *kept;
	} rows[] = {
		{ "{\"cniVersion\":\"0.3.1\",\"name\":\"n\",\"type\":\"a\",\"x\":1}",
		  "{\"name\":\"n\",\"plugins\":[{\"cniVersion\":\"0.3.1\",\"name\":\"n\",\"type\":\"a\",\"x\":1}],"
		  "\"disableCheck\":false,\"disableGC\":false,\"cniVersion\":\"0.3.1\"}" },
		{ "{\"cniVersions\":[\"0.4.0\",\"1.1.0\",\"9.0.0\"],\"name\":\"n\",\"plugins\":[{\"type\":\"a\"}]}",
		  "{\"name\":\"n\",\"plugins\":[{\"type\":\"a\"}],\"cniVersion\":\"1.1.0\"}" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(cache_entry_done) struct cache_entry entry = { 0 };
		CLEANUP(cache_entries_done) struct cache_entries found = { .len = 0 };
		struct err err;

		entry.container_id = xstrdup(FAKE_ID);
		entry.ifname = xstrdup("eth0");
		assert_int_equal(conflist_parse("x", rows[i].file, strlen(rows[i].file), &entry.list, &err),
				 0);
		assert_int_equal(cache_put(cache, &entry, &err), 0);
		assert_int_equal(cache_find(cache, FAKE_ID, &found, &err), 0);
		assert_int_equal(found.len, 1);
		assert_string_equal(found.items[0].list->text, rows[i].kept);
		assert_string_equal(found.items[0].list->version, entry.list->version);
		assert_int_equal(cache_del(cache, &entry, &err), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_reads_libcnis),
		cmocka_unit_test(test_other_files_become_lists),
	};
	struct err err;

	fake_open(&fake);
	CLEANUP(freep) char *root = xasprintf("%s/cni", fake.root);
	cache = cache_open(root, &err);
	int failed = !cache || cmocka_run_group_tests(tests, NULL, NULL);
	cache_free(cache);
	fake_close(&fake);
	return failed;
}
