/* Finding programs and reading their versions. */
#include "scratch.h"

#include "base/clock.h"
#include "config/program.h"

static char *script(const struct scratch *scratch, const char *name, const char *text, mode_t mode)
{
	char *path = scratch_path(scratch, name);

	scratch_write(scratch, name, text);
	assert_int_equal(chmod(path, mode), 0);
	return path;
}

static void test_find(void **state UNUSED)
{
	CLEANUP(scratch_done) struct scratch scratch = scratch_new();
	CLEANUP(freep) char *tool = script(&scratch, "tool", "#!/bin/sh\n", 0755);
	CLEANUP(freep) char *plain = script(&scratch, "plain", "", 0644);
	CLEANUP(freep) char *expected = xasprintf("%s is not an executable file", plain);
	CLEANUP(freep) char *found = NULL;
	CLEANUP(freep) char *by_name = NULL;
	CLEANUP(freep) char *shell = NULL;
	CLEANUP(freep) char *old_path = xstrdup(getenv("PATH"));
	CLEANUP(freep) char *new_path = xasprintf(".::relative:%s", scratch.path);
	struct err err = { 0 };
	char *none = NULL;

	assert_int_equal(program_find(tool, &found, &err), 0);
	assert_string_equal(found, tool);
	assert_int_equal(program_find(plain, &none, &err), -1);
	assert_string_equal(err.text, expected);
	assert_int_equal(err.code, RPC_FAILED_PRECONDITION);
	assert_int_equal(program_find("tool", &none, &err), -1);
	assert_string_equal(err.text, "no program tool in PATH");

	assert_int_equal(setenv("PATH", new_path, 1), 0);
	assert_int_equal(program_find("tool", &by_name, &err), 0);
	assert_string_equal(by_name, tool);
	assert_int_equal(program_find("sh", &shell, &err), 0); /* from the fixed path */
	assert_int_equal(program_find("plain", &none, &err), -1);
	assert_int_equal(program_find("../tool", &none, &err), -1);
	assert_int_equal(program_find("", &none, &err), -1);
	assert_null(none);
	assert_int_equal(setenv("PATH", old_path, 1), 0);
}

static void test_version_line(void **state UNUSED)
{
	CLEANUP(scratch_done) struct scratch scratch = scratch_new();
	CLEANUP(freep)
	char *good = script(&scratch, "good", "#!/bin/sh\necho \"tool version 1.2.3 $1\"\necho more\n", 0755);
	CLEANUP(freep)
	char *bad = script(&scratch, "bad", "#!/bin/sh\necho no such option >&2\nexit 3\n", 0755);
	CLEANUP(freep) char *mute = script(&scratch, "mute", "#!/bin/sh\n", 0755);
	CLEANUP(freep) char *expected = xasprintf("%s --version: exit code 3: no such option", bad);
	CLEANUP(freep) char *expected_mute = xasprintf("%s --version printed nothing", mute);
	CLEANUP(freep) char *line = NULL;
	struct err err = { 0 };
	char *none = NULL;

	assert_int_equal(program_version_line(good, NULL, &line, &err), 0);
	assert_string_equal(line, "tool version 1.2.3 --version");
	assert_int_equal(program_version_line(bad, NULL, &none, &err), -1);
	assert_string_equal(err.text, expected);
	assert_int_equal(program_version_line(mute, NULL, &none, &err), -1);
	assert_string_equal(err.text, expected_mute);
	assert_int_equal(program_version_line("/nonexistent", NULL, &none, &err), -1);
	assert_null(none);
}

static void test_version_obeys_the_context(void **state UNUSED)
{
	CLEANUP(scratch_done) struct scratch scratch = scratch_new();
	CLEANUP(freep) char *hangs = script(&scratch, "hangs", "#!/bin/sh\nexec sleep 60\n", 0755);
	int64_t start = clock_mono();
	struct ctx ctx;
	struct err err = { 0 };
	char *none = NULL;

	ctx_init(&ctx, clock_deadline_in(200 * NS_PER_MS));
	assert_int_equal(program_version_line(hangs, &ctx, &none, &err), -1);
	ctx_done(&ctx);
	assert_int_equal(err.code, RPC_DEADLINE_EXCEEDED);
	assert_true(clock_mono() - start < 4 * NS_PER_SEC);
	assert_null(none);
}

static void test_version_parse(void **state UNUSED)
{
	static const struct {
		const char *line;
		struct program_version version;
	} cases[] = {
		{ "crun version 1.8.1", { 1, 8, 1 } },
		{ "runc version 1.1.5+ds1", { 1, 1, 5 } },
		{ "Version: 3.17", { 3, 17, 0 } },
		{ "6.1.0-18-amd64", { 6, 1, 0 } },
		{ "kata-runtime  : 3.2.0", { 3, 2, 0 } },
		{ "v1.", { 0 } },
		{ "build 7 of 2.0-rc1", { 2, 0, 0 } },
		{ "99999999999.1 then 4.5", { 4, 5, 0 } },
		{ "1.2.", { 1, 2, 0 } },
	};
	struct program_version version = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool expected = cases[i].version.major > 0;
		if (program_version_parse(cases[i].line, &version) != expected)
			fail_msg("%s", cases[i].line);
		if (expected)
			assert_memory_equal(&version, &cases[i].version, sizeof(version));
	}
	assert_false(program_version_parse("", &version));
	assert_false(program_version_parse("no numbers", &version));
}

static void test_version_order(void **state UNUSED)
{
	struct program_version version = { 1, 9, 2 };

	assert_false(program_version_before(version, 1, 9, 0));
	assert_false(program_version_before(version, 1, 9, 2));
	assert_true(program_version_before(version, 1, 9, 3));
	assert_true(program_version_before(version, 1, 10, 0));
	assert_true(program_version_before(version, 2, 0, 0));
	assert_false(program_version_before(version, 0, 99, 99));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_version_line),
		cmocka_unit_test(test_version_obeys_the_context),
		cmocka_unit_test(test_version_parse),
		cmocka_unit_test(test_version_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
