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
		cmocka_unit_test(test_argv),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
