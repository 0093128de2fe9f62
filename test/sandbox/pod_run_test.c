/* RunPodSandbox, StopPodSandbox and RemovePodSandbox with the real crisp-pause: what they make, that a
 * failure leaves nothing, and that equal requests share one pod. Without CNI configuration. */
#include <sys/wait.h>

#include "sandbox/cgroup.h"
#include "test/sandbox/state_dir.h"

static char *program;
static char *cgroup_parent; /* of our own: tests run side by side */

static int setup(void **data)
{
	struct state_dir *state = state_dir_new();

	assert_int_equal(setenv("CRISP_PAUSE", program, 1), 0);
	state_dir_open(state);
	state_dir_run(state);
	*data = state;
	return 0;
}

static void remove_cgroup(const char *path)
{
	struct err err = { 0 };
	CLEANUP(cgroups_freep) struct cgroups *cgroups = cgroups_open(NULL, &err);

	if (!cgroups)
		fail_msg("%s", err.text);
	assert_ok(cgroup_remove(cgroups, path, NULL, &err));
}

static int teardown(void **data)
{
	struct state_dir *state = *data;

	state_dir_close(state);
	state_dir_free(state);
	remove_cgroup(cgroup_parent); /* named by the request, so nobody else removes it */
	/* Every child was reaped by who started it. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	return 0;
}

struct asked { /* one request */
	Cri__RunPodSandboxRequest request;
	Cri__PodSandboxConfig config;
	Cri__PodSandboxMetadata metadata;
	Cri__LinuxPodSandboxConfig linux_config;
	Cri__LinuxSandboxSecurityContext security;
	Cri__NamespaceOption options;
};

static void ask(struct asked *asked, const char *name, Cri__NamespaceMode network)
{
	*asked = (struct asked){
		CRI__RUN_POD_SANDBOX_REQUEST__INIT,        CRI__POD_SANDBOX_CONFIG__INIT,
		CRI__POD_SANDBOX_METADATA__INIT,           CRI__LINUX_POD_SANDBOX_CONFIG__INIT,
		CRI__LINUX_SANDBOX_SECURITY_CONTEXT__INIT, CRI__NAMESPACE_OPTION__INIT
	};
	asked->request.config = &asked->config;
	asked->config.metadata = &asked->metadata;
	asked->config.linux = &asked->linux_config;
	asked->linux_config.cgroup_parent = cgroup_parent;
	asked->linux_config.security_context = &asked->security;
	asked->security.namespace_options = &asked->options;
	asked->metadata.name = (char *)name;
	asked->metadata.uid = (char *)"uid-1";
	asked->metadata.namespace_ = (char *)"default";
	asked->options.network = network;
	asked->options.pid = CRI__NAMESPACE_MODE__CONTAINER;
}

static bool is_empty(const struct state_dir *state, const char *name)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	struct err err = { 0 };

	assert_ok(dir_list(state->scratch.dir, name, &names, &err));
	return names.len == 0;
}

static void wait_until_empty(const struct state_dir *state, const char *name)
{
	for (int i = 0; i < 5000 && !is_empty(state, name); i++)
		usleep(1000);
	if (!is_empty(state, name))
		fail_msg("%s is not empty", name);
}

static void assert_nothing_left(const struct state_dir *state)
{
	assert_int_equal(pods_count(state, NULL), 0);
	assert_true(is_empty(state, "root/pods"));
	assert_true(is_empty(state, "run/pods"));
	assert_true(is_empty(state, "run/ns"));
	wait_until_empty(state, "root/trash");
}

static void test_whole_life(void **data)
{
	struct state_dir *state = *data;
	CLEANUP(freep) char *id = NULL;
	CLEANUP(freep) char *again = NULL;
	struct err err = { 0 };
	struct asked asked;

	ask(&asked, "web", CRI__NAMESPACE_MODE__NODE);
	assert_ok(pod_run(state->sandboxes, NULL, &asked.request, &id, &err));
	assert_true(id_valid(id));
	assert_int_equal(pod_status_of(state, id)->state, CRI__POD_SANDBOX_STATE__SANDBOX_READY);
	CLEANUP(freep) char *config = xasprintf("root/pods/%s/config.json", id);
	CLEANUP(freep) char *pin = xasprintf("run/ns/%s/ipc", id);
	CLEANUP(freep) char *hosts = xasprintf("run/pods/%s/etc/hosts", id);
	assert_true(state_dir_has(state, config));
	assert_true(state_dir_has(state, pin));
	assert_true(state_dir_has(state, hosts));
	assert_ok(pod_run(state->sandboxes, NULL, &asked.request, &again, &err));
	assert_string_equal(again, id);

	/* Stopping it twice is the same as once. */
	for (int i = 0; i < 2; i++) {
		assert_ok(pod_stop(state->sandboxes, NULL, id, &err));
		assert_int_equal(pod_status_of(state, id)->state, CRI__POD_SANDBOX_STATE__SANDBOX_NOTREADY);
		assert_false(state_dir_has(state, pin));
		assert_false(state_dir_has(state, hosts));
	}
	assert_ok(pod_remove(state->sandboxes, NULL, id, &err));
	assert_ok(pod_remove(state->sandboxes, NULL, id, &err));
	assert_nothing_left(state);
}

static void test_failure_leaves_nothing(void **data)
{
	struct state_dir *state = *data;
	CLEANUP(freep) char *id = NULL;
	struct err err = { 0 };
	struct asked asked;

	/* Everything is made but the network. */
	ask(&asked, "web", CRI__NAMESPACE_MODE__POD);
	assert_fails(pod_run(state->sandboxes, NULL, &asked.request, &id, &err), RPC_UNAVAILABLE);
	assert_null(id);
	assert_nothing_left(state);
	/* The name is free again. */
	ask(&asked, "web", CRI__NAMESPACE_MODE__NODE);
	assert_ok(pod_run(state->sandboxes, NULL, &asked.request, &id, &err));
	assert_ok(pod_remove(state->sandboxes, NULL, id, &err));
	assert_nothing_left(state);
}

static void test_refused_before_anything_is_made(void **data)
{
	struct state_dir *state = *data;
	Cri__LinuxPodSandboxConfig__SysctlsEntry entry = CRI__LINUX_POD_SANDBOX_CONFIG__SYSCTLS_ENTRY__INIT;
	Cri__LinuxPodSandboxConfig__SysctlsEntry *entries[] = { &entry };
	CLEANUP(freep) char *id = NULL;
	struct err err = { 0 };
	struct asked asked;

	ask(&asked, "web", CRI__NAMESPACE_MODE__NODE);
	entry.key = (char *)"kernel.shm_rmid_forced";
	entry.value = (char *)"1+kernel.core_pattern=x";
	asked.linux_config.sysctls = entries;
	asked.linux_config.n_sysctls = 1;
	assert_fails(pod_run(state->sandboxes, NULL, &asked.request, &id, &err), RPC_INVALID_ARGUMENT);
	assert_nothing_left(state);
	assert_true(is_empty(state, "root/trash"));
}

/* Its pause is killed from outside. */
static void test_pause_dies(void **data)
{
	struct state_dir *state = *data;
	CLEANUP(freep) char *id = NULL;
	Cri__PodSandboxStatusResponse status = CRI__POD_SANDBOX_STATUS_RESPONSE__INIT;
	CLEANUP(json_decrefp) json_t *info = NULL;
	struct err err = { 0 };
	struct asked asked;

	ask(&asked, "web", CRI__NAMESPACE_MODE__NODE);
	assert_ok(pod_run(state->sandboxes, NULL, &asked.request, &id, &err));
	assert_ok(pod_status(state->sandboxes, id, true, state->arena, &status, &err));
	info = json_loads(status.info[0]->value, 0, NULL);
	pid_t pid = (pid_t)json_integer_value(json_object_get(info, "pid"));
	assert_true(pid > 1);
	assert_int_equal(kill(pid, SIGKILL), 0);
	for (int i = 0;
	     i < 5000 && (int)pod_status_of(state, id)->state == CRI__POD_SANDBOX_STATE__SANDBOX_READY; i++)
		usleep(1000);
	assert_int_equal(pod_status_of(state, id)->state, CRI__POD_SANDBOX_STATE__SANDBOX_NOTREADY);
	assert_ok(pod_stop(state->sandboxes, NULL, id, &err));
	assert_ok(pod_remove(state->sandboxes, NULL, id, &err));
	assert_nothing_left(state);
}

struct caller {
	pthread_t thread;
	struct state_dir *state;
	char *id;
};

static void *call(void *data)
{
	struct caller *caller = data;
	struct err err = { 0 };
	struct asked asked;

	ask(&asked, "web", CRI__NAMESPACE_MODE__NODE);
	if (pod_run(caller->state->sandboxes, NULL, &asked.request, &caller->id, &err) < 0)
		caller->id = xstrdup(err.text);
	return NULL;
}

static void test_equal_requests_join(void **data)
{
	struct caller callers[8] = { 0 };
	struct err err = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(callers); i++) {
		callers[i].state = *data;
		assert_int_equal(pthread_create(&callers[i].thread, NULL, call, &callers[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(callers); i++)
		pthread_join(callers[i].thread, NULL);
	assert_int_equal(pods_count(*data, NULL), 1);
	for (size_t i = 0; i < ARRAY_LEN(callers); i++)
		assert_string_equal(callers[i].id, callers[0].id);
	assert_ok(pod_remove(callers[0].state->sandboxes, NULL, callers[0].id, &err));
	for (size_t i = 0; i < ARRAY_LEN(callers); i++)
		free(callers[i].id);
	assert_nothing_left(*data);
}

/* crispd is restarted while a pod runs. */
static void test_survives_a_restart(void **data)
{
	struct state_dir *state = *data;
	CLEANUP(freep) char *id = NULL;
	struct err err = { 0 };
	struct asked asked;

	ask(&asked, "web", CRI__NAMESPACE_MODE__NODE);
	assert_ok(pod_run(state->sandboxes, NULL, &asked.request, &id, &err));
	state_dir_close(state);
	state_dir_open(state);
	state_dir_run(state);
	assert_int_equal(sandboxes_warnings(state->sandboxes)->len, 0);
	assert_int_equal(pod_status_of(state, id)->state, CRI__POD_SANDBOX_STATE__SANDBOX_READY);
	assert_ok(pod_stop(state->sandboxes, NULL, id, &err));
	assert_ok(pod_remove(state->sandboxes, NULL, id, &err));
	assert_nothing_left(state);
}

/* The program is in the build folder of the floor above: <build>/server/crisp-pause. */
static char *find_pause(void)
{
	CLEANUP(freep) char *exe = xcalloc(1, 4096);
	ssize_t len = readlink("/proc/self/exe", exe, 4095);
	char *end = len > 0 ? strstr(exe, "/test/sandbox/") : NULL;

	return end ? xasprintf("%.*s/server/crisp-pause", (int)(end - exe), exe) : xstrdup("");
}

static void *cancel_soon(void *data)
{
	struct state_dir *state = data;

	for (int i = 0; i < 20000 && !state_dir_has(state, "plugin-runs"); i++)
		usleep(1000);
	sandboxes_cancel(state->sandboxes);
	return NULL;
}

/* A CNI plugin that does not come to an end does not hold up the end of crispd. */
static void test_cancelled_at_the_end(void **data)
{
	struct state_dir *state = *data;
	CLEANUP(freep)
	char *plugin =
		xasprintf("#!/bin/sh\n[ \"$CNI_COMMAND\" != ADD ] || { : >%s/plugin-runs; exec sleep 60; }\n",
			  state->scratch.path);
	CLEANUP(freep) char *id = NULL;
	struct err err = { 0 };
	struct asked asked;
	pthread_t thread;

	state_dir_close(state);
	state_dir_mkdir(state, "net.d");
	state_dir_mkdir(state, "cni");
	state_dir_put(state, "net.d/10-slow.conflist",
		      "{\"cniVersion\":\"1.0.0\",\"name\":\"slow\",\"plugins\":[{\"type\":\"slow\"}]}");
	state_dir_put(state, "cni/slow", plugin);
	assert_int_equal(fchmodat(state->scratch.dir, "cni/slow", 0755, 0), 0);
	state_dir_open(state);
	state_dir_run(state);

	ask(&asked, "slow", CRI__NAMESPACE_MODE__POD);
	assert_int_equal(pthread_create(&thread, NULL, cancel_soon, state), 0);
	assert_fails(pod_run(state->sandboxes, NULL, &asked.request, &id, &err), RPC_CANCELLED);
	pthread_join(thread, NULL);
	assert_true(state_dir_has(state, "plugin-runs"));
	assert_nothing_left(state);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_whole_life),
		TEST(test_failure_leaves_nothing),
		TEST(test_refused_before_anything_is_made),
		TEST(test_pause_dies),
		TEST(test_equal_requests_join),
		TEST(test_survives_a_restart),
		TEST(test_cancelled_at_the_end),
	};

	if (state_dir_isolate() < 0) {
		print_message("no namespaces of its own to be had here: skipped\n");
		return 0;
	}
	program = find_pause();
	cgroup_parent = xasprintf("/crisp-test-pods-%d", getpid());
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(program);
	free(cgroup_parent);
	return failed;
}
