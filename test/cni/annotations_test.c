/* Bandwidth with kubelet's bounds, and fixed addresses, from annotations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/str.h"
#include "cni/annotations.h"

#define INGRESS "kubernetes.io/ingress-bandwidth"
#define EGRESS "kubernetes.io/egress-bandwidth"
#define NETWORK "v1.multus-cni.io/default-network"

static void test_bandwidth(void **state)
{
	static const struct network_annotation both[] = { { "a", "b" },
							  { INGRESS, "10M" },
							  { EGRESS, "1P" } };
	static const struct network_annotation one[] = { { EGRESS, "1k" } };
	CLEANUP(json_decrefp) json_t *first = NULL;
	CLEANUP(json_decrefp) json_t *second = NULL;
	json_t *none = NULL;
	struct err err;

	(void)state;
	assert_int_equal(annotations_bandwidth(both, 3, &first, &err), 0);
	CLEANUP(freep) char *first_text = json_text(first);
	assert_string_equal(first_text, "{\"ingressRate\":10000000,\"ingressBurst\":4294967295,"
					"\"egressRate\":1000000000000000,\"egressBurst\":4294967295}");
	assert_int_equal(annotations_bandwidth(one, 1, &second, &err), 0);
	CLEANUP(freep) char *second_text = json_text(second);
	assert_string_equal(second_text, "{\"ingressRate\":0,\"ingressBurst\":0,\"egressRate\":1000,"
					 "\"egressBurst\":4294967295}");
	assert_int_equal(annotations_bandwidth(both, 1, &none, &err), 0);
	assert_null(none);
	assert_int_equal(annotations_bandwidth(NULL, 0, &none, &err), 0);
	assert_null(none);
}

static void test_bad_bandwidth(void **state)
{
	static const struct {
		const char *value, *text;
	} rows[] = {
		{ "", "is no quantity" },
		{ "fast", "is no quantity" },
		{ "999", "\"999\" is unreasonably small (< 1kbit)" },
		{ "0", "unreasonably small" },
		{ "-10M", "unreasonably small" },
		{ "1000000000000001", "is unreasonably large (> 1Pbit)" },
		{ "1E", "unreasonably large" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (int egress = 0; egress < 2; egress++) {
			const struct network_annotation annotation = { egress ? EGRESS : INGRESS,
								       rows[i].value };
			json_t *bandwidth = NULL;
			struct err err = { 0 };

			assert_int_equal(annotations_bandwidth(&annotation, 1, &bandwidth, &err), -1);
			assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
			if (!strstr(err.text, rows[i].text) || !strstr(err.text, annotation.key))
				fail_msg("%s", err.text);
		}
}

static int addresses(const char *value, char **ret, struct err *err)
{
	const struct network_annotation annotation = { NETWORK, value };
	CLEANUP(json_decrefp) json_t *capabilities = json_object();
	int failed = annotations_addresses(&annotation, 1, "net", capabilities, err);

	*ret = json_text(capabilities);
	return failed;
}

static void test_addresses(void **state)
{
	static const struct {
		const char *value, *text;
	} rows[] = {
		{ "[{\"name\":\"net\",\"ips\":[\"10.1.2.3/24\",\"fd00::3\"],\"mac\":\"c2:11:22:33:44:5A\"}]",
		  "{\"ips\":[\"10.1.2.3/24\",\"fd00::3\"],\"mac\":\"c2:11:22:33:44:5A\"}" },
		{ "{\"name\":\"net\",\"mac\":\"c2:11:22:33:44:55\"}", "{\"mac\":\"c2:11:22:33:44:55\"}" },
		{ "[{\"name\":\"net\"}]", "{}" },
		/* For others. */
		{ "[{\"name\":\"other\",\"ips\":[\"x\"]}]", "{}" },
		{ "kube-system/net", "{}" },
		{ "[]", "{}" },
		{ "[1]", "{}" },
		{ "{", "{}" },
		{ "", "{}" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(freep) char *text = NULL;
		struct err err;
		if (addresses(rows[i].value, &text, &err) < 0)
			fail_msg("%s: %s", rows[i].value, err.text);
		assert_string_equal(text, rows[i].text);
	}
}

static void test_bad_addresses(void **state)
{
	static const char *const rows[] = {
		"[{\"name\":\"net\",\"ips\":\"10.1.2.3\"}]",
		"[{\"name\":\"net\",\"ips\":[1]}]",
		"[{\"name\":\"net\",\"ips\":[\"10.1.2\"]}]",
		"[{\"name\":\"net\",\"ips\":[\"10.1.2.3/33\"]}]",
		"[{\"name\":\"net\",\"ips\":[\"fd00::/129\"]}]",
		"[{\"name\":\"net\",\"ips\":[\"10.1.2.3/\"]}]",
		"[{\"name\":\"net\",\"mac\":\"c2:11:22:33:44\"}]",
		"[{\"name\":\"net\",\"mac\":\"c2:11:22:33:44:55:66\"}]",
		"[{\"name\":\"net\",\"mac\":\"c2:11:22:33:44:5\"}]",
		"[{\"name\":\"net\",\"mac\":\"c2-11-22-33-44-55\"}]",
		"[{\"name\":\"net\",\"mac\":7}]",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(freep) char *text = NULL;
		struct err err = { 0 };
		if (addresses(rows[i], &text, &err) == 0)
			fail_msg("%s is taken", rows[i]);
		assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bandwidth),
		cmocka_unit_test(test_bad_bandwidth),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_bad_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
