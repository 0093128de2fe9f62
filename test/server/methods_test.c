/*
 * Paths and table: each of the 43 methods has exactly one entry, and only its own path leads to it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "proto/cri.pb-c.h"
#include "server/grpc/methods.h"
#include "test/server/fixture.h"

/* The real table. */
static void test_complete(void **data)
{
	struct err err = { 0 };
	struct methods *methods = methods_new(rpc_table, &err);
	size_t count = 0;

	(void)data;
	if (!methods)
		fail_msg("%s", err.text);
	while (rpc_table[count])
		count++;
	assert_int_equal(count, 43);
	assert_int_equal(
		cri__runtime_service__descriptor.n_methods + cri__image_service__descriptor.n_methods, 43);
	methods_free(methods);
}

/* What is built has a handler; the Stream* methods stream, and the events do. */
static void test_entries(void **data)
{
	(void)data;
	for (size_t i = 0; rpc_table[i]; i++) {
		const struct rpc *rpc = rpc_table[i];

		if (rpc->handle && rpc->streaming != (str_has_prefix(rpc->method, "Stream") ||
						      str_eq(rpc->method, "GetContainerEvents")))
			fail_msg("%s: streaming is %d", rpc->method, rpc->streaming);
		if (!rpc->handle && rpc->effect != RPC_READS)
			fail_msg("%s: changes nothing yet", rpc->method);
	}
}

static void test_find(void **data)
{
	struct err err = { 0 };
	struct methods *methods = methods_new(rpc_table, &err);
	const char *path = RUNTIME("Version");
	const struct method *method = methods_find(methods, path, strlen(path));

	(void)data;
	assert_non_null(method);
	assert_string_equal(method->rpc->method, "Version");
	assert_ptr_equal(method->input, &cri__version_request__descriptor);
	assert_ptr_equal(method->output, &cri__version_response__descriptor);
	assert_null(methods_find(methods, path, strlen(path) - 1));
	assert_null(methods_find(methods, path, strlen(path) + 1)); /* with the NUL */
	assert_null(methods_find(methods, "", 0));
	path = IMAGE("Version");
	assert_null(methods_find(methods, path, strlen(path)));
	methods_free(methods);
}

static void test_gap_and_double(void **data)
{
	const struct rpc **table = fixture_table(NULL, 0);
	const struct rpc *first = table[0], *second = table[1];
	struct err err = { 0 };

	(void)data;
	table[1] = first;
	assert_null(methods_new(table, &err));
	assert_int_equal(err.code, RPC_INTERNAL);
	assert_non_null(strstr(err.text, first->method));
	table[1] = second;
	table[0] = &(const struct rpc){ .service = "RuntimeService", .method = "Strange" };
	assert_null(methods_new(table, &err));
	assert_non_null(strstr(err.text, first->method));
	table[0] = first;
	table[43] = &(const struct rpc){ .service = "RuntimeService", .method = "Strange" };
	assert_null(methods_new(table, &err));
	assert_non_null(strstr(err.text, "44 entries"));
	table[43] = NULL;
	fixture_table_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_complete),
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_gap_and_double),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
