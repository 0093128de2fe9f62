/* The verbs of a list, against fake plugins. */
#include "test/cni/fake.h"

#include "base/clock.h"
#include "cni/chain.h"

static struct fake fake;

static const struct conflist *parse(const char *text)
{
	const struct conflist *list = NULL;
	struct err err;

	if (conflist_parse("x", text, strlen(text), &list, &err) < 0)
		fail_msg("%s", err.text);
	return list;
}

static struct chain chain_of(const struct conflist *list)
{
	return (struct chain){
		.list = list,
		.dirs = &fake.dirs,
		.container_id = FAKE_ID,
		.netns = "/run/ns/x",
		.ifname = "eth0",
		.args = "IgnoreUnknown=1",
		.plugin_timeout = 60 * NS_PER_SEC,
	};
}

static const char three[] =
	"{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[{\"type\":\"a\",\"mtu\":9},{\"type\":\"b\","
	"\"capabilities\":{\"portMappings\":true,\"dns\":false,\"bandwidth\":true}},{\"type\":\"c\"}]}";

static const char *string_at(const json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));

	return text ? text : "";
}

static void test_add_chains_results(void **state)
{
	CLEANUP(conflist_unrefp) const struct conflist *list = parse(three);
	CLEANUP(json_decrefp) json_t *capabilities = json_pack("{s:[i], s:{}}", "portMappings", 80, "dns");
	CLEANUP(json_decrefp) json_t *result = NULL;
	struct chain chain = chain_of(list);
	struct err err;

	(void)state;
	chain.capabilities = capabilities;
	fake_plugin(&fake, "a", "echo '{\"cniVersion\":\"1.0.0\",\"by\":\"a\"}'");
	fake_plugin(&fake, "b", "echo '{\"by\":\"b\"}'");
	fake_plugin(&fake, "c", "echo '{\"cniVersion\":\"1.0.0\",\"by\":\"c\"}'");
	if (chain_add(&chain, NULL, &result, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(string_at(result, "by"), "c");
	fake_assert_calls(&fake, "a ADD\nb ADD\nc ADD\n");
	CLEANUP(json_decrefp) json_t *a = fake_read_json(&fake, "stdin.a.ADD");
	CLEANUP(json_decrefp) json_t *b = fake_read_json(&fake, "stdin.b.ADD");
	CLEANUP(json_decrefp) json_t *c = fake_read_json(&fake, "stdin.c.ADD");
	assert_string_equal(string_at(a, "name"), "n");
	assert_string_equal(string_at(a, "cniVersion"), "1.0.0");
	assert_int_equal(json_integer_value(json_object_get(a, "mtu")), 9);
	assert_null(json_object_get(a, "prevResult"));
	assert_null(json_object_get(a, "runtimeConfig"));
	assert_string_equal(string_at(json_object_get(b, "prevResult"), "by"), "a");
	/* Only what it declares as true and we have. */
	assert_int_equal(json_object_size(json_object_get(b, "runtimeConfig")), 1);
	assert_non_null(json_object_get(json_object_get(b, "runtimeConfig"), "portMappings"));
	/* The version that b left out of its result is the list's. */
	assert_string_equal(string_at(json_object_get(c, "prevResult"), "cniVersion"), "1.0.0");
	/* The shared tree of the list has not changed. */
	assert_null(json_object_get(list->plugins[0].conf, "name"));
}

static void test_add_stops_at_failure(void **state)
{
	CLEANUP(conflist_unrefp) const struct conflist *list = parse(three);
	const struct chain chain = chain_of(list);
	json_t *result = NULL;
	struct err err;

	(void)state;
	fake_plugin(&fake, "b", "echo '{\"code\":7,\"msg\":\"no\"}'; exit 1");
	assert_int_equal(chain_add(&chain, NULL, &result, &err), -1);
	assert_string_equal(err.text, "plugin b: ADD: no");
	fake_assert_calls(&fake, "a ADD\nb ADD\n");
	fake_plugin(&fake, "b", "echo garbage");
	assert_int_equal(chain_add(&chain, NULL, &result, &err), -1);
	assert_non_null(strstr(err.text, "plugin b: ADD: result is no JSON"));
	fake_assert_calls(&fake, "a ADD\nb ADD\n");
	assert_null(result);
}

static void test_del_goes_backwards(void **state)
{
	CLEANUP(conflist_unrefp) const struct conflist *list = parse(three);
	CLEANUP(conflist_unrefp)
	const struct conflist *old = parse("{\"cniVersion\":\"0.3.1\",\"name\":\"n\",\"type\":\"a\"}");
	CLEANUP(json_decrefp) json_t *prev = json_pack("{s:s}", "by", "c");
	struct chain chain = chain_of(list);
	struct err err;

	(void)state;
	fake_plugin(&fake, "a", "");
	fake_plugin(&fake, "b", "");
	fake_plugin(&fake, "c", "");
	assert_int_equal(chain_del(&chain, prev, false, NULL, &err), 0);
	fake_assert_calls(&fake, "c DEL\nb DEL\na DEL\n");
	CLEANUP(json_decrefp) json_t *a = fake_read_json(&fake, "stdin.a.DEL");
	assert_string_equal(string_at(json_object_get(a, "prevResult"), "by"), "c");
	/* A failure ends it, or does not, as asked; the first one is told. */
	fake_plugin(&fake, "c", "echo '{\"code\":7,\"msg\":\"c failed\"}'; exit 1");
	fake_plugin(&fake, "b", "echo '{\"code\":7,\"msg\":\"b failed\"}'; exit 1");
	assert_int_equal(chain_del(&chain, NULL, false, NULL, &err), -1);
	assert_string_equal(err.text, "plugin c: DEL: c failed");
	fake_assert_calls(&fake, "c DEL\n");
	assert_int_equal(chain_del(&chain, NULL, true, NULL, &err), -1);
	assert_string_equal(err.text, "plugin c: DEL: c failed");
	fake_assert_calls(&fake, "c DEL\nb DEL\na DEL\n");
	/* Before 0.4.0 DEL had no prevResult. */
	chain.list = old;
	assert_int_equal(chain_del(&chain, prev, false, NULL, &err), 0);
	fake_assert_calls(&fake, "a DEL\n");
	CLEANUP(json_decrefp) json_t *old_stdin = fake_read_json(&fake, "stdin.a.DEL");
	assert_null(json_object_get(old_stdin, "prevResult"));
}

static void test_verbs_by_version(void **state)
{
	static const struct {
		const char *keys, *check, *status, *gc;
	} rows[] = {
		{ "\"cniVersion\":\"0.3.1\"", "", "", "" },
		{ "\"cniVersion\":\"0.4.0\"", "a CHECK\n", "", "" },
		{ "\"cniVersion\":\"1.0.0\",\"disableCheck\":true", "", "", "" },
		{ "\"cniVersion\":\"1.1.0\"", "a CHECK\n", "a STATUS\n", "a GC\n" },
		{ "\"cniVersion\":\"1.1.0\",\"disableGC\":true", "a CHECK\n", "a STATUS\n", "" },
	};

	(void)state;
	fake_plugin(&fake, "a", "");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(freep) char *text = xasprintf("{%s,\"name\":\"n\",\"type\":\"a\"}", rows[i].keys);
		CLEANUP(conflist_unrefp) const struct conflist *list = parse(text);
		CLEANUP(json_decrefp) json_t *prev = json_object();
		CLEANUP(json_decrefp)
		json_t *stay = json_pack("[{s:s,s:s}]", "containerID", FAKE_ID, "ifname", "eth0");
		const struct chain chain = chain_of(list);
		struct err err;
		assert_int_equal(chain_check(&chain, prev, NULL, &err), 0);
		fake_assert_calls(&fake, rows[i].check);
		assert_int_equal(chain_status(&chain, NULL, &err), 0);
		fake_assert_calls(&fake, rows[i].status);
		assert_int_equal(chain_gc(&chain, stay, NULL, &err), 0);
		fake_assert_calls(&fake, rows[i].gc);
	}
	CLEANUP(json_decrefp) json_t *gc = fake_read_json(&fake, "stdin.a.GC");
	const json_t *first = json_array_get(json_object_get(gc, "cni.dev/valid-attachments"), 0);
	assert_string_equal(string_at(first, "containerID"), FAKE_ID);
	assert_string_equal(string_at(first, "ifname"), "eth0");
}

/* Each plugin gets prevResult in the version of the list, whatever version the one before answered in. */
static void test_results_are_converted(void **state)
{
	CLEANUP(conflist_unrefp) const struct conflist *list = parse(three);
	const struct chain chain = chain_of(list);
	CLEANUP(json_decrefp) json_t *result = NULL;
	struct err err;

	(void)state;
	fake_plugin(&fake, "a", "echo '{\"cniVersion\":\"0.2.0\",\"ip4\":{\"ip\":\"10.1.2.3/24\"}}'");
	fake_plugin(&fake, "b", "echo '{\"ips\":[]}'");
	fake_plugin(
		&fake, "c",
		"echo '{\"cniVersion\":\"0.4.0\",\"ips\":[{\"version\":\"4\",\"address\":\"10.1.2.3/24\"}]}'");
	if (chain_add(&chain, NULL, &result, &err) < 0)
		fail_msg("%s", err.text);
	fake_assert_calls(&fake, "a ADD\nb ADD\nc ADD\n");
	CLEANUP(json_decrefp) json_t *b = fake_read_json(&fake, "stdin.b.ADD");
	CLEANUP(freep) char *prev = json_text(json_object_get(b, "prevResult"));
	assert_string_equal(
		prev, "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.1.2.3/24\"}],\"routes\":[]}");
	CLEANUP(freep) char *last = json_text(result);
	assert_string_equal(last, "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.1.2.3/24\"}]}");
}

/* What only the runtime may say is not taken from the file. */
static void test_reserved_keys(void **state)
{
	CLEANUP(conflist_unrefp)
	const struct conflist *list = parse(
		"{\"cniVersion\":\"1.1.0\",\"name\":\"n\",\"plugins\":[{\"type\":\"a\",\"prevResult\":{},\"runtimeConfig\":"
		"{\"x\":1},\"cni.dev/valid-attachments\":[],\"cni.dev/x\":1,\"capabilities\":{\"dns\":true},\"args\":{\"y\":1},"
		"\"z\":1}]}");
	const struct chain chain = chain_of(list);
	struct err err;

	(void)state;
	fake_plugin(&fake, "a", "");
	assert_int_equal(chain_del(&chain, NULL, false, NULL, &err), 0);
	CLEANUP(json_decrefp) json_t *del = fake_read_json(&fake, "stdin.a.DEL");
	CLEANUP(freep) char *text = json_text(del);
	assert_string_equal(
		text, "{\"type\":\"a\",\"args\":{\"y\":1},\"z\":1,\"name\":\"n\",\"cniVersion\":\"1.1.0\"}");
	assert_int_equal(chain_status(&chain, NULL, &err), 0);
	fake_assert_calls(&fake, "a DEL\na STATUS\n");
	CLEANUP(json_decrefp) json_t *status = fake_read_json(&fake, "stdin.a.STATUS");
	assert_null(json_object_get(status, "cni.dev/x"));
	assert_non_null(json_object_get(list->plugins[0].conf, "cni.dev/x"));
}

/* One that hangs costs its own time only: the others release what they have. */
static void test_deadline_is_each_plugins(void **state)
{
	CLEANUP(conflist_unrefp) const struct conflist *list = parse(three);
	struct chain chain = chain_of(list);
	struct err err;

	(void)state;
	fake_plugin(&fake, "a", "");
	fake_plugin(&fake, "b", "sleep 1000 & wait");
	fake_plugin(&fake, "c", "sleep 1000");
	chain.plugin_timeout = 700 * NS_PER_MS;
	int64_t before = clock_mono();
	assert_int_equal(chain_del(&chain, NULL, true, NULL, &err), -1);
	assert_int_equal(err.code, RPC_DEADLINE_EXCEEDED);
	assert_non_null(strstr(err.text, "plugin c: DEL"));
	assert_true(clock_mono() - before < 60 * NS_PER_SEC);
	CLEANUP(freep) char *calls = fake_read(&fake, "calls");
	assert_true(str_has_suffix(calls, "a DEL\n"));
	fake_assert_calls(&fake, calls);
}

static void test_gc_goes_on(void **state)
{
	CLEANUP(conflist_unrefp)
	const struct conflist *list =
		parse("{\"cniVersion\":\"1.1.0\",\"name\":\"n\",\"plugins\":[{\"type\":\"a\"},"
		      "{\"type\":\"b\"},{\"type\":\"c\"}]}");
	CLEANUP(json_decrefp) json_t *stay = json_array();
	const struct chain chain = chain_of(list);
	struct err err;

	(void)state;
	fake_plugin(&fake, "a", "echo '{\"code\":7,\"msg\":\"a failed\"}'; exit 1");
	fake_plugin(&fake, "b", "echo '{\"code\":7,\"msg\":\"b failed\"}'; exit 1");
	fake_plugin(&fake, "c", "");
	assert_int_equal(chain_gc(&chain, stay, NULL, &err), -1);
	assert_string_equal(err.text, "plugin a: GC: a failed");
	fake_assert_calls(&fake, "a GC\nb GC\nc GC\n");
	CLEANUP(json_decrefp) json_t *gc = fake_read_json(&fake, "stdin.c.GC");
	assert_true(json_is_array(json_object_get(gc, "cni.dev/valid-attachments")));
	assert_true(json_is_array(json_object_get(gc, "cni.dev/attachments")));
	CLEANUP(freep) char *env = fake_read(&fake, "env.c.GC");
	assert_null(strstr(env, "CNI_CONTAINERID"));
	/* STATUS stops: its answer is one plugin's. */
	assert_int_equal(chain_status(&chain, NULL, &err), -1);
	fake_assert_calls(&fake, "a STATUS\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add_chains_results),       cmocka_unit_test(test_add_stops_at_failure),
		cmocka_unit_test(test_del_goes_backwards),       cmocka_unit_test(test_verbs_by_version),
		cmocka_unit_test(test_results_are_converted),    cmocka_unit_test(test_reserved_keys),
		cmocka_unit_test(test_deadline_is_each_plugins), cmocka_unit_test(test_gc_goes_on),
	};

	fake_open(&fake);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	fake_close(&fake);
	return failed;
}
