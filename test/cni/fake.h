/*
 * A folder of the test's own with fake CNI plugins in it: shell scripts that note each call in "calls"
 * ("bridge ADD") and keep the last stdin and environment as "stdin.bridge.ADD" and "env.bridge.ADD". VERSION,
 * which is asked in the background, is not noted; "version.bridge", if it is there, is the answer.
 */
#ifndef TEST_CNI_FAKE_H
#define TEST_CNI_FAKE_H

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
#include "base/json.h"
#include "base/str.h"
#include "config/config.h"

#define FAKE_ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct fake {
	char root[64]; /* "/tmp/crisp-cni-XXXXXX" */
	char *bin;     /* plugin folder */
	char *net;     /* configuration folder */
	const char *dirs_items[2];
	struct config_strings dirs;
};

static inline void fake_open(struct fake *fake)
{
	snprintf(fake->root, sizeof(fake->root), "/tmp/crisp-cni-XXXXXX");
	assert_non_null(mkdtemp(fake->root));
	fake->bin = xasprintf("%s/bin", fake->root);
	fake->net = xasprintf("%s/net.d", fake->root);
	assert_int_equal(mkdir(fake->bin, 0755), 0);
	fake->dirs_items[0] = fake->bin;
	fake->dirs_items[1] = NULL;
	fake->dirs = (struct config_strings){ .items = fake->dirs_items, .len = 1 };
}

static inline void fake_close(struct fake *fake)
{
	CLEANUP(fd_closep) int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err err;

	if (tree_remove(tmp, fake->root + strlen("/tmp/"), &err) < 0)
		fail_msg("%s", err.text);
	free(fake->bin);
	free(fake->net);
}

/* Writes dir/name in place, as an editor would not but a script does. */
static inline void fake_write(const char *dir, const char *name, const char *text, mode_t mode)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", dir, name);
	CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
	assert_int_equal(fchmod(fd, mode), 0);
}

/* body: shell after the call has been noted; $in is its stdin, $dir the test's folder. */
static inline void fake_plugin(const struct fake *fake, const char *type, const char *body)
{
	CLEANUP(freep)
	char *script =
		xasprintf("#!/bin/sh\ndir=%s\nin=$(cat)\n"
			  "[ $CNI_COMMAND != VERSION ] || { cat $dir/version.%s 2>/dev/null; exit 0; }\n"
			  "printf '%%s %%s\\n' %s \"$CNI_COMMAND\" >>$dir/calls\n"
			  "printf '%%s' \"$in\" >$dir/stdin.%s.$CNI_COMMAND\n"
			  "env >$dir/env.%s.$CNI_COMMAND\n%s\n",
			  fake->root, type, type, type, type, body);

	/* Put in the old one's place: that may be about to run, and then it cannot be written. */
	CLEANUP(freep) char *fresh = xasprintf("%s/%s.new", fake->bin, type);
	CLEANUP(freep) char *path = xasprintf("%s/%s", fake->bin, type);
	CLEANUP(freep) char *name = xasprintf("%s.new", type);

	fake_write(fake->bin, name, script, 0755);
	assert_int_equal(rename(fresh, path), 0);
}

static inline char *fake_read(const struct fake *fake, const char *name)
{
	CLEANUP(fd_closep) int dir = open(fake->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char *text = NULL;
	struct err err;

	if (file_read(dir, name, 16 * 1024 * 1024, &text, NULL, &err) < 0)
		return xstrdup("");
	return text;
}

static inline json_t *fake_read_json(const struct fake *fake, const char *name)
{
	CLEANUP(freep) char *text = fake_read(fake, name);
	json_t *json = NULL;
	struct err err;

	if (json_parse(text, strlen(text), 16 * 1024 * 1024, &json, &err) < 0)
		fail_msg("%s: %s", name, err.text);
	return json;
}

static inline void fake_assert_calls(const struct fake *fake, const char *calls)
{
	CLEANUP(freep) char *text = fake_read(fake, "calls");
	CLEANUP(freep) char *path = xasprintf("%s/calls", fake->root);

	assert_string_equal(text, calls);
	(void)!unlink(path);
}

#endif
