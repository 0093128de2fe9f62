/* The file that arms a point is looked for at every pass: a point can be armed while crispd runs, after all
 * that a test prepares. Counting begins anew with each such file. */
#include "base/crash.h"

#ifdef CRISP_CRASH_POINTS

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"

enum { ARMED_MAX = 256 };

static atomic_uint_least64_t passes; /* of the armed point */

static int open_folder(void)
{
	const char *path = getenv("CRISP_CRASH");

	return str_empty(path) ? -1 : open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void trace(int dir, const char *name)
{
	CLEANUP(fd_closep) int fd = openat(dir, "trace", O_WRONLY | O_APPEND | O_CLOEXEC);
	CLEANUP(freep) char *line = xasprintf("%s\n", name);

	/* One write, so that lines of several threads do not mix. */
	if (fd >= 0 && write(fd, line, strlen(line)) < 0)
		abort();
}

/* True when this is the pass that was asked for. */
static bool is_due(int dir, const char *name)
{
	CLEANUP(freep) char *text = NULL;
	uint64_t nth;

	if (file_read(dir, "armed", ARMED_MAX, &text, NULL, NULL) < 0) {
		atomic_store(&passes, 0);
		return false;
	}
	text[strcspn(text, "\n")] = '\0';
	char *space = strchr(text, ' ');
	if (!space || !parse_u64(space + 1, UINT32_MAX, &nth))
		return false;
	*space = '\0';
	return str_eq(text, name) && atomic_fetch_add(&passes, 1) + 1 == nth;
}

bool crash_point(const char *name)
{
	int saved = errno;
	CLEANUP(fd_closep) int dir = open_folder();

	if (dir >= 0) {
		trace(dir, name);
		if (is_due(dir, name) && renameat(dir, "armed", dir, "fired") == 0) {
			kill(getpid(), SIGKILL);
			for (;;)
				pause();
		}
	}
	errno = saved;
	return false;
}

static bool is_held(int dir, const char *name)
{
	CLEANUP(freep) char *text = NULL;

	if (file_read(dir, "hold", ARMED_MAX, &text, NULL, NULL) < 0)
		return false;
	text[strcspn(text, "\n")] = '\0';
	return str_eq(text, name);
}

void hold_point(const char *name)
{
	static const struct timespec between = { .tv_nsec = 5000000 };
	CLEANUP(fd_closep) int dir = open_folder();

	while (dir >= 0 && is_held(dir, name))
		nanosleep(&between, NULL);
}

#endif
