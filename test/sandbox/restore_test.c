/* sandboxes_open() on state directories as crashes, reboots, bad disks and other versions leave them. */
#include "test/sandbox/state_dir.h"

#include "sandbox/namespaces.h"
#include "sandbox/pod_files.h"
#include "sandbox/record.h"

enum {
	CREATED = CRI__CONTAINER_STATE__CONTAINER_CREATED,
	RUNNING = CRI__CONTAINER_STATE__CONTAINER_RUNNING,
	EXITED = CRI__CONTAINER_STATE__CONTAINER_EXITED,
	READY = CRI__POD_SANDBOX_STATE__SANDBOX_READY,
	NOT_READY = CRI__POD_SANDBOX_STATE__SANDBOX_NOTREADY,
};

static char p1[ID_SIZE], p2[ID_SIZE], c1[ID_SIZE], c2[ID_SIZE], c3[ID_SIZE], c4[ID_SIZE];

static int setup(void **state)
{
	state_dir_id(p1, "1", 'a');
	state_dir_id(p2, "2", 'a');
	state_dir_id(c1, "c1", '0');
	state_dir_id(c2, "c2", '0');
	state_dir_id(c3, "c3", '0');
	state_dir_id(c4, "c4", '0');
	*state = state_dir_new();
	return 0;
}

static int teardown(void **state)
{
	state_dir_free(*state);
	return 0;
}

static void wait_for_state(const struct state_dir *state, const char *id, int wanted)
{
	for (int i = 0; i < 5000 && (int)container_status_of(state, id)->state != wanted; i++)
		usleep(1000);
	assert_int_equal(container_status_of(state, id)->state, wanted);
}

static void put_exit(const struct state_dir *state, const char *id, const char *code)
{
	CLEANUP(freep) char *temp = xasprintf("run/exits/.%s", id);
	CLEANUP(freep) char *name = xasprintf("run/exits/%s", id);

	state_dir_put(state, temp, code);
	assert_int_equal(renameat(state->scratch.dir, temp, state->scratch.dir, name), 0);
}

static void test_empty(void **data)
{
	struct state_dir *state = *data;

	state_dir_open(state);
	state_dir_assert_no_warnings(state);
	assert_int_equal(pods_count(state, NULL), 0);
	assert_int_equal(containers_count(state, NULL), 0);
	state_dir_close(state);
	assert_true(state_dir_has(state, "run/ns"));
	assert_true(state_dir_has(state, "run/attach"));
}

static void test_all_alive(void **data)
{
	struct state_dir *state = *data;
	struct process pause = state_dir_process(), monitor = state_dir_process(), init = state_dir_process();

	state_dir_add_pod(state, &(struct pod_on_disk){ .id = p1, .name = "web", .pause = &pause });
	state_dir_add_container(
		state, &(struct container_on_disk){ c1, p1, "one", "created", NULL, false, &init, &monitor });
	state_dir_add_container(
		state, &(struct container_on_disk){ c2, p1, "two", "running", NULL, false, &init, &monitor });
	state_dir_add_container(state, &(struct container_on_disk){ c3, p1, "three", "exited" });
	state_dir_open(state);
	state_dir_assert_no_warnings(state);

	const Cri__PodSandboxStatus *pod = pod_status_of(state, p1);
	assert_int_equal(pod->state, READY);
	assert_string_equal(pod->metadata->name, "web");
	assert_int_equal(pod->metadata->attempt, 2);
	assert_int_equal(pod->created_at, 1700000000000000000);
	assert_string_equal(pod->network->ip, "10.9.8.7");
	assert_int_equal(pod->network->n_additional_ips, 1);
	assert_string_equal(pod->network->additional_ips[0]->ip, "fd00::7");
	assert_int_equal(pod->linux->namespaces->options->network, CRI__NAMESPACE_MODE__NODE);

	assert_int_equal(container_status_of(state, c1)->state, CREATED);
	assert_int_equal(container_status_of(state, c1)->started_at, 0);
	assert_int_equal(container_status_of(state, c2)->state, RUNNING);
	assert_int_equal(container_status_of(state, c2)->started_at, 1700000000000000002);
	const Cri__ContainerStatus *gone = container_status_of(state, c3);
	assert_int_equal(gone->state, EXITED);
	assert_int_equal(gone->exit_code, 42);
	assert_int_equal(gone->finished_at, 1700000000000000003);
	assert_string_equal(gone->reason, "Error");
	assert_string_equal(gone->message, "told before");
	assert_string_equal(gone->image_ref, "registry/app@sha256:abcd");
	assert_string_equal(gone->image_id, "sha256:1234");
	assert_string_equal(gone->log_path, "/var/log/pods/a/0.log");
	assert_int_equal(gone->user->linux->uid, 1000);
	assert_int_equal(gone->user->linux->n_supplemental_groups, 2);
	assert_int_equal(gone->stop_signal, CRI__SIGNAL__SIGNAL_SIGQUIT);
	assert_true(sandboxes_layer_in_use(&state->sandboxes, "sha256:layer"));
	assert_false(sandboxes_layer_in_use(&state->sandboxes, "sha256:other"));
	state_dir_close(state);
	assert_true(process_alive(&pause) && process_alive(&monitor) && process_alive(&init));
	state_dir_end_process(&pause);
	state_dir_end_process(&monitor);
	state_dir_end_process(&init);
}

static void test_ends_are_noticed(void **data)
{
	struct state_dir *state = *data;
	struct process pause = state_dir_process(), told = state_dir_process(), lost = state_dir_process(),
		       init = state_dir_process();

	state_dir_add_pod(state, &(struct pod_on_disk){ .id = p1, .name = "web", .pause = &pause });
	state_dir_add_container(
		state, &(struct container_on_disk){ c1, p1, "one", "running", NULL, false, NULL, &told });
	state_dir_add_container(
		state, &(struct container_on_disk){ c2, p1, "two", "running", NULL, false, &init, &lost });
	state_dir_open(state);
	state_dir_run(state);
	assert_int_equal(pod_status_of(state, p1)->state, READY);

	put_exit(state, c1, "7\n"); /* told by inotify: its monitor still lives */
	wait_for_state(state, c1, EXITED);
	assert_int_equal(container_status_of(state, c1)->exit_code, 7);
	assert_string_equal(container_status_of(state, c1)->reason, "Error");
	assert_true(container_status_of(state, c1)->finished_at > 1700000000000000002);

	state_dir_end_process(&lost); /* without an exit file: what it watched goes too */
	wait_for_state(state, c2, EXITED);
	assert_int_equal(container_status_of(state, c2)->exit_code, 137);
	assert_string_equal(container_status_of(state, c2)->reason, "MonitorLost");
	struct err err = { 0 };
	assert_ok(process_wait_gone(&init, NULL, &err));

	assert_ok(process_signal(&pause, SIGKILL, &err)); /* reaped by who watches it */
	for (int i = 0; i < 5000 && (int)pod_status_of(state, p1)->state == READY; i++)
		usleep(1000);
	assert_int_equal(pod_status_of(state, p1)->state, NOT_READY);
	state_dir_close(state);

	/* All of it is on disk by now: the next start needs no exit file. */
	CLEANUP(freep) char *name = xasprintf("run/exits/%s", c1);
	assert_int_equal(unlinkat(state->scratch.dir, name, 0), 0);
	state_dir_open(state);
	state_dir_assert_no_warnings(state);
	assert_int_equal(container_status_of(state, c1)->exit_code, 7);
	assert_string_equal(container_status_of(state, c2)->reason, "MonitorLost");
	assert_int_equal(pod_status_of(state, p1)->state, NOT_READY);
	state_dir_close(state);
	process_done(&pause);
	state_dir_end_process(&told);
	state_dir_end_process(&init);
}

static void test_died_meanwhile(void **data)
{
	struct state_dir *state = *data;
	struct process pause = state_dir_process(), other = state_dir_process();
	struct process reused = other;

	state_dir_add_pod(state, &(struct pod_on_disk){ .id = p1, .name = "web", .pause = &pause });
	state_dir_add_container(
		state, &(struct container_on_disk){ c1, p1, "one", "running", NULL, false, NULL, &pause });
	state_dir_add_container(
		state, &(struct container_on_disk){ c2, p1, "two", "running", NULL, false, NULL, &pause });
	reused.start_time++; /* that pid is somebody else's now */
	state_dir_add_container(state, &(struct container_on_disk){ c3, p1, "three", "created", NULL, false,
								    &reused, &reused });
	state_dir_end_process(&pause);
	put_exit(state, c1, "0");
	put_exit(state, c3, "143");
	state_dir_open(state);
	state_dir_assert_no_warnings(state);
	assert_int_equal(pod_status_of(state, p1)->state, NOT_READY);
	assert_int_equal(container_status_of(state, c1)->state, EXITED);
	assert_int_equal(container_status_of(state, c1)->exit_code, 0);
	assert_string_equal(container_status_of(state, c1)->reason, "Completed");
	assert_int_equal(container_status_of(state, c2)->state, EXITED);
	assert_string_equal(container_status_of(state, c2)->reason, "MonitorLost");
	assert_int_equal(container_status_of(state, c3)->state, EXITED);
	assert_int_equal(container_status_of(state, c3)->exit_code, 143);
	state_dir_close(state);
	assert_true(process_alive(&other)); /* the innocent holder of the pid */
	state_dir_end_process(&other);
}

/* The exit file came while nobody looked, and the monitor has not ended yet. */
static void test_exit_file_before_the_start(void **data)
{
	struct state_dir *state = *data;
	struct process monitor = state_dir_process();

	state_dir_add_pod(state, &(struct pod_on_disk){ .id = p1, .name = "web" });
	state_dir_add_container(
		state, &(struct container_on_disk){ c1, p1, "one", "running", NULL, false, NULL, &monitor });
	put_exit(state, c1, "3");
	state_dir_open(state);
	assert_int_equal(container_status_of(state, c1)->state, EXITED);
	assert_int_equal(container_status_of(state, c1)->exit_code, 3);
	state_dir_close(state);
	state_dir_end_process(&monitor);
}

/* Its record was written, but nobody was told of it: with pause ended or not, it is undone. */
static void test_marked(void **data)
{
	struct state_dir *state = *data;
	struct process ended = state_dir_process(), lives = state_dir_process();
	CLEANUP(freep) char *mark1 = xasprintf("run/pods/%s", p1);
	CLEANUP(freep) char *mark2 = xasprintf("run/pods/%s", p2);
	CLEANUP(freep) char *path1 = state_dir_path(state, mark1);
	CLEANUP(freep) char *path2 = state_dir_path(state, mark2);
	struct err err = { 0 };

	state_dir_add_pod(state, &(struct pod_on_disk){ .id = p1, .name = "web", .pause = &ended });
	state_dir_add_pod(state, &(struct pod_on_disk){ .id = p2, .name = "db", .pause = &lives });
	state_dir_mkdir(state, mark1);
	state_dir_mkdir(state, mark2);
	assert_ok(pod_files_mark(path1, &err));
	assert_ok(pod_files_mark(path2, &err));
	assert_true(pod_files_marked(path1));
	state_dir_end_process(&ended);
	state_dir_open(state);
	state_dir_assert_no_warnings(state);
	assert_int_equal(pods_count(state, NULL), 0);
	assert_true(pool_wait_quiet(state->pool, clock_deadline_in(60 * NS_PER_SEC)));
	assert_false(process_alive(&lives));
	state_dir_close(state);
	process_done(&lives);
	assert_false(state_dir_has(state, mark1));
	assert_false(state_dir_has(state, mark2));
	state_dir_open(state); /* for good */
	assert_int_equal(pods_count(state, NULL), 0);
	state_dir_close(state);
}

static void test_unmarked(void **data)
{
	struct state_dir *state = *data;
	CLEANUP(freep) char *folder = xasprintf("run/pods/%s", p1);
	CLEANUP(freep) char *path = state_dir_path(state, folder);
	struct process pause = state_dir_process();
	struct err err = { 0 };

	state_dir_add_pod(state, &(struct pod_on_disk){ .id = p1, .name = "web", .pause = &pause });
	state_dir_mkdir(state, folder);
	assert_ok(pod_files_mark(path, &err));
	assert_ok(pod_files_unmark(path, &err));
	assert_ok(pod_files_unmark(path, &err));
	assert_false(pod_files_marked(path));
	state_dir_end_process(&pause);
	state_dir_open(state);
	assert_int_equal(pod_status_of(state, p1)->state, NOT_READY);
	state_dir_close(state);
}

static void test_reboot(void **data)
{
	struct state_dir *state = *data;
	struct process process = state_dir_process();

	/* The pids are taken again, by chance even with the same start time. */
	state_dir_add_pod(state, &(struct pod_on_disk){
					 .id = p1, .name = "web", .boot_id = "another", .pause = &process });
	state_dir_add_container(state, &(struct container_on_disk){ c1, p1, "one", "running", "another",
								    false, &process, &process });
	state_dir_add_container(state, &(struct container_on_disk){ c2, p1, "two", "exited", "another" });
	state_dir_open(state);
	state_dir_assert_no_warnings(state);
	assert_int_equal(pod_status_of(state, p1)->state, NOT_READY);
	const Cri__ContainerStatus *lost = container_status_of(state, c1);
	assert_int_equal(lost->state, EXITED);
	assert_int_equal(lost->exit_code, 255);
	assert_string_equal(lost->reason, "Unknown");
	assert_int_equal(container_status_of(state, c2)->exit_code, 42);
	int64_t finished_at = lost->finished_at;
	state_dir_close(state);
	assert_true(process_alive(&process));
	state_dir_end_process(&process);

	state_dir_open(state); /* and it stays at that */
	assert_int_equal(container_status_of(state, c1)->finished_at, finished_at);
	assert_int_equal(container_status_of(state, c1)->exit_code, 255);
	state_dir_close(state);
}

static void test_namespaces_decide(void **data)
{
	struct state_dir *state = *data;
	struct process pause = state_dir_process();
	CLEANUP(freep) char *name = xasprintf("run/ns/%s", p1);
	CLEANUP(freep) char *ns_dir = state_dir_path(state, name);
	struct err err = { 0 };

	state_dir_add_pod(
		state, &(struct pod_on_disk){ .id = p1, .name = "web", .namespaces = "{}", .pause = &pause });
	state_dir_open(state); /* pause lives, but there are no pins */
	assert_int_equal(pod_status_of(state, p1)->state, NOT_READY);
	state_dir_close(state);

	assert_ok(namespaces_pin(ns_dir, &pause,
				 NAMESPACE_NET | NAMESPACE_IPC | NAMESPACE_UTS | NAMESPACE_PID, &err));
	state_dir_open(state);
	assert_int_equal(pod_status_of(state, p1)->state, READY);
	state_dir_close(state);
	assert_ok(namespaces_unpin(ns_dir, &err));
	state_dir_end_process(&pause);
}

static void test_stopped_stays_stopped(void **data)
{
	struct state_dir *state = *data;
	struct process process = state_dir_process();
	struct err err = { 0 };

	state_dir_add_pod(
		state,
		&(struct pod_on_disk){
			.id = p1, .name = "web", .not_ready = true, .stopped = true, .pause = &process });
	state_dir_open(state);
	assert_int_equal(pod_status_of(state, p1)->state, NOT_READY);
	assert_ok(pod_stop(state->sandboxes, NULL, p1, &err));
	assert_true(process_alive(&process)); /* not its pause any more */
	assert_ok(pod_remove(state->sandboxes, NULL, p1, &err));
	assert_int_equal(pods_count(state, NULL), 0);
	state_dir_close(state);
	CLEANUP(freep) char *dir = xasprintf("root/pods/%s", p1);
	assert_false(state_dir_has(state, dir));
	state_dir_end_process(&process);
}

/* What a kill in the middle of RunPodSandbox and CreateContainer leaves. */
static void test_half_made(void **data)
{
	struct state_dir *state = *data;
	CLEANUP(freep) char *bare_pod = xasprintf("root/pods/%s", p2);
	CLEANUP(freep) char *bare = xasprintf("root/containers/%s", c2);
	CLEANUP(freep) char *pod_run_dir = xasprintf("run/pods/%s", p1);
	CLEANUP(freep) char *run_dir = xasprintf("run/containers/%s", c1);
	CLEANUP(freep) char *pod_dir = xasprintf("root/pods/%s", p1);
	CLEANUP(freep) char *dir = xasprintf("root/containers/%s", c1);

	state_dir_add_pod(state, &(struct pod_on_disk){ .id = p1, .name = "web", .no_state = true });
	state_dir_mkdir(state, pod_run_dir);
	state_dir_mkdir(state, bare_pod);
	state_dir_add_container(state,
				&(struct container_on_disk){ c1, p1, "one", "created", .no_state = true });
	state_dir_mkdir(state, run_dir);
	state_dir_mkdir(state, bare);
	state_dir_open(state);
	state_dir_assert_no_warnings(state);
	assert_int_equal(pods_count(state, NULL), 0);
	assert_int_equal(containers_count(state, NULL), 0);
	state_dir_close(state); /* waits for the undoing */
	assert_false(state_dir_has(state, pod_dir));
	assert_false(state_dir_has(state, bare_pod));
	assert_false(state_dir_has(state, dir));
	assert_false(state_dir_has(state, bare));
	assert_false(state_dir_has(state, pod_run_dir));
	assert_false(state_dir_has(state, run_dir));
	assert_false(state_dir_has(state, "root/quarantine"));
}

/* A creation in a pod that is whole: the pod is not touched. */
static void test_half_made_container(void **data)
{
	struct state_dir *state = *data;
	struct process pause = state_dir_process();
	CLEANUP(freep) char *dir = xasprintf("root/containers/%s", c1);

	state_dir_add_pod(state, &(struct pod_on_disk){ .id = p1, .name = "web", .pause = &pause });
	state_dir_add_container(state,
				&(struct container_on_disk){ c1, p1, "one", "created", .no_state = true });
	state_dir_open(state);
	assert_int_equal(containers_count(state, NULL), 0);
	state_dir_close(state);
	assert_false(state_dir_has(state, dir));
	state_dir_open(state);
	assert_int_equal(pod_status_of(state, p1)->state, READY);
	state_dir_close(state);
	state_dir_end_process(&pause);
}

/* Nothing is hidden, moved or undone: the newer crisp finds all as it was. */
static void refuse_newer(struct state_dir *state, const char *kind, const char *id, const char *file)
{
	CLEANUP(freep) char *name = xasprintf("root/%s/%s/%s", kind, id, file);
	CLEANUP(freep) char *half = xasprintf("root/pods/%s/config.json", p2);
	CLEANUP(freep) char *kept = NULL;
	struct err err = { 0 };

	assert_ok(file_read(state->scratch.dir, name, RECORD_MAX, &kept, NULL, &err));
	state_dir_damage(state, kind, id, file, "{\"later\":true,\"version\":2}");
	assert_fails(state_dir_try_open(state, &err), RPC_FAILED_PRECONDITION);
	assert_contains(err.text, "newer crisp");
	assert_contains(err.text, id);
	state_dir_close(state);
	assert_true(state_dir_has(state, name));
	assert_true(state_dir_has(state, half));
	assert_false(state_dir_has(state, "root/quarantine"));
	state_dir_damage(state, kind, id, file, kept);
}

static void test_newer(void **data)
{
	struct state_dir *state = *data;
	CLEANUP(freep) char *half = xasprintf("root/pods/%s/state.json", p2);

	state_dir_add_pod(state, &(struct pod_on_disk){ .id = p1, .name = "web" });
	state_dir_add_pod(state, &(struct pod_on_disk){ .id = p2, .name = "half" });
	state_dir_add_container(state, &(struct container_on_disk){ c1, p1, "one", "exited" });
	assert_int_equal(unlinkat(state->scratch.dir, half, 0), 0);
	refuse_newer(state, "pods", p1, "config.json");
	refuse_newer(state, "pods", p1, "state.json");
	refuse_newer(state, "containers", c1, "config.json");
	refuse_newer(state, "containers", c1, "state.json");
	state_dir_open(state);
	assert_int_equal(pods_count(state, NULL), 1);
	assert_int_equal(containers_count(state, NULL), 1);
	state_dir_assert_no_warnings(state);
	state_dir_close(state);
}

static void test_trash_is_emptied(void **data)
{
	struct state_dir *state = *data;

	state_dir_mkdir(state, "root/trash/old/deep/deeper");
	state_dir_put(state, "root/trash/old/deep/file", "x");
	state_dir_put(state, "root/trash/file", "x");
	state_dir_open(state);
	state_dir_close(state);
	assert_false(state_dir_has(state, "root/trash/old"));
	assert_false(state_dir_has(state, "root/trash/file"));
	assert_true(state_dir_has(state, "root/trash"));
}

/*
 * A created container's init holds a FIFO, which goes when the container is started; crispd was killed before
 * it could note that. c1: no FIFO any more; c2: held; c3: of no runtime; c4: there, but nobody's.
 */
static void test_started_but_not_noted(void **data)
{
	struct state_dir *state = *data;
	struct process monitor = state_dir_process(), init = state_dir_process();
	struct process self = { .pid = getpid(), .pidfd = -1 };
	const char *const ids[] = { c1, c2, c3, c4 };
	CLEANUP(fd_closep) int held = -1;

	assert_int_equal(process_start_time(self.pid, &self.start_time), 0);
	state_dir_add_pod(state, &(struct pod_on_disk){ .id = p1, .name = "web" });
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		CLEANUP(freep) char *dir = xasprintf("run/crun/%s", ids[i]);
		CLEANUP(freep) char *status = xasprintf("%s/status", dir);
		CLEANUP(freep) char *fifo = xasprintf("%s/exec.fifo", dir);

		state_dir_add_container(
			state, &(struct container_on_disk){ ids[i], p1, ids[i], "created", NULL, false,
							    i == 1 ? &self : &init, &monitor });
		if (i == 2) /* the runtime knows nothing of it */
			continue;
		state_dir_mkdir(state, dir);
		state_dir_put(state, status, "{}");
		if (i == 1 || i == 3)
			assert_int_equal(mkfifoat(state->scratch.dir, fifo, 0600), 0);
		if (i == 1)
			held = openat(state->scratch.dir, fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	}
	assert_true(held >= 0);
	int64_t now = clock_real();
	state_dir_open(state);
	const struct handler *crun = handlers_find(state->handlers, "crun");
	bool usable = crun && crun->path && crun->is_crun;
	assert_int_equal(container_status_of(state, c1)->state, usable ? RUNNING : CREATED);
	if (usable)
		assert_between(container_status_of(state, c1)->started_at, now - 60 * NS_PER_SEC, now);
	assert_int_equal(container_status_of(state, c2)->state, CREATED);
	assert_int_equal(container_status_of(state, c3)->state, CREATED);
	assert_int_equal(container_status_of(state, c4)->state, usable ? RUNNING : CREATED);
	state_dir_close(state);
	state_dir_end_process(&monitor);
	state_dir_end_process(&init);
}

static void test_cannot_open(void **data)
{
	struct state_dir *state = *data;
	struct err err = { 0 };

	assert_int_equal(unlinkat(state->scratch.dir, "root/containers", AT_REMOVEDIR), 0);
	state_dir_put(state, "root/containers", "not a directory");
	state_dir_mkdir(state, "root/trash/old");
	assert_int_equal(state_dir_try_open(state, &err), -1);
	assert_contains(err.text, "containers");
	state_dir_close(state);
	assert_true(state_dir_has(state, "root/trash/old")); /* nothing was begun */
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_empty),
		TEST(test_all_alive),
		TEST(test_ends_are_noticed),
		TEST(test_died_meanwhile),
		TEST(test_exit_file_before_the_start),
		TEST(test_marked),
		TEST(test_unmarked),
		TEST(test_reboot),
		TEST(test_namespaces_decide),
		TEST(test_stopped_stays_stopped),
		TEST(test_half_made),
		TEST(test_half_made_container),
		TEST(test_newer),
		TEST(test_trash_is_emptied),
		TEST(test_started_but_not_noted),
		TEST(test_cannot_open),
	};

	if (state_dir_isolate() < 0) {
		print_message("no namespaces of its own to be had here: skipped\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
