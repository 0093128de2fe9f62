/* Configuration and plugins that come, change and go while the event loop runs in a thread of its own. */
#include "test/cni/fake.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/loop.h"
#include "cni/readiness.h"

#define NET(name) "{\"cniVersion\":\"1.0.0\",\"name\":\"" name "\",\"type\":\"x\"}"
#define NET11(name) "{\"cniVersion\":\"1.1.0\",\"name\":\"" name "\",\"type\":\"x\"}"

struct running {
	struct fake fake;
	struct config_network config;
	struct loop *loop;
	struct readiness *readiness;
	pthread_t thread;
};

static void *run_loop(void *data)
{
	struct running *running = data;
	struct err err;

	return loop_run(running->loop, &err) < 0 ? data : NULL;
}

static void start(struct running *running)
{
	struct err err;

	fake_open(&running->fake);
	fake_plugin(&running->fake, "x", "");
	running->config = (struct config_network){
		.network_dir = running->fake.net,
		.plugin_dirs = running->fake.dirs,
		.cni_default_network = "",
		.cni_timeout = 10 * NS_PER_SEC,
	};
	running->loop = loop_new(&err);
	assert_non_null(running->loop);
}

static void begin(struct running *running)
{
	struct err err;

	running->readiness = readiness_open(&running->config, running->loop, &err);
	if (!running->readiness)
		fail_msg("%s", err.text);
	assert_int_equal(pthread_create(&running->thread, NULL, run_loop, running), 0);
}

static void stop(struct running *running)
{
	void *failed;

	loop_stop(running->loop);
	assert_int_equal(pthread_join(running->thread, &failed), 0);
	assert_null(failed);
	readiness_free(running->readiness);
	loop_free(running->loop);
	fake_close(&running->fake);
}

/* The network in use and ready, or "" and the problem in *ret_problem. */
static char *ready_name(struct running *running, char **ret_problem)
{
	char *ignored = NULL;
	const struct conflist *list;

	if (!readiness_ready(running->readiness, ret_problem))
		return xstrdup("");
	list = readiness_list(running->readiness, &ignored);
	free(ignored);
	char *name = xstrdup(list ? list->name : "");
	conflist_unref(list);
	return name;
}

/* Waits for it to become `name` ("" for not ready, with `problem` in the text), at most 2 s as the issue
 * asks; under sanitizers and load the figure is what a test can stand. */
static void assert_becomes(struct running *running, const char *name, const char *problem)
{
	int64_t deadline = clock_deadline_in(10 * NS_PER_SEC);

	for (;;) {
		CLEANUP(freep) char *why = NULL;
		CLEANUP(freep) char *now = ready_name(running, &why);
		if (str_eq(now, name) && (!problem || strstr(why ? why : "", problem)))
			return;
		if (clock_mono() > deadline)
			fail_msg("\"%s\" (%s), not \"%s\" (%s)", now, why ? why : "", name,
				 problem ? problem : "");
		poll(NULL, 0, 2);
	}
}

static void move(const struct running *running, const char *from, const char *to)
{
	CLEANUP(freep) char *old = xasprintf("%s/%s", running->fake.root, from);
	CLEANUP(freep) char *new = xasprintf("%s/%s", running->fake.root, to);

	assert_int_equal(rename(old, new), 0);
}

static void test_folder_appears(void **state)
{
	struct running running = { 0 };

	(void)state;
	start(&running);
	begin(&running);
	assert_becomes(&running, "", "no CNI configuration in");
	int64_t before = clock_mono();
	assert_int_equal(mkdir(running.fake.net, 0755), 0);
	fake_write(running.fake.net, "10-a.conf", NET("a"), 0644);
	assert_becomes(&running, "a", NULL);
	print_message("ready after %.1f ms\n", (double)(clock_mono() - before) / NS_PER_MS);
	assert_true(clock_mono() - before < 2 * NS_PER_SEC);
	/* Away and back again, as a whole folder. */
	move(&running, "net.d", "elsewhere");
	assert_becomes(&running, "", "no CNI configuration in");
	move(&running, "elsewhere", "net.d");
	assert_becomes(&running, "a", NULL);
	stop(&running);
}

static void test_deep_folder_appears(void **state)
{
	struct running running = { 0 };

	(void)state;
	start(&running);
	CLEANUP(freep) char *one = xasprintf("%s/x", running.fake.root);
	CLEANUP(freep) char *two = xasprintf("%s/x/y", running.fake.root);
	CLEANUP(freep) char *three = xasprintf("%s/x/y/z", running.fake.root);
	running.config.network_dir = three;
	begin(&running);
	assert_becomes(&running, "", NULL);
	assert_int_equal(mkdir(one, 0755), 0);
	poll(NULL, 0, 50);
	assert_int_equal(mkdir(two, 0755), 0);
	assert_int_equal(mkdir(three, 0755), 0);
	fake_write(three, "10-a.conf", NET("a"), 0644);
	assert_becomes(&running, "a", NULL);
	stop(&running);
}

static void test_files_change(void **state)
{
	struct running running = { 0 };

	(void)state;
	start(&running);
	assert_int_equal(mkdir(running.fake.net, 0755), 0);
	begin(&running);
	/* Half-written, then whole. */
	fake_write(running.fake.net, "20-b.conf", "{\"cniVersion\":", 0644);
	assert_becomes(&running, "", "20-b.conf: JSON");
	fake_write(running.fake.net, "20-b.conf", NET("b"), 0644);
	assert_becomes(&running, "b", NULL);
	/* Renamed into place, before the other in order. */
	fake_write(running.fake.root, "new", NET("a"), 0644);
	move(&running, "new", "net.d/10-a.conf");
	assert_becomes(&running, "a", NULL);
	/* Broken: stays. The plugin is asked for by those who come meanwhile, too. */
	fake_write(running.fake.net, "10-a.conf", "{", 0644);
	poll(NULL, 0, 100);
	assert_becomes(&running, "a", NULL);
	fake_write(running.fake.net, "10-a.conf", NET("a2"), 0644);
	assert_becomes(&running, "a2", NULL);
	/* Removed: the next in order. */
	CLEANUP(freep) char *path = xasprintf("%s/10-a.conf", running.fake.net);
	assert_int_equal(unlink(path), 0);
	assert_becomes(&running, "b", NULL);
	CLEANUP(json_decrefp) json_t *info = readiness_info(running.readiness);
	assert_true(json_is_true(json_object_get(info, "ready")));
	assert_int_equal(json_array_size(json_object_get(info, "files")), 1);
	stop(&running);
}

static void test_plugin_is_installed_later(void **state)
{
	struct running running = { 0 };

	(void)state;
	start(&running);
	assert_int_equal(mkdir(running.fake.net, 0755), 0);
	move(&running, "bin/x", "x");
	fake_write(running.fake.net, "10-a.conf", NET("a"), 0644);
	begin(&running);
	assert_becomes(&running, "", "network \"a\": plugin x: not found in ");
	move(&running, "x", "bin/x");
	assert_becomes(&running, "a", NULL);
	stop(&running);
}

static void test_status(void **state)
{
	struct running running = { 0 };

	(void)state;
	start(&running);
	assert_int_equal(mkdir(running.fake.net, 0755), 0);
	fake_plugin(&running.fake, "x",
		    "test -e $dir/good && exit 0; echo '{\"code\":50,\"msg\":\"no agent\"}'; exit 1");
	fake_write(running.fake.net, "10-a.conf", NET11("a"), 0644);
	begin(&running);
	assert_becomes(&running, "", "network \"a\": plugin x: STATUS: no agent");
	fake_write(running.fake.root, "good", "", 0644);
	fake_write(running.fake.bin, "agent", "",
		   0644); /* a change in a folder: asked at once, not at the next tick */
	assert_becomes(&running, "a", NULL);
	stop(&running);
}

static void test_versions(void **state)
{
	struct running running = { 0 };
	char *ignored = NULL;

	(void)state;
	start(&running);
	assert_int_equal(mkdir(running.fake.net, 0755), 0);
	fake_write(running.fake.root, "version.x",
		   "{\"cniVersion\":\"1.0.0\",\"supportedVersions\":[\"0.4.0\",\"1.0.0\"]}", 0644);
	fake_write(running.fake.net, "10-a.conf",
		   "{\"cniVersions\":[\"0.4.0\",\"1.0.0\",\"1.1.0\"],\"name\":\"a\",\"type\":\"x\"}", 0644);
	begin(&running);
	assert_becomes(&running, "a", NULL);
	CLEANUP(conflist_unrefp) const struct conflist *list = readiness_list(running.readiness, &ignored);
	assert_string_equal(list->version, "1.0.0");
	/* STATUS is not for plugins of 1.0.0. */
	fake_assert_calls(&running.fake, "");
	/* None in common, until the plugin is replaced. */
	fake_write(running.fake.net, "10-a.conf", NET11("b"), 0644);
	assert_becomes(&running, "", "network \"b\": plugin x: does not speak CNI 1.1.0, but 0.4.0, 1.0.0");
	fake_write(running.fake.root, "version.x",
		   "{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[\"1.1.0\"]}", 0644);
	fake_plugin(&running.fake, "x", "");
	assert_becomes(&running, "b", NULL);
	stop(&running);
}

/* A STATUS that never answers is not waited for at the end. */
static void test_status_hangs(void **state)
{
	struct running running = { 0 };

	(void)state;
	start(&running);
	assert_int_equal(mkdir(running.fake.net, 0755), 0);
	fake_plugin(&running.fake, "x", "exec sleep 1000");
	fake_write(running.fake.net, "10-a.conf", NET11("a"), 0644);
	begin(&running);
	assert_becomes(&running, "", "have not told their status yet");
	int64_t before = clock_mono();
	stop(&running);
	assert_true(clock_mono() - before < 5 * NS_PER_SEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_folder_appears), cmocka_unit_test(test_deep_folder_appears),
		cmocka_unit_test(test_files_change),   cmocka_unit_test(test_plugin_is_installed_later),
		cmocka_unit_test(test_status),         cmocka_unit_test(test_status_hangs),
		cmocka_unit_test(test_versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
