/* What clients see of pods and containers: filters, abbreviated ids, verbose information. */
#include "test/sandbox/state_dir.h"

#include "base/json.h"
#include "proto/map_entry.h"
#include "sandbox/container.h"
#include "sandbox/store.h"

/* Two pods that begin alike, with containers that do too. */
static char front[ID_SIZE], back[ID_SIZE], one[ID_SIZE], two[ID_SIZE], three[ID_SIZE];
static struct process monitor;

static int setup(void **data)
{
	struct state_dir *state = state_dir_new();

	state_dir_id(front, "ab1", 'f');
	state_dir_id(back, "ab2", 'f');
	state_dir_id(one, "cd1", '0');
	state_dir_id(two, "cd2", '0');
	state_dir_id(three, "e", '0');
	monitor = state_dir_process();
	state_dir_add_pod(state, &(struct pod_on_disk){ .id = front, .name = "front", .pause = &monitor });
	state_dir_add_pod(state, &(struct pod_on_disk){ .id = back, .name = "back" });
	state_dir_add_container(state, &(struct container_on_disk){ one, front, "one", "running", NULL, false,
								    &monitor, &monitor });
	state_dir_add_container(state, &(struct container_on_disk){ two, front, "two", "exited" });
	state_dir_add_container(state, &(struct container_on_disk){ three, back, "three", "exited" });
	state_dir_open(state);
	*data = state;
	return 0;
}

static int teardown(void **data)
{
	struct state_dir *state = *data;

	state_dir_close(state);
	state_dir_free(state);
	state_dir_end_process(&monitor);
	return 0;
}

static struct map_entry **labels_of(struct arena *arena, const char *key, const char *value)
{
	struct map_entry **entries = arena_array(arena, 1, sizeof(*entries));

	entries[0] = map_entry_new(arena, key, value);
	return entries;
}

static void test_pod_filters(void **data)
{
	struct state_dir *state = *data;
	Cri__PodSandboxStateValue ready = CRI__POD_SANDBOX_STATE_VALUE__INIT;
	Cri__PodSandboxFilter filter = CRI__POD_SANDBOX_FILTER__INIT;

	assert_int_equal(pods_count(state, NULL), 2);
	assert_int_equal(pods_count(state, &filter), 2);
	filter.id = front;
	assert_int_equal(pods_count(state, &filter), 1);
	filter.id = (char *)"ab";
	assert_int_equal(pods_count(state, &filter), 2);
	filter.id = (char *)"ab2";
	assert_int_equal(pods_count(state, &filter), 1);
	filter.id = (char *)"b2";
	assert_int_equal(pods_count(state, &filter), 0);
	filter.id = (char *)"";

	ready.state = CRI__POD_SANDBOX_STATE__SANDBOX_READY;
	filter.state = &ready;
	assert_int_equal(pods_count(state, &filter), 1);
	ready.state = CRI__POD_SANDBOX_STATE__SANDBOX_NOTREADY;
	assert_int_equal(pods_count(state, &filter), 1);
	filter.id = front;
	assert_int_equal(pods_count(state, &filter), 0); /* all conditions at once */
	filter.id = (char *)"";
	filter.state = NULL;

	filter.n_label_selector = 1;
	filter.label_selector = (void *)labels_of(state->arena, "tier", "front");
	assert_int_equal(pods_count(state, &filter), 2);
	filter.label_selector = (void *)labels_of(state->arena, "app", "back");
	assert_int_equal(pods_count(state, &filter), 1);
	filter.label_selector = (void *)labels_of(state->arena, "app", "bac");
	assert_int_equal(pods_count(state, &filter), 0);
	filter.label_selector = (void *)labels_of(state->arena, "none", "");
	assert_int_equal(pods_count(state, &filter), 0);
}

static void test_container_filters(void **data)
{
	struct state_dir *state = *data;
	Cri__ContainerStateValue wanted = CRI__CONTAINER_STATE_VALUE__INIT;
	Cri__ContainerFilter filter = CRI__CONTAINER_FILTER__INIT;

	assert_int_equal(containers_count(state, NULL), 3);
	assert_int_equal(containers_count(state, &filter), 3);
	filter.id = (char *)"cd";
	assert_int_equal(containers_count(state, &filter), 2);
	filter.pod_sandbox_id = back;
	assert_int_equal(containers_count(state, &filter), 0);
	filter.id = (char *)"";
	assert_int_equal(containers_count(state, &filter), 1);
	filter.pod_sandbox_id = (char *)"ab1";
	assert_int_equal(containers_count(state, &filter), 2);
	filter.pod_sandbox_id = (char *)"";

	filter.state = &wanted;
	wanted.state = CRI__CONTAINER_STATE__CONTAINER_RUNNING;
	assert_int_equal(containers_count(state, &filter), 1);
	wanted.state = CRI__CONTAINER_STATE__CONTAINER_EXITED;
	assert_int_equal(containers_count(state, &filter), 2);
	wanted.state = CRI__CONTAINER_STATE__CONTAINER_CREATED;
	assert_int_equal(containers_count(state, &filter), 0);
	filter.state = NULL;

	filter.n_label_selector = 1;
	filter.label_selector = (void *)labels_of(state->arena, "app", "two");
	assert_int_equal(containers_count(state, &filter), 1);
}

static void test_items(void **data)
{
	struct state_dir *state = *data;
	Cri__ContainerFilter filter = CRI__CONTAINER_FILTER__INIT;
	const Cri__PodSandbox *pod = pods_listed(state, NULL)->items[0];

	assert_string_equal(pod->id, front);
	assert_string_equal(pod->metadata->name, "front");
	assert_string_equal(pod->metadata->namespace_, "default");
	assert_int_equal(pod->metadata->attempt, 2);
	assert_int_equal(pod->state, CRI__POD_SANDBOX_STATE__SANDBOX_READY);
	assert_int_equal(pod->created_at, 1700000000000000000);
	assert_string_equal(map_entry_get(pod->labels, pod->n_labels, "app"), "front");
	assert_string_equal(map_entry_get(pod->annotations, pod->n_annotations, "note"), "kept");

	filter.id = one;
	const Cri__Container *container = containers_listed(state, &filter)->containers[0];
	assert_string_equal(container->id, one);
	assert_string_equal(container->pod_sandbox_id, front);
	assert_string_equal(container->metadata->name, "one");
	assert_int_equal(container->metadata->attempt, 3);
	assert_string_equal(container->image->image, "registry/app");
	assert_string_equal(container->image_ref, "registry/app@sha256:abcd");
	assert_string_equal(container->image_id, "sha256:1234");
	assert_int_equal(container->state, CRI__CONTAINER_STATE__CONTAINER_RUNNING);
}

static Cri__PodSandboxState listed_pod_state(const struct state_dir *state, const char *id)
{
	Cri__PodSandboxFilter filter = CRI__POD_SANDBOX_FILTER__INIT;
	const Cri__ListPodSandboxResponse *pods;

	filter.id = (char *)id;
	pods = pods_listed(state, &filter);
	assert_int_equal(pods->n_items, 1);
	return pods->items[0]->state;
}

static Cri__ContainerState listed_container_state(const struct state_dir *state, const char *id)
{
	Cri__ContainerFilter filter = CRI__CONTAINER_FILTER__INIT;
	const Cri__ListContainersResponse *containers;

	filter.id = (char *)id;
	containers = containers_listed(state, &filter);
	assert_int_equal(containers->n_containers, 1);
	return containers->containers[0]->state;
}

static void set_pod_ready(struct pod *pod, bool ready)
{
	lock_take(&pod->lock);
	pod->ready = ready;
	lock_drop(&pod->lock);
}

static void set_container_state(struct container *container, Cri__ContainerState now)
{
	lock_take(&container->lock);
	container->state = now;
	lock_drop(&container->lock);
}

/* A list is never older than its question. */
static void test_lists_follow(void **data)
{
	struct state_dir *state = *data;
	CLEANUP(pod_unrefp) struct pod *pod = NULL;
	CLEANUP(container_unrefp) struct container *container = NULL;
	struct err err = { 0 };

	assert_ok(store_find_pod(state->sandboxes, front, &pod, &err));
	assert_ok(store_find_container(state->sandboxes, one, &container, &err));
	assert_int_equal(listed_pod_state(state, front), CRI__POD_SANDBOX_STATE__SANDBOX_READY);
	set_pod_ready(pod, false);
	assert_int_equal(listed_pod_state(state, front), CRI__POD_SANDBOX_STATE__SANDBOX_NOTREADY);
	set_pod_ready(pod, true);
	assert_int_equal(listed_pod_state(state, front), CRI__POD_SANDBOX_STATE__SANDBOX_READY);

	for (int now = CRI__CONTAINER_STATE__CONTAINER_CREATED;
	     now <= CRI__CONTAINER_STATE__CONTAINER_UNKNOWN; now++) {
		set_container_state(container, now);
		assert_int_equal(listed_container_state(state, one), now);
	}
	set_container_state(container, CRI__CONTAINER_STATE__CONTAINER_RUNNING);

	store_remove_container(state->sandboxes, container);
	assert_int_equal(containers_count(state, NULL), 2);
	store_add_container(state->sandboxes, container);
	assert_int_equal(containers_count(state, NULL), 3);
}

static void test_containers_of_pod(void **data)
{
	struct state_dir *state = *data;
	CLEANUP(pod_unrefp) struct pod *pod = NULL;
	struct err err = { 0 };

	assert_ok(store_find_pod(state->sandboxes, front, &pod, &err));
	CLEANUP(store_containers_freep) struct container **before = store_containers(state->sandboxes, pod);
	assert_string_equal(before[0]->id, one);
	assert_string_equal(before[1]->id, two);
	assert_null(before[2]);
	store_remove_container(state->sandboxes, before[0]);
	store_remove_container(state->sandboxes, before[0]); /* harmless */
	CLEANUP(store_containers_freep) struct container **after = store_containers(state->sandboxes, pod);
	assert_string_equal(after[0]->id, two);
	assert_null(after[1]);
	store_add_container(state->sandboxes, before[0]);
}

enum { TURNS = 300 };

/* Each list is whole, whatever happens meanwhile: for ThreadSanitizer, too. */
static void *list_all(void *data)
{
	const struct state_dir *mine = data;

	for (int i = 0; i < TURNS; i++) {
		size_t count = containers_count(mine, NULL);

		assert_true(count == 2 || count == 3);
		assert_int_equal(pods_count(mine, NULL), 2);
	}
	return NULL;
}

static void test_lists_meanwhile(void **data)
{
	struct state_dir *state = *data, other = *state;
	CLEANUP(container_unrefp) struct container *container = NULL;
	CLEANUP(pod_unrefp) struct pod *pod = NULL;
	struct err err = { 0 };
	pthread_t thread;

	other.arena = arena_new(0);
	assert_ok(store_find_container(state->sandboxes, one, &container, &err));
	assert_ok(store_find_pod(state->sandboxes, front, &pod, &err));
	assert_int_equal(pthread_create(&thread, NULL, list_all, &other), 0);
	for (int i = 0; i < TURNS; i++) {
		set_pod_ready(pod, i % 2);
		set_container_state(container, i % 4);
		store_remove_container(state->sandboxes, container);
		assert_int_equal(containers_count(state, NULL), 2);
		store_add_container(state->sandboxes, container);
	}
	pthread_join(thread, NULL);
	arena_free(other.arena);
	set_pod_ready(pod, true);
	set_container_state(container, CRI__CONTAINER_STATE__CONTAINER_RUNNING);
}

static void test_abbreviated_ids(void **data)
{
	struct state_dir *state = *data;

	assert_string_equal(pod_status_of(state, "ab1")->id, front);
	assert_string_equal(pod_status_of(state, back)->id, back);
	assert_string_equal(container_status_of(state, "e")->id, three);
	assert_string_equal(container_status_of(state, "cd2")->id, two);
}

static void assert_no_such(const struct state_dir *state, const char *id, enum rpc_code code)
{
	Cri__PodSandboxStatusResponse pod = CRI__POD_SANDBOX_STATUS_RESPONSE__INIT;
	Cri__ContainerStatusResponse container = CRI__CONTAINER_STATUS_RESPONSE__INIT;
	struct err err = { 0 };

	assert_fails(pod_status(state->sandboxes, id, true, state->arena, &pod, &err), code);
	assert_fails(container_status(state->sandboxes, id, true, state->arena, &container, &err), code);
	assert_fails(container_start(state->sandboxes, NULL, id, &err), code);
	assert_fails(container_reopen_log(state->sandboxes, NULL, id, &err), code);
	assert_null(pod.status);
	assert_null(container.status);
	if (code != RPC_NOT_FOUND) {
		assert_fails(pod_stop(state->sandboxes, NULL, id, &err), code);
		assert_fails(pod_remove(state->sandboxes, NULL, id, &err), code);
		assert_fails(container_stop(state->sandboxes, NULL, id, 0, &err), code);
		assert_fails(container_remove(state->sandboxes, NULL, id, &err), code);
		return;
	}
	assert_ok(pod_stop(state->sandboxes, NULL, id, &err));
	assert_ok(pod_remove(state->sandboxes, NULL, id, &err));
	assert_ok(container_stop(state->sandboxes, NULL, id, 0, &err));
	assert_ok(container_remove(state->sandboxes, NULL, id, &err));
}

static void test_bad_ids(void **data)
{
	struct state_dir *state = *data;
	CLEANUP(freep) char *huge = xcalloc(1, 65536 + 1);

	memset(huge, 'a', 65536);
	assert_no_such(state, "", RPC_INVALID_ARGUMENT);
	assert_no_such(state, "ffff", RPC_NOT_FOUND);
	assert_no_such(state, "AB1", RPC_NOT_FOUND);
	assert_no_such(state, "../ab1", RPC_NOT_FOUND);
	assert_no_such(state, "ab1/", RPC_NOT_FOUND);
	assert_no_such(state, huge, RPC_NOT_FOUND);
	assert_int_equal(pods_count(state, NULL), 2);
	assert_int_equal(containers_count(state, NULL), 3);
}

static void test_ambiguous_ids(void **data)
{
	struct state_dir *state = *data;
	Cri__PodSandboxStatusResponse pod = CRI__POD_SANDBOX_STATUS_RESPONSE__INIT;
	struct err err = { 0 };

	assert_fails(pod_status(state->sandboxes, "ab", false, state->arena, &pod, &err),
		     RPC_INVALID_ARGUMENT);
	assert_contains(err.text, "ambiguous");
	assert_fails(pod_stop(state->sandboxes, NULL, "ab", &err), RPC_INVALID_ARGUMENT);
	assert_fails(pod_remove(state->sandboxes, NULL, "a", &err), RPC_INVALID_ARGUMENT);
	assert_fails(container_stop(state->sandboxes, NULL, "cd", 0, &err), RPC_INVALID_ARGUMENT);
	assert_fails(container_remove(state->sandboxes, NULL, "c", &err), RPC_INVALID_ARGUMENT);
	assert_int_equal(pods_count(state, NULL), 2);
	assert_int_equal(containers_count(state, NULL), 3);
}

/* What only a living container may be asked. */
static void test_wrong_state(void **data)
{
	struct state_dir *state = *data;
	char *words[] = { (char *)"true" };
	Cri__ExecSyncRequest request = CRI__EXEC_SYNC_REQUEST__INIT;
	Cri__ExecSyncResponse response = CRI__EXEC_SYNC_RESPONSE__INIT;
	struct err err = { 0 };

	assert_fails(container_start(state->sandboxes, NULL, one, &err), RPC_FAILED_PRECONDITION);
	assert_contains(err.text, "running already");
	assert_fails(container_start(state->sandboxes, NULL, two, &err), RPC_FAILED_PRECONDITION);
	assert_contains(err.text, "exited");
	assert_fails(container_reopen_log(state->sandboxes, NULL, two, &err), RPC_FAILED_PRECONDITION);
	assert_fails(container_stop(state->sandboxes, NULL, one, -1, &err), RPC_INVALID_ARGUMENT);
	request.container_id = two;
	assert_fails(container_exec_sync(state->sandboxes, NULL, &request, state->arena, &response, &err),
		     RPC_INVALID_ARGUMENT); /* no command */
	request.cmd = words;
	request.n_cmd = 1;
	assert_fails(container_exec_sync(state->sandboxes, NULL, &request, state->arena, &response, &err),
		     RPC_FAILED_PRECONDITION);
	request.timeout = -1;
	assert_fails(container_exec_sync(state->sandboxes, NULL, &request, state->arena, &response, &err),
		     RPC_INVALID_ARGUMENT);
	request.timeout = INT64_MAX;
	assert_fails(container_exec_sync(state->sandboxes, NULL, &request, state->arena, &response, &err),
		     RPC_INVALID_ARGUMENT);
}

static void test_verbose(void **data)
{
	struct state_dir *state = *data;
	Cri__PodSandboxStatusResponse pod = CRI__POD_SANDBOX_STATUS_RESPONSE__INIT;
	Cri__ContainerStatusResponse container = CRI__CONTAINER_STATUS_RESPONSE__INIT;
	CLEANUP(json_decrefp) json_t *info = NULL;
	struct err err = { 0 };

	assert_ok(pod_status(state->sandboxes, front, true, state->arena, &pod, &err));
	const char *text = map_entry_get(pod.info, pod.n_info, "info");
	assert_ok(json_parse(text, strlen(text), 1 << 20, &info, &err));
	assert_int_equal(json_integer_value(json_object_get(info, "pid")), monitor.pid);
	json_decref(info);
	info = NULL;
	assert_ok(container_status(state->sandboxes, one, true, state->arena, &container, &err));
	text = map_entry_get(container.info, container.n_info, "info");
	assert_ok(json_parse(text, strlen(text), 1 << 20, &info, &err));
	assert_string_equal(json_string_value(json_object_get(info, "sandboxID")), front);
	assert_int_equal(json_integer_value(json_object_get(info, "pid")), monitor.pid);
	assert_true(json_is_null(json_object_get(info, "runtimeSpec"))); /* no bundle: told, not failed */
}

/* Names come from what was asked once: the same request again gives what there is. */
static void test_same_identity(void **data)
{
	struct state_dir *state = *data;
	Cri__PodSandboxMetadata metadata = CRI__POD_SANDBOX_METADATA__INIT;
	Cri__PodSandboxConfig config = CRI__POD_SANDBOX_CONFIG__INIT;
	Cri__RunPodSandboxRequest request = CRI__RUN_POD_SANDBOX_REQUEST__INIT;
	CLEANUP(freep) char *id = NULL;
	struct err err = { 0 };

	metadata.name = (char *)"front";
	metadata.namespace_ = (char *)"default";
	metadata.uid = (char *)"uid-1";
	metadata.attempt = 2;
	config.metadata = &metadata;
	request.config = &config;
	assert_ok(pod_run(state->sandboxes, NULL, &request, &id, &err));
	assert_string_equal(id, front);
	metadata.name = (char *)"back"; /* exists, and cannot be made ready again */
	assert_fails(pod_run(state->sandboxes, NULL, &request, &id, &err), RPC_FAILED_PRECONDITION);
}

static void check_name(const struct image *image, const char *asked, const char *user, const char *expected)
{
	Cri__ImageSpec spec = CRI__IMAGE_SPEC__INIT;

	spec.image = (char *)asked;
	spec.user_specified_image = (char *)user;
	CLEANUP(freep) char *name = container_image_name(&spec, image);
	assert_string_equal(name, expected);
}

static void test_image_names(void **data)
{
	static const char id[] = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	CLEANUP(image_unrefp) struct image *image = image_new();
	CLEANUP(freep) char *digest = xasprintf("docker.io/library/app@%s", id);

	(void)data;
	check_name(image, id, "", id);
	strv_add(&image->repo_digests, digest);
	check_name(image, id, "", digest);
	strv_add(&image->repo_tags, "docker.io/library/app:1");
	strv_add(&image->repo_tags, "docker.io/library/app:latest");
	check_name(image, id, "", "docker.io/library/app:1");
	check_name(image, id, "app", "docker.io/library/app:latest");
	check_name(image, id, "other:1", "docker.io/library/app:1");
	check_name(image, "library/app:latest", "", "docker.io/library/app:latest");
	check_name(image, digest, "docker.io/library/app:1", "docker.io/library/app:1");
	check_name(image, id, digest, digest);
	check_name(image, "0123456789ab", "a b", "docker.io/library/app:1");
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_pod_filters),
		TEST(test_container_filters),
		TEST(test_items),
		TEST(test_abbreviated_ids),
		TEST(test_bad_ids),
		TEST(test_ambiguous_ids),
		TEST(test_wrong_state),
		TEST(test_verbose),
		TEST(test_same_identity),
		TEST(test_lists_follow),
		TEST(test_containers_of_pod),
		TEST(test_lists_meanwhile),
		cmocka_unit_test(test_image_names),
	};

	if (state_dir_isolate() < 0) {
		print_message("no namespaces of its own to be had here: skipped\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
