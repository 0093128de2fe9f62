/*
 * A folder that does not exist is waited for at its nearest existing ancestor: when something happens there
 * the path is tried again. Adding a watch to a folder that has one already changes nothing in the kernel, so
 * after every event all paths are simply added again; only a watch that no path needs any more is removed.
 */
#include "cni/confwatch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"

static const uint32_t EVENTS = IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
			       IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
/* Long enough for the events of one rename or copy, far below what anybody notices. */
static const int64_t PAUSE = 20 * NS_PER_MS;
enum { RACES_MAX = 8 };

struct confwatch {
	int inotify;
	struct source *events, *timer;
	struct strv dirs;
	int wds[CONFWATCH_DIRS_MAX]; /* -1: none */
	bool works, pending;
	void (*fn)(void *data);
	void *data;
};

static void go_up(char *path)
{
	char *slash = strrchr(path, '/');

	slash[slash == path ? 1 : 0] = '\0';
}

/* Watches path or its nearest existing ancestor; -1 when inotify cannot. */
static int watch_nearest(int inotify, const char *path)
{
	for (int race = 0; race < RACES_MAX; race++) {
		CLEANUP(freep) char *at = xstrdup(path);
		CLEANUP(freep) char *missing = NULL;
		int wd;
		while ((wd = inotify_add_watch(inotify, at, EVENTS)) < 0 &&
		       (errno == ENOENT || errno == ENOTDIR) && strlen(at) > 1) {
			free(missing);
			missing = xstrdup(at);
			go_up(at);
		}
		/* Made between our two looks: then its event came before our watch. */
		if (wd < 0 || !missing || access(missing, F_OK) < 0)
			return wd;
	}
	return -1;
}

static bool is_used(const struct confwatch *watch, int wd)
{
	for (size_t i = 0; i < watch->dirs.len; i++)
		if (watch->wds[i] == wd)
			return true;
	return false;
}

static void watch_all(struct confwatch *watch)
{
	watch->works = true;
	for (size_t i = 0; i < watch->dirs.len; i++) {
		int before = watch->wds[i];
		watch->wds[i] = watch_nearest(watch->inotify, watch->dirs.items[i]);
		if (watch->wds[i] < 0)
			watch->works = false;
		if (before >= 0 && !is_used(watch, before))
			(void)!inotify_rm_watch(watch->inotify, before);
	}
}

static void on_timer(struct source *source, void *data)
{
	struct confwatch *watch = data;

	(void)source;
	watch->pending = false;
	watch_all(watch);
	watch->fn(watch->data);
}

/* True when one of the events in the buffer is more than the farewell of a watch that we removed ourselves.
 */
static bool has_news(const char *buffer, size_t len)
{
	for (size_t at = 0; at + sizeof(struct inotify_event) <= len;) {
		struct inotify_event event;
		memcpy(&event, buffer + at, sizeof(event));
		if (event.mask & ~(uint32_t)IN_IGNORED)
			return true;
		at += sizeof(event) + event.len;
	}
	return false;
}

static void on_events(struct source *source, uint32_t events, void *data)
{
	struct confwatch *watch = data;
	char buffer[4096];
	bool news = false;
	struct err ignored;
	ssize_t len;

	(void)source, (void)events;
	while ((len = read(watch->inotify, buffer, sizeof(buffer))) > 0)
		news |= has_news(buffer, (size_t)len);
	if (!news || watch->pending)
		return;
	if (source_rearm(watch->timer, PAUSE, 0, &ignored) < 0)
		on_timer(watch->timer, watch);
	else
		watch->pending = true;
}

struct confwatch *confwatch_free(struct confwatch *watch)
{
	if (!watch)
		return NULL;
	source_free(watch->events);
	source_free(watch->timer);
	fd_closep(&watch->inotify);
	strv_done(&watch->dirs);
	free(watch);
	return NULL;
}

struct confwatch *confwatch_new(struct loop *loop, const char *const *dirs, size_t dirs_len,
				void (*fn)(void *data), void *data, struct err *err)
{
	struct confwatch *watch = xnew(struct confwatch);

	watch->fn = fn;
	watch->data = data;
	strv_add_all(&watch->dirs, dirs, dirs_len < CONFWATCH_DIRS_MAX ? dirs_len : CONFWATCH_DIRS_MAX);
	for (size_t i = 0; i < CONFWATCH_DIRS_MAX; i++)
		watch->wds[i] = -1;
	watch->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (watch->inotify < 0) /* max_user_instances: not worth failing for */
		return watch;
	watch->timer = loop_add_timer(loop, 0, 0, on_timer, watch, err);
	watch->events =
		watch->timer ? loop_add_fd(loop, watch->inotify, EPOLLIN, on_events, watch, err) : NULL;
	if (!watch->events)
		return confwatch_free(watch);
	watch_all(watch);
	return watch;
}

bool confwatch_works(const struct confwatch *watch)
{
	return watch->works;
}
