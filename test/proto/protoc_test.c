/*
 * Google's own compiler as the second opinion on the wire: what we encode it decodes to the text we expect,
 * what it encodes we decode to the values we expect, and random messages go through both of its directions
 * unchanged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/spawn.h"
#include "base/str.h"
#include "proto/cri.pb-c.h"
#include "proto/map_entry.h"
#include "proto/message.h"
#include "sample.h"

/* mode is "encode" or "decode"; input to out, both bytes. */
static void protoc(const char *mode, const ProtobufCMessageDescriptor *desc, const struct str *input,
		   struct str *out)
{
	CLEANUP(strv_done) struct strv argv = STRV_INIT;
	CLEANUP(strv_done) struct strv includes = STRV_INIT;
	CLEANUP(command_result_done) struct command_result result = { 0 };
	CLEANUP(fd_closep) int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct err err = { 0 };

	strv_add(&argv, getenv("PROTOC"));
	strv_add(&argv, "-I.");
	strv_split(&includes, getenv("PROTO_INCLUDES"), ':');
	for (size_t i = 0; i < includes.len; i++)
		strv_addf(&argv, "-I%s", includes.items[i]);
	strv_addf(&argv, "--%s=%s", mode, desc->name);
	strv_add(&argv, "proto/cri.proto");
	const struct command command = {
		.path = argv.items[0],
		.argv = (const char *const *)argv.items,
		.cwd = here,
		.input = input->len ? input->data : "",
		.input_len = input->len,
		.stdout_max = 1 << 20,
		.stderr_max = 1 << 16,
		.timeout = 60 * NS_PER_SEC,
	};
	if (command_run(&command, NULL, &result, &err) < 0)
		fail_msg("protoc: %s", err.text);
	if (!result.exited || result.status != 0)
		fail_msg("protoc --%s=%s: %s", mode, desc->name, str_get(&result.err_out));
	assert_false(result.out_truncated);
	str_clear(out);
	str_addn(out, str_get(&result.out), result.out.len);
}

static ProtobufCMessage *unpack(struct arena *arena, const ProtobufCMessageDescriptor *desc,
				const struct str *wire)
{
	ProtobufCMessage *message = NULL;
	struct err err = { 0 };

	if (message_unpack(desc, wire->data, wire->len, arena, &message, &err) < 0)
		fail_msg("%s: %s", desc->name, err.text);
	return message;
}

static void test_both_ways(void **state)
{
	static const ProtobufCMessageDescriptor *const types[] = {
		&cri__run_pod_sandbox_request__descriptor,
		&cri__create_container_request__descriptor,
		&cri__container_status_response__descriptor,
		&cri__list_pod_sandbox_stats_response__descriptor,
		&cri__status_response__descriptor,
		&cri__pull_image_request__descriptor,
		&cri__restore_pod_request__descriptor,
		&cri__container_event_response__descriptor,
		&cri__list_pod_sandbox_metrics_response__descriptor,
		&cri__image_fs_info_response__descriptor,
		&cri__list_container_stats_response__descriptor,
		&cri__exec_sync_response__descriptor,
		&cri__port_forward_request__descriptor,
		&cri__pod_sandbox_status_response__descriptor,
		&cri__update_container_resources_request__descriptor,
		&cri__list_images_response__descriptor,
	};
	uint64_t seed = 2024;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		CLEANUP(arena_freep) struct arena *arena = arena_new(0);
		CLEANUP(str_done) struct str wire = STR_INIT;
		CLEANUP(str_done) struct str text = STR_INIT;
		CLEANUP(str_done) struct str back = STR_INIT;
		ProtobufCMessage *message = sample_message(arena, types[i], &seed);
		struct err err = { 0 };

		assert_int_equal(message_pack(message, &wire, &err), 0);
		protoc("decode", types[i], &wire, &text);
		protoc("encode", types[i], &text, &back);
		/* Not the same bytes: protoc writes empty keys and values of maps out. */
		if (!message_equal(message, unpack(arena, types[i], &back)))
			fail_msg("%s differs:\n%s", types[i]->name, str_get(&text));
	}
}

static void test_our_bytes(void **state)
{
	Cri__LinuxSandboxSecurityContext security = CRI__LINUX_SANDBOX_SECURITY_CONTEXT__INIT;
	Cri__Int64Value user = CRI__INT64_VALUE__INIT;
	Cri__LinuxPodSandboxConfig linux_config = CRI__LINUX_POD_SANDBOX_CONFIG__INIT;
	Cri__PodSandboxMetadata metadata = CRI__POD_SANDBOX_METADATA__INIT;
	Cri__PodSandboxConfig config = CRI__POD_SANDBOX_CONFIG__INIT;
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct map_entry *label = map_entry_new(arena, "app", "web");
	int64_t groups[] = { 7, -1 };
	CLEANUP(str_done) struct str wire = STR_INIT;
	CLEANUP(str_done) struct str text = STR_INIT;
	struct err err = { 0 };

	(void)state;
	security.run_as_user = &user;
	security.supplemental_groups = groups;
	security.n_supplemental_groups = 2;
	security.supplemental_groups_policy = CRI__SUPPLEMENTAL_GROUPS_POLICY__Strict;
	linux_config.cgroup_parent = (char *)"/kubepods";
	linux_config.security_context = &security;
	metadata.name = (char *)"n";
	metadata.namespace_ = (char *)"default";
	metadata.attempt = 3;
	config.metadata = &metadata;
	config.linux = &linux_config;
	config.labels = (void *)&label;
	config.n_labels = 1;
	assert_int_equal(message_pack(&config.base, &wire, &err), 0);
	protoc("decode", &cri__pod_sandbox_config__descriptor, &wire, &text);
	assert_string_equal(
		str_get(&text),
		"metadata {\n  name: \"n\"\n  namespace: \"default\"\n  attempt: 3\n}\n"
		"labels {\n  key: \"app\"\n  value: \"web\"\n}\n"
		"linux {\n  cgroup_parent: \"/kubepods\"\n  security_context {\n"
		"    run_as_user {\n    }\n    supplemental_groups: 7\n    supplemental_groups: -1\n"
		"    supplemental_groups_policy: Strict\n  }\n}\n");
}

static void test_their_bytes(void **state)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(str_done) struct str text = STR_INIT;
	CLEANUP(str_done) struct str wire = STR_INIT;
	const ProtobufCMessageDescriptor *desc = &cri__create_container_request__descriptor;

	(void)state;
	str_add(&text,
		"pod_sandbox_id: 'p' config { metadata { name: 'c' attempt: 4294967295 } args: 'a' args: '' "
		"envs { key: 'K' value: '\\000\\377' } stop_signal: SIGNAL_SIGRTMAX CDI_devices { name: 'v/c=d' } "
		"mounts { uidMappings { host_id: 1 length: 2 } propagation: PROPAGATION_BIDIRECTIONAL } "
		"annotations { key: 'k' value: 'v' } linux { resources { cpu_quota: -1 hugepage_limits { limit: "
		"18446744073709551615 } } security_context { seccomp { profile_type: Localhost localhost_ref: '/x' } "
		"supplemental_groups: [5, 6] } } } sandbox_config { port_mappings { protocol: SCTP host_port: -7 } }");
	protoc("encode", desc, &text, &wire);
	const Cri__CreateContainerRequest *request =
		(Cri__CreateContainerRequest *)unpack(arena, desc, &wire);
	const Cri__ContainerConfig *config = request->config;
	assert_string_equal(request->pod_sandbox_id, "p");
	assert_int_equal(config->metadata->attempt, UINT32_MAX);
	assert_int_equal(config->n_args, 2);
	assert_int_equal(config->envs[0]->value.len, 2);
	assert_memory_equal(config->envs[0]->value.data, "\0\xff", 2);
	assert_int_equal(config->stop_signal, CRI__SIGNAL__SIGNAL_SIGRTMAX);
	assert_string_equal(config->cdi_devices[0]->name, "v/c=d");
	assert_int_equal(config->mounts[0]->uidmappings[0]->length, 2);
	assert_int_equal(config->mounts[0]->propagation, CRI__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL);
	assert_string_equal(map_entry_get(config->annotations, config->n_annotations, "k"), "v");
	assert_int_equal(config->linux->resources->cpu_quota, -1);
	assert_true(config->linux->resources->hugepage_limits[0]->limit == UINT64_MAX);
	assert_int_equal(config->linux->security_context->seccomp->profile_type,
			 CRI__SECURITY_PROFILE__PROFILE_TYPE__Localhost);
	assert_int_equal(config->linux->security_context->supplemental_groups[1], 6);
	assert_int_equal(request->sandbox_config->port_mappings[0]->protocol, CRI__PROTOCOL__SCTP);
	assert_int_equal(request->sandbox_config->port_mappings[0]->host_port, -7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_our_bytes),
		cmocka_unit_test(test_their_bytes),
	};

	if (!getenv("PROTOC") || !getenv("PROTO_INCLUDES")) {
		print_error("PROTOC and PROTO_INCLUDES must be set; ctest does\n");
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
