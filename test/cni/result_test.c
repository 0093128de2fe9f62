#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/str.h"
#include "cni/result.h"

static void test_every_version(void **state)
{
	static const struct {
		const char *text, *ips;
	} rows[] = {
		{ "{\"cniVersion\":\"0.1.0\",\"ip4\":{\"ip\":\"10.1.2.3/24\"}}", "10.1.2.3" },
		{ "{\"cniVersion\":\"0.2.0\",\"ip6\":{\"ip\":\"fd00::3/64\"},\"ip4\":{\"ip\":\"10.1.2.3/24\"}}",
		  "10.1.2.3 fd00::3" },
		{ "{\"cniVersion\":\"0.3.1\",\"interfaces\":[{\"name\":\"cni0\"},{\"name\":\"eth0\",\"sandbox\":\"/x\"}],"
		  "\"ips\":[{\"version\":\"6\",\"address\":\"fd00:0:0::3/64\",\"interface\":1},"
		  "{\"version\":\"4\",\"address\":\"10.1.2.3/24\",\"interface\":1},"
		  "{\"version\":\"4\",\"address\":\"10.1.2.1/24\",\"interface\":0}]}",
		  "10.1.2.3 fd00::3" },
		{ "{\"cniVersion\":\"0.4.0\",\"ips\":[{\"version\":\"4\",\"address\":\"10.1.2.3/24\"}]}",
		  "10.1.2.3" },
		{ "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.1.2.3/24\",\"gateway\":\"10.1.2.1\"}]}",
		  "10.1.2.3" },
		{ "{\"cniVersion\":\"1.1.0\",\"ips\":[{\"address\":\"10.1.2.3/24\",\"interface\":9}]}",
		  "10.1.2.3" },
		{ "{\"ips\":[{\"address\":\"10.1.2.3/24\",\"interface\":null}]}", "10.1.2.3" },
		{ "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.1.2.3\"}]}", "10.1.2.3" },
		{ "{\"cniVersion\":\"1.0.0\",\"dns\":{}}", "" },
		{ "{\"cniVersion\":\"1.0.0\",\"ips\":null}", "" },
		{ "{\"cniVersion\":\"\",\"ips\":[]}", "" },
		{ "{}", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(json_decrefp) json_t *result = NULL;
		CLEANUP(strv_done) struct strv ips = STRV_INIT;
		struct err err = { 0 };
		print_message("%s\n", rows[i].text);
		if (result_parse(rows[i].text, strlen(rows[i].text), "1.0.0", &result, &err) < 0 ||
		    result_ips(result, &ips, &err) < 0)
			fail_msg("%s", err.text);
		CLEANUP(freep) char *joined = strv_join(&ips, " ");
		assert_string_equal(joined, rows[i].ips);
	}
}

static void test_version_is_filled_in(void **state)
{
	CLEANUP(json_decrefp) json_t *result = NULL;
	struct err err;

	(void)state;
	assert_int_equal(result_parse("{\"ips\":[]}", 10, "0.4.0", &result, &err), 0);
	assert_string_equal(json_string_value(json_object_get(result, "cniVersion")), "0.4.0");
}

static void test_garbage(void **state)
{
	static const char *const rows[] = {
		"",
		"garbage",
		"[]",
		"1",
		"{\"cniVersion\":\"7.7.7\"}",
		"{\"ips\":{}}",
		"{\"ips\":[1]}",
		"{\"ips\":[{}]}",
		"{\"ips\":[{\"address\":1}]}",
		"{\"ips\":[{\"address\":\"\"}]}",
		"{\"ips\":[{\"address\":\"10.1.2\"}]}",
		"{\"ips\":[{\"address\":\"10.1.2.3/33\"}]}",
		"{\"ips\":[{\"address\":\"10.1.2.3/-1\"}]}",
		"{\"ips\":[{\"address\":\"10.1.2.3/24 \"}]}",
		"{\"ips\":[{\"address\":\"fd00::1/129\"}]}",
		"{\"ips\":[{\"address\":\"10.1.2.3\\n10.0.0.1 evil/24\"}]}",
		"{\"cniVersion\":\"0.2.0\",\"ip4\":{}}",
		"{\"cniVersion\":\"0.2.0\",\"ip4\":{\"ip\":\"x\"}}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(json_decrefp) json_t *result = NULL;
		CLEANUP(strv_done) struct strv ips = STRV_INIT;
		struct err err = { 0 };
		int failed = result_parse(rows[i], strlen(rows[i]), "1.0.0", &result, &err) < 0 ||
			     result_ips(result, &ips, &err) < 0;
		print_message("%s -> %s\n", rows[i], err.text);
		assert_true(failed);
		assert_int_equal(err.code, RPC_INTERNAL);
		assert_int_equal(ips.len, 0);
	}
}

static void test_too_many(void **state)
{
	CLEANUP(str_done) struct str text = STR_INIT;
	CLEANUP(json_decrefp) json_t *result = NULL;
	CLEANUP(strv_done) struct strv ips = STRV_INIT;
	struct err err;

	(void)state;
	str_add(&text, "{\"ips\":[");
	for (int i = 0; i <= RESULT_IPS_MAX; i++)
		str_addf(&text, "%s{\"address\":\"10.1.2.%d/24\"}", i ? "," : "", i);
	str_add(&text, "]}");
	assert_int_equal(result_parse(str_get(&text), text.len, "1.0.0", &result, &err), 0);
	assert_int_equal(result_ips(result, &ips, &err), -1);
	assert_non_null(strstr(err.text, "more than"));
}

/* As libcni converts them; twice back and forth in one row each. */
static void test_conversion(void **state)
{
	static const struct {
		const char *from, *version, *to;
	} rows[] = {
		{ "{\"cniVersion\":\"0.4.0\",\"ips\":[{\"version\":\"4\",\"address\":\"10.1.2.3/24\",\"interface\":1}],\"x\":1}",
		  "1.0.0",
		  "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.1.2.3/24\",\"interface\":1}],\"x\":1}" },
		{ "{\"cniVersion\":\"1.1.0\",\"ips\":[{\"address\":\"10.1.2.3/24\"},{\"address\":\"fd00::3/64\"}]}",
		  "0.3.1",
		  "{\"cniVersion\":\"0.3.1\",\"ips\":[{\"address\":\"10.1.2.3/24\",\"version\":\"4\"},{\"address\":"
		  "\"fd00::3/64\",\"version\":\"6\"}]}" },
		{ "{\"cniVersion\":\"0.2.0\",\"ip4\":{\"ip\":\"10.1.2.3/24\",\"gateway\":\"10.1.2.1\",\"routes\":[{\"dst\":"
		  "\"0.0.0.0/0\"}]},\"ip6\":{\"ip\":\"fd00::3/64\"},\"dns\":{\"domain\":\"a\"}}",
		  "0.4.0",
		  "{\"cniVersion\":\"0.4.0\",\"dns\":{\"domain\":\"a\"},\"ips\":[{\"address\":\"10.1.2.3/24\",\"gateway\":"
		  "\"10.1.2.1\",\"version\":\"4\"},{\"address\":\"fd00::3/64\",\"version\":\"6\"}],\"routes\":[{\"dst\":"
		  "\"0.0.0.0/0\"}]}" },
		{ "{\"cniVersion\":\"0.1.0\",\"ip4\":{\"ip\":\"10.1.2.3/24\"}}", "1.1.0",
		  "{\"cniVersion\":\"1.1.0\",\"ips\":[{\"address\":\"10.1.2.3/24\"}],\"routes\":[]}" },
		{ "{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"eth0\"}],\"ips\":[{\"address\":\"fd00::3/64\",\"gateway\":"
		  "\"fd00::1\"},{\"address\":\"10.1.2.3/24\"},{\"address\":\"10.1.2.4/24\"}],\"routes\":[{\"dst\":\"::/0\"},"
		  "{\"dst\":\"0.0.0.0/0\"}]}",
		  "0.2.0",
		  "{\"cniVersion\":\"0.2.0\",\"ip4\":{\"ip\":\"10.1.2.3/24\",\"routes\":[{\"dst\":\"0.0.0.0/0\"}]},\"ip6\":{\"ip\":"
		  "\"fd00::3/64\",\"gateway\":\"fd00::1\",\"routes\":[{\"dst\":\"::/0\"}]}}" },
		{ "{\"cniVersion\":\"1.0.0\",\"ips\":[]}", "1.1.0", "{\"cniVersion\":\"1.1.0\",\"ips\":[]}" },
		/* Nothing to be done, and wrong types. */
		{ "{\"cniVersion\":\"1.0.0\",\"ips\":1}", "1.0.0", "{\"cniVersion\":\"1.0.0\",\"ips\":1}" },
		{ "{\"cniVersion\":\"1.0.0\",\"ips\":[1,{}],\"routes\":1}", "0.4.0",
		  "{\"cniVersion\":\"0.4.0\",\"ips\":[1,{\"version\":\"4\"}],\"routes\":1}" },
		{ "{\"cniVersion\":\"1.0.0\",\"ips\":[1,{}],\"routes\":1}", "0.1.0",
		  "{\"cniVersion\":\"0.1.0\"}" },
		{ "{\"cniVersion\":\"0.1.0\",\"ip4\":[1],\"ip6\":{\"routes\":{}}}", "1.0.0",
		  "{\"cniVersion\":\"1.0.0\",\"ips\":[],\"routes\":[]}" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(json_decrefp) json_t *from = NULL;
		struct err err;
		assert_int_equal(json_parse(rows[i].from, strlen(rows[i].from), 4096, &from, &err), 0);
		CLEANUP(json_decrefp) json_t *to = result_convert_take(json_incref(from), rows[i].version);
		CLEANUP(freep) char *text = json_text(to);
		assert_string_equal(text, rows[i].to);
		/* The original, which others may hold, is as it was. */
		CLEANUP(freep) char *before = json_text(from);
		assert_string_equal(before, rows[i].from);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_version), cmocka_unit_test(test_version_is_filled_in),
		cmocka_unit_test(test_garbage),       cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_conversion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
