/* JSON and back for random messages of every type; the mapping, the secrets and each refusal one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/str.h"
#include "proto/cri.pb-c.h"
#include "proto/map_entry.h"
#include "proto/message.h"
#include "proto/message_json.h"
#include "sample.h"

enum { ROUNDS = 8, TEXT_MAX = 4 * 1024 * 1024 };

static int from_text(const ProtobufCMessageDescriptor *desc, const char *text, unsigned int flags,
		     struct arena *arena, ProtobufCMessage **ret, struct err *err)
{
	CLEANUP(json_decrefp) json_t *json = NULL;

	if (json_parse(text, strlen(text), TEXT_MAX, &json, err) < 0)
		fail_msg("%s: %s", err->text, text);
	return message_from_json(desc, json, flags, arena, ret, err);
}

/* Through text, as state on disk goes. */
static void check_round_trip(const ProtobufCMessage *message, unsigned int flags)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(freep) char *text = message_json_text(message, flags);
	ProtobufCMessage *back = NULL;
	struct err err = { 0 };

	if (from_text(message->descriptor, text, MESSAGE_JSON_STRICT, arena, &back, &err) < 0)
		fail_msg("%s: %s", err.text, text);
	if (!message_equal(message, back))
		fail_msg("%s differs: %s", message->descriptor->name, text);
	CLEANUP(freep) char *again = message_json_text(back, flags);
	assert_string_equal(text, again);
}

static void test_every_type(void **state)
{
	struct sample_types types;
	uint64_t seed = 99;

	(void)state;
	sample_types(&types);
	for (size_t i = 0; i < ROUNDS * types.len; i++) {
		CLEANUP(arena_freep) struct arena *arena = arena_new(0);
		ProtobufCMessage *message = sample_message(arena, types.items[i % types.len], &seed);

		check_round_trip(message, MESSAGE_JSON_SECRETS);
		check_round_trip(message, MESSAGE_JSON_SECRETS | MESSAGE_JSON_ALL);
		free(message_json_text(message, MESSAGE_JSON_SHORT));
	}
}

static void check_text(const ProtobufCMessage *message, unsigned int flags, const char *expected)
{
	CLEANUP(freep) char *text = message_json_text(message, flags);

	assert_string_equal(text, expected);
}

static void test_mapping(void **state)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	Cri__LinuxContainerResources resources = CRI__LINUX_CONTAINER_RESOURCES__INIT;
	Cri__HugepageLimit limit = CRI__HUGEPAGE_LIMIT__INIT, *limits[] = { &limit };
	struct map_entry *unified[] = { map_entry_new(arena, "memory.max", "1"),
					map_entry_new(arena, "io.max", "") };
	Cri__KeyValue env = CRI__KEY_VALUE__INIT;
	Cri__PsiData psi = CRI__PSI_DATA__INIT;
	Cri__ContainerStateValue value = CRI__CONTAINER_STATE_VALUE__INIT;
	Cri__PortForwardRequest forward = CRI__PORT_FORWARD_REQUEST__INIT;
	int32_t ports[] = { 80, -1 };

	(void)state;
	resources.cpu_quota = INT64_MIN;
	resources.memory_swap_limit_in_bytes = INT64_MAX;
	limit.page_size = (char *)"2MB";
	limit.limit = UINT64_MAX;
	resources.hugepage_limits = limits;
	resources.n_hugepage_limits = 1;
	resources.unified = (void *)unified;
	resources.n_unified = 2;
	check_text(&resources.base, 0,
		   "{\"cpuQuota\":\"-9223372036854775808\",\"hugepageLimits\":[{\"pageSize\":\"2MB\","
		   "\"limit\":\"18446744073709551615\"}],\"unified\":{\"memory.max\":\"1\",\"io.max\":\"\"},"
		   "\"memorySwapLimitInBytes\":\"9223372036854775807\"}");
	env.key = (char *)"K";
	env.value = (ProtobufCBinaryData){ .len = 3, .data = (uint8_t *)"\0\xff\x01" };
	check_text(&env.base, 0, "{\"key\":\"K\",\"value\":\"AP8B\"}");
	psi.total = 7;
	psi.avg10 = 0.5;
	check_text(&psi.base, 0, "{\"Total\":\"7\",\"Avg10\":0.5}");
	value.state = CRI__CONTAINER_STATE__CONTAINER_EXITED;
	check_text(&value.base, 0, "{\"state\":\"CONTAINER_EXITED\"}");
	value.state = (Cri__ContainerState)99;
	check_text(&value.base, 0, "{\"state\":99}");
	forward.port = ports;
	forward.n_port = 2;
	check_text(&forward.base, 0, "{\"port\":[80,-1]}");
}

static void test_all_defaults(void **state)
{
	Cri__ImageStatusRequest request = CRI__IMAGE_STATUS_REQUEST__INIT;
	Cri__ImageSpec image = CRI__IMAGE_SPEC__INIT;
	Cri__ContainerStateValue value = CRI__CONTAINER_STATE_VALUE__INIT;

	(void)state;
	check_text(&request.base, 0, "{}");
	check_text(&request.base, MESSAGE_JSON_ALL, "{\"image\":null,\"verbose\":false}");
	request.image = &image;
	check_text(&request.base, 0, "{\"image\":{}}");
	check_text(
		&request.base, MESSAGE_JSON_ALL,
		"{\"image\":{\"image\":\"\",\"annotations\":{},\"userSpecifiedImage\":\"\",\"runtimeHandler\":\"\","
		"\"imageRef\":\"\"},\"verbose\":false}");
	check_text(&value.base, MESSAGE_JSON_ALL, "{\"state\":\"CONTAINER_CREATED\"}");
}

static Cri__AuthConfig full_auth(void)
{
	Cri__AuthConfig auth = CRI__AUTH_CONFIG__INIT;

	auth.username = (char *)"bob";
	auth.password = (char *)"hidden-1";
	auth.auth = (char *)"hidden-2";
	auth.server_address = (char *)"https://registry.example";
	auth.identity_token = (char *)"hidden-3";
	auth.registry_token = (char *)"hidden-4";
	return auth;
}

static void test_secrets(void **state)
{
	static const unsigned int every[] = { 0, MESSAGE_JSON_ALL, MESSAGE_JSON_SHORT,
					      MESSAGE_JSON_ALL | MESSAGE_JSON_SHORT };
	Cri__PullImageRequest request = CRI__PULL_IMAGE_REQUEST__INIT;
	Cri__AuthConfig auth = full_auth();

	(void)state;
	request.auth = &auth;
	check_text(&request.base, 0,
		   "{\"auth\":{\"username\":\"bob\",\"password\":\"<redacted>\",\"auth\":\"<redacted>\","
		   "\"serverAddress\":\"https://registry.example\",\"identityToken\":\"<redacted>\","
		   "\"registryToken\":\"<redacted>\"}}");
	auth.server_address = (char *)"https://bob:hidden-5@registry.example";
	for (size_t i = 0; i < ARRAY_LEN(every); i++) {
		CLEANUP(freep) char *text = message_json_text(&request.base, every[i]);

		assert_null(strstr(text, "hidden"));
	}
	CLEANUP(freep) char *plain = message_json_text(&request.base, MESSAGE_JSON_SECRETS);
	for (char n = '1'; n <= '5'; n++) {
		char secret[] = { 'h', 'i', 'd', 'd', 'e', 'n', '-', n, '\0' };

		assert_non_null(strstr(plain, secret));
	}
}

/* An empty secret is not a secret: "was there a password" may be seen. */
static void test_no_secrets(void **state)
{
	Cri__AuthConfig auth = CRI__AUTH_CONFIG__INIT;

	(void)state;
	check_text(&auth.base, 0, "{}");
	check_text(
		&auth.base, MESSAGE_JSON_ALL,
		"{\"username\":\"\",\"password\":\"\",\"auth\":\"\",\"serverAddress\":\"\",\"identityToken\":\"\","
		"\"registryToken\":\"\"}");
}

static void test_short(void **state)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	Cri__ContainerConfig config = CRI__CONTAINER_CONFIG__INIT;
	Cri__KeyValue env = CRI__KEY_VALUE__INIT, *envs[] = { &env };
	char *args[20], dir[400];
	struct map_entry *labels[20];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(args); i++) {
		args[i] = arena_fmt(arena, "%zu", i);
		labels[i] = map_entry_new(arena, args[i], "");
	}
	memset(dir, 'd', sizeof(dir));
	memcpy(dir + 255, "\xc3\xbc", 2); /* the cut falls between the two bytes */
	dir[399] = '\0';
	config.args = args;
	config.n_args = 20;
	config.labels = (void *)labels;
	config.n_labels = 20;
	config.working_dir = dir;
	env.key = (char *)"TOKEN";
	env.value = (ProtobufCBinaryData){ .len = 6, .data = (uint8_t *)"secret" };
	config.envs = envs;
	config.n_envs = 1;
	CLEANUP(freep) char *text = message_json_text(&config.base, MESSAGE_JSON_SHORT);
	assert_non_null(strstr(text, "\"15\",\"... 4 more\"]"));
	assert_non_null(strstr(text, "\"15\":\"\",\"...\":\"... 4 more\"}"));
	assert_non_null(strstr(text, "ddd... (399 bytes)\""));
	assert_non_null(strstr(text, "{\"key\":\"TOKEN\",\"value\":\"<6 bytes>\"}"));
	assert_true(strlen(text) < 1000);
}

static void test_bad_text_is_mended(void **state)
{
	Cri__ContainerStatus status = CRI__CONTAINER_STATUS__INIT;

	(void)state;
	status.reason = (char *)"caf\xe9";
	check_text(&status.base, 0, "{\"reason\":\"caf\xef\xbf\xbd\"}");
}

struct row {
	const ProtobufCMessageDescriptor *desc;
	const char *text;
	const char *error; /* NULL: fine */
};

static const struct row rows[] = {
	/* names and absent values */
	{ &cri__image_status_request__descriptor, "{\"image\":{\"userSpecifiedImage\":\"x\"}}", NULL },
	{ &cri__image_status_request__descriptor, "{\"image\":{\"user_specified_image\":\"x\"}}", NULL },
	{ &cri__image_status_request__descriptor, "{\"image\":null,\"verbose\":null}", NULL },
	{ &cri__image_status_request__descriptor,
	  "{\"image\":{\"userSpecifiedImage\":\"x\",\"user_specified_image\":\"x\"}}",
	  "ImageStatusRequest.image.userSpecifiedImage: given under two names" },
	{ &cri__image_status_request__descriptor, "[]", "ImageStatusRequest: not an object" },
	{ &cri__image_status_request__descriptor, "{\"image\":[]}",
	  "ImageStatusRequest.image: not an object" },
	{ &cri__image_status_request__descriptor, "{\"image\":{\"image\":1}}",
	  "ImageStatusRequest.image.image: not a string" },
	{ &cri__image_status_request__descriptor, "{\"verbose\":1}",
	  "ImageStatusRequest.verbose: not a boolean" },
	{ &cri__image_status_request__descriptor, "{\"verbose\":\"true\"}",
	  "ImageStatusRequest.verbose: not a boolean" },
	/* integers */
	{ &cri__int64_value__descriptor, "{\"value\":-9223372036854775808}", NULL },
	{ &cri__int64_value__descriptor, "{\"value\":\"-9223372036854775808\"}", NULL },
	{ &cri__int64_value__descriptor, "{\"value\":\"9223372036854775808\"}",
	  "Int64Value.value: not an integer in range" },
	{ &cri__int64_value__descriptor, "{\"value\":\"1 \"}", "not an integer in range" },
	{ &cri__int64_value__descriptor, "{\"value\":\"\"}", "not an integer in range" },
	{ &cri__int64_value__descriptor, "{\"value\":1.5}", "not an integer" },
	{ &cri__int64_value__descriptor, "{\"value\":true}", "not an integer" },
	{ &cri__uint64_value__descriptor, "{\"value\":\"18446744073709551615\"}", NULL },
	{ &cri__uint64_value__descriptor, "{\"value\":\"18446744073709551616\"}",
	  "not an unsigned integer in range" },
	{ &cri__uint64_value__descriptor, "{\"value\":-1}", "out of range" },
	{ &cri__uint64_value__descriptor, "{\"value\":\"-1\"}", "not an unsigned integer in range" },
	{ &cri__idmapping__descriptor, "{\"hostId\":4294967295}", NULL },
	{ &cri__idmapping__descriptor, "{\"hostId\":4294967296}", "IDMapping.hostId: out of range" },
	{ &cri__idmapping__descriptor, "{\"host_id\":-1}", "IDMapping.hostId: out of range" },
	{ &cri__port_forward_request__descriptor, "{\"port\":[1,\"2\",-2147483648]}", NULL },
	{ &cri__port_forward_request__descriptor, "{\"port\":[1,2,2147483648]}",
	  "PortForwardRequest.port[2]: out of range" },
	{ &cri__port_forward_request__descriptor, "{\"port\":[null]}",
	  "PortForwardRequest.port[0]: not an integer" },
	{ &cri__port_forward_request__descriptor, "{\"port\":7}", "PortForwardRequest.port: not an array" },
	/* enums */
	{ &cri__container_state_value__descriptor, "{\"state\":\"CONTAINER_RUNNING\"}", NULL },
	{ &cri__container_state_value__descriptor, "{\"state\":7}", NULL },
	{ &cri__container_state_value__descriptor, "{\"state\":\"RUNNING\"}",
	  "ContainerStateValue.state: unknown name" },
	{ &cri__container_state_value__descriptor, "{\"state\":2147483648}", "out of range" },
	{ &cri__container_state_value__descriptor, "{\"state\":{}}", "neither a name nor a number" },
	/* doubles */
	{ &cri__psi_data__descriptor, "{\"Avg10\":1}", NULL },
	{ &cri__psi_data__descriptor, "{\"Avg10\":\"-Infinity\"}", NULL },
	{ &cri__psi_data__descriptor, "{\"Avg10\":\"1.5\"}", "PsiData.Avg10: not a number" },
	{ &cri__psi_data__descriptor, "{\"Avg10\":false}", "PsiData.Avg10: not a number" },
	/* bytes */
	{ &cri__key_value__descriptor, "{\"value\":\"AP8B\"}", NULL },
	{ &cri__key_value__descriptor, "{\"value\":\"AP9\"}", "KeyValue.value: not base64" },
	{ &cri__key_value__descriptor, "{\"value\":\"A?==\"}", "KeyValue.value: not base64" },
	{ &cri__key_value__descriptor, "{\"value\":[]}", "KeyValue.value: not a string of base64" },
	/* maps and lists of messages */
	{ &cri__container_config__descriptor, "{\"labels\":{\"a\":\"\"}}", NULL },
	{ &cri__container_config__descriptor, "{\"labels\":[]}", "ContainerConfig.labels: not an object" },
	{ &cri__container_config__descriptor, "{\"labels\":{\"a\":1}}",
	  "ContainerConfig.labels.a: not a string" },
	{ &cri__container_config__descriptor, "{\"labels\":{\"a\":null}}",
	  "ContainerConfig.labels.a: not a string" },
	{ &cri__container_config__descriptor,
	  "{\"CDIDevices\":[{\"name\":\"v/c=d\"}],\"mounts\":[{},{\"uidMappings\":[]}]}", NULL },
	{ &cri__container_config__descriptor, "{\"mounts\":[{},{\"gidMappings\":[{\"length\":\"x\"}]}]}",
	  "ContainerConfig.mounts[1].gidMappings[0].length: not an unsigned integer in range" },
	{ &cri__container_config__descriptor, "{\"mounts\":[null]}",
	  "ContainerConfig.mounts[0]: not an object" },
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(arena_freep) struct arena *arena = arena_new(0);
		ProtobufCMessage *message = NULL;
		struct err err = { 0 };
		int got = from_text(rows[i].desc, rows[i].text, MESSAGE_JSON_STRICT, arena, &message, &err);

		if (!rows[i].error) {
			if (got < 0)
				fail_msg("%s: %s", rows[i].text, err.text);
			continue;
		}
		if (got == 0)
			fail_msg("%s was taken", rows[i].text);
		assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
		if (!strstr(err.text, rows[i].error))
			fail_msg("%s: %s", rows[i].text, err.text);
		assert_null(message);
	}
}

static void test_values_arrive(void **state)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	ProtobufCMessage *message = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(
		from_text(
			&cri__container_config__descriptor,
			"{\"metadata\":{\"name\":\"n\",\"attempt\":\"4294967295\"},\"args\":[\"a\",\"\"],\"tty\":true,"
			"\"envs\":[{\"key\":\"K\",\"value\":\"_w\"}],\"labels\":{\"x\":\"y\"},\"stop_signal\":\"SIGNAL_SIGTERM\","
			"\"CDI_devices\":[{\"name\":\"v/c=d\"}],"
			"\"linux\":{\"resources\":{\"cpuShares\":2,\"memoryLimitInBytes\":\"9007199254740993\"}}}",
			MESSAGE_JSON_STRICT, arena, &message, &err),
		0);
	const Cri__ContainerConfig *config = (Cri__ContainerConfig *)message;
	assert_string_equal(config->metadata->name, "n");
	assert_int_equal(config->metadata->attempt, UINT32_MAX);
	assert_int_equal(config->n_args, 2);
	assert_string_equal(config->args[1], "");
	assert_true(config->tty);
	assert_int_equal(config->envs[0]->value.len, 1);
	assert_int_equal(config->envs[0]->value.data[0], 0xff);
	assert_string_equal(map_entry_get(config->labels, config->n_labels, "x"), "y");
	assert_int_equal(config->stop_signal, CRI__SIGNAL__SIGNAL_SIGTERM);
	assert_string_equal(config->cdi_devices[0]->name, "v/c=d");
	assert_int_equal(config->linux->resources->cpu_shares, 2);
	assert_true(config->linux->resources->memory_limit_in_bytes == INT64_C(9007199254740993));
	assert_string_equal(config->working_dir, "");
	assert_null(config->image);
}

static void test_unknown_keys(void **state)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	const char *text = "{\"filter\":{\"id\":\"x\",\"colour\":{\"deep\":[1]}}}";
	ProtobufCMessage *message = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(from_text(&cri__list_containers_request__descriptor, text, 0, arena, &message, &err),
			 0);
	assert_string_equal(((Cri__ListContainersRequest *)message)->filter->id, "x");
	assert_int_equal(from_text(&cri__list_containers_request__descriptor, text, MESSAGE_JSON_STRICT,
				   arena, &message, &err),
			 -1);
	assert_string_equal(err.text, "ListContainersRequest.filter.colour: unknown key");
}

/* jansson can hold a NUL in text that was not parsed but built. */
static void test_nul(void **state)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(json_decrefp) json_t *json = json_object();
	ProtobufCMessage *message = NULL;
	struct err err = { 0 };

	(void)state;
	json_object_set_new(json, "containerId", json_stringn("a\0b", 3));
	assert_int_equal(
		message_from_json(&cri__start_container_request__descriptor, json, 0, arena, &message, &err),
		-1);
	assert_string_equal(err.text, "StartContainerRequest.containerId: holds a NUL byte");
}

static void test_arena_limit(void **state)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(64 * 1024);
	CLEANUP(str_done) struct str text = STR_INIT;
	ProtobufCMessage *message = NULL;
	struct err err = { 0 };

	(void)state;
	str_add(&text, "{\"containers\":[{}");
	for (int i = 0; i < 10000; i++)
		str_add(&text, ",{}");
	str_add(&text, "]}");
	assert_int_equal(
		from_text(&cri__list_containers_response__descriptor, text.data, 0, arena, &message, &err),
		-1);
	assert_int_equal(err.code, RPC_RESOURCE_EXHAUSTED);
	assert_null(message);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_type),
		cmocka_unit_test(test_mapping),
		cmocka_unit_test(test_all_defaults),
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_no_secrets),
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_bad_text_is_mended),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_values_arrive),
		cmocka_unit_test(test_unknown_keys),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_arena_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
