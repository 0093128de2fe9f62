/* CDI: files trusted and refused, names found and not found, and what comes of it in config.json. */
#include "doc_scene.h"

#include <sys/sysmacros.h>

#include "sandbox/cdi.h"
#include "sandbox/doc_dir.h"

static int setup(void **state)
{
	(void)state;
	scene_open();
	f.settings->runtime.cdi_spec_dirs = (struct config_strings){ dirs, 2 };
	f.input.cdi = cdi_new(f.settings);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	cdi_free(f.input.cdi);
	scene_close();
	return 0;
}

/* A spec of vendor.com/test with one device that has these edits. */
static void put_device(const char *dir, const char *file, const char *device, const char *edits)
{
	CLEANUP(freep)
	char *text = xasprintf("{\"cdiVersion\": \"0.7.0\", \"kind\": \"vendor.com/test\", \"devices\":"
			       " [{\"name\": \"%s\", \"containerEdits\": %s}]}",
			       device, edits);

	put(dir, file, text);
}

static Cri__CDIDevice messages[8];
static Cri__CDIDevice *pointers[8];

static void ask(const char *const *names, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		messages[i] = (Cri__CDIDevice)CRI__CDIDEVICE__INIT;
		messages[i].name = (char *)(uintptr_t)names[i];
		pointers[i] = &messages[i];
	}
	f.config.cdi_devices = pointers;
	f.config.n_cdi_devices = len;
}

static void ask_one(const char *name)
{
	ask(&name, 1);
}

static void test_all_edits(void **state)
{
	static const char *const names[] = { "vendor.com/test=one", "vendor.com/test=two",
					     "vendor.com/test=one" };
	struct stat null;
	bool poststart = false;

	(void)state;
	put(first, "all.json",
	    "{\"cdiVersion\": \"1.0.0\", \"kind\": \"vendor.com/test\", \"devices\": ["
	    "{\"name\": \"one\", \"containerEdits\": {\"env\": [\"ONE=1\", \"PATH=/vendor\"],"
	    " \"deviceNodes\": [{\"path\": \"/dev/own\", \"hostPath\": \"/dev/null\", \"permissions\": \"rw\","
	    " \"fileMode\": 384, \"uid\": 7, \"gid\": 8}],"
	    " \"mounts\": [{\"hostPath\": \"/usr\", \"containerPath\": \"/opt/vendor/\", \"options\": [\"ro\"]}],"
	    " \"hooks\": [{\"hookName\": \"poststart\", \"path\": \"/bin/hook\", \"args\": [\"hook\", \"x\"]}],"
	    " \"additionalGids\": [0, 44]}},"
	    "{\"name\": \"two\", \"containerEdits\": {\"env\": [\"TWO=2\"]}}],"
	    "\"containerEdits\": {\"env\": [\"ALL=0\"]}}");
	ask(names, 3);
	f.input.ret_poststart_hooks = &poststart;
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);
	assert_at(spec, "process.env",
		  "[\"PATH=/vendor\",\"HOSTNAME=web-0\",\"HOME=/root\",\"ALL=0\",\"ONE=1\",\"TWO=2\"]");
	assert_int_equal(stat("/dev/null", &null), 0);
	CLEANUP(freep)
	char *device = xasprintf("[{\"path\":\"/dev/own\",\"type\":\"c\",\"uid\":7,\"gid\":8,\"major\":%u,"
				 "\"minor\":%u,\"fileMode\":384}]",
				 major(null.st_rdev), minor(null.st_rdev));
	assert_at(spec, "linux.devices", device);
	CLEANUP(freep)
	char *rules = xasprintf("[{\"allow\":false,\"access\":\"rwm\"},{\"allow\":true,\"type\":\"c\","
				"\"major\":%u,\"minor\":%u,\"access\":\"rw\"}]",
				major(null.st_rdev), minor(null.st_rdev));
	assert_at(spec, "linux.resources.devices", rules);
	assert_mount(
		spec, "/opt/vendor",
		"{\"source\":\"/usr\",\"type\":\"bind\",\"options\":[\"ro\",\"rbind\"],\"destination\":\"/opt/vendor\"}");
	assert_at(spec, "hooks",
		  "{\"poststart\":[{\"path\":\"/bin/hook\",\"args\":[\"hook\",\"x\"],\"env\":[\"" HOOK_PATH
		  "\"]}]}");
	assert_at(spec, "process.user.additionalGids", "[0,44]");
	assert_true(poststart);
}

static void test_owner_is_the_user(void **state)
{
	(void)state;
	put_device(first, "a.json", "one", "{\"deviceNodes\": [{\"path\": \"/dev/null\"}]}");
	ask_one("vendor.com/test=one");
	f.user.uid = 1000;
	f.user.gid = 1001;
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);
	assert_at(
		spec, "linux.devices",
		"[{\"path\":\"/dev/null\",\"type\":\"c\",\"uid\":1000,\"gid\":1001,\"major\":1,\"minor\":3}]");
}

/* Row 19 of the bad-input matrix: malformed and unresolvable names. */
static void test_names(void **state)
{
	static const char *const malformed[] = { "",       "one",     "vendor.com/test", "vendor.com/test=",
						 "/c=d",   "v/=d",    "v/c=../x",        "v/c=-d",
						 "1v/c=d", "v/c/d=e", "v /c=d",          "v/c=d,e" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(malformed); i++) {
		ask_one(malformed[i]);
		fixture_refused(&f, RPC_INVALID_ARGUMENT, "CDI_devices[0]: CDI device");
	}
	ask_one("vendor.com/test=absent");
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "no CDI spec has the device vendor.com/test=absent");
}

static void test_annotations(void **state)
{
	static char key[] = "cdi.k8s.io/plugin", value[] = "vendor.com/test=one,vendor.com/test=two";
	static char bad[] = "vendor.com/test=one,";
	Cri__ContainerConfig__AnnotationsEntry entry = CRI__CONTAINER_CONFIG__ANNOTATIONS_ENTRY__INIT;
	Cri__ContainerConfig__AnnotationsEntry *entries[] = { &entry };

	(void)state;
	put_device(first, "a.json", "one", "{\"env\": [\"A=1\"]}");
	put_device(second, "a.json", "two", "{\"env\": [\"B=2\"]}");
	entry.key = key;
	entry.value = value;
	f.config.annotations = entries;
	f.config.n_annotations = 1;
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);
	CLEANUP(freep) char *env = fixture_at(spec, "process.env");
	assert_non_null(strstr(env, "\"A=1\",\"B=2\""));
	entry.value = bad;
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "annotation cdi.k8s.io/plugin: CDI device");
}

static void check_env(const char *entry)
{
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);
	CLEANUP(freep) char *env = fixture_at(spec, "process.env");

	if (!strstr(env, entry))
		fail_msg("%s, %s expected", env, entry);
}

static void test_priority(void **state)
{
	(void)state;
	put_device(first, "a.json", "one", "{\"env\": [\"FROM=first\"]}");
	ask_one("vendor.com/test=one");
	check_env("FROM=first");
	put_device(second, "b.json", "one", "{\"env\": [\"FROM=second\"]}");
	check_env("FROM=second");
	put_device(second, "c.json", "one", "{\"env\": [\"FROM=third\"]}");
	put_device(second, "d.json", "other", "{\"env\": [\"FROM=other\"]}");
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "CDI device vendor.com/test=one is both in ");
	ask_one("vendor.com/test=other");
	check_env("FROM=other");
}

/* Row 45: what is wrong with one file touches no other, and a good version stays in force. */
static void test_refused_files(void **state)
{
	CLEANUP(freep) char *large = xcalloc(1, DOC_SIZE_MAX + 2);
	CLEANUP(freep) char *path = xasprintf("%s/a.json", first);
	CLEANUP(freep) char *link = xasprintf("%s/link.json", first);

	(void)state;
	put_device(first, "a.json", "one", "{\"env\": [\"A=1\"]}");
	put(second, "bad.json", "{\"cdiVersion\": \"9.9.9\"}");
	ask_one("vendor.com/test=one");
	check_env("A=1");
	put(first, "a.json", "{ malformed");
	check_env("A=1");
	memset(large, ' ', DOC_SIZE_MAX + 1);
	put(first, "a.json", large);
	check_env("A=1");
	put_device(first, "a.json", "one", "{\"env\": [\"A=2\"]}");
	check_env("A=2");
	assert_int_equal(chmod(path, 0664), 0);
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "first/a.json: is writable for its group or for all");
	assert_int_equal(chmod(path, 0644), 0);
	check_env("A=2");
	assert_int_equal(rename(path, link), 0);
	check_env("A=2");
	assert_int_equal(symlink(link, path), 0);
	check_env("A=2"); /* and the link is no second one */
	assert_int_equal(unlink(link), 0);
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "first/a.json: is a link");
	assert_int_equal(unlink(path), 0);
	put(first, "a.yaml", "cdiVersion: 0.7.0");
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "first/a.yaml: only JSON is read");
	assert_int_equal(chmod(first, 0777), 0);
	put_device(first, "b.json", "one", "{\"env\": [\"A=1\"]}");
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "/first: is writable for its group or for all");
}

static void test_missing_resources(void **state)
{
	(void)state;
	put_device(first, "a.json", "node", "{\"deviceNodes\": [{\"path\": \"/dev/no-such-device\"}]}");
	put_device(first, "b.json", "file",
		   "{\"deviceNodes\": [{\"path\": \"/dev/x\", \"hostPath\": \"/etc/passwd\"}]}");
	put_device(first, "c.json", "type",
		   "{\"deviceNodes\": [{\"path\": \"/dev/null\", \"type\": \"b\"}]}");
	put_device(first, "d.json", "mount",
		   "{\"mounts\": [{\"hostPath\": \"/no/such\", \"containerPath\": \"/x\"}]}");
	ask_one("vendor.com/test=node");
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "CDI device node /dev/no-such-device: No such file");
	ask_one("vendor.com/test=file");
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "CDI device node /etc/passwd is not a device");
	ask_one("vendor.com/test=type");
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "CDI device node /dev/null is not a device of type b");
	ask_one("vendor.com/test=mount");
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "CDI mount /no/such: No such file");
}

#define SPEC(version, kind, device, edits)                                                             \
	"{\"cdiVersion\": \"" version "\", \"kind\": \"" kind "\", \"devices\": [{\"name\": \"" device \
	"\", \"containerEdits\": " edits "}]}"
#define ENV "{\"env\": [\"A=1\"]}"

static void test_parse(void **state)
{
	static const struct {
		const char *text, *error; /* NULL: good */
	} cases[] = {
		{ SPEC("0.3.0", "v/c", "d", ENV), NULL },
		{ SPEC("v0.8.0", "v/c", "d", ENV), NULL },
		{ SPEC("1.0.0", "v.com/c.d", "0:1", ENV), NULL },
		{ SPEC("0.2.0", "v/c", "d", ENV), "cdiVersion \"0.2.0\" is not known" },
		{ SPEC("2.0.0", "v/c", "d", ENV), "cdiVersion \"2.0.0\" is not known" },
		{ SPEC("0.5.0", "v/c.d", "d", ENV), "a class with a dot in it needs cdiVersion 0.6.0" },
		{ SPEC("0.4.0", "v/c", "0", ENV), "a name with a digit first needs cdiVersion 0.5.0" },
		{ SPEC("0.3.0", "v", "d", ENV), "kind \"v\" is not VENDOR/CLASS" },
		{ SPEC("0.3.0", "v/c/d", "d", ENV), "is not VENDOR/CLASS" },
		{ SPEC("0.3.0", "v/c", "a b", ENV), "devices[0]: \"a b\" is not a device's name" },
		{ SPEC("0.3.0", "v/c", "d", "{}"), "devices[0]: containerEdits is empty" },
		{ SPEC("0.3.0", "v/c", "d", "{\"envs\": []}"),
		  "devices[0]: containerEdits: unknown key \"envs\"" },
		{ SPEC("1.0.0", "v/c", "d", "{\"intelRdt\": {\"closID\": \"x\"}}"),
		  "intelRdt is not supported" },
		{ SPEC("1.0.0", "v/c", "d", "{\"netDevices\": []}"), "netDevices is not supported" },
		{ SPEC("0.6.0", "v/c", "d", "{\"additionalGids\": [1]}"),
		  "additionalGids needs cdiVersion 0.7.0" },
		{ SPEC("0.7.0", "v/c", "d", "{\"additionalGids\": [-1]}"), "is not a number from 0" },
		{ SPEC("0.7.0", "v/c", "d", "{\"env\": [\"A\"]}"), "env[0] is not KEY=VALUE" },
		{ SPEC("0.7.0", "v/c", "d", "{\"deviceNodes\": [{\"path\": \"x\"}]}"),
		  "deviceNodes[0]: path is not an absolute path" },
		{ SPEC("0.7.0", "v/c", "d", "{\"deviceNodes\": [{\"path\": \"/dev/../x\"}]}"),
		  "path has \"..\" in it" },
		{ SPEC("0.4.0", "v/c", "d", "{\"deviceNodes\": [{\"path\": \"/x\", \"hostPath\": \"/y\"}]}"),
		  "deviceNodes[0]: hostPath needs cdiVersion 0.5.0" },
		{ SPEC("0.7.0", "v/c", "d",
		       "{\"deviceNodes\": [{\"path\": \"/x\", \"permissions\": \"rx\"}]}"),
		  "permissions are not" },
		{ SPEC("0.7.0", "v/c", "d", "{\"deviceNodes\": [{\"path\": \"/x\", \"type\": \"q\"}]}"),
		  "type is not b, c, u or p" },
		{ SPEC("0.7.0", "v/c", "d", "{\"deviceNodes\": [{\"path\": \"/x\", \"fileMode\": 999999}]}"),
		  "fileMode is not" },
		{ SPEC("0.3.0", "v/c", "d",
		       "{\"mounts\": [{\"hostPath\": \"/x\", \"containerPath\": \"/y\", \"type\": \"none\"}]}"),
		  "mounts[0]: type needs cdiVersion 0.4.0" },
		{ SPEC("0.7.0", "v/c", "d", "{\"hooks\": [{\"hookName\": \"later\", \"path\": \"/x\"}]}"),
		  "unknown hookName \"later\"" },
		{ SPEC("0.7.0", "v/c", "d", "{\"hooks\": [{\"hookName\": \"poststop\", \"path\": \"x\"}]}"),
		  "path is not absolute" },
		{ SPEC("0.7.0", "v/c", "d",
		       "{\"hooks\": [{\"hookName\": \"poststop\", \"path\": \"/x\", \"timeout\": 0}]}"),
		  "timeout is not" },
		{ "{\"cdiVersion\": \"0.3.0\", \"kind\": \"v/c\", \"devices\": []}", "0 devices" },
		{ "{\"kind\": \"v/c\", \"devices\": []}", "cdiVersion" },
		{ "[]", "" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(arena_freep) struct arena *arena = arena_new(0);
		const struct cdi_spec *spec;
		struct err err = { 0 };
		int failed = cdi_spec_parse(cases[i].text, strlen(cases[i].text), arena, &spec, &err);

		if (!cases[i].error != !failed)
			fail_msg("%s: %s", cases[i].text, failed ? err.text : "accepted");
		if (failed && (err.code != RPC_INVALID_ARGUMENT || !strstr(err.text, cases[i].error)))
			fail_msg("%s: \"%s\", \"%s\" expected", cases[i].text, err.text, cases[i].error);
	}
}

/* device_ownership_from_security_context: of requested devices only. */
static void test_device_ownership(void **state)
{
	static char path[] = "/dev/null", access[] = "rw";
	CLEANUP(freep) char *as_on_host = NULL;
	struct stat st;
	Cri__Int64Value uid = CRI__INT64_VALUE__INIT, gid = CRI__INT64_VALUE__INIT;
	Cri__Device device = CRI__DEVICE__INIT;
	Cri__Device *devices[] = { &device };

	(void)state;
	device.host_path = path;
	device.permissions = access;
	f.config.devices = devices;
	f.config.n_devices = 1;
	uid.value = 1000;
	gid.value = 1001;
	f.security.run_as_user = &uid;
	f.security.run_as_group = &gid;
	assert_int_equal(stat(path, &st), 0);
	as_on_host = xasprintf(
		"[{\"path\":\"/dev/null\",\"type\":\"c\",\"major\":1,\"minor\":3,\"fileMode\":438,\"uid\":%u,\"gid\":%u}]",
		st.st_uid, st.st_gid);
	CLEANUP(json_decrefp) json_t *without = fixture_build(&f);
	assert_at(without, "linux.devices", as_on_host);
	f.settings->runtime.device_ownership_from_security_context = true;
	CLEANUP(json_decrefp) json_t *with = fixture_build(&f);
	assert_at(
		with, "linux.devices",
		"[{\"path\":\"/dev/null\",\"type\":\"c\",\"major\":1,\"minor\":3,\"fileMode\":438,\"uid\":1000,\"gid\":1001}]");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_all_edits),
		TEST(test_owner_is_the_user),
		TEST(test_names),
		TEST(test_annotations),
		TEST(test_priority),
		TEST(test_refused_files),
		TEST(test_missing_resources),
		TEST(test_parse),
		TEST(test_device_ownership),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
