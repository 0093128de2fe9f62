/* A request for a container, and two directories of documents (CDI specs, hooks) of which the second wins. */
#ifndef TEST_SANDBOX_DOC_SCENE_H
#define TEST_SANDBOX_DOC_SCENE_H

#include "spec_fixture.h"

static struct fixture f;
static char *first, *second;
static const char *dirs[3]; /* both, for the configuration */

static inline void scene_open(void)
{
	fixture_open(&f);
	first = xasprintf("%s/first", f.dir);
	second = xasprintf("%s/second", f.dir);
	assert_int_equal(mkdir(first, 0755), 0);
	assert_int_equal(mkdir(second, 0755), 0);
	dirs[0] = first;
	dirs[1] = second;
}

static inline void scene_close(void)
{
	free(first);
	free(second);
	fixture_close(&f);
}

static inline void put(const char *dir, const char *name, const char *text)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err err = { 0 };

	if (file_replace_volatile(fd, name, text, strlen(text), 0644, &err) < 0)
		fail_msg("%s", err.text);
	close(fd);
}

#endif
