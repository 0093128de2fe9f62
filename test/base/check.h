/*
 * What every test of base needs: cmocka, checks on struct err that print its text, a scratch directory that
 * goes with the test, and running this very program again for scenarios that end in abort().
 */
#ifndef TEST_BASE_CHECK_H
#define TEST_BASE_CHECK_H

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/file.h"
#include "base/spawn.h"

#define assert_ok(call)                                                                   \
	do {                                                                              \
		err_clear(&err);                                                          \
		int rc_ = (call);                                                         \
		if (rc_ < 0)                                                              \
			fail_msg("%s: %s: %s", #call, rpc_code_name(err.code), err.text); \
	} while (0)

#define assert_fails(call, expected)                                                                   \
	do {                                                                                           \
		err_clear(&err);                                                                       \
		int rc_ = (call);                                                                      \
		if (rc_ >= 0)                                                                          \
			fail_msg("%s: no error, %s expected", #call, rpc_code_name(expected));         \
		if (err.code != (expected))                                                            \
			fail_msg("%s: %s (%s), %s expected", #call, rpc_code_name(err.code), err.text, \
				 rpc_code_name(expected));                                             \
	} while (0)

#define assert_contains(text, part)                                          \
	do {                                                                 \
		if (!strstr((text), (part)))                                 \
			fail_msg("\"%s\" is not in \"%s\"", (part), (text)); \
	} while (0)

#define assert_between(value, low, high)                                                        \
	do {                                                                                    \
		long long value_ = (value), low_ = (low), high_ = (high);                       \
		if (value_ < low_ || value_ > high_)                                            \
			fail_msg("%s is %lld, not in %lld..%lld", #value, value_, low_, high_); \
	} while (0)

struct scratch {
	char path[64];
	char name[64]; /* below /tmp */
	int dir;
};

static inline void scratch_init(struct scratch *scratch)
{
	snprintf(scratch->path, sizeof(scratch->path), "/tmp/crisp-test-XXXXXX");
	assert_non_null(mkdtemp(scratch->path));
	snprintf(scratch->name, sizeof(scratch->name), "%s", scratch->path + strlen("/tmp/"));
	scratch->dir = open(scratch->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(scratch->dir >= 0);
}

static inline void scratch_done(struct scratch *scratch)
{
	struct err err = { 0 };
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	close(scratch->dir);
	assert_ok(tree_remove(tmp, scratch->name, &err));
	close(tmp);
}

static inline void put_file(int dir, const char *name, const char *content)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, content, strlen(content)), 0);
	close(fd);
}

/* Runs this program again with one argument and returns what it wrote to stderr; the signal it died of must
 * be `signal` (0: it must have ended with exit code 0). malloc'd. */
static inline char *run_self(const char *scenario, int signal)
{
	const char *argv[] = { "test", scenario, NULL };
	const char *env[] = { "PATH=/usr/bin:/bin", "TSAN_OPTIONS=halt_on_error=1", NULL };
	const struct command command = { .path = "/proc/self/exe",
					 .argv = argv,
					 .env = env,
					 .stderr_max = 65536,
					 .timeout = 20 * NS_PER_SEC };
	struct command_result result;
	struct err err = { 0 };

	assert_ok(command_run(&command, NULL, &result, &err));
	if (result.exited != !signal || result.status != signal)
		fail_msg("%s: %s %d, signal %d expected: %s", scenario,
			 result.exited ? "exit code" : "signal", result.status, signal,
			 str_get(&result.err_out));
	char *text = str_take(&result.err_out);
	command_result_done(&result);
	return text;
}

static inline void assert_aborts(const char *scenario, const char *message)
{
	CLEANUP(freep) char *text = run_self(scenario, SIGABRT);

	assert_contains(text, message);
}

/* Neither gone nor a zombie, by /proc. */
static inline bool pid_alive(int pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	CLEANUP(freep) char *text = NULL;
	if (pid <= 0 || file_read_virtual(AT_FDCWD, path, 4096, &text, NULL) < 0)
		return false;
	const char *end = strrchr(text, ')');
	return end && end[2] != 'Z' && end[2] != 'X';
}

static inline void assert_dies(int pid)
{
	for (int i = 0; i < 5000 && pid_alive(pid); i++)
		usleep(1000);
	assert_false(pid_alive(pid));
}

#endif
