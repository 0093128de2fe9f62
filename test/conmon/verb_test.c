/* What is made of a runtime's last words. */
#include "box.h"

#include "conmon/verb.h"

static void check(const char *output, const char *expected)
{
	char text[64];

	verb_message(output, text, sizeof(text));
	assert_string_equal(text, expected);
}

static void test_messages(void **state)
{
	(void)state;
	check("", "");
	check("\n \n\t\n", "");
	check("plain\n", "plain");
	check("one\ntwo\n\n", "two");
	check("2026-11-22T03:40:00.123456Z: cannot find it", "cannot find it");
	check("2026-11-22T03:40:00.000000Z:", "2026-11-22T03:40:00.000000Z:");
	check("ZZZZZZZZZZZZZZZZZZZZZZZZ: x", "ZZZZZZZZZZZZZZZZZZZZZZZZ: x");
	check("time=\"2026\" level=error msg=\"say \\\"no\\\" \\\\ twice\" x=1", "say \"no\" \\ twice");
	check("time=\"2026\" level=error msg=\"unfinished", "unfinished");
	check("time=\"2026\" level=error msg=\"ends with \\", "ends with \\");
	check("msg=\"not at a log line\"", "msg=\"not at a log line\"");
	check("bytes \x01\x7f\xff", "bytes ???");
	check("0123456789012345678901234567890123456789012345678901234567890123456789",
	      "012345678901234567890123456789012345678901234567890123456789012");
}

static void check_problem(const char *message, const char *expected)
{
	const char *problem = verb_program_problem(message, "bin/x");

	if (!expected)
		assert_null(problem);
	else
		assert_string_equal(problem ? problem : "none", expected);
}

static void test_program_problems(void **state)
{
	(void)state;
	check_problem("executable file `/no/such` not found in $PATH: No such file or directory",
		      "No such file or directory");
	check_problem("open executable: Permission denied", "Permission denied");
	check_problem("executable file `/no/such` not found: No such file or directory",
		      "No such file or directory");
	check_problem("the path `/a` exists but it is not executable: Operation not permitted",
		      "exists but it is not executable: Operation not permitted");
	check_problem("the path `/a` is not a regular file: Operation not permitted",
		      "is not a regular file: Operation not permitted");
	check_problem("open `/home/bin/x`: Not a directory", "Not a directory");
	check_problem("cannot open `/home/bin/x`: Not a directory", "Not a directory");
	check_problem(
		"runc create failed: unable to start container process: exec: \"/a\": stat /a: no such file or directory",
		"stat /a: no such file or directory");
	check_problem("runc create failed: unable to start container process: error during container init: "
		      "exec: \"a\": executable file not found in $PATH",
		      "executable file not found in $PATH");
	check_problem(
		"container_linux.go:380: starting container process caused: exec: \"a\": permission denied",
		"permission denied");
	/* What is not about the container's own program. */
	check_problem("", NULL);
	check_problem("open executable", NULL);
	check_problem("cannot open executable: no", NULL);
	check_problem("executable file `cut", NULL);
	check_problem("executable file `cut`", NULL);
	check_problem("the path `/a` is on fire", NULL);
	check_problem("open `/dev/bin/y`: Not a directory", NULL);
	check_problem("open `x`: Not a directory", NULL);
	check_problem(
		"runc create failed: error running prestart hook #0: exec: \"/hook\": permission denied",
		NULL);
	check_problem("runc create failed: unable to start container process: exec: \"cut", NULL);
	check_problem("error mounting \"/x\" to rootfs: no such file or directory", NULL);
}

static void test_argv(void **state)
{
	struct handler handler = { .name = "crun", .path = "/usr/bin/crun", .root = "/run/crisp/crun" };
	struct runtime_target target = { .handler = &handler, .systemd_cgroup = true };
	struct strv argv CLEANUP(strv_done) = STRV_INIT;

	(void)state;
	verb_argv(&target, &argv);
	CLEANUP(freep) char *line = strv_join(&argv, " ");
	assert_string_equal(line, "/usr/bin/crun --root=/run/crisp/crun --systemd-cgroup");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_program_problems),
		cmocka_unit_test(test_argv),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
