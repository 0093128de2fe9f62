/* The names that protojson gives: for CRI's oddities, and for every field no two alike within a message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "proto/json_name.h"
#include "sample.h"

static void test_names(void **state)
{
	static const char *const rows[][2] = {
		{ "id", "id" },
		{ "pod_sandbox_id", "podSandboxId" },
		{ "CDI_devices", "CDIDevices" },
		{ "uidMappings", "uidMappings" },
		{ "Full", "Full" },
		{ "Avg300", "Avg300" },
		{ "usage_core_nano_seconds", "usageCoreNanoSeconds" },
		{ "a_1_b", "a1B" },
		{ "trailing_", "trailing" },
		{ "_leading", "Leading" },
	};
	char name[JSON_NAME_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(json_name(rows[i][0], name), rows[i][1]);
}

static void test_no_clash(void **state)
{
	struct sample_types types;
	char a[JSON_NAME_MAX], b[JSON_NAME_MAX];

	(void)state;
	sample_types(&types);
	for (size_t i = 0; i < types.len; i++) {
		const ProtobufCMessageDescriptor *desc = types.items[i];

		for (unsigned int x = 0; x < desc->n_fields; x++) {
			for (unsigned int y = x + 1; y < desc->n_fields; y++)
				assert_string_not_equal(json_name(desc->fields[x].name, a),
							json_name(desc->fields[y].name, b));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_no_clash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
