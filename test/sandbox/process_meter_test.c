/* What a process holds open, against a process that holds what was agreed; huge pages, against the host's
 * files. */
#include "sandbox/process_meter.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "test/base/check.h"

enum { FILES_MAX = 77 };

struct scene {
	struct cgroups *cgroups;
	char *path;
	bool made;
	struct process process;
};

/* Its stdio, which is /dev/null, and two sockets. */
static void start_holder(struct process *ret)
{
	static const char *const argv[] = { "sleep", "1000", NULL };
	struct rlimit before, limit;
	struct err err = { 0 };
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	const struct command command = {
		.path = "sleep", .argv = argv, .fds = { { pair[0], 3 }, { pair[1], 4 } }, .fds_len = 2
	};
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = (struct rlimit){ FILES_MAX, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_ok(command_start(&command, ret, &err));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	close(pair[0]);
	close(pair[1]);
}

/* False: no cgroups are to be had here. */
static bool scene_init(struct scene *scene)
{
	struct err err = { 0 };

	*scene = (struct scene){ .cgroups = cgroups_open(NULL, &err),
				 .path = xasprintf("/crisp-holds-%d", (int)getpid()),
				 .process = PROCESS_INIT };
	scene->made = scene->cgroups && cgroup_make(scene->cgroups, scene->path, &err) == 0;
	if (!scene->made)
		return false;
	start_holder(&scene->process);
	assert_ok(cgroup_move(scene->cgroups, scene->path, scene->process.pid, &err));
	return true;
}

static void scene_end(struct scene *scene)
{
	struct err err = { 0 };
	struct ctx ctx;
	int status;

	ctx_init(&ctx, clock_deadline_in(20 * NS_PER_SEC));
	assert_ok(process_signal(&scene->process, SIGKILL, &err));
	assert_ok(process_wait(&scene->process, &ctx, &status, &err));
	ctx_done(&ctx);
}

static void scene_done(struct scene *scene)
{
	struct ctx ctx;
	struct err err = { 0 };

	if (scene->made) {
		ctx_init(&ctx, clock_deadline_in(20 * NS_PER_SEC));
		assert_ok(cgroup_remove(scene->cgroups, scene->path, &ctx, &err));
		ctx_done(&ctx);
	}
	process_done(&scene->process);
	free(scene->path);
	cgroups_free(scene->cgroups);
}

static void test_held(void **state UNUSED)
{
	struct process_usage usage = { 0 };
	struct scene scene;
	uint64_t max = 0;

	if (!scene_init(&scene)) {
		scene_done(&scene);
		skip();
	}
	if (process_usage_read(scene.cgroups, scene.path, &usage)) { /* else there is no pids controller */
		/* While it starts, its loader has a file open, too. */
		for (int i = 0; i < 1000 && usage.descriptors != 5; i++) {
			usleep(10 * 1000);
			assert_true(process_usage_read(scene.cgroups, scene.path, &usage));
		}
		assert_int_equal(usage.descriptors, 5);
		assert_int_equal(usage.sockets, 2);
	}
	assert_true(process_files_max(&scene.process, &max));
	assert_int_equal(max, FILES_MAX);

	scene_end(&scene);
	assert_false(process_usage_read(scene.cgroups, scene.path, &usage));
	assert_false(process_files_max(&scene.process, &max));
	scene_done(&scene);
}

static void test_huge_pages(void **state UNUSED)
{
	struct huge_usage usage;
	struct scene scene;

	if (!scene_init(&scene)) {
		scene_done(&scene);
		skip();
	}
	huge_usage_read(scene.cgroups, scene.path, &usage);
	for (size_t i = 0; i < usage.len; i++) {
		assert_true(str_has_suffix(usage.items[i].size, "B"));
		assert_int_equal(usage.items[i].bytes, 0);
	}
	huge_usage_read(scene.cgroups, "/crisp-holds-none", &usage);
	assert_int_equal(usage.len, 0);
	scene_end(&scene);
	scene_done(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_held), cmocka_unit_test(test_huge_pages) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
