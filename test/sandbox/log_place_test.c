/* Logs go where the request says and nowhere else: links, dots and things that are no files are refused. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "sandbox/log_place.h"

static char dir[] = "/tmp/crisp-log-place-test.XXXXXX";
static int root = -1;

static int setup(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(dir));
	root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(root, "logs", 0755), 0);
	assert_int_equal(mkdirat(root, "logs/box", 0755), 0);
	assert_int_equal(mkdirat(root, "open", 0755), 0);
	assert_int_equal(fchmodat(root, "open", 0777, 0), 0);
	assert_int_equal(mkdirat(root, "elsewhere", 0755), 0);
	assert_int_equal(symlinkat("elsewhere", root, "link"), 0);
	assert_int_equal(symlinkat("../elsewhere", root, "open/link"), 0);
	assert_int_equal(symlinkat("open/link", root, "to-link"), 0);
	assert_int_equal(symlinkat("loop", root, "loop"), 0);
	assert_int_equal(symlinkat("/etc/passwd", root, "logs/file-link"), 0);
	assert_int_equal(symlinkat("box", root, "logs/box-link"), 0);
	assert_int_equal(mkfifoat(root, "logs/fifo", 0600), 0);
	close(openat(root, "logs/0.log", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	return 0;
}

static int teardown(void **state)
{
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	close(root);
	assert_int_equal(tree_remove(tmp, strrchr(dir, '/') + 1, NULL), 0);
	close(tmp);
	return 0;
}

static void check_directory(const char *name, const char *refusal)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", dir, name);
	struct err err = { 0 };
	int failed = log_directory_check(path, &err);

	if (failed != (refusal ? -1 : 0))
		fail_msg("%s: %s", name, failed ? err.text : "taken");
	if (refusal && (err.code != RPC_INVALID_ARGUMENT || !strstr(err.text, refusal)))
		fail_msg("%s: %s %s", name, rpc_code_name(err.code), err.text);
}

static void test_directories(void **state)
{
	char long_name[300];

	(void)state;
	check_directory("logs", NULL);
	check_directory("logs/", NULL);
	check_directory("logs//box/still/to/be/made", NULL);
	check_directory("open/absent", NULL);
	check_directory("../etc", "without dots");
	check_directory("logs/0.log", "not a folder");
	check_directory("logs/0.log/below", "not a folder");
	memset(long_name, 'a', sizeof(long_name));
	long_name[sizeof(long_name) - 1] = '\0';
	check_directory(long_name, "too long");
}

static void test_links_to_directories(void **state)
{
	(void)state;
	/* Ours, above the pod's own folder. */
	check_directory("link/pod", NULL);
	check_directory("link//pod/", NULL);
	/* The folder itself, one that anybody may have placed, one that leads over such a one, one without an
	 * end. */
	check_directory("link", "symbolic link");
	check_directory("link/", "symbolic link");
	check_directory("open/link/pod", "symbolic link");
	check_directory("to-link/pod", "symbolic link");
	check_directory("loop/pod", "symbolic link");
	assert_int_equal(fchownat(root, "link", 65534, 65534, AT_SYMLINK_NOFOLLOW), 0);
	check_directory("link/pod", "symbolic link");
	assert_int_equal(fchownat(root, "link", 0, 0, AT_SYMLINK_NOFOLLOW), 0);
}

static void check_place(const char *path, const char *refusal)
{
	CLEANUP(freep) char *logs = xasprintf("%s/logs", dir);
	struct err err = { 0 };
	int failed = log_place_check(logs, path, &err);

	if (failed != (refusal ? -1 : 0))
		fail_msg("%s: %s", path, failed ? err.text : "taken");
	if (refusal && (err.code != RPC_INVALID_ARGUMENT || !strstr(err.text, refusal)))
		fail_msg("%s: %s %s", path, rpc_code_name(err.code), err.text);
}

static void test_places(void **state)
{
	(void)state;
	check_place("0.log", NULL);
	check_place("new.log", NULL);
	check_place("box//0.log", NULL);
	check_place("new/folders/0.log", NULL);
	check_place("/0.log", "absolute");
	check_place("box/", "folder");
	check_place("box", "not a regular file");
	check_place("fifo", "not a regular file");
	check_place(".", "has dots");
	check_place("..", "has dots");
	check_place("box/../../0.log", "has dots");
	check_place("a\nb", "has dots");
	check_place("0.log/below", "not a folder");
	check_place("file-link", "symbolic link");
	check_place("box-link/0.log", "symbolic link");
}

static void test_without_directory(void **state)
{
	CLEANUP(freep) char *absent = xasprintf("%s/not/yet", dir);
	CLEANUP(freep) char *link = xasprintf("%s/link", dir);
	struct err err = { 0 };

	(void)state;
	assert_int_equal(log_place_check("", "0.log", &err), -1);
	assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	assert_int_equal(log_place_check(absent, "0.log", &err), 0);
	/* Swapped for a link since the pod was made. */
	assert_int_equal(log_place_check(link, "0.log", &err), -1);
	assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
}

static void test_make(void **state)
{
	CLEANUP(freep) char *logs = xasprintf("%s/made/logs", dir);
	struct err err = { 0 };

	(void)state;
	assert_int_equal(log_place_make(logs, "0.log", &err), 0);
	assert_int_equal(faccessat(root, "made/logs", F_OK, 0), 0);
	assert_int_equal(log_place_make(logs, "box/deeper/0.log", &err), 0);
	assert_int_equal(faccessat(root, "made/logs/box/deeper", F_OK, 0), 0);
	assert_int_not_equal(faccessat(root, "made/logs/box/deeper/0.log", F_OK, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_directories), cmocka_unit_test(test_links_to_directories),
		cmocka_unit_test(test_places),      cmocka_unit_test(test_without_directory),
		cmocka_unit_test(test_make),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
