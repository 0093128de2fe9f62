/*
 * Which protocol is spoken for what a client offers.
 */
#include "server/streaming/upgrade.h"
#include "server/streaming/gateway.h"
#include "test/base/check.h"

static void test_choice(void **state)
{
	static const struct {
		const char *connection, *upgrade, *key, *offer;
		bool forward;
		int status; /* 0: accepted */
		const char *protocol;
		int version;
		bool websocket, base64;
	} cases[] = {
		{ "Upgrade", "SPDY/3.1", NULL, "v5.channel.k8s.io, v4.channel.k8s.io", false, 0,
		  "v5.channel.k8s.io", 5, false, false },
		{ "keep-alive, upgrade", "spdy/3.1", NULL, "v4.channel.k8s.io", false, 0, "v4.channel.k8s.io",
		  4, false, false },
		{ "Upgrade", "SPDY/3.1", NULL, "v9.channel.k8s.io,channel.k8s.io", false, 0, "channel.k8s.io",
		  1, false, false },
		{ "Upgrade", "SPDY/3.1", NULL, "v9.channel.k8s.io", false, 403, "", 0, false, false },
		{ "Upgrade", "SPDY/3.1", NULL, NULL, false, 400, "", 0, false, false },
		{ "Upgrade", "SPDY/3.1", NULL, " , ", false, 400, "", 0, false, false },
		{ "Upgrade", "SPDY/3.1", NULL, "portforward.k8s.io", true, 0, "portforward.k8s.io", 4, false,
		  false },
		{ "Upgrade", "SPDY/3.1", NULL, "v4.channel.k8s.io", true, 403, "", 0, false, false },
		{ "close", "SPDY/3.1", NULL, "v4.channel.k8s.io", false, 400, "", 0, false, false },
		{ NULL, NULL, NULL, NULL, false, 400, "", 0, false, false },
		{ "Upgrade", "h2c", NULL, "v4.channel.k8s.io", false, 400, "", 0, false, false },
		{ "Upgrade", "websocket", "a", "v5.channel.k8s.io", false, 0, "v5.channel.k8s.io", 5, true,
		  false },
		{ "Upgrade", "websocket", "a", "base64.channel.k8s.io", false, 0, "base64.channel.k8s.io", 1,
		  true, true },
		{ "Upgrade", "websocket", "a", "v4.base64.channel.k8s.io", false, 0,
		  "v4.base64.channel.k8s.io", 4, true, true },
		{ "Upgrade", "websocket", "a", NULL, false, 0, "", 1, true, false },
		{ "Upgrade", "websocket", NULL, "v5.channel.k8s.io", false, 400, "", 0, false, false },
		{ "Upgrade", "websocket", "a", "SPDY/3.1+portforward.k8s.io", true, 0,
		  "SPDY/3.1+portforward.k8s.io", 4, true, false },
		{ "Upgrade", "websocket", "a", NULL, true, 0, "", 1, true, false },
		{ "Upgrade", "websocket", "a", "v4.base64.channel.k8s.io", true, 0,
		  "v4.base64.channel.k8s.io", 4, true, true },
		{ "Upgrade", "websocket", "a", "portforward.k8s.io", true, 403, "", 0, false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct upgrade_request request CLEANUP(upgrade_request_done) = {
			.connection = cases[i].connection,
			.upgrade = cases[i].upgrade,
			.websocket_key = cases[i].key,
			.websocket_version = "13",
		};
		struct upgrade upgrade = { 0 };
		struct err err;
		int status = 0, result;

		if (cases[i].offer) {
			strv_add(&request.spdy_offers, cases[i].offer);
			strv_add(&request.websocket_offers, cases[i].offer);
		}
		result = upgrade_choose(&request, cases[i].forward, &upgrade, &status, &err);
		if ((result < 0 ? status : 0) != cases[i].status)
			fail_msg("case %zu: status %d, want %d", i, result < 0 ? status : 0, cases[i].status);
		assert_string_equal(upgrade.protocol, cases[i].protocol);
		assert_int_equal(upgrade.version, cases[i].version);
		assert_int_equal(upgrade.websocket, cases[i].websocket);
		assert_int_equal(upgrade.base64, cases[i].base64);
	}
}

static void test_paths(void **state)
{
	enum stream_kind kind;

	(void)state;
	assert_string_equal(gateway_parse_path("/exec/abc", &kind), "abc");
	assert_int_equal(kind, STREAM_EXEC);
	assert_string_equal(gateway_parse_path("/attach/", &kind), "");
	assert_int_equal(kind, STREAM_ATTACH);
	assert_string_equal(gateway_parse_path("/portforward/x", &kind), "x");
	assert_int_equal(kind, STREAM_FORWARD);
	assert_null(gateway_parse_path("/exec", &kind));
	assert_null(gateway_parse_path("//exec/abc", &kind));
	assert_null(gateway_parse_path("", &kind));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_choice), cmocka_unit_test(test_paths) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
