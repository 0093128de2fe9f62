/* A directory of a test's own, and files in it. Everything ends the test on failure. */
#ifndef TEST_CONFIG_SCRATCH_H
#define TEST_CONFIG_SCRATCH_H

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
#include <fcntl.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

struct scratch {
	char path[64];
};

static inline struct scratch scratch_new(void)
{
	struct scratch scratch = { "/tmp/crisp-config-test-XXXXXX" };

	assert_non_null(mkdtemp(scratch.path));
	return scratch;
}

static inline void scratch_done(struct scratch *scratch)
{
	struct err err = { 0 };

	CLEANUP(fd_closep) int parent = dir_open(AT_FDCWD, "/tmp", &err);

	if (parent < 0 || tree_remove(parent, scratch->path + strlen("/tmp/"), &err) < 0)
		fail_msg("%s", err.text);
}

/* The path of a name in the directory; malloc'd. */
static inline char *scratch_path(const struct scratch *scratch, const char *name)
{
	return xasprintf("%s/%s", scratch->path, name);
}

static inline void scratch_dir(const struct scratch *scratch, const char *name)
{
	CLEANUP(freep) char *path = scratch_path(scratch, name);

	assert_int_equal(mkdir(path, 0755), 0);
}

/* Writes mode 0644 whatever the umask. */
static inline void scratch_write(const struct scratch *scratch, const char *name, const char *text)
{
	CLEANUP(freep) char *path = scratch_path(scratch, name);
	CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0644), 0);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
}

/* The error's text with the scratch directory's path cut from its front, for comparing. */
static inline const char *scratch_cut(const struct scratch *scratch, const char *text)
{
	size_t len = strlen(scratch->path);

	return strncmp(text, scratch->path, len) == 0 && text[len] == '/' ? text + len + 1 : text;
}

#endif
