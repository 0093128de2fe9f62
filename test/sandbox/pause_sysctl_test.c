/* Which sysctls a pod may set, and with what values. */
#include "test/base/check.h"

#include "sandbox/pause.h"

static void test_sysctl_check(void **state)
{
	static const struct {
		struct pause_sysctl sysctl;
		bool good;
	} rows[] = {
		{ { "net.ipv4.ip_forward", "1" }, true },
		{ { "net/ipv4/conf/eth0.100/rp_filter", "1" }, true },
		{ { "net.ipv4.conf.eth0/100.rp_filter", "1" }, true },
		{ { "net.ipv4.ip_local_port_range", "1024\t65535" }, true },
		{ { "net.ipv4.ip_local_reserved_ports", "8080,9148-9150" }, true },
		{ { "net.ipv4.tcp_congestion_control", "bbr" }, true },
		{ { "net.ipv4.ip_forward", NULL }, true },
		{ { "kernel.shmmax", "1" }, true },
		{ { "", "1" }, false },
		{ { NULL, "1" }, false },
		{ { "kernel.core_pattern", "x" }, false },
		{ { "vm.swappiness", "1" }, false },
		{ { "net..ipv4", "1" }, false },
		{ { "net.", "1" }, false },
		{ { "net/../kernel/core_pattern", "1" }, false },
		{ { "net./../x", "1" }, false },
		{ { "net.ipv4.ip_forward+kernel.core_pattern", "1" }, false },
		{ { "net.ipv4.ip_forward=1", "1" }, false },
		{ { "net.ipv4.ip forward", "1" }, false },
		{ { "net.ipv4.ip_forward\n", "1" }, false },
		{ { "net.ipv4.ip_forward", "1+kernel.core_pattern=x" }, false },
		{ { "net.ipv4.ip_forward", "1=2" }, false },
		{ { "net.ipv4.ip_forward", "1\n2" }, false },
		{ { "net.ipv4.ip_forward", "|/bin/sh" }, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		bool shared = true;
		int got = pause_sysctl_check(&rows[i].sysctl, NAMESPACE_NET | NAMESPACE_IPC | NAMESPACE_UTS,
					     &shared, &err);
		print_message("%s: %d %s\n", rows[i].sysctl.key, got, err.text);
		assert_int_equal(got, rows[i].good ? 0 : -1);
		assert_int_equal(err.code, rows[i].good ? RPC_OK : RPC_INVALID_ARGUMENT);
		if (rows[i].good)
			assert_false(shared);
	}
	bool shared = false;
	struct err err;
	assert_int_equal(pause_sysctl_check(&rows[0].sysctl, NAMESPACE_IPC, &shared, &err), 0);
	assert_true(shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_sysctl_check) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
