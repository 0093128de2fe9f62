/* Hook files: conditions, order, refusals; and what the configuration gives to every container. */
#include "doc_scene.h"

#include <sys/resource.h>

#include "sandbox/hooks.h"
#include "sandbox/hooks_entry.h"

static int setup(void **state)
{
	(void)state;
	scene_open();
	f.settings->runtime.hooks_dir = (struct config_strings){ dirs, 2 };
	f.input.hooks = hooks_new(f.settings);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	hooks_free(f.input.hooks);
	scene_close();
	return 0;
}

static void put_hook(const char *dir, const char *name, const char *path, const char *when)
{
	CLEANUP(freep)
	char *text = xasprintf("{\"version\": \"1.0.0\", \"hook\": {\"path\": \"%s\"}, \"when\": %s,"
			       " \"stages\": [\"prestart\"]}",
			       path, when);

	put(dir, name, text);
}

static void check_hooks(const char *expected)
{
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);

	assert_at(spec, "hooks", expected);
}

#define HOOK(path) "{\"path\":\"" path "\",\"env\":[\"" HOOK_PATH "\"]}"

/* The lesson of CVE-2025-23266: a hook without an environment gets a fixed one, whatever the image says. */
static void test_environment(void **state)
{
	CLEANUP(strv_done) struct strv sources = STRV_INIT, some = STRV_INIT;
	bool poststart = true;

	(void)state;
	strv_add(&f.image.env, "LD_PRELOAD=/evil.so");
	f.input.ret_poststart_hooks = &poststart;
	f.input.ret_sources = &some;
	check_hooks("");
	assert_true(some.len > 0);
	f.input.ret_sources = &sources;
	put(first, "a.json",
	    "{\"version\": \"1.0.0\", \"hook\": {\"path\": \"/a\", \"args\": [\"a\", \"b\"], \"timeout\": 3},"
	    " \"when\": {\"always\": true}, \"stages\": [\"createRuntime\", \"poststop\"]}");
	check_hooks(
		"{\"createRuntime\":[{\"path\":\"/a\",\"args\":[\"a\",\"b\"],\"env\":[\"" HOOK_PATH
		"\"],\"timeout\":3}],\"poststop\":[{\"path\":\"/a\",\"args\":[\"a\",\"b\"],\"env\":[\"" HOOK_PATH
		"\"],\"timeout\":3}]}");
	assert_false(poststart);
	assert_int_equal(sources.len, 0); /* a hook may look at anything of the host */
	put(first, "a.json",
	    "{\"version\": \"1.0.0\", \"hook\": {\"path\": \"/a\", \"env\": [\"OWN=1\"]},"
	    " \"when\": {\"always\": true}, \"stages\": [\"poststart\"]}");
	check_hooks("{\"poststart\":[{\"path\":\"/a\",\"env\":[\"OWN=1\"]}]}");
	assert_true(poststart);
	assert_int_equal(sources.len, 0);
}

static void test_order(void **state)
{
	CLEANUP(freep) char *path = xasprintf("%s/B.json", second);

	(void)state;
	put_hook(first, "c.json", "/c", "{\"always\": true}");
	put_hook(first, "B.json", "/b", "{\"always\": true}");
	put_hook(second, "a.json", "/a", "{\"always\": true}");
	put_hook(second, "ignored.txt", "/x", "{\"always\": true}");
	check_hooks("{\"prestart\":[" HOOK("/a") "," HOOK("/b") "," HOOK("/c") "]}");
	put_hook(second, "B.json", "/other", "{\"always\": true}");
	check_hooks("{\"prestart\":[" HOOK("/a") "," HOOK("/other") "," HOOK("/c") "]}");
	assert_int_equal(unlink(path), 0);
	check_hooks("{\"prestart\":[" HOOK("/a") "," HOOK("/b") "," HOOK("/c") "]}");
}

static void check_when(const char *when, bool expected)
{
	put_hook(first, "a.json", "/a", when);
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);
	if ((json_object_get(spec, "hooks") != NULL) != expected)
		fail_msg("%s: %s", when, expected ? "does not match" : "matches");
}

static void test_conditions(void **state)
{
	static char key[] = "com.example.kind", value[] = "fast one", pod_key[] = "of.pod",
		    pod_value[] = "yes";
	static char host[] = "/usr", inside[] = "/x";
	Cri__ContainerConfig__AnnotationsEntry entry = CRI__CONTAINER_CONFIG__ANNOTATIONS_ENTRY__INIT;
	Cri__ContainerConfig__AnnotationsEntry *entries[] = { &entry };
	Cri__PodSandboxConfig__AnnotationsEntry pod_entry = CRI__POD_SANDBOX_CONFIG__ANNOTATIONS_ENTRY__INIT;
	Cri__PodSandboxConfig__AnnotationsEntry *pod_entries[] = { &pod_entry };
	Cri__Mount mount = CRI__MOUNT__INIT;
	Cri__Mount *mounts[] = { &mount };

	(void)state;
	check_when("{\"always\": true}", true);
	check_when("{\"always\": false}", false);
	check_when("{\"commands\": [\"^/sbin/\", \"/sh$\"]}", true);
	check_when("{\"commands\": [\"^sh$\"]}", false);
	check_when("{\"always\": true, \"commands\": [\"^sh$\"]}", false);
	check_when("{\"hasBindMounts\": true}", false);
	check_when("{\"annotations\": {\"^com\\\\.example\\\\.kind$\": \"fast\"}}", false);
	entry.key = key;
	entry.value = value;
	f.config.annotations = entries;
	f.config.n_annotations = 1;
	pod_entry.key = pod_key;
	pod_entry.value = pod_value;
	f.pod.annotations = pod_entries;
	f.pod.n_annotations = 1;
	mount.host_path = host;
	mount.container_path = inside;
	f.config.mounts = mounts;
	f.config.n_mounts = 1;
	check_when("{\"annotations\": {\"^com\\\\.example\\\\.kind$\": \"fast\"}}", true);
	check_when("{\"annotations\": {\"^com\\\\.example\\\\.kind$\": \"^one\"}}", false);
	check_when("{\"annotations\": {\"kind\": \"fast\", \"^of.pod$\": \"^yes$\"}}", true);
	check_when("{\"annotations\": {\"kind\": \"fast\", \"^of.pod$\": \"^no$\"}}", false);
	check_when("{\"hasBindMounts\": true}", true);
	check_when("{\"hasBindMounts\": false}", false);
	check_when("{\"hasBindMounts\": true, \"commands\": [\"sh\"], \"annotations\": {\"kind\": \".\"}}",
		   true);
}

#define FILE_OF(version, hook, when, stages) \
	"{\"version\": \"" version "\", \"hook\": " hook ", \"when\": " when ", \"stages\": " stages "}"
#define X "{\"path\": \"/x\"}"
#define ALWAYS "{\"always\": true}"
#define PRE "[\"prestart\"]"

static void test_refused(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ FILE_OF("0.1.0", X, ALWAYS, PRE), "version \"0.1.0\" is not \"1.0.0\"" },
		{ FILE_OF("1.0.0", "{\"path\": \"x\"}", ALWAYS, PRE), "path is not absolute" },
		{ FILE_OF("1.0.0", "{}", ALWAYS, PRE), "path" },
		{ FILE_OF("1.0.0", "{\"path\": \"/x\", \"evn\": []}", ALWAYS, PRE),
		  "hook: unknown key \"evn\"" },
		{ FILE_OF("1.0.0", "{\"path\": \"/x\", \"env\": [\"A\"]}", ALWAYS, PRE),
		  "env[0] is not KEY=VALUE" },
		{ FILE_OF("1.0.0", "{\"path\": \"/x\", \"timeout\": -1}", ALWAYS, PRE), "timeout is not" },
		{ FILE_OF("1.0.0", X, "{}", PRE), "when has no condition" },
		{ FILE_OF("1.0.0", X, "{\"always\": 1}", PRE), "always is not true or false" },
		{ FILE_OF("1.0.0", X, "{\"commands\": [\"(\"]}", PRE), "pattern \"(\": " },
		{ FILE_OF("1.0.0", X, "{\"commands\": [\"(a*)\\\\1\"]}", PRE),
		  "back-references or too many" },
		{ FILE_OF("1.0.0", X,
			  "{\"commands\": [\"((((((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+\"]}", PRE),
		  "back-references or too many" },
		{ FILE_OF("1.0.0", X, "{\"commands\": [\"(a{255}){32767}\"]}", PRE),
		  "back-references or too many" },
		{ FILE_OF("1.0.0", X, ALWAYS, "[]"), "stages is empty" },
		{ FILE_OF("1.0.0", X, ALWAYS, "[\"precreate\"]"), "unknown stage \"precreate\"" },
		{ FILE_OF("1.0.0", X, ALWAYS, "[\"prestart\", \"prestart\"]"), "is there twice" },
		{ "{", "" },
		{ "null", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(arena_freep) struct arena *arena = arena_new(0);
		const struct hooks_file *file;
		struct err err = { 0 };

		if (hooks_file_parse(cases[i].text, strlen(cases[i].text), arena, &file, &err) == 0)
			fail_msg("%s: accepted", cases[i].text);
		if (err.code != RPC_INVALID_ARGUMENT || !strstr(err.text, cases[i].error))
			fail_msg("%s: \"%s\", \"%s\" expected", cases[i].text, err.text, cases[i].error);
	}
	/* One that is refused is as if it were not there; others stay. */
	put_hook(first, "a.json", "/a", ALWAYS);
	put(first, "b.json", cases[0].text);
	check_hooks("{\"prestart\":[" HOOK("/a") "]}");
}

static void test_ulimits(void **state)
{
	static const char *limits[] = { "nofile=1024:2048", "core=-1", "nproc=5", "nofile=10:20" };
	static const char *high[] = { "nofile=-1" };
	CLEANUP(freep) char *clamped = NULL;
	struct rlimit own;

	(void)state;
	f.settings->runtime.default_ulimits = (struct config_strings){ limits, 4 };
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);
	assert_at(spec, "process.rlimits",
		  "[{\"type\":\"RLIMIT_CORE\",\"soft\":9223372036854775807,\"hard\":9223372036854775807},"
		  "{\"type\":\"RLIMIT_NPROC\",\"soft\":5,\"hard\":5},"
		  "{\"type\":\"RLIMIT_NOFILE\",\"soft\":10,\"hard\":20}]");
	f.settings->runtime.default_ulimits = (struct config_strings){ high, 1 };
	f.host.can_lower_oom_score = false;
	CLEANUP(json_decrefp) json_t *weak = fixture_build(&f);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &own), 0);
	clamped = xasprintf("[{\"type\":\"RLIMIT_NOFILE\",\"soft\":%llu,\"hard\":%llu}]",
			    (unsigned long long)own.rlim_max, (unsigned long long)own.rlim_max);
	assert_at(weak, "process.rlimits", clamped);
}

static void test_timezone(void **state)
{
	CLEANUP(freep) char *zone = realpath("/usr/share/zoneinfo/Europe/Berlin", NULL);
	CLEANUP(freep) char *mount = NULL;

	(void)state;
	f.settings->runtime.timezone = "No/Such_Zone";
	fixture_refused(&f, RPC_FAILED_PRECONDITION,
			"timezone = \"No/Such_Zone\": /usr/share/zoneinfo/No/Such_Zone: No such file");
	if (!zone)
		skip();
	f.settings->runtime.timezone = "Europe/Berlin";
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);
	mount = xasprintf(
		"{\"destination\":\"/etc/localtime\",\"type\":\"bind\",\"source\":\"%s\",\"options\":"
		"[\"bind\",\"rprivate\",\"ro\",\"nosuid\",\"nodev\",\"noexec\"]}",
		zone);
	assert_mount(spec, "/etc/localtime", mount);
}

static void test_read_only(void **state)
{
	static char host[] = "/usr", inside[] = "/tmp";
	Cri__Mount mount = CRI__MOUNT__INIT;
	Cri__Mount *mounts[] = { &mount };

	(void)state;
	CLEANUP(json_decrefp) json_t *without = fixture_build(&f);
	assert_at(without, "root.readonly", "false");
	assert_mount(without, "/run", "");
	f.settings->runtime.read_only = true;
	mount.host_path = host;
	mount.container_path = inside;
	f.config.mounts = mounts;
	f.config.n_mounts = 1;
	CLEANUP(json_decrefp) json_t *with = fixture_build(&f);
	assert_at(with, "root.readonly", "true");
	assert_mount(
		with, "/run",
		"{\"destination\":\"/run\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"rw\",\"noexec\","
		"\"nosuid\",\"nodev\",\"tmpcopyup\",\"mode=0755\"]}");
	assert_mount(
		with, "/tmp",
		"{\"destination\":\"/tmp\",\"type\":\"bind\",\"source\":\"/usr\",\"options\":[\"rbind\",\"rprivate\","
		"\"rw\"]}");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_environment), TEST(test_order),    TEST(test_conditions), TEST(test_refused),
		TEST(test_ulimits),     TEST(test_timezone), TEST(test_read_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
