/* Fields reached through descriptors are the members that C sees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "proto/cri.pb-c.h"
#include "proto/field.h"

static const ProtobufCFieldDescriptor *find(const ProtobufCMessageDescriptor *desc, const char *name)
{
	const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(desc, name);

	assert_non_null(field);
	return field;
}

static void test_members(void **state)
{
	Cri__ContainerConfig config = CRI__CONTAINER_CONFIG__INIT;
	const ProtobufCFieldDescriptor *tty = find(&cri__container_config__descriptor, "tty");
	const ProtobufCFieldDescriptor *args = find(&cri__container_config__descriptor, "args");

	(void)state;
	assert_ptr_equal(field_at(&config.base, tty), &config.tty);
	assert_ptr_equal(field_to(&config.base, args), &config.args);
	assert_false(field_repeated(tty));
	assert_true(field_repeated(args));
	field_set_count(&config.base, args, 3);
	assert_int_equal(config.n_args, 3);
	assert_int_equal(field_count(&config.base, args), 3);
}

static void test_sizes(void **state)
{
	static const struct {
		const ProtobufCMessageDescriptor *desc;
		const char *name;
		size_t size;
	} rows[] = {
		{ &cri__container_status__descriptor, "id", sizeof(char *) },
		{ &cri__container_status__descriptor, "exit_code", 4 },
		{ &cri__container_status__descriptor, "created_at", 8 },
		{ &cri__container_status__descriptor, "state", sizeof(Cri__ContainerState) },
		{ &cri__container_status__descriptor, "image", sizeof(void *) },
		{ &cri__container_config__descriptor, "tty", sizeof(protobuf_c_boolean) },
		{ &cri__idmapping__descriptor, "length", 4 },
		{ &cri__hugepage_limit__descriptor, "limit", 8 },
		{ &cri__psi_data__descriptor, "Avg10", 8 },
		{ &cri__key_value__descriptor, "value", sizeof(ProtobufCBinaryData) },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(field_value_size(find(rows[i].desc, rows[i].name)), rows[i].size);
}

static bool is_default(const ProtobufCMessage *message, const char *name)
{
	const ProtobufCFieldDescriptor *field = find(message->descriptor, name);

	return field_value_is_default(field, field_at(message, field));
}

static void test_defaults(void **state)
{
	Cri__ContainerStatus status = CRI__CONTAINER_STATUS__INIT;
	Cri__ImageSpec image = CRI__IMAGE_SPEC__INIT;
	Cri__PsiData psi = CRI__PSI_DATA__INIT;
	Cri__KeyValue env = CRI__KEY_VALUE__INIT;

	(void)state;
	assert_true(is_default(&status.base, "id"));
	assert_true(is_default(&status.base, "exit_code"));
	assert_true(is_default(&status.base, "created_at"));
	assert_true(is_default(&status.base, "state"));
	assert_true(is_default(&status.base, "image"));
	assert_true(is_default(&psi.base, "Avg10"));
	assert_true(is_default(&env.base, "value"));
	status.id = NULL;
	assert_true(is_default(&status.base, "id"));
	status.id = (char *)"x";
	status.exit_code = -1;
	status.created_at = INT64_MIN;
	status.state = CRI__CONTAINER_STATE__CONTAINER_EXITED;
	status.image = &image;
	psi.avg10 = 1e-300;
	env.value = (ProtobufCBinaryData){ .len = 1, .data = (uint8_t *)"" };
	assert_false(is_default(&status.base, "id"));
	assert_false(is_default(&status.base, "exit_code"));
	assert_false(is_default(&status.base, "created_at"));
	assert_false(is_default(&status.base, "state"));
	assert_false(is_default(&status.base, "image"));
	assert_false(is_default(&psi.base, "Avg10"));
	assert_false(is_default(&env.base, "value"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_defaults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
