/*
 * cri.proto against test/proto/cri-v1.txt, which states the same interface in other words: every service,
 * method, message, field and enum value of the one must be in the other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "proto/cri.pb-c.h"
#include "proto/map_entry.h"
#include "sample.h"

enum { METHODS = 43 };

struct facts {
	struct sample_types types;
	const ProtobufCServiceDescriptor *service;
	const ProtobufCMessageDescriptor *message;
	unsigned int methods, messages, fields, all_fields, enums;
	const ProtobufCEnumDescriptor *seen_enums[64];
};

static const ProtobufCMessageDescriptor *find_message(const struct facts *facts, const char *name)
{
	for (size_t i = 0; i < facts->types.len; i++) {
		if (str_has_prefix(facts->types.items[i]->name, "runtime.v1.") &&
		    str_eq(facts->types.items[i]->name + strlen("runtime.v1."), name))
			return facts->types.items[i];
	}
	fail_msg("no message %s in cri.proto", name);
	return NULL;
}

static const ProtobufCEnumDescriptor *find_enum(const struct facts *facts, const char *name)
{
	for (size_t i = 0; i < facts->types.len; i++) {
		const ProtobufCMessageDescriptor *desc = facts->types.items[i];

		for (unsigned int f = 0; f < desc->n_fields; f++) {
			const ProtobufCEnumDescriptor *found = desc->fields[f].descriptor;

			if (desc->fields[f].type == PROTOBUF_C_TYPE_ENUM && str_eq(found->short_name, name))
				return found;
		}
	}
	fail_msg("no enum %s in cri.proto", name);
	return NULL;
}

static const char *scalar_name(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
		return "string";
	case PROTOBUF_C_TYPE_BYTES:
		return "bytes";
	case PROTOBUF_C_TYPE_BOOL:
		return "bool";
	case PROTOBUF_C_TYPE_INT32:
		return "int32";
	case PROTOBUF_C_TYPE_INT64:
		return "int64";
	case PROTOBUF_C_TYPE_UINT32:
		return "uint32";
	case PROTOBUF_C_TYPE_UINT64:
		return "uint64";
	case PROTOBUF_C_TYPE_DOUBLE:
		return "double";
	default:
		return "(not used in CRI)";
	}
}

/* The type of a field as the facts spell it. */
static void spell_type(const ProtobufCMessageDescriptor *desc, const ProtobufCFieldDescriptor *field,
		       struct str *out)
{
	const ProtobufCMessageDescriptor *message = field->descriptor;
	const ProtobufCEnumDescriptor *names = field->descriptor;

	if (map_entry_is_map(desc, field)) {
		str_add(out, "map<string,string>");
		return;
	}
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		str_add(out, "repeated ");
	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		str_add(out, message->name + strlen("runtime.v1."));
	else if (field->type == PROTOBUF_C_TYPE_ENUM)
		str_add(out, names->name + strlen("runtime.v1."));
	else
		str_add(out, scalar_name(field->type));
	if (field->flags & PROTOBUF_C_FIELD_FLAG_DEPRECATED)
		str_add(out, "  (deprecated)");
}

static void check_field(struct facts *facts, const char *line)
{
	CLEANUP(str_done) struct str expected = STR_INIT;
	char name[64], type[128];
	unsigned int id;

	assert_int_equal(sscanf(line, "  %u %63s : %127[^\n]", &id, name, type), 3);
	assert_non_null(facts->message);
	const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(facts->message, id);
	if (!field)
		fail_msg("%s has no field %u (%s)", facts->message->name, id, name);
	assert_string_equal(field->name, name);
	spell_type(facts->message, field, &expected);
	assert_string_equal(str_get(&expected), type);
	facts->fields++;
}

static void check_method(struct facts *facts, const char *line)
{
	char name[64], input[64], output[64];

	/* protobuf-c's descriptors don't say which answers are streams; test_streams() looks at cri.proto
	 * itself. */
	if (sscanf(line, " %63[A-Za-z](%63[A-Za-z]) -> stream %63s", name, input, output) != 3)
		assert_int_equal(sscanf(line, " %63[A-Za-z](%63[A-Za-z]) -> %63s", name, input, output), 3);
	const ProtobufCMethodDescriptor *method =
		protobuf_c_service_descriptor_get_method_by_name(facts->service, name);
	if (!method)
		fail_msg("%s has no method %s", facts->service->name, name);
	assert_string_equal(method->input->name + strlen("runtime.v1."), input);
	assert_string_equal(method->output->name + strlen("runtime.v1."), output);
	facts->methods++;
}

static void check_enum(struct facts *facts, const char *line)
{
	char name[64], value[64];
	int number, used = 0;
	unsigned int count = 0;

	assert_int_equal(sscanf(line, " enum %63[A-Za-z0-9]:%n", name, &used), 1);
	const ProtobufCEnumDescriptor *desc = find_enum(facts, name);
	for (line += used; sscanf(line, " %63[A-Za-z0-9_]=%d%n", value, &number, &used) == 2; count++) {
		const ProtobufCEnumValue *found = protobuf_c_enum_descriptor_get_value_by_name(desc, value);

		if (!found)
			fail_msg("enum %s has no %s", name, value);
		assert_int_equal(found->value, number);
		line += used;
		line += *line == ',';
	}
	assert_int_equal(*line, '\n');
	assert_int_equal(count, desc->n_values);
	assert_true(facts->enums < ARRAY_LEN(facts->seen_enums));
	facts->seen_enums[facts->enums++] = desc;
}

/* The message read so far must have no more fields than the facts told. */
static void end_message(struct facts *facts)
{
	if (facts->message)
		assert_int_equal(facts->fields, facts->message->n_fields);
	facts->all_fields += facts->fields;
	facts->fields = 0;
	facts->message = NULL;
}

static void check_line(struct facts *facts, const char *line)
{
	char name[64];

	if (line[0] == '#')
		return;
	if (sscanf(line, "service %63s", name) == 1) {
		facts->service = str_eq(name, "RuntimeService") ? &cri__runtime_service__descriptor
								: &cri__image_service__descriptor;
		assert_string_equal(facts->service->name + strlen("runtime.v1."), name);
		return;
	}
	if (sscanf(line, "message %63s", name) == 1) {
		end_message(facts);
		facts->message = find_message(facts, name);
		facts->messages++;
		return;
	}
	if (str_has_prefix(line, "enum ") || str_has_prefix(line, "  enum "))
		check_enum(facts, line);
	else if (strstr(line, " -> "))
		check_method(facts, line);
	else
		check_field(facts, line);
}

static bool enum_told(const struct facts *facts, const ProtobufCEnumDescriptor *desc)
{
	for (unsigned int i = 0; i < facts->enums; i++) {
		if (facts->seen_enums[i] == desc)
			return true;
	}
	return false;
}

/* What cri.proto has, the facts have told. */
static void check_nothing_more(const struct facts *facts)
{
	unsigned int messages = 0, fields = 0;

	for (size_t i = 0; i < facts->types.len; i++) {
		const ProtobufCMessageDescriptor *desc = facts->types.items[i];

		for (unsigned int f = 0; f < desc->n_fields; f++) {
			if (desc->fields[f].type == PROTOBUF_C_TYPE_ENUM &&
			    !enum_told(facts, desc->fields[f].descriptor))
				fail_msg("%s.%s: enum not in the facts", desc->name, desc->fields[f].name);
		}
		if (strchr(desc->name + strlen("runtime.v1."), '.'))
			continue; /* a map entry */
		messages++;
		fields += desc->n_fields;
	}
	assert_int_equal(messages, facts->messages);
	assert_int_equal(fields, facts->all_fields);
}

static void test_interface(void **state)
{
	struct facts facts = { 0 };
	char line[8192];
	FILE *file = fopen("test/proto/cri-v1.txt", "re");

	(void)state;
	assert_non_null(file);
	sample_types(&facts.types);
	while (fgets(line, sizeof(line), file))
		check_line(&facts, line);
	fclose(file);
	end_message(&facts);
	assert_int_equal(facts.methods, METHODS);
	assert_int_equal(cri__runtime_service__descriptor.n_methods +
				 cri__image_service__descriptor.n_methods,
			 METHODS);
	check_nothing_more(&facts);
}

static void test_service_names(void **state)
{
	(void)state;
	assert_string_equal(cri__runtime_service__descriptor.name, "runtime.v1.RuntimeService");
	assert_string_equal(cri__image_service__descriptor.name, "runtime.v1.ImageService");
	assert_string_equal(cri__pod_sandbox_config__descriptor.name, "runtime.v1.PodSandboxConfig");
}

static void squeeze(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (*text != ' ' && *text != '\n')
			*to++ = *text;
	}
	*to = '\0';
}

/* Which answers are streams stands only in the text of cri.proto. */
static void test_streams(void **state)
{
	char line[8192], proto[256], *arrow;
	unsigned int streams = 0, methods = 0;
	FILE *proto_file = fopen("proto/cri.proto", "re");
	FILE *facts_file = fopen("test/proto/cri-v1.txt", "re");

	(void)state;
	assert_non_null(proto_file);
	assert_non_null(facts_file);
	while (fgets(line, sizeof(line), facts_file)) {
		if (!(arrow = strstr(line, " -> ")))
			continue;
		CLEANUP(str_done) struct str facts = STR_INIT;
		*arrow = '\0';
		str_addf(&facts, "rpc %s returns (%s) {}", line, arrow + 4);
		squeeze(facts.data);
		do
			assert_non_null(fgets(proto, sizeof(proto), proto_file));
		while (!str_has_prefix(proto, "  rpc "));
		squeeze(proto);
		assert_string_equal(proto, facts.data);
		methods++;
		streams += strstr(facts.data, "(stream") != NULL;
	}
	fclose(proto_file);
	fclose(facts_file);
	assert_int_equal(methods, METHODS);
	assert_int_equal(streams, 7);
}

static void test_map_entries(void **state)
{
	struct sample_types types;
	unsigned int maps = 0;

	(void)state;
	sample_types(&types);
	for (size_t i = 0; i < types.len; i++) {
		const ProtobufCMessageDescriptor *desc = types.items[i];

		if (!str_has_suffix(desc->name, "Entry"))
			continue;
		maps++;
		assert_int_equal(desc->sizeof_message, sizeof(struct map_entry));
		assert_int_equal(desc->fields[0].offset, offsetof(struct map_entry, key));
		assert_int_equal(desc->fields[1].offset, offsetof(struct map_entry, value));
	}
	assert_int_equal(maps, 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_interface),
		cmocka_unit_test(test_service_names),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_map_entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
