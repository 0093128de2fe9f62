#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/str.h"
#include "cni/conflist.h"

static const struct conflist *good(const char *text)
{
	const struct conflist *list = NULL;
	struct err err;

	if (conflist_parse("10-test.conflist", text, strlen(text), &list, &err) < 0)
		fail_msg("%s", err.text);
	return list;
}

static void test_list(void **state)
{
	CLEANUP(conflist_unrefp)
	const struct conflist *list =
		good("{\"cniVersion\":\"1.0.0\",\"name\":\"pod-net_1.x\",\"disableCheck\":true,\"plugins\":["
		     "{\"type\":\"bridge\",\"ipam\":{\"type\":\"host-local\"},\"custom\":[1]},"
		     "{\"type\":\"portmap\",\"capabilities\":{\"portMappings\":true},\"ipam\":{}}]}");

	(void)state;
	assert_string_equal(list->file, "10-test.conflist");
	assert_string_equal(list->name, "pod-net_1.x");
	assert_string_equal(list->version, "1.0.0");
	assert_true(list->disable_check);
	assert_false(list->disable_gc);
	assert_int_equal(list->plugins_len, 2);
	assert_string_equal(list->plugins[0].type, "bridge");
	assert_string_equal(list->plugins[0].ipam, "host-local");
	assert_null(list->plugins[0].capabilities);
	assert_non_null(json_object_get(list->plugins[0].conf, "custom"));
	assert_string_equal(list->plugins[1].type, "portmap");
	assert_null(list->plugins[1].ipam);
	assert_true(json_is_true(json_object_get(list->plugins[1].capabilities, "portMappings")));
}

static void test_single_plugin_file(void **state)
{
	CLEANUP(conflist_unrefp)
	const struct conflist *list =
		good("{\"cniVersion\":\"0.3.1\",\"name\":\"lo\",\"type\":\"loopback\"}");

	(void)state;
	assert_int_equal(list->plugins_len, 1);
	assert_string_equal(list->plugins[0].type, "loopback");
	assert_string_equal(list->version, "0.3.1");
}

static void test_versions(void **state)
{
	static const struct {
		const char *keys, *version;
	} rows[] = {
		{ "", "0.1.0" },
		{ "\"cniVersion\":\"0.3.1\",", "0.3.1" },
		{ "\"cniVersion\":\"0.4.0\",", "0.4.0" },
		{ "\"cniVersion\":\"1.1.0\",", "1.1.0" },
		{ "\"cniVersion\":\"0.3.1\",\"cniVersions\":[\"0.4.0\",\"1.0.0\"],", "1.0.0" },
		{ "\"cniVersions\":[\"1.1.0\",\"0.4.0\",\"7.0.0\"],", "1.1.0" },
		{ "\"cniVersion\":\"1.0.0\",\"cniVersions\":[],", "1.0.0" },
		{ "\"cniVersion\":\"9.9.9\",\"cniVersions\":[\"0.4.0\"],", "0.4.0" },
		{ "\"cniVersion\":\"9.9.9\",", NULL },
		{ "\"cniVersions\":[\"9.9.9\"],", NULL },
		{ "\"cniVersion\":1,", NULL },
		{ "\"cniVersions\":\"1.0.0\",", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(freep) char *text = xasprintf("{%s\"name\":\"a\",\"type\":\"x\"}", rows[i].keys);
		CLEANUP(conflist_unrefp) const struct conflist *list = NULL;
		struct err err = { 0 };
		int got = conflist_parse("f", text, strlen(text), &list, &err);
		print_message("%s -> %s\n", rows[i].keys, got < 0 ? err.text : list->version);
		assert_int_equal(got, rows[i].version ? 0 : -1);
		if (rows[i].version)
			assert_string_equal(list->version, rows[i].version);
		else
			assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	}
	assert_true(conflist_version_at_least("1.0.0", 0, 4));
	assert_true(conflist_version_at_least("0.4.0", 0, 4));
	assert_false(conflist_version_at_least("0.3.1", 0, 4));
	assert_false(conflist_version_at_least("1.0.0", 1, 1));
	assert_true(conflist_version_at_least("1.1.0", 1, 1));
}

/* lessons 3b row 45, CVE-2021-20206. */
static void test_bad(void **state)
{
	static const char *const rows[] = {
		"",
		"{",
		"[]",
		"{} x",
		"null",
		"{\"name\":\"a\"}",
		"{\"name\":\"a\",\"plugins\":[]}",
		"{\"name\":\"a\",\"plugins\":{}}",
		"{\"name\":\"a\",\"plugins\":[1]}",
		"{\"name\":\"a\",\"plugins\":[{}]}",
		"{\"name\":\"a\",\"plugins\":[{\"type\":1}]}",
		"{\"type\":\"x\"}",
		"{\"name\":\"\",\"type\":\"x\"}",
		"{\"name\":1,\"type\":\"x\"}",
		"{\"name\":\"../a\",\"type\":\"x\"}",
		"{\"name\":\"a/b\",\"type\":\"x\"}",
		"{\"name\":\".a\",\"type\":\"x\"}",
		"{\"name\":\"a\\nb\",\"type\":\"x\"}",
		"{\"name\":\"a\",\"type\":\"../../bin/sh\"}",
		"{\"name\":\"a\",\"type\":\"/bin/sh\"}",
		"{\"name\":\"a\",\"type\":\"..\"}",
		"{\"name\":\"a\",\"type\":\".\"}",
		"{\"name\":\"a\",\"type\":\"\"}",
		"{\"name\":\"a\",\"type\":\"x\\ny\"}",
		"{\"name\":\"a\",\"type\":\"x\",\"ipam\":{\"type\":\"../../bin/sh\"}}",
		"{\"name\":\"a\",\"type\":\"x\",\"ipam\":{\"type\":1}}",
		"{\"name\":\"a\",\"type\":\"x\",\"capabilities\":[]}",
		"{\"name\":\"a\",\"type\":\"x\",\"disableCheck\":1}",
		"{\"name\":\"a\",\"name\":\"b\",\"type\":\"x\"}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct conflist *list = NULL;
		struct err err = { 0 };
		int got = conflist_parse("99-bad.conf", rows[i], strlen(rows[i]), &list, &err);
		print_message("%s -> %s\n", rows[i], err.text);
		assert_int_equal(got, -1);
		assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
		assert_true(str_has_prefix(err.text, "99-bad.conf: "));
	}
}

static void test_at_version(void **state)
{
	static const char text[] =
		"{\"cniVersion\":\"0.3.1\",\"cniVersions\":[\"1.1.0\",\"0.4.0\",1,\"8.0.0\",\"0.4.0\"],"
		"\"name\":\"n\",\"disableGC\":true,\"plugins\":[{\"type\":\"a\",\"x\":1}]}";
	CLEANUP(conflist_unrefp) const struct conflist *list = NULL;
	struct err err;

	(void)state;
	assert_int_equal(conflist_parse("f", text, strlen(text), &list, &err), 0);
	assert_int_equal(list->versions_len, 3);
	assert_string_equal(list->versions[0], "0.3.1");
	assert_string_equal(list->versions[1], "0.4.0");
	assert_string_equal(list->version, "1.1.0");
	CLEANUP(conflist_unrefp) const struct conflist *lower = conflist_at_version(list, "0.4.0");
	assert_string_equal(lower->version, "0.4.0");
	assert_int_equal(lower->versions_len, 1);
	assert_string_equal(lower->file, "f");
	assert_string_equal(lower->name, "n");
	assert_true(lower->disable_gc);
	assert_int_equal(json_integer_value(json_object_get(lower->plugins[0].conf, "x")), 1);
	assert_string_equal(list->version, "1.1.0");
}

static void test_bounds(void **state)
{
	static const char nul[] = "{\"name\":\"a\",\"type\":\"x\",\"b\":true\0}";
	CLEANUP(str_done) struct str many = STR_INIT;
	CLEANUP(freep) char *big = xmalloc(CONFLIST_MAX + 2);
	const struct conflist *list = NULL;
	struct err err;

	(void)state;
	assert_int_equal(conflist_parse("f", nul, sizeof(nul) - 1, &list, &err), -1);
	str_add(&many, "{\"name\":\"a\",\"plugins\":[");
	for (int i = 0; i <= CONFLIST_PLUGINS_MAX; i++)
		str_addf(&many, "%s{\"type\":\"x\"}", i ? "," : "");
	str_add(&many, "]}");
	assert_int_equal(conflist_parse("f", str_get(&many), many.len, &list, &err), -1);
	memset(big, ' ', CONFLIST_MAX + 1);
	assert_int_equal(conflist_parse("f", big, CONFLIST_MAX + 1, &list, &err), -1);
	assert_non_null(strstr(err.text, "longer than"));
}

static void test_file_names(void **state)
{
	(void)state;
	assert_true(conflist_is_file_name("10-a.conflist"));
	assert_true(conflist_is_file_name("a.conf"));
	assert_true(conflist_is_file_name("a.json"));
	assert_false(conflist_is_file_name("a.conflist.tmp"));
	assert_false(conflist_is_file_name(".a.conflist"));
	assert_false(conflist_is_file_name("README"));
}

static void test_read(void **state)
{
	static const char text[] = "{\"name\":\"a\",\"type\":\"x\"}";
	char root[] = "/tmp/crisp-conflist-XXXXXX";
	CLEANUP(conflist_unrefp) const struct conflist *list = NULL;
	CLEANUP(freep) char *warning = NULL;
	CLEANUP(freep) char *big = xcalloc(1, CONFLIST_MAX + 2);
	struct err err;

	(void)state;
	assert_non_null(mkdtemp(root));
	CLEANUP(fd_closep) int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(file_replace_volatile(dir, "a.conf", text, strlen(text), 0644, &err), 0);
	assert_int_equal(symlinkat("a.conf", dir, "link.conf"), 0);
	assert_int_equal(conflist_read(dir, "link.conf", &list, &warning, &err), 0);
	assert_null(warning);
	assert_string_equal(list->text, text);
	list = conflist_unref(list);
	/* Writable by root's group or owned by another: told at most. By another group, by all: refused. */
	assert_int_equal(fchmodat(dir, "a.conf", 0664, 0), 0);
	if (fchownat(dir, "a.conf", 4343, 0, 0) == 0) {
		assert_int_equal(conflist_read(dir, "a.conf", &list, &warning, &err), 0);
		assert_non_null(strstr(warning, "4343"));
		list = conflist_unref(list);
		free(TAKE(warning));
		assert_int_equal(fchownat(dir, "a.conf", 0, 4242, 0), 0);
		assert_int_equal(conflist_read(dir, "a.conf", &list, &warning, &err), -1);
		assert_int_equal(err.code, RPC_PERMISSION_DENIED);
		assert_non_null(strstr(err.text, "its group (4242) may write to it"));
	}
	assert_int_equal(fchmodat(dir, "a.conf", 0646, 0), 0);
	assert_int_equal(conflist_read(dir, "a.conf", &list, &warning, &err), -1);
	assert_int_equal(err.code, RPC_PERMISSION_DENIED);
	/* Neither a FIFO (which must not block) nor a folder nor ten megabytes. */
	assert_int_equal(mkfifoat(dir, "fifo.conf", 0600), 0);
	assert_int_equal(conflist_read(dir, "fifo.conf", &list, &warning, &err), -1);
	assert_int_equal(mkdirat(dir, "dir.conf", 0700), 0);
	assert_int_equal(conflist_read(dir, "dir.conf", &list, &warning, &err), -1);
	assert_int_equal(conflist_read(dir, "none.conf", &list, &warning, &err), -1);
	memset(big, ' ', CONFLIST_MAX + 1);
	assert_int_equal(file_replace_volatile(dir, "big.conf", big, CONFLIST_MAX + 1, 0644, &err), 0);
	assert_int_equal(conflist_read(dir, "big.conf", &list, &warning, &err), -1);
	assert_non_null(strstr(err.text, "big.conf: longer than"));
	CLEANUP(fd_closep) int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(tree_remove(tmp, root + strlen("/tmp/"), &err), 0);
}

/* libcni 1.3: plugins of the folder named as the network. */
static void test_folder(void **state)
{
	static const char
		text[] = "{\"name\":\"net\",\"cniVersion\":\"1.0.0\",\"plugins\":[{\"type\":\"x\"}]}",
		alone[] = "{\"name\":\"net\",\"loadOnlyInlinedPlugins\":true,\"plugins\":[{\"type\":\"x\"}]}",
		none[] = "{\"name\":\"net\",\"cniVersion\":\"1.0.0\"}", y[] = "{\"type\":\"y\"}",
		z[] = "{\"type\":\"z\"}";
	char root[] = "/tmp/crisp-conflist-XXXXXX";
	CLEANUP(conflist_unrefp) const struct conflist *list = NULL;
	CLEANUP(freep) char *warning = NULL;
	struct err err;

	(void)state;
	assert_non_null(mkdtemp(root));
	CLEANUP(fd_closep) int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(file_replace_volatile(dir, "a.conflist", text, strlen(text), 0644, &err), 0);
	assert_int_equal(file_replace_volatile(dir, "alone.conflist", alone, strlen(alone), 0644, &err), 0);
	assert_int_equal(file_replace_volatile(dir, "none.conflist", none, strlen(none), 0644, &err), 0);
	assert_int_equal(conflist_read(dir, "none.conflist", &list, &warning, &err), -1);
	assert_int_equal(mkdirat(dir, "net", 0700), 0);
	CLEANUP(fd_closep) int folder = openat(dir, "net", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(file_replace_volatile(folder, "2.conf", z, strlen(z), 0644, &err), 0);
	assert_int_equal(file_replace_volatile(folder, "1.conf", y, strlen(y), 0644, &err), 0);
	assert_int_equal(file_replace_volatile(folder, "3.json", "{", 1, 0644, &err), 0);
	assert_int_equal(conflist_read(dir, "a.conflist", &list, &warning, &err), 0);
	assert_int_equal(list->plugins_len, 3);
	assert_string_equal(list->plugins[1].type, "y");
	assert_string_equal(list->plugins[2].type, "z");
	list = conflist_unref(list);
	assert_int_equal(conflist_read(dir, "none.conflist", &list, &warning, &err), 0);
	assert_int_equal(list->plugins_len, 2);
	list = conflist_unref(list);
	assert_int_equal(conflist_read(dir, "alone.conflist", &list, &warning, &err), 0);
	assert_int_equal(list->plugins_len, 1);
	list = conflist_unref(list);
	assert_int_equal(file_replace_volatile(folder, "3.conf", "{", 1, 0644, &err), 0);
	assert_int_equal(conflist_read(dir, "a.conflist", &list, &warning, &err), -1);
	assert_non_null(strstr(err.text, "net"));
	assert_int_equal(unlinkat(folder, "3.conf", 0), 0);
	assert_int_equal(fchmod(folder, 0777), 0);
	assert_int_equal(conflist_read(dir, "a.conflist", &list, &warning, &err), -1);
	assert_int_equal(err.code, RPC_PERMISSION_DENIED);
	CLEANUP(fd_closep) int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(tree_remove(tmp, root + strlen("/tmp/"), &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),       cmocka_unit_test(test_single_plugin_file),
		cmocka_unit_test(test_versions),   cmocka_unit_test(test_at_version),
		cmocka_unit_test(test_bad),        cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_file_names), cmocka_unit_test(test_read),
		cmocka_unit_test(test_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
