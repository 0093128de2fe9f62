#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <linux/capability.h>

#include "sandbox/capabilities.h"

#define CAP(name) (UINT64_C(1) << (name))

static const char *const default_names[] = { "CHOWN", "NET_BIND_SERVICE", "KILL", NULL };
static const struct config_strings defaults = { default_names, 3 };
static const uint64_t default_set = CAP(CAP_CHOWN) | CAP(CAP_NET_BIND_SERVICE) | CAP(CAP_KILL);
static const uint64_t everything = (UINT64_C(1) << 41) - 1;

struct lists {
	char *add[4], *drop[4], *ambient[4];
};

static size_t count(char **list)
{
	size_t len = 0;

	while (len < 4 && list[len])
		len++;
	return len;
}

static int resolve(struct lists lists, uint64_t available, bool privileged, struct capabilities *ret,
		   struct err *err)
{
	Cri__Capability asked = CRI__CAPABILITY__INIT;

	asked.add_capabilities = lists.add;
	asked.n_add_capabilities = count(lists.add);
	asked.drop_capabilities = lists.drop;
	asked.n_drop_capabilities = count(lists.drop);
	asked.add_ambient_capabilities = lists.ambient;
	asked.n_add_ambient_capabilities = count(lists.ambient);
	struct capabilities_request request = {
		.asked = &asked, .defaults = &defaults, .available = available, .privileged = privileged
	};
	return capabilities_resolve(&request, ret, err);
}

static char cap_net_admin[] = "CAP_NET_ADMIN", net_admin[] = "net_admin", all[] = "ALL",
	    chown_name[] = "CHOWN", junk[] = "NET_ADMINN", resource[] = "SYS_RESOURCE";

static void test_names(void **state)
{
	(void)state;
	assert_int_equal(capability_number("CHOWN"), CAP_CHOWN);
	assert_int_equal(capability_number("CAP_CHECKPOINT_RESTORE"), CAP_CHECKPOINT_RESTORE);
	assert_int_equal(capability_number("cap_sys_admin"), CAP_SYS_ADMIN);
	assert_int_equal(capability_number("BPF"), CAP_BPF);
	assert_int_equal(capability_number("SETFCAP"), CAP_SETFCAP);
	assert_int_equal(capability_number("CAP_"), -1);
	assert_int_equal(capability_number(""), -1);
	for (int i = 0; capability_name(i); i++)
		assert_int_equal(capability_number(capability_name(i)), i);
	assert_null(capability_name(41));
	assert_null(capability_name(-1));
}

static void test_defaults_add_drop(void **state)
{
	struct capabilities got;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(resolve((struct lists){ 0 }, everything, false, &got, &err), 0);
	assert_int_equal(got.bounding, default_set);
	assert_int_equal(got.ambient, 0);
	assert_int_equal(resolve((struct lists){ .add = { cap_net_admin }, .drop = { chown_name } },
				 everything, false, &got, &err),
			 0);
	assert_int_equal(got.bounding, (default_set | CAP(CAP_NET_ADMIN)) & ~CAP(CAP_CHOWN));
	assert_int_equal(resolve((struct lists){ .add = { net_admin }, .drop = { all } }, everything, false,
				 &got, &err),
			 0);
	assert_int_equal(got.bounding, CAP(CAP_NET_ADMIN));
	assert_int_equal(resolve((struct lists){ .drop = { all } }, everything, false, &got, &err), 0);
	assert_int_equal(got.bounding, 0);
	assert_int_equal(resolve((struct lists){ .add = { all }, .drop = { chown_name } }, everything, false,
				 &got, &err),
			 0);
	assert_int_equal(got.bounding, everything & ~CAP(CAP_CHOWN));
	/* Dropped and added by name: dropped. */
	assert_int_equal(resolve((struct lists){ .add = { chown_name }, .drop = { chown_name } }, everything,
				 false, &got, &err),
			 0);
	assert_int_equal(got.bounding, default_set & ~CAP(CAP_CHOWN));
}

static void test_limited_host(void **state)
{
	uint64_t available = everything & ~CAP(CAP_SYS_RESOURCE) & ~CAP(CAP_CHOWN);
	struct capabilities got;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(resolve((struct lists){ .add = { all } }, available, false, &got, &err), 0);
	assert_int_equal(got.bounding, available);
	assert_int_equal(resolve((struct lists){ 0 }, available, false, &got, &err), 0);
	assert_int_equal(got.bounding, default_set & available);
	assert_int_equal(resolve((struct lists){ 0 }, available, true, &got, &err), 0);
	assert_int_equal(got.bounding, available);
	assert_int_equal(resolve((struct lists){ .add = { resource } }, available, false, &got, &err), -1);
	assert_int_equal(err.code, RPC_FAILED_PRECONDITION);
	assert_non_null(strstr(err.text, "CAP_SYS_RESOURCE"));
}

/* Row 13 of the bad-input matrix. */
static void test_refused(void **state)
{
	struct capabilities got;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(resolve((struct lists){ .add = { junk } }, everything, false, &got, &err), -1);
	assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	assert_int_equal(resolve((struct lists){ .drop = { junk } }, everything, false, &got, &err), -1);
	assert_int_equal(resolve((struct lists){ .ambient = { net_admin } }, everything, false, &got, &err),
			 -1);
	assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	assert_int_equal(resolve((struct lists){ .ambient = { net_admin }, .add = { net_admin } }, everything,
				 false, &got, &err),
			 0);
	assert_int_equal(got.ambient, CAP(CAP_NET_ADMIN));
	assert_int_equal(resolve((struct lists){ .ambient = { chown_name }, .drop = { chown_name } },
				 everything, false, &got, &err),
			 -1);
}

static void test_own(void **state)
{
	(void)state;
	assert_int_equal(capabilities_available() & ~everything, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),        cmocka_unit_test(test_defaults_add_drop),
		cmocka_unit_test(test_limited_host), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
