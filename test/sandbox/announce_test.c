/*
 * Events of pods and containers, as a listener hears them: each once, in order, with the statuses of that
 * moment; nothing of what was there before the start, and nothing of what never came to be.
 */
#include <pthread.h>
#include <sys/wait.h>

#include "sandbox/cgroup.h"
#include "test/sandbox/state_dir.h"

enum { HEARD_MAX = 64 };

static const Cri__ContainerEventType created = CRI__CONTAINER_EVENT_TYPE__CONTAINER_CREATED_EVENT;
static const Cri__ContainerEventType started = CRI__CONTAINER_EVENT_TYPE__CONTAINER_STARTED_EVENT;
static const Cri__ContainerEventType stopped = CRI__CONTAINER_EVENT_TYPE__CONTAINER_STOPPED_EVENT;
static const Cri__ContainerEventType deleted = CRI__CONTAINER_EVENT_TYPE__CONTAINER_DELETED_EVENT;

struct heard {
	char id[ID_SIZE], pod[ID_SIZE];
	Cri__ContainerEventType type;
	Cri__PodSandboxState pod_state;
	size_t containers;
	Cri__ContainerState first_state;
	int64_t at;
};

static struct {
	pthread_mutex_t lock;
	/* under lock */
	struct heard items[HEARD_MAX];
	size_t len, flushed;
	bool deaf;
} ears = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool wanted(void *data UNUSED)
{
	pthread_mutex_lock(&ears.lock);
	bool deaf = ears.deaf;
	pthread_mutex_unlock(&ears.lock);
	return !deaf;
}

static void on_event(void *data UNUSED, Cri__ContainerEventResponse *event, struct arena *arena)
{
	pthread_mutex_lock(&ears.lock);
	assert_true(ears.len < HEARD_MAX && arena);
	struct heard *heard = &ears.items[ears.len++];
	snprintf(heard->id, ID_SIZE, "%s", event->container_id);
	snprintf(heard->pod, ID_SIZE, "%s", event->pod_sandbox_status->id);
	assert_non_null(event->pod_sandbox_status->metadata);
	heard->type = event->container_event_type;
	heard->pod_state = event->pod_sandbox_status->state;
	heard->containers = event->n_containers_statuses;
	if (heard->containers)
		heard->first_state = event->containers_statuses[0]->state;
	heard->at = event->created_at;
	pthread_mutex_unlock(&ears.lock);
}

static void on_flush(void *data UNUSED)
{
	pthread_mutex_lock(&ears.lock);
	ears.flushed = ears.len;
	pthread_mutex_unlock(&ears.lock);
}

static char *program, *cgroup_parent;

static int setup(void **data)
{
	struct state_dir *state = state_dir_new();

	assert_int_equal(setenv("CRISP_PAUSE", program, 1), 0);
	state->listener = (struct sandbox_listener){ .wanted = wanted, .event = on_event, .flush = on_flush };
	ears.len = ears.flushed = 0;
	ears.deaf = false;
	*data = state;
	return 0;
}

static void remove_cgroup(void)
{
	struct err err = { 0 };
	CLEANUP(cgroups_freep) struct cgroups *cgroups = cgroups_open(NULL, &err);

	if (!cgroups)
		fail_msg("%s", err.text);
	assert_ok(cgroup_remove(cgroups, cgroup_parent, NULL, &err));
}

static int teardown(void **data)
{
	struct state_dir *state = *data;

	state_dir_close(state);
	state_dir_free(state);
	remove_cgroup();
	return 0;
}

/* Waits until so many were heard; then what the last was. */
static const struct heard *hear(size_t count)
{
	size_t len = 0;

	for (int i = 0; i < 30000 && len < count; i++) {
		pthread_mutex_lock(&ears.lock);
		len = ears.flushed;
		pthread_mutex_unlock(&ears.lock);
		if (len < count)
			usleep(1000);
	}
	assert_int_equal(len, count);
	for (size_t i = 1; i < count; i++)
		assert_true(ears.items[i].at > ears.items[i - 1].at);
	return &ears.items[count - 1];
}

static void run_pod(struct state_dir *state, const char *name, char **ret_id)
{
	Cri__RunPodSandboxRequest request = CRI__RUN_POD_SANDBOX_REQUEST__INIT;
	Cri__PodSandboxConfig config = CRI__POD_SANDBOX_CONFIG__INIT;
	Cri__PodSandboxMetadata metadata = CRI__POD_SANDBOX_METADATA__INIT;
	Cri__LinuxPodSandboxConfig linux_config = CRI__LINUX_POD_SANDBOX_CONFIG__INIT;
	Cri__LinuxSandboxSecurityContext security = CRI__LINUX_SANDBOX_SECURITY_CONTEXT__INIT;
	Cri__NamespaceOption options = CRI__NAMESPACE_OPTION__INIT;
	struct err err = { 0 };

	request.config = &config;
	config.metadata = &metadata;
	config.linux = &linux_config;
	linux_config.cgroup_parent = cgroup_parent;
	linux_config.security_context = &security;
	security.namespace_options = &options;
	metadata.name = (char *)name;
	metadata.uid = (char *)"uid-1";
	metadata.namespace_ = (char *)"default";
	options.network = CRI__NAMESPACE_MODE__NODE;
	options.pid = CRI__NAMESPACE_MODE__CONTAINER;
	assert_ok(pod_run(state->sandboxes, NULL, &request, ret_id, &err));
}

static void a_pod_is_told(void **data)
{
	struct state_dir *state = *data;
	CLEANUP(freep) char *id = NULL;
	struct err err = { 0 };

	state_dir_open(state);
	state_dir_run(state);
	run_pod(state, "web", &id);
	assert_int_equal(hear(2)->type, started);
	assert_int_equal(ears.items[0].type, created);
	assert_int_equal(ears.items[0].pod_state, CRI__POD_SANDBOX_STATE__SANDBOX_READY);
	assert_string_equal(ears.items[1].id, id);
	assert_string_equal(ears.items[1].pod, id);
	for (int i = 0; i < 2; i++) /* twice is once */
		assert_ok(pod_stop(state->sandboxes, NULL, id, &err));
	assert_int_equal(hear(3)->type, stopped);
	assert_int_equal(hear(3)->pod_state, CRI__POD_SANDBOX_STATE__SANDBOX_NOTREADY);
	for (int i = 0; i < 2; i++)
		assert_ok(pod_remove(state->sandboxes, NULL, id, &err));
	assert_int_equal(hear(4)->type, deleted);
	assert_string_equal(hear(4)->pod, id); /* with its status to the last */
}

static void a_pod_that_dies_is_told_once(void **data)
{
	struct state_dir *state = *data;
	Cri__PodSandboxStatusResponse status = CRI__POD_SANDBOX_STATUS_RESPONSE__INIT;
	CLEANUP(freep) char *id = NULL;
	struct err err = { 0 };

	state_dir_open(state);
	state_dir_run(state);
	run_pod(state, "web", &id);
	assert_ok(pod_status(state->sandboxes, id, true, state->arena, &status, &err));
	json_t *info = json_loads(status.info[0]->value, 0, NULL);
	pid_t pid = (pid_t)json_integer_value(json_object_get(info, "pid"));
	json_decref(info);
	assert_true(pid > 1);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(hear(3)->type, stopped);
	assert_ok(pod_stop(state->sandboxes, NULL, id, &err));
	assert_ok(pod_remove(state->sandboxes, NULL, id, &err));
	assert_int_equal(hear(4)->type, deleted);
}

/* Who begins to listen later is told what happens later, and nothing of it is out of order. */
static void the_deaf_miss_what_they_miss(void **data)
{
	struct state_dir *state = *data;
	CLEANUP(freep) char *id = NULL;
	struct err err = { 0 };

	ears.deaf = true;
	state_dir_open(state);
	state_dir_run(state);
	run_pod(state, "web", &id);
	pthread_mutex_lock(&ears.lock);
	ears.deaf = false;
	pthread_mutex_unlock(&ears.lock);
	assert_ok(pod_remove(state->sandboxes, NULL, id, &err));
	assert_int_equal(hear(2)->type, deleted);
	assert_int_equal(ears.items[0].type, stopped);
}

/* What was on disk is no news; what becomes of it is. */
static void restored_ones_are_told_from_then_on(void **data)
{
	struct state_dir *state = *data;
	char pod[ID_SIZE], one[ID_SIZE], two[ID_SIZE];
	struct process pause = state_dir_process(), monitor = state_dir_process();
	struct process init = state_dir_process();
	struct err err = { 0 };

	state_dir_id(pod, "ab", 'f');
	state_dir_id(one, "c1", '0');
	state_dir_id(two, "c2", '0');
	state_dir_add_pod(state, &(struct pod_on_disk){ .id = pod, .name = "front", .pause = &pause });
	state_dir_add_container(state, &(struct container_on_disk){ one, pod, "one", "running", NULL, false,
								    &init, &monitor });
	state_dir_add_container(state, &(struct container_on_disk){ two, pod, "two", "exited" });
	state_dir_open(state);
	state_dir_run(state);
	assert_int_equal(kill(monitor.pid, SIGKILL), 0);
	const struct heard *heard = hear(1);
	assert_int_equal(heard->type, stopped);
	assert_string_equal(heard->id, one);
	assert_string_equal(heard->pod, pod);
	assert_int_equal(heard->pod_state, CRI__POD_SANDBOX_STATE__SANDBOX_READY);
	assert_int_equal(heard->containers, 2);
	assert_ok(container_remove(state->sandboxes, NULL, one, &err));
	assert_int_equal(hear(2)->type, deleted);
	assert_string_equal(hear(2)->id, one);
	assert_int_equal(hear(2)->containers, 1);
	assert_int_equal(hear(2)->first_state, CRI__CONTAINER_STATE__CONTAINER_EXITED);
	assert_ok(container_remove(state->sandboxes, NULL, two, &err));
	assert_int_equal(hear(3)->containers, 0);
	assert_int_equal(kill(pause.pid, SIGKILL), 0);
	assert_int_equal(hear(4)->type, stopped);
	assert_string_equal(hear(4)->id, pod);
	assert_int_equal(hear(4)->pod_state, CRI__POD_SANDBOX_STATE__SANDBOX_NOTREADY);
	process_done(&pause); /* reaped as a pod's */
	state_dir_end_process(&monitor);
	state_dir_end_process(&init);
}

static char *find_pause(void)
{
	CLEANUP(freep) char *exe = xcalloc(1, 4096);
	ssize_t len = readlink("/proc/self/exe", exe, 4095);
	char *end = len > 0 ? strstr(exe, "/test/sandbox/") : NULL;

	return end ? xasprintf("%.*s/server/crisp-pause", (int)(end - exe), exe) : xstrdup("");
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_pod_is_told),
		TEST(a_pod_that_dies_is_told_once),
		TEST(the_deaf_miss_what_they_miss),
		TEST(restored_ones_are_told_from_then_on),
	};

	if (state_dir_isolate() < 0) {
		print_message("no namespaces of its own to be had here: skipped\n");
		return 0;
	}
	program = find_pause();
	cgroup_parent = xasprintf("/crisp-test-announce-%d", getpid());
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(program);
	free(cgroup_parent);
	return failed;
}
