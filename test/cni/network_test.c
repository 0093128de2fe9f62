/*
 * Pods on a network of fake plugins: attach, detach, undo, what the cache is for, and every way an ADD can go
 * wrong (fault matrix 26 to 28). The event loop does not run here: configuration is what network_open()
 * finds.
 */
#include "test/cni/fake.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/loop.h"
#include "cni/network.h"

#define TWO                                                                                                        \
	"{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[{\"type\":\"a\"},{\"type\":\"b\",\"capabilities\":" \
	"{\"portMappings\":true,\"dns\":true,\"cgroupPath\":true,\"bandwidth\":true,\"ips\":true,\"mac\":true,"    \
	"\"io.kubernetes.cri.pod-annotations\":true}}]}"
#define RESULT \
	"echo '{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.1.2.3/24\"},{\"address\":\"fd00::3/64\"}]}'"

struct box {
	struct fake fake;
	const struct config *config;
	struct loop *loop;
	struct network *network;
};

static const struct network_port ports[] = { { "tcp", "127.0.0.1", 80, 8080 } };
static const char *const servers[] = { "10.0.0.10", NULL };
static const struct network_dns dns = { .servers = servers };
static const struct network_pod pod = {
	.id = FAKE_ID,
	.name = "web",
	.namespace = "default",
	.uid = "u-1",
	.netns = "/run/ns/x",
	.cgroup_parent = "/kubepods/pod1",
	.ports = ports,
	.ports_len = 1,
	.dns = &dns,
};

static void reopen(struct box *box)
{
	struct err err;

	network_free(box->network);
	loop_free(box->loop);
	box->loop = loop_new(&err);
	assert_non_null(box->loop);
	box->network = network_open(box->config, box->loop, &err);
	if (!box->network)
		fail_msg("%s", err.text);
}

static void load_config(struct box *box, int timeout_seconds)
{
	CLEANUP(freep)
	char *toml = xasprintf("[crisp]\nroot = \"%s/root\"\nrunroot = \"%s/run\"\n[crisp.network]\n"
			       "network_dir = \"%s\"\nplugin_dirs = [\"%s\"]\ncni_timeout = \"%ds\"\n",
			       box->fake.root, box->fake.root, box->fake.net, box->fake.bin, timeout_seconds);
	CLEANUP(freep) char *path = xasprintf("%s/crisp.toml", box->fake.root);
	const struct config_paths paths = { .file = path, .dropins = "/no/such/folder", .file_needed = true };
	struct config *config = NULL;
	struct err err;

	fake_write(box->fake.root, "crisp.toml", toml, 0644);
	if (config_load(&paths, &config, &err) < 0)
		fail_msg("%s", err.text);
	config_unref(box->config);
	box->config = config;
}

static int set_up(void **state)
{
	struct box *box = xnew(struct box);

	fake_open(&box->fake);
	assert_int_equal(mkdir(box->fake.net, 0755), 0);
	fake_write(box->fake.net, "10-n.conflist", TWO, 0644);
	fake_plugin(&box->fake, "a", "[ $CNI_COMMAND = ADD ] && " RESULT "; exit 0");
	fake_plugin(&box->fake, "b", "[ $CNI_COMMAND = ADD ] && " RESULT "; exit 0");
	load_config(box, 60);
	reopen(box);
	*state = box;
	return 0;
}

static int tear_down(void **state)
{
	struct box *box = *state;

	network_free(box->network);
	loop_free(box->loop);
	config_unref(box->config);
	fake_close(&box->fake);
	free(box);
	return 0;
}

static size_t cached(const struct box *box)
{
	CLEANUP(freep) char *path = xasprintf("%s/root/cni/results", box->fake.root);
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	struct err err;

	assert_int_equal(dir_list(AT_FDCWD, path, &names, &err), 0);
	return names.len;
}

static void attach(struct box *box)
{
	CLEANUP(network_result_done) struct network_result result = { 0 };
	struct err err;

	if (network_attach(box->network, NULL, &pod, &result, &err) < 0)
		fail_msg("%s", err.text);
}

static void detach(struct box *box)
{
	struct err err;

	if (network_detach(box->network, NULL, &pod, &err) < 0)
		fail_msg("%s", err.text);
}

static void assert_attach_fails(struct box *box, enum rpc_code code, const char *text)
{
	CLEANUP(network_result_done) struct network_result result = { 0 };
	struct err err = { 0 };

	assert_int_equal(network_attach(box->network, NULL, &pod, &result, &err), -1);
	if (err.code != code || !strstr(err.text, text))
		fail_msg("%s: %s; wanted %s: %s", rpc_code_name(err.code), err.text, rpc_code_name(code),
			 text);
	assert_int_equal(result.ips.len, 0);
	assert_null(result.json);
}

static void test_attach_and_detach(void **state)
{
	struct box *box = *state;
	CLEANUP(network_result_done) struct network_result result = { 0 };
	struct err err;

	assert_true(network_ready(box->network, NULL, NULL));
	assert_int_equal(network_attach(box->network, NULL, &pod, &result, &err), 0);
	assert_int_equal(result.ips.len, 2);
	assert_string_equal(result.ips.items[0], "10.1.2.3");
	assert_string_equal(result.ips.items[1], "fd00::3");
	assert_non_null(strstr(result.json, "10.1.2.3/24"));
	fake_assert_calls(&box->fake, "a ADD\nb ADD\n");
	CLEANUP(freep) char *env = fake_read(&box->fake, "env.a.ADD");
	assert_non_null(strstr(env, "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;"
				    "K8S_POD_INFRA_CONTAINER_ID=" FAKE_ID ";K8S_POD_UID=u-1\n"));
	assert_non_null(strstr(env, "CNI_IFNAME=eth0\n"));
	CLEANUP(json_decrefp) json_t *b = fake_read_json(&box->fake, "stdin.b.ADD");
	CLEANUP(freep) char *runtime = json_text(json_object_get(b, "runtimeConfig"));
	assert_string_equal(
		runtime,
		"{\"portMappings\":[{\"hostPort\":8080,\"containerPort\":80,\"protocol\":\"tcp\",\"hostIP\":"
		"\"127.0.0.1\"}],\"dns\":{\"servers\":[\"10.0.0.10\"],\"searches\":[],\"options\":[]},"
		"\"cgroupPath\":\"/kubepods/pod1\",\"io.kubernetes.cri.pod-annotations\":{}}");
	assert_int_equal(cached(box), 1);
	detach(box);
	fake_assert_calls(&box->fake, "b DEL\na DEL\n");
	assert_int_equal(cached(box), 0);
	/* Nothing cached: DEL once more does no harm. */
	detach(box);
	fake_assert_calls(&box->fake, "b DEL\na DEL\n");
}

/* DEL is ADD's: also after the list has changed, its name with it, and crispd has been restarted. */
static void test_detach_uses_what_attach_used(void **state)
{
	struct box *box = *state;
	struct network_pod gone = pod;
	struct err err;

	attach(box);
	fake_write(box->fake.net, "10-n.conflist",
		   "{\"cniVersion\":\"1.0.0\",\"name\":\"other\",\"type\":\"zzz\"}", 0644);
	reopen(box);
	fake_assert_calls(&box->fake, "a ADD\nb ADD\n");
	gone.netns = "";
	assert_int_equal(network_detach(box->network, NULL, &gone, &err), 0);
	fake_assert_calls(&box->fake, "b DEL\na DEL\n");
	CLEANUP(json_decrefp) json_t *stdin_json = fake_read_json(&box->fake, "stdin.b.DEL");
	assert_non_null(json_object_get(json_object_get(stdin_json, "prevResult"), "ips"));
	assert_non_null(json_object_get(json_object_get(stdin_json, "runtimeConfig"), "portMappings"));
	CLEANUP(freep) char *env = fake_read(&box->fake, "env.b.DEL");
	assert_non_null(strstr(env, "CNI_NETNS=\n"));
}

static void test_failed_add_is_undone(void **state)
{
	struct box *box = *state;

	fake_plugin(&box->fake, "b",
		    "[ $CNI_COMMAND = ADD ] || exit 0; echo '{\"code\":7,\"msg\":\"no ports\"}'; exit 1");
	assert_attach_fails(box, RPC_INTERNAL, "network \"n\": plugin b: ADD: no ports");
	fake_assert_calls(&box->fake, "a ADD\nb ADD\nb DEL\na DEL\n");
	assert_int_equal(cached(box), 0);
}

static void test_undo_that_fails_is_remembered(void **state)
{
	struct box *box = *state;

	fake_plugin(&box->fake, "b",
		    "test -e $dir/mended && exit 0; echo '{\"code\":7,\"msg\":\"broken\"}'; exit 1");
	assert_attach_fails(box, RPC_INTERNAL,
			    "plugin b: ADD: broken (and undoing it failed: plugin b: DEL: broken)");
	fake_assert_calls(&box->fake, "a ADD\nb ADD\nb DEL\na DEL\n"); /* a released all the same */
	assert_int_equal(cached(box), 1);
	fake_write(box->fake.root, "mended", "", 0644);
	detach(box);
	fake_assert_calls(&box->fake, "b DEL\na DEL\n");
	assert_int_equal(cached(box), 0);
}

/* Fault matrix 26. */
static void test_bad_plugins(void **state)
{
	static const struct {
		const char *body, *text;
	} rows[] = {
		{ "echo garbage", "plugin b: ADD: result is no JSON" },
		{ ":", "plugin b: ADD: result is no JSON" },
		{ "head -c 2000000 /dev/zero", "printed more than" },
		{ "echo '{\"cniVersion\":\"1.0.0\"}'", "gave the pod no address" },
		{ "echo '{\"ips\":[{\"address\":\"x\"}]}'", "malformed address" },
		{ "kill -9 $$", "killed by signal 9" },
	};
	struct box *box = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(freep) char *body = xasprintf("[ $CNI_COMMAND = DEL ] && exit 0\n%s", rows[i].body);
		fake_plugin(&box->fake, "b", body);
		assert_attach_fails(box, RPC_INTERNAL, rows[i].text);
		fake_assert_calls(&box->fake, "a ADD\nb ADD\nb DEL\na DEL\n");
		assert_int_equal(cached(box), 0);
	}
}

static void test_hanging_plugin(void **state)
{
	struct box *box = *state;
	CLEANUP(network_result_done) struct network_result result = { 0 };
	struct ctx ctx;
	struct err err;

	fake_plugin(&box->fake, "b", "[ $CNI_COMMAND = ADD ] && sleep 1000; exit 0");
	/* The caller's deadline, then our own. */
	ctx_init(&ctx, clock_deadline_in(300 * NS_PER_MS));
	assert_int_equal(network_attach(box->network, &ctx, &pod, &result, &err), -1);
	assert_int_equal(err.code, RPC_DEADLINE_EXCEEDED);
	ctx_done(&ctx);
	CLEANUP(freep) char *calls = fake_read(&box->fake, "calls");
	assert_true(str_has_suffix(calls, "b DEL\na DEL\n")); /* undone though the caller's time was over */
	assert_int_equal(cached(box), 0);
	load_config(box, 1);
	reopen(box);
	int64_t before = clock_mono();
	assert_attach_fails(box, RPC_DEADLINE_EXCEEDED, "plugin b: ADD");
	assert_true(clock_mono() - before < 30 * NS_PER_SEC);
	assert_int_equal(cached(box), 0);
}

/* Fault matrix 27. */
static void test_del_fails_a_few_times(void **state)
{
	struct box *box = *state;
	struct err err;

	attach(box);
	fake_plugin(&box->fake, "a",
		    "n=$(cat $dir/n 2>/dev/null); echo x$n >$dir/n; [ \"$n\" = xx ] || "
		    "{ echo '{\"code\":11,\"msg\":\"later\"}'; exit 1; }");
	fake_assert_calls(&box->fake, "a ADD\nb ADD\n");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(network_detach(box->network, NULL, &pod, &err), -1);
		assert_int_equal(err.code, RPC_UNAVAILABLE);
		assert_string_equal(err.text, "network \"n\": plugin a: DEL: later");
		assert_int_equal(cached(box), 1);
	}
	detach(box);
	assert_int_equal(cached(box), 0);
	fake_assert_calls(&box->fake, "b DEL\na DEL\nb DEL\na DEL\nb DEL\na DEL\n");
}

static void test_no_network(void **state)
{
	struct box *box = *state;
	CLEANUP(freep) char *reason = NULL;
	CLEANUP(freep) char *message = NULL;
	CLEANUP(freep) char *path = xasprintf("%s/10-n.conflist", box->fake.net);

	assert_int_equal(unlink(path), 0);
	reopen(box);
	assert_false(network_ready(box->network, &reason, &message));
	assert_string_equal(reason, "NetworkPluginNotReady");
	assert_non_null(strstr(message, "no CNI configuration in "));
	assert_attach_fails(box, RPC_UNAVAILABLE, "no CNI configuration in ");
	detach(box); /* nothing to do, nothing to do it with */
	assert_int_equal(cached(box), 0);
}

static void test_damaged_cache(void **state)
{
	struct box *box = *state;
	CLEANUP(freep) char *results = xasprintf("%s/root/cni/results", box->fake.root);

	attach(box);
	fake_assert_calls(&box->fake, "a ADD\nb ADD\n");
	fake_write(results, "n-" FAKE_ID "-eth0", "{\"kind\":", 0600);
	detach(box); /* with the network in use, the best guess there is */
	fake_assert_calls(&box->fake, "b DEL\na DEL\n");
	assert_int_equal(cached(box), 0);
}

/* A crash in the middle of ADD: what was written before the first plugin ran is enough. */
static void test_crash_during_add(void **state)
{
	struct box *box = *state;
	CLEANUP(freep) char *seen = xasprintf("cp $dir/root/cni/results/* $dir/during; %s", RESULT);

	fake_plugin(&box->fake, "a", seen);
	attach(box);
	CLEANUP(json_decrefp) json_t *during = fake_read_json(&box->fake, "during");
	assert_non_null(json_object_get(during, "config"));
	assert_null(json_object_get(during, "result"));
}

static void test_names_that_would_split_args(void **state)
{
	static const char *const bad[] = { "a;K8S_POD_UID=x", "a=b", "a\nb" };
	struct box *box = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CLEANUP(network_result_done) struct network_result result = { 0 };
		struct network_pod named = pod;
		struct err err;
		named.name = bad[i];
		assert_int_equal(network_attach(box->network, NULL, &named, &result, &err), -1);
		assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	}
	fake_assert_calls(&box->fake, "");
}

static void test_annotations(void **state)
{
	static const struct network_annotation annotations[] = {
		{ "kubernetes.io/ingress-bandwidth", "1M" },
		{ "v1.multus-cni.io/default-network",
		  "[{\"name\":\"n\",\"ips\":[\"10.1.2.3/24\"],\"mac\":\"c2:11:22:33:44:55\"}]" },
	};
	static const struct network_annotation bad[] = { { "kubernetes.io/egress-bandwidth", "1" } };
	struct box *box = *state;
	CLEANUP(network_result_done) struct network_result result = { 0 };
	CLEANUP(network_result_done) struct network_result none = { 0 };
	struct network_pod annotated = pod;
	struct err err;

	annotated.annotations = annotations;
	annotated.annotations_len = ARRAY_LEN(annotations);
	assert_int_equal(network_attach(box->network, NULL, &annotated, &result, &err), 0);
	CLEANUP(json_decrefp) json_t *b = fake_read_json(&box->fake, "stdin.b.ADD");
	const json_t *runtime = json_object_get(b, "runtimeConfig");
	const json_t *bandwidth = json_object_get(runtime, "bandwidth");
	assert_int_equal(json_integer_value(json_object_get(bandwidth, "ingressRate")), 1000000);
	assert_string_equal(json_string_value(json_array_get(json_object_get(runtime, "ips"), 0)),
			    "10.1.2.3/24");
	assert_string_equal(json_string_value(json_object_get(runtime, "mac")), "c2:11:22:33:44:55");
	const json_t *all = json_object_get(runtime, "io.kubernetes.cri.pod-annotations");
	assert_string_equal(json_string_value(json_object_get(all, "kubernetes.io/ingress-bandwidth")), "1M");
	/* The plugin that does not ask is not told. */
	CLEANUP(json_decrefp) json_t *a = fake_read_json(&box->fake, "stdin.a.ADD");
	assert_null(json_object_get(a, "runtimeConfig"));
	detach(box);
	fake_assert_calls(&box->fake, "a ADD\nb ADD\nb DEL\na DEL\n");
	annotated.annotations = bad;
	annotated.annotations_len = ARRAY_LEN(bad);
	assert_int_equal(network_attach(box->network, NULL, &annotated, &none, &err), -1);
	assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	fake_assert_calls(&box->fake, "");
	assert_int_equal(cached(box), 0);
	/* Nor does it keep the pod from being taken down. */
	if (network_detach(box->network, NULL, &annotated, &err) < 0)
		fail_msg("%s", err.text);
}

/* The calls but for STATUS, which is asked in the background. */
static void assert_calls_but_status(struct box *box, const char *wanted)
{
	CLEANUP(freep) char *calls = fake_read(&box->fake, "calls");
	CLEANUP(strv_done) struct strv lines = STRV_INIT;
	CLEANUP(str_done) struct str kept = STR_INIT;

	strv_split(&lines, calls, '\n');
	for (size_t i = 0; i < lines.len; i++)
		if (*lines.items[i] && !str_has_suffix(lines.items[i], " STATUS"))
			str_addf(&kept, "%s\n", lines.items[i]);
	assert_string_equal(str_get(&kept), wanted);
}

static void gc(struct box *box, const char *id)
{
	CLEANUP(strv_done) struct strv ids = STRV_INIT;
	struct err err;

	if (id)
		strv_add(&ids, id);
	if (network_gc(box->network, NULL, &ids, &err) < 0)
		fail_msg("%s", err.text);
}

static void test_check_and_gc(void **state)
{
	struct box *box = *state;
	struct err err;

	assert_int_equal(network_check(box->network, NULL, &pod, &err), 0); /* nothing attached */
	attach(box);
	fake_assert_calls(&box->fake, "a ADD\nb ADD\n");
	assert_int_equal(network_check(box->network, NULL, &pod, &err), 0);
	fake_assert_calls(&box->fake, "a CHECK\nb CHECK\n");
	/* Attached since the start, so somebody's, told or not; and of those before, who is told of. */
	gc(box, NULL);
	reopen(box);
	gc(box, FAKE_ID);
	fake_assert_calls(&box->fake, "");
	assert_int_equal(cached(box), 1);
	gc(box, NULL);
	fake_assert_calls(&box->fake, "b DEL\na DEL\n");
	assert_int_equal(cached(box), 0);
}

/* A stranger that cannot be released keeps neither the others nor the verb from their turn, and stays valid.
 */
static void test_gc_with_failures(void **state)
{
	static const char other[] = "ffff456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	static const char third[] = "3333456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	struct box *box = *state;
	CLEANUP(strv_done) struct strv ids = STRV_INIT;
	struct err err;

	fake_write(
		box->fake.net, "10-n.conflist",
		"{\"cniVersion\":\"1.1.0\",\"name\":\"n\",\"plugins\":[{\"type\":\"a\"},{\"type\":\"b\"}]}",
		0644);
	fake_plugin(&box->fake, "a",
		    "[ $CNI_COMMAND = ADD ] && " RESULT "; [ $CNI_COMMAND.$CNI_CONTAINERID != DEL." FAKE_ID
		    " ] || { echo '{\"code\":7,\"msg\":\"stuck\"}'; exit 1; }");
	reopen(box);
	attach(box);
	for (int i = 0; i < 2; i++) {
		CLEANUP(network_result_done) struct network_result result = { 0 };
		struct network_pod more = pod;
		more.id = i ? third : other;
		assert_int_equal(network_attach(box->network, NULL, &more, &result, &err), 0);
	}
	reopen(box);
	assert_calls_but_status(box, "a ADD\nb ADD\na ADD\nb ADD\na ADD\nb ADD\n");
	strv_add(&ids, third);
	assert_int_equal(network_gc(box->network, NULL, &ids, &err), -1);
	assert_string_equal(
		err.text,
		"attachment of 0123456789ab, which is no pod's: network \"n\": plugin a: DEL: stuck");
	assert_int_equal(cached(box), 2);
	assert_calls_but_status(
		box, "a ADD\nb ADD\na ADD\nb ADD\na ADD\nb ADD\nb DEL\na DEL\nb DEL\na DEL\na GC\nb GC\n");
	CLEANUP(json_decrefp) json_t *verb = fake_read_json(&box->fake, "stdin.b.GC");
	CLEANUP(freep) char *valid = json_text(json_object_get(verb, "cni.dev/valid-attachments"));
	assert_non_null(strstr(valid, "{\"containerID\":\"" FAKE_ID "\",\"ifname\":\"eth0\"}"));
	assert_non_null(strstr(valid, third));
	assert_null(strstr(valid, other));
}

struct collector {
	struct box *box;
	atomic_bool done;
};

static void *collect(void *data)
{
	struct collector *collector = data;

	gc(collector->box, NULL);
	atomic_store(&collector->done, true);
	return NULL;
}

/* The spec: GC never beside ADD or DEL. Here GC waits for a file that appears only after the ADD behind it
 * has been asked for. */
static void test_gc_is_alone(void **state)
{
	struct box *box = *state;
	struct collector collector = { .box = box };
	struct err err;
	pthread_t thread;
	struct ctx ctx;

	fake_write(box->fake.net, "10-n.conflist",
		   "{\"cniVersion\":\"1.1.0\",\"name\":\"n\",\"plugins\":[{\"type\":\"a\"}]}", 0644);
	fake_plugin(&box->fake, "a",
		    "[ $CNI_COMMAND = ADD ] && " RESULT "; [ $CNI_COMMAND = GC ] || exit 0\n"
		    "while [ ! -e $dir/go ]; do sleep 0.05; done; echo 'end GC' >>$dir/calls");
	reopen(box);
	assert_int_equal(pthread_create(&thread, NULL, collect, &collector), 0);
	for (;;) {
		CLEANUP(freep) char *calls = fake_read(&box->fake, "calls");
		if (strstr(calls, "a GC\n"))
			break;
		poll(NULL, 0, 5);
	}
	CLEANUP(network_result_done) struct network_result result = { 0 };
	ctx_init(&ctx, clock_deadline_in(300 * NS_PER_MS));
	assert_int_equal(network_attach(box->network, &ctx, &pod, &result, &err), -1);
	assert_int_equal(err.code, RPC_DEADLINE_EXCEEDED);
	ctx_done(&ctx);
	assert_false(atomic_load(&collector.done));
	fake_write(box->fake.root, "go", "", 0644);
	attach(box);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_calls_but_status(box, "a GC\nend GC\na ADD\n");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_attach_and_detach),
		TEST(test_detach_uses_what_attach_used),
		TEST(test_failed_add_is_undone),
		TEST(test_undo_that_fails_is_remembered),
		TEST(test_bad_plugins),
		TEST(test_hanging_plugin),
		TEST(test_del_fails_a_few_times),
		TEST(test_no_network),
		TEST(test_damaged_cache),
		TEST(test_crash_during_add),
		TEST(test_names_that_would_split_args),
		TEST(test_annotations),
		TEST(test_check_and_gc),
		TEST(test_gc_with_failures),
		TEST(test_gc_is_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
