/* What handlers are found, asked and refused; runtimes are played by scripts, and the real ones are asked
 * where they are. */
#include "box.h"

static char *dir;

static void put_script(const char *name, const char *text)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", dir, name);

	box_write(path, text);
	assert_int_equal(chmod(path, 0755), 0);
}

/* handlers over a configuration that names scripts "one", "two", ..; the caller frees both. */
static struct handlers *open_handlers(const char *toml, bool strict, struct config **ret_config,
				      struct err *err)
{
	CLEANUP(freep) char *file = xasprintf("%s/crisp.toml", dir);
	CLEANUP(freep) char *none = xasprintf("%s/none", dir);
	struct config_paths paths = { .file = file, .dropins = none, .file_needed = true };

	box_write(file, toml);
	if (config_load(&paths, ret_config, err) < 0)
		fail_msg("%s", err->text);
	return handlers_open(*ret_config, strict, err);
}

static void test_scripts(void **state)
{
	struct config *config CLEANUP(config_unrefp) = NULL;
	struct err err = { 0 };

	(void)state;
	put_script(
		"features",
		"#!/bin/sh\n"
		"[ $1 != --version ] || { echo 'runc version 1.3.0'; exit; }\n"
		"echo '{\"ociVersionMin\":\"1.0.0\",\"mountOptions\":[\"ro\",\"rro\"],\"linux\":{\"namespaces\":[\"pid\","
		"\"user\"],\"seccomp\":{\"enabled\":true},\"apparmor\":{\"enabled\":false},\"mountExtensions\":"
		"{\"idmap\":{\"enabled\":true}}},\"potentiallyUnsafeConfigAnnotations\":[\"bundle\",\"x.\"]}'\n");
	put_script("old-crun",
		   "#!/bin/sh\n[ $1 != --version ] || { echo 'crun version 1.3'; exit; }\nexit 1\n");
	put_script("new-crun",
		   "#!/bin/sh\n[ $1 != --version ] || { echo 'crun version 1.14.1'; exit; }\nexit 1\n");
	put_script(
		"junk",
		"#!/bin/sh\n[ $1 != --version ] || { echo 'runc version 1.0.2'; exit; }\necho '{\"linux\":7}'\n");
	put_script("broken", "#!/bin/sh\nexit 1\n");
	CLEANUP(freep)
	char *toml = xasprintf(
		"[crisp.runtime]\ndefault_runtime = \"features\"\nconmon = \"%s/features\"\n"
		"[crisp.runtime.runtimes.features]\nruntime_path = \"%s/features\"\nruntime_root = \"/run/my-root\"\n"
		"[crisp.runtime.runtimes.old]\nruntime_path = \"%s/old-crun\"\n"
		"[crisp.runtime.runtimes.new]\nruntime_path = \"%s/new-crun\"\nmonitor_path = \"/nowhere/conmon\"\n"
		"[crisp.runtime.runtimes.junk]\nruntime_path = \"%s/junk\"\n"
		"[crisp.runtime.runtimes.broken]\nruntime_path = \"%s/broken\"\n"
		"[crisp.runtime.runtimes.absent]\nruntime_path = \"/nowhere/x\"\n",
		dir, dir, dir, dir, dir, dir);
	struct handlers *handlers = open_handlers(toml, true, &config, &err);
	assert_non_null(handlers);

	const struct handler *handler = handlers_find(handlers, "");
	assert_string_equal(handlers_default_name(handlers), "features");
	assert_ptr_equal(handler, handlers_find(handlers, "features"));
	assert_null(handler->problem);
	assert_string_equal(handler->version, "runc version 1.3.0");
	assert_string_equal(handler->root, "/run/my-root");
	assert_false(handler->is_crun || handler->seccomp_bpf_data || handler->apparmor ||
		     handler->devices_need_memlock);
	assert_true(handler->recursive_read_only_mounts && handler->idmap_mounts && handler->user_namespaces);
	assert_true(handler->seccomp && handler->features);
	assert_int_equal(handler->unsafe_annotations.len, 2);

	handler = handlers_find(handlers, "old");
	assert_true(handler->is_crun && handler->devices_need_memlock && handler->user_namespaces);
	assert_false(handler->recursive_read_only_mounts || handler->seccomp_bpf_data || handler->features);
	handler = handlers_find(handlers, "new");
	assert_true(handler->seccomp_bpf_data && handler->recursive_read_only_mounts &&
		    !handler->devices_need_memlock);
	assert_non_null(strstr(handler->problem, "/nowhere/conmon"));
	handler = handlers_find(handlers, "junk");
	assert_null(handler->problem);
	assert_null(handler->features);
	assert_false(handler->recursive_read_only_mounts);
	assert_non_null(handlers_find(handlers, "broken")->problem);
	assert_non_null(strstr(handlers_find(handlers, "absent")->problem, "/nowhere/x"));
	assert_null(handlers_find(handlers, "unknown"));
	size_t count = 0;
	while (handlers_at(handlers, count))
		count++;
	assert_true(count >= 6);
	handlers_free(handlers);
}

static void test_strict(void **state)
{
	struct config *config CLEANUP(config_unrefp) = NULL;
	struct err err = { 0 };

	(void)state;
	assert_null(
		open_handlers("[crisp.runtime]\ndefault_runtime = \"gone\"\n[crisp.runtime.runtimes.gone]\n"
			      "runtime_path = \"/nowhere/gone\"\n",
			      true, &config, &err));
	assert_int_equal(err.code, RPC_FAILED_PRECONDITION);
	assert_non_null(strstr(err.text, "/nowhere/gone"));
	assert_null(handlers_free(NULL));
}

static void test_hanging_runtime(void **state)
{
	struct config *config CLEANUP(config_unrefp) = NULL;
	struct err err = { 0 };
	int64_t before = clock_mono();

	(void)state;
	put_script("hang", "#!/bin/sh\nexec sleep 1000\n");
	CLEANUP(freep)
	char *toml = xasprintf("[crisp.runtime.runtimes.hang]\nruntime_path = \"%s/hang\"\n", dir);
	struct handlers *handlers = open_handlers(toml, false, &config, &err);
	assert_non_null(handlers);
	assert_non_null(handlers_find(handlers, "hang")->problem);
	assert_true(clock_mono() - before < 15 * NS_PER_SEC);
	handlers_free(handlers);
}

static void test_installed(void **state)
{
	struct config *config CLEANUP(config_unrefp) = NULL;
	struct err err = { 0 };

	(void)state;
	struct handlers *handlers = open_handlers("", false, &config, &err);
	const struct handler *crun = handlers_find(handlers, "crun"), *runc = handlers_find(handlers, "runc");
	assert_non_null(crun);
	assert_non_null(runc);
	if (!crun->problem)
		assert_true(crun->is_crun && *crun->path == '/');
	if (!runc->problem) {
		assert_false(runc->is_crun);
		assert_true(str_has_prefix(runc->version, "runc version"));
	}
	handlers_free(handlers);
}

static int setup(void **state)
{
	char template[] = "/tmp/crisp-handler-test.XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(template));
	dir = xstrdup(template);
	return 0;
}

static int teardown(void **state)
{
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_int_equal(tree_remove(tmp, strrchr(dir, '/') + 1, NULL), 0);
	close(tmp);
	freep(&dir);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scripts),
		cmocka_unit_test(test_strict),
		cmocka_unit_test(test_hanging_runtime),
		cmocka_unit_test(test_installed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
