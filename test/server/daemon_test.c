/*
 * crispd itself, as a process, in mount and network namespaces of its own: what it tells the service manager,
 * its socket and claims, the RPCs that need no pod, requests that are wrong, reload, restart after SIGKILL,
 * and the end. Needs root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/spawn.h"
#include "proto/cri.pb-c.h"
#include "proto/map_entry.h"
#include "proto/message.h"
#include "sandbox/userns.h"
#include "test/server/daemon_fixture.h"
#include "test/server/fixture.h"

static void *request(struct state *state, const ProtobufCMessageDescriptor *type)
{
	return message_new(state->arena, type);
}

static int code_of(struct state *state, const char *path, void *message)
{
	return client_ask(state->client, path, message, NULL, NULL);
}

/* The answer, which must come; in the arena. */
static void *ask(struct state *state, const char *path, void *message, const ProtobufCMessageDescriptor *type)
{
	ProtobufCMessage *answer;
	void *copy;
	int code = client_ask(state->client, path, message, type, &answer);

	if (code != RPC_OK || !answer)
		fail_msg("%s: code %d", path, code);
	copy = message_clone(answer, state->arena);
	protobuf_c_message_free_unpacked(answer, NULL);
	return copy;
}

static void test_version(void **data)
{
	struct state *state = *data;
	Cri__VersionResponse *version;

	NEEDS_ROOT(state);
	version = ask(state, RUNTIME("Version"), request(state, &cri__version_request__descriptor),
		      &cri__version_response__descriptor);
	assert_string_equal(version->version, "0.1.0");
	assert_string_equal(version->runtime_name, "crisp");
	assert_string_equal(version->runtime_version, CRISP_VERSION);
	assert_string_equal(version->runtime_api_version, "v1");
}

static mode_t mode_of(const struct state *state, const char *name)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", state->folder, name);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

/* Pods with user namespaces of their own are let through to what is theirs, and nobody to anything else. */
static void test_modes(void **data)
{
	struct state *state = *data;
	static const char *const open[] = { "state", "root", "state/pods", "root/containers" };
	static const char *const closed[] = { "root/images", "root/layers", "root/pods",
					      "root/trash",  "state/ns",    "state/containers" };

	NEEDS_ROOT(state);
	assert_int_equal(mode_of(state, "run/crisp.sock"), 0660);
	for (size_t i = 0; i < ARRAY_LEN(open); i++)
		assert_int_equal(mode_of(state, open[i]), 0711);
	for (size_t i = 0; i < ARRAY_LEN(closed); i++)
		assert_int_equal(mode_of(state, closed[i]), 0700);
}

static void test_status(void **data)
{
	struct state *state = *data;
	Cri__StatusRequest *ask_status;
	Cri__StatusResponse *status;
	static const char *const names[] = { "config", "network", "handlers", "versions" };

	NEEDS_ROOT(state);
	ask_status = request(state, &cri__status_request__descriptor);
	status = ask(state, RUNTIME("Status"), ask_status, &cri__status_response__descriptor);
	assert_int_equal(status->n_info, 0);
	ask_status->verbose = true;
	status = ask(state, RUNTIME("Status"), ask_status, &cri__status_response__descriptor);
	assert_int_equal(status->status->n_conditions, 2);
	assert_string_equal(status->status->conditions[0]->type, "RuntimeReady");
	assert_string_equal(status->status->conditions[1]->type, "NetworkReady");
	assert_false(status->status->conditions[1]->status); /* net.d does not exist */
	assert_string_equal(status->status->conditions[1]->reason, "NetworkPluginNotReady");
	assert_string_not_equal(status->status->conditions[1]->message, "");
	assert_true(status->features->supplemental_groups_policy);
	assert_true(status->features->user_namespaces_host_network == userns_supported());
	if (status->status->conditions[0]->status) {
		assert_true(status->n_runtime_handlers >= 2);
		assert_string_equal(status->runtime_handlers[0]->name, "");
	} else {
		assert_string_not_equal(status->status->conditions[0]->message, "");
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_non_null(map_entry_get(status->info, status->n_info, names[i]));
	assert_non_null(strstr(map_entry_get(status->info, status->n_info, "config"), state->folder));
}

static void test_runtime_config(void **data)
{
	struct state *state = *data;
	static const struct {
		const char *cidr;
		int code;
	} cases[] = {
		{ "", RPC_OK },
		{ "10.88.0.0/16", RPC_OK },
		{ "10.88.0.0/16,fd00:10::/64", RPC_OK },
		{ "10.88.0.0", RPC_INVALID_ARGUMENT },
		{ "10.88.0.0/33", RPC_INVALID_ARGUMENT },
		{ "10.88.0/16", RPC_INVALID_ARGUMENT },
		{ "fd00::/129", RPC_INVALID_ARGUMENT },
		{ "10.88.0.0/16,", RPC_INVALID_ARGUMENT },
		{ "10.88.0.0/-1", RPC_INVALID_ARGUMENT },
	};
	Cri__RuntimeConfigResponse *config;
	Cri__UpdateRuntimeConfigRequest *update;

	NEEDS_ROOT(state);
	config =
		ask(state, RUNTIME("RuntimeConfig"), request(state, &cri__runtime_config_request__descriptor),
		    &cri__runtime_config_response__descriptor);
	assert_int_equal(config->linux->cgroup_driver, CRI__CGROUP_DRIVER__CGROUPFS);
	update = request(state, &cri__update_runtime_config_request__descriptor);
	assert_int_equal(code_of(state, RUNTIME("UpdateRuntimeConfig"), update), RPC_OK);
	update->runtime_config = request(state, &cri__runtime_config__descriptor);
	update->runtime_config->network_config = request(state, &cri__network_config__descriptor);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		update->runtime_config->network_config->pod_cidr = (char *)cases[i].cidr;
		if (code_of(state, RUNTIME("UpdateRuntimeConfig"), update) != cases[i].code)
			fail_msg("pod_cidr \"%s\"", cases[i].cidr);
	}
}

static void test_lists_are_empty(void **data)
{
	struct state *state = *data;
	static const char *const streams[] = { RUNTIME("StreamPodSandboxes"), RUNTIME("StreamContainers"),
					       IMAGE("StreamImages") };

	NEEDS_ROOT(state);
	assert_int_equal(((Cri__ListPodSandboxResponse *)ask(
				  state, RUNTIME("ListPodSandbox"),
				  request(state, &cri__list_pod_sandbox_request__descriptor),
				  &cri__list_pod_sandbox_response__descriptor))
				 ->n_items,
			 0);
	assert_int_equal(
		((Cri__ListContainersResponse *)ask(state, RUNTIME("ListContainers"),
						    request(state, &cri__list_containers_request__descriptor),
						    &cri__list_containers_response__descriptor))
			->n_containers,
		0);
	assert_int_equal(
		((Cri__ListImagesResponse *)ask(state, IMAGE("ListImages"),
						request(state, &cri__list_images_request__descriptor),
						&cri__list_images_response__descriptor))
			->n_images,
		0);
	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		struct client_answer answer;

		client_run(state->client, &(struct client_request){ .path = streams[i] }, &answer);
		assert_int_equal(answer.code, RPC_OK);
		assert_int_equal(answer.messages, 0);
		client_answer_done(&answer);
	}
}

static void test_images(void **data)
{
	struct state *state = *data;
	static const char *const bad[] = { "", "UPPER/case", "a/../b",
					   "x:port/99999/b:", "name@sha256:short" };
	Cri__ImageStatusRequest *status;
	Cri__PullImageRequest *pull;
	Cri__RemoveImageRequest *remove;
	Cri__ImageFsInfoResponse *fs;

	NEEDS_ROOT(state);
	status = request(state, &cri__image_status_request__descriptor);
	pull = request(state, &cri__pull_image_request__descriptor);
	remove = request(state, &cri__remove_image_request__descriptor);
	assert_int_equal(code_of(state, IMAGE("ImageStatus"), status), RPC_INVALID_ARGUMENT);
	assert_int_equal(code_of(state, IMAGE("PullImage"), pull), RPC_INVALID_ARGUMENT);
	assert_int_equal(code_of(state, IMAGE("RemoveImage"), remove), RPC_INVALID_ARGUMENT);
	status->image = pull->image = remove->image = request(state, &cri__image_spec__descriptor);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		pull->image->image = (char *)bad[i];
		if (code_of(state, IMAGE("PullImage"), pull) != RPC_INVALID_ARGUMENT)
			fail_msg("pull of \"%s\"", bad[i]);
	}
	status->image->image = (char *)"registry.k8s.io/absent:1";
	assert_null(((Cri__ImageStatusResponse *)ask(state, IMAGE("ImageStatus"), status,
						     &cri__image_status_response__descriptor))
			    ->image);
	assert_int_equal(code_of(state, IMAGE("RemoveImage"), remove), RPC_OK);
	remove->image->image = (char *)"0000000000000000000000000000000000000000000000000000000000000000";
	assert_int_equal(code_of(state, IMAGE("RemoveImage"), remove), RPC_OK);
	fs = ask(state, IMAGE("ImageFsInfo"), request(state, &cri__image_fs_info_request__descriptor),
		 &cri__image_fs_info_response__descriptor);
	assert_int_equal(fs->n_image_filesystems, 1);
	assert_int_equal(fs->n_container_filesystems, 1);
	assert_non_null(strstr(fs->image_filesystems[0]->fs_id->mountpoint, state->folder));
	assert_string_equal(fs->image_filesystems[0]->fs_id->mountpoint,
			    fs->container_filesystems[0]->fs_id->mountpoint);
	assert_true(fs->image_filesystems[0]->timestamp > 0);
}

/* Rows 1, 26, 28 and 29 of bad input: what must be refused before anything happens. */
static void test_bad_requests(void **data)
{
	struct state *state = *data;
	const char *unknown = "11111111-2222-3333-4444-555555555555";
	Cri__ExecSyncRequest *exec;
	Cri__StopContainerRequest *stop_container;
	char *cmd[] = { (char *)"true" };

	NEEDS_ROOT(state);
	assert_int_equal(code_of(state, RUNTIME("RunPodSandbox"),
				 request(state, &cri__run_pod_sandbox_request__descriptor)),
			 RPC_INVALID_ARGUMENT);
	assert_int_equal(code_of(state, RUNTIME("StartContainer"),
				 request(state, &cri__start_container_request__descriptor)),
			 RPC_INVALID_ARGUMENT);
	exec = request(state, &cri__exec_sync_request__descriptor);
	exec->container_id = (char *)"1234";
	assert_int_equal(code_of(state, RUNTIME("ExecSync"), exec), RPC_INVALID_ARGUMENT);
	exec->n_cmd = 1;
	exec->cmd = cmd;
	exec->timeout = -1;
	assert_int_equal(code_of(state, RUNTIME("ExecSync"), exec), RPC_INVALID_ARGUMENT);
	exec->timeout = INT64_MAX;
	assert_int_equal(code_of(state, RUNTIME("ExecSync"), exec), RPC_INVALID_ARGUMENT);
	exec->timeout = 1;
	assert_int_equal(code_of(state, RUNTIME("ExecSync"), exec), RPC_NOT_FOUND);
	exec->n_cmd = 200000;
	exec->cmd = arena_array(state->arena, exec->n_cmd, sizeof(*exec->cmd));
	for (size_t i = 0; i < exec->n_cmd; i++)
		exec->cmd[i] = cmd[0];
	assert_int_equal(code_of(state, RUNTIME("ExecSync"), exec), RPC_INVALID_ARGUMENT);
	stop_container = request(state, &cri__stop_container_request__descriptor);
	stop_container->container_id = (char *)unknown;
	assert_int_equal(code_of(state, RUNTIME("StopContainer"), stop_container), RPC_OK);
	stop_container->timeout = INT64_MAX;
	assert_int_equal(code_of(state, RUNTIME("StopContainer"), stop_container), RPC_OK);
	stop_container->timeout = -1;
	assert_int_equal(code_of(state, RUNTIME("StopContainer"), stop_container), RPC_INVALID_ARGUMENT);
}

static void test_unimplemented(void **data)
{
	struct state *state = *data;
	struct client_answer answer;

	NEEDS_ROOT(state);
	client_run(state->client, &(struct client_request){ .path = RUNTIME("CheckpointPod") }, &answer);
	assert_int_equal(answer.code, RPC_UNIMPLEMENTED);
	assert_non_null(strstr(answer.text, "CheckpointPod"));
	client_answer_done(&answer);
}

/* A second daemon on the same state is refused, by the claim, before it touches anything. */
static void test_second_daemon(void **data)
{
	struct state *state = *data;
	CLEANUP(freep) char *log = NULL;
	struct process second = PROCESS_INIT;
	struct err err = { 0 };
	int status;

	NEEDS_ROOT(state);
	assert_int_equal(start(state, &second, &err), 0);
	status = wait_for(&second);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	log = read_log(state);
	assert_non_null(strstr(log, "in use by another crispd"));
	test_version(data);
}

/* After SIGKILL the socket's file is left: it is replaced, and the same client finds the new daemon. */
static void test_restart_after_kill(void **data)
{
	struct state *state = *data;
	struct err err = { 0 };
	int code = -1;

	NEEDS_ROOT(state);
	test_version(data);
	assert_int_equal(process_signal(&state->process, SIGKILL, &err), 0);
	wait_for(&state->process);
	assert_int_equal(access(state->socket, F_OK), 0);
	start_and_wait(state);
	for (int i = 0; i < 100 && code != RPC_OK; i++) {
		code = code_of(state, RUNTIME("Version"), request(state, &cri__version_request__descriptor));
		usleep(50 * 1000);
	}
	assert_int_equal(code, RPC_OK);
}

static char *pod_cidr_told(struct state *state)
{
	Cri__StatusRequest *ask_status = request(state, &cri__status_request__descriptor);

	ask_status->verbose = true;
	const Cri__StatusResponse *status =
		ask(state, RUNTIME("Status"), ask_status, &cri__status_response__descriptor);
	return xstrdup(map_entry_get(status->info, status->n_info, "network"));
}

/* kubelet sends it once, to whichever crispd runs then. */
static void test_pod_cidr_is_kept(void **data)
{
	struct state *state = *data;
	Cri__UpdateRuntimeConfigRequest *update;
	struct err err = { 0 };

	NEEDS_ROOT(state);
	update = request(state, &cri__update_runtime_config_request__descriptor);
	update->runtime_config = request(state, &cri__runtime_config__descriptor);
	update->runtime_config->network_config = request(state, &cri__network_config__descriptor);
	update->runtime_config->network_config->pod_cidr = (char *)"10.77.0.0/16,fd00:77::/64";
	assert_int_equal(code_of(state, RUNTIME("UpdateRuntimeConfig"), update), RPC_OK);
	for (int i = 0; i < 2; i++) {
		CLEANUP(freep) char *told = pod_cidr_told(state);
		assert_non_null(strstr(told, "10.77.0.0/16,fd00:77::/64"));
		assert_int_equal(process_signal(&state->process, SIGKILL, &err), 0);
		wait_for(&state->process);
		client_free(state->client);
		start_and_wait(state);
		state->client = client_new(state->socket, false);
	}
	update->runtime_config->network_config->pod_cidr = (char *)"";
	assert_int_equal(code_of(state, RUNTIME("UpdateRuntimeConfig"), update), RPC_OK);
	CLEANUP(freep) char *told = pod_cidr_told(state);
	assert_null(strstr(told, "10.77"));
}

/* Layers that neither an image nor a container has any more, of a pull that was cut short, go at the start.
 */
static void test_orphans_are_collected(void **data)
{
	static const char hex[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	struct state *state = *data;
	CLEANUP(freep) char *layer = NULL, *diff = NULL, *json = NULL, *text = NULL;
	struct err err = { 0 };

	NEEDS_ROOT(state);
	assert_int_equal(stop(state), 0);
	layer = xasprintf("%s/root/layers/%s", state->folder, hex);
	diff = xasprintf("%s/diff", layer);
	json = xasprintf("%s/layer.json", layer);
	text = xasprintf("{\"version\":1,\"chainID\":\"sha256:%s\",\"usedBytes\":1,\"inodesUsed\":1}", hex);
	fd_close(dir_make(AT_FDCWD, diff, 0700, &err));
	write_file(json, text);
	start_and_wait(state);
	assert_int_equal(access(layer, F_OK), -1);
}

static void test_watchdog(void **data)
{
	struct state *state = *data;

	NEEDS_ROOT(state);
	await_notify(state, "WATCHDOG=1");
	await_notify(state, "WATCHDOG=1");
}

static void reload(struct state *state, const char *text, const char *wanted_log)
{
	CLEANUP(freep) char *log = NULL;
	struct err err = { 0 };

	write_file(state->config, text);
	assert_int_equal(process_signal(&state->process, SIGHUP, &err), 0);
	await_notify(state, "RELOADING=1");
	await_notify(state, "READY=1");
	log = read_log(state);
	if (!strstr(log, wanted_log))
		fail_msg("\"%s\" is not in the log:\n%s", wanted_log, log);
}

static void test_reload(void **data)
{
	struct state *state = *data;
	CLEANUP(freep) char *good = NULL, *log = NULL, *text = NULL;
	NEEDS_ROOT(state);
	reload(state, "[crisp]\nmisspelt = 1\n", "nothing changed");
	test_version(data);
	log = read_log(state);
	assert_null(strstr(log, "level=debug"));
	good = config_text(state, "debug");
	text = xasprintf("%s[crisp.runtime.runtimes.kata]\nruntime_path = \"/bin/true\"\n", good);
	reload(state, text, "takes effect after a restart\" key=crisp.runtime.runtimes.kata");
	free(log);
	log = read_log(state);
	if (!strstr(log, "reload: changed\" key=crisp.runtime.log_level"))
		fail_msg("%s", log);
	reload(state, good, "crisp.runtime.runtimes.kata");
	test_version(data);
	free(log);
	log = read_log(state);
	assert_non_null(strstr(log, "level=debug msg=\"Version\""));
}

static void test_stop(void **data)
{
	struct state *state = *data;
	struct err err = { 0 };

	NEEDS_ROOT(state);
	assert_int_equal(process_signal(&state->process, SIGTERM, &err), 0);
	await_notify(state, "STOPPING=1");
	assert_int_equal(wait_for(&state->process), 0);
	assert_int_equal(access(state->socket, F_OK), -1);
	start_and_wait(state); /* for teardown */
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_version),
		TEST(test_modes),
		TEST(test_status),
		TEST(test_runtime_config),
		TEST(test_images),
		TEST(test_lists_are_empty),
		TEST(test_bad_requests),
		TEST(test_unimplemented),
		TEST(test_second_daemon),
		TEST(test_restart_after_kill),
		TEST(test_pod_cidr_is_kept),
		TEST(test_watchdog),
		TEST(test_orphans_are_collected),
		TEST(test_reload),
		TEST(test_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
