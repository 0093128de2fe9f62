/* One plugin call: what it is given, and each way in which it can go wrong (fault matrix 26). */
#include "test/cni/fake.h"

#include <time.h>

#include "base/clock.h"
#include "cni/plugin.h"

static struct fake fake;

static struct plugin_call call_of(const char *type, const char *command)
{
	return (struct plugin_call){
		.dirs = &fake.dirs,
		.type = type,
		.command = command,
		.container_id = FAKE_ID,
		.netns = "/run/ns/x",
		.ifname = "eth0",
		.args = "IgnoreUnknown=1;K8S_POD_NAME=a",
		.stdin_text = "{\"a\":1}",
		.stdin_len = 7,
	};
}

static void assert_fails(const char *body, const struct ctx *ctx, enum rpc_code code, const char *text)
{
	const struct plugin_call call = call_of("x", "ADD");
	CLEANUP(str_done) struct str out = STR_INIT;
	struct err err = { 0 };

	fake_plugin(&fake, "x", body);
	assert_int_equal(plugin_run(&call, ctx, &out, &err), -1);
	if (err.code != code || !strstr(err.text, text))
		fail_msg("%s: %s; wanted %s: %s", rpc_code_name(err.code), err.text, rpc_code_name(code),
			 text);
	assert_int_equal(out.len, 0);
	assert_null(strchr(err.text, '\n'));
}

static void assert_line(const char *text, const char *line)
{
	CLEANUP(freep) char *with_end = xasprintf("%s\n", line);

	if (!strstr(text, with_end))
		fail_msg("no \"%s\" in:\n%s", line, text);
}

static void test_environment(void **state)
{
	const struct plugin_call call = call_of("x", "ADD");
	CLEANUP(str_done) struct str out = STR_INIT;
	struct err err;

	(void)state;
	assert_int_equal(setenv("SECRET_OF_OURS", "1", 1), 0);
	fake_plugin(&fake, "x", "echo \"$in\"");
	assert_int_equal(plugin_run(&call, NULL, &out, &err), 0);
	assert_string_equal(str_get(&out), "{\"a\":1}\n");
	CLEANUP(freep) char *env = fake_read(&fake, "env.x.ADD");
	CLEANUP(freep) char *path = xasprintf("CNI_PATH=%s", fake.bin);
	assert_line(env, "CNI_COMMAND=ADD");
	assert_line(env, "CNI_CONTAINERID=" FAKE_ID);
	assert_line(env, "CNI_NETNS=/run/ns/x");
	assert_line(env, "CNI_IFNAME=eth0");
	assert_line(env, "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAME=a");
	assert_line(env, path);
	assert_null(strstr(env, "SECRET_OF_OURS"));
	struct plugin_call status = { .dirs = &fake.dirs, .type = "x", .command = "STATUS" };
	assert_int_equal(plugin_run(&status, NULL, &out, &err), 0);
	CLEANUP(freep) char *status_env = fake_read(&fake, "env.x.STATUS");
	assert_null(strstr(status_env, "CNI_CONTAINERID"));
}

static void test_errors(void **state)
{
	(void)state;
	assert_fails(
		"echo '{\"cniVersion\":\"1.0.0\",\"code\":7,\"msg\":\"bad subnet\",\"details\":\"10.0.0.0/33\"}'; exit 1",
		NULL, RPC_INTERNAL, "plugin x: ADD: bad subnet: 10.0.0.0/33");
	assert_fails("echo '{\"code\":11,\"msg\":\"busy\"}'; exit 1", NULL, RPC_UNAVAILABLE,
		     "plugin x: ADD: busy");
	assert_fails("printf '%s' '{\"code\":100,\"msg\":\"two\\nlines\\u0007\"}'; exit 1", NULL,
		     RPC_INTERNAL, "two lines ");
	assert_fails("echo not json; echo 'what happened' >&2; exit 3", NULL, RPC_INTERNAL,
		     "exit code 3: what happened");
	assert_fails("echo '{\"code\":\"7\"}'; exit 1", NULL, RPC_INTERNAL, "exit code 1");
	assert_fails("kill -SEGV $$", NULL, RPC_INTERNAL, "signal 11");
	assert_fails("exit 1", NULL, RPC_INTERNAL, "exit code 1");
}

static void test_too_much_output(void **state)
{
	(void)state;
	assert_fails("head -c 2000000 /dev/zero | tr '\\0' x", NULL, RPC_INTERNAL, "more than 1048576 bytes");
	assert_fails("head -c 2000000 /dev/zero | tr '\\0' x; exit 1", NULL, RPC_INTERNAL, "exit code 1");
	assert_fails("head -c 2000000 /dev/zero | tr '\\0' x >&2; exit 1", NULL, RPC_INTERNAL, "exit code 1");
	assert_fails(
		"printf '{\"code\":1,\"msg\":\"'; head -c 10000 /dev/zero | tr '\\0' x; echo '\"}'; exit 1",
		NULL, RPC_INTERNAL, "xxx...");
}

static void test_hang(void **state)
{
	struct ctx ctx;

	(void)state;
	ctx_init(&ctx, clock_deadline_in(100 * NS_PER_MS));
	int64_t begin = clock_mono();
	assert_fails("sleep 1000 & echo $! >$dir/pid; wait", &ctx, RPC_DEADLINE_EXCEEDED, "plugin x: ADD");
	assert_true(clock_mono() - begin < 10 * NS_PER_SEC);
	ctx_done(&ctx);
	ctx_init(&ctx, NO_DEADLINE);
	ctx_cancel(&ctx);
	assert_fails("sleep 1000", &ctx, RPC_CANCELLED, "plugin x: ADD");
	ctx_done(&ctx);
	/* What the plugin had started is dead too. */
	CLEANUP(freep) char *pid = fake_read(&fake, "pid");
	CLEANUP(freep) char *proc = xasprintf("/proc/%.*s/cmdline", (int)strcspn(pid, "\n"), pid);
	for (int i = 0; *pid && i < 1000; i++) {
		CLEANUP(freep) char *title = NULL;
		struct err err;
		if (file_read_virtual(AT_FDCWD, proc, 4096, &title, &err) < 0 || !strstr(title, "sleep"))
			return;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	assert_int_equal(*pid, 0);
}

static void test_find(void **state)
{
	CLEANUP(freep) char *second = xasprintf("%s/bin2", fake.root);
	const char *const items[] = { "/no/such/folder", fake.bin, second, NULL };
	const struct config_strings dirs = { .items = items, .len = 3 };
	CLEANUP(freep) char *expected = xasprintf("%s/y", fake.bin);
	CLEANUP(freep) char *path = NULL;
	CLEANUP(freep) char *other = NULL;
	struct err err;

	(void)state;
	assert_int_equal(mkdir(second, 0755), 0);
	fake_write(second, "y", "#!/bin/sh\n", 0755);
	fake_write(second, "z", "#!/bin/sh\n", 0755);
	fake_write(fake.bin, "y", "#!/bin/sh\n", 0755);
	fake_write(fake.bin, "z", "#!/bin/sh\n", 0644); /* not executable: the next folder's is taken */
	assert_int_equal(plugin_find(&dirs, "y", &path, &err), 0);
	assert_string_equal(path, expected);
	assert_int_equal(plugin_find(&dirs, "z", &other, &err), 0);
	assert_true(str_has_prefix(other, second));
	char *none = NULL;
	assert_int_equal(plugin_find(&dirs, "nix", &none, &err), -1);
	assert_int_equal(err.code, RPC_NOT_FOUND);
	assert_non_null(strstr(err.text, "plugin nix: not found in /no/such/folder, "));
	assert_int_equal(plugin_find(&dirs, "..", &none, &err), -1);
	const struct plugin_call call = call_of("nix", "ADD");
	CLEANUP(str_done) struct str out = STR_INIT;
	assert_int_equal(plugin_run(&call, NULL, &out, &err), -1);
	assert_int_equal(err.code, RPC_UNAVAILABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_too_much_output),
		cmocka_unit_test(test_hang),
		cmocka_unit_test(test_find),
	};

	fake_open(&fake);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	fake_close(&fake);
	return failed;
}
