/*
 * Stands in for libFuzzer's main where the build has none: runs the target on every file of a corpus folder,
 * and, as most damage in the field is truncation, on every beginning of it up to a bound. A target tells a
 * failure by crashing; an empty or missing corpus is a failure of its own.
 */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

enum { FILE_MAX = 1 << 20, PREFIX_MAX = 512 };

static void run(const uint8_t *data, size_t len)
{
	CLEANUP(freep)
	uint8_t *copy = malloc(len ? len : 1); /* exact, so that ASan sees a step past the end */

	if (!copy)
		abort();
	memcpy(copy, data, len);
	LLVMFuzzerTestOneInput(copy, len);
}

static int replay_file(int dir, const char *name)
{
	CLEANUP(fd_closep) int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	CLEANUP(freep) uint8_t *data = xmalloc(FILE_MAX);
	ssize_t len = fd < 0 ? -1 : read(fd, data, FILE_MAX);

	if (len < 0) {
		perror(name);
		return -1;
	}
	run(data, (size_t)len);
	for (size_t part = 0; part < (size_t)len && part < PREFIX_MAX; part++)
		run(data, part);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int files = 0;
	struct dirent *entry;

	if (argc != 2) {
		fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
		return 2;
	}
	DIR *dir = opendir(argv[1]);
	if (!dir) {
		perror(argv[1]);
		return 1;
	}
	while ((entry = readdir(dir))) { /* NOLINT(concurrency-mt-unsafe): one thread */
		if (entry->d_name[0] == '.')
			continue;
		if (replay_file(dirfd(dir), entry->d_name) < 0) {
			closedir(dir);
			return 1;
		}
		files++;
	}
	closedir(dir);
	printf("%u files\n", files);
	return files ? 0 : 1;
}
