#include "sandbox/oom_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/file.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/str.h"
#include "sandbox/cgroup.h"

struct oom_watch {
	int fd;
	struct source *source;
	struct lock lock;
	struct list all; /* under lock */
};

struct oom_watched {
	struct oom_watch *watch;
	struct list of_watch;
	char *file;
	char *parent_file;     /* that of the cgroup above, whose number includes this one's for ever */
	uint64_t parent_kills; /* under the watch's lock: those that are not this one's */
	int number;            /* inotify's */
	bool killed;           /* under the watch's lock */
};

static struct oom_watched *find(struct oom_watch *watch, int number) REQUIRES(watch->lock)
{
	list_for_each (node, &watch->all) {
		struct oom_watched *watched = list_entry(node, struct oom_watched, of_watch);

		if (watched->number == number)
			return watched;
	}
	return NULL;
}

/* ".../a.slice/b.scope/memory.events": that of a.slice; malloc'd. */
static char *file_above(const char *file)
{
	const char *name = strrchr(file, '/');
	const char *folder = name;

	while (folder > file && folder[-1] != '/')
		folder--;
	return xasprintf("%.*s%s", (int)(folder - file), file, name + 1);
}

/* The file to read, malloc'd; NULL: nobody asks any more, or it is known. */
static char *file_of(struct oom_watch *watch, int number)
{
	char *file = NULL;

	lock_take(&watch->lock);
	const struct oom_watched *watched = find(watch, number);
	if (watched && !watched->killed)
		file = xstrdup(watched->file);
	lock_drop(&watch->lock);
	return file;
}

/* What the cgroup above counted so far is explained by this one, and no other's. */
static void set_killed(struct oom_watch *watch, const char *file)
{
	CLEANUP(freep) char *parent_file = file_above(file);
	uint64_t kills = cgroup_oom_kills_in(AT_FDCWD, parent_file);

	lock_take(&watch->lock);
	list_for_each (node, &watch->all) {
		struct oom_watched *watched = list_entry(node, struct oom_watched, of_watch);

		if (str_eq(watched->file, file))
			watched->killed = true;
		if (str_eq(watched->parent_file, parent_file))
			watched->parent_kills = kills;
	}
	lock_drop(&watch->lock);
}

static void look(struct oom_watch *watch, int number)
{
	CLEANUP(freep) char *file = file_of(watch, number);

	if (file && cgroup_oom_kills_in(AT_FDCWD, file) > 0)
		set_killed(watch, file);
}

static void look_at_all(struct oom_watch *watch)
{
	size_t len = 0;

	lock_take(&watch->lock);
	list_for_each (node, &watch->all)
		len++;
	CLEANUP(freep) int *numbers = xcalloc(len + 1, sizeof(*numbers));
	len = 0;
	list_for_each (node, &watch->all)
		numbers[len++] = list_entry(node, struct oom_watched, of_watch)->number;
	lock_drop(&watch->lock);
	for (size_t i = 0; i < len; i++)
		look(watch, numbers[i]);
}

/* Everything that has been told so far. */
static void read_events(struct oom_watch *watch)
{
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t len;

	while ((len = read(watch->fd, buffer, sizeof(buffer))) > 0)
		for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= len;) {
			const struct inotify_event *event = (const struct inotify_event *)(buffer + at);

			at += (ssize_t)sizeof(*event) + event->len;
			if (event->mask & IN_Q_OVERFLOW)
				look_at_all(watch);
			else if (event->mask & IN_MODIFY)
				look(watch, event->wd);
		}
}

static void on_events(struct source *source UNUSED, uint32_t events UNUSED, void *data)
{
	read_events(data);
}

struct oom_watch *oom_watch_new(struct loop *loop, struct err *err)
{
	struct oom_watch *watch = xnew(struct oom_watch);

	lock_init(&watch->lock, "oom_watch", LOCK_OOM);
	list_init(&watch->all);
	watch->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (watch->fd < 0)
		err_errno(err, "watch for lack of memory");
	else
		watch->source = loop_add_fd(loop, watch->fd, EPOLLIN, on_events, watch, err);
	return watch->source ? watch : oom_watch_free(watch);
}

struct oom_watch *oom_watch_free(struct oom_watch *watch)
{
	if (!watch)
		return NULL;
	source_free(watch->source);
	fd_close(watch->fd);
	lock_done(&watch->lock);
	free(watch);
	return NULL;
}

struct oom_watched *oom_watch_add(struct oom_watch *watch, const char *file)
{
	int number = file ? inotify_add_watch(watch->fd, file, IN_MODIFY) : -1;

	if (number < 0) {
		if (file && errno != ENOENT)
			log_warn("watch %s: %m: a container that the kernel kills for lack of memory may end "
				 "without that reason",
				 file);
		return NULL;
	}
	struct oom_watched *watched = xnew(struct oom_watched);

	watched->watch = watch;
	watched->file = xstrdup(file);
	watched->parent_file = file_above(file);
	watched->parent_kills = cgroup_oom_kills_in(AT_FDCWD, watched->parent_file);
	watched->number = number;
	lock_take(&watch->lock);
	list_add_tail(&watch->all, &watched->of_watch);
	lock_drop(&watch->lock);
	return watched;
}

static bool is_killed(struct oom_watched *watched)
{
	lock_take(&watched->watch->lock);
	bool killed = watched->killed;
	lock_drop(&watched->watch->lock);
	return killed;
}

/* It went before it was read: the cgroup above counts a kill that is nobody else's. */
static bool told_above(struct oom_watched *watched)
{
	uint64_t kills = cgroup_oom_kills_in(AT_FDCWD, watched->parent_file);

	if (faccessat(AT_FDCWD, watched->file, F_OK, 0) == 0)
		return false;
	lock_take(&watched->watch->lock);
	bool more = kills > watched->parent_kills;
	lock_drop(&watched->watch->lock);
	return more;
}

bool oom_watch_killed(struct oom_watched *watched, bool unexplained)
{
	struct oom_watch *watch = watched->watch;

	read_events(watch);
	look(watch, watched->number);
	if (!is_killed(watched) && unexplained && told_above(watched))
		set_killed(watch, watched->file);
	return is_killed(watched);
}

struct oom_watched *oom_watch_drop(struct oom_watched *watched)
{
	if (!watched)
		return NULL;
	struct oom_watch *watch = watched->watch;

	lock_take(&watch->lock);
	list_del(&watched->of_watch);
	lock_drop(&watch->lock);
	/* A cgroup that is gone took the watch along. */
	(void)inotify_rm_watch(watch->fd, watched->number);
	free(watched->file);
	free(watched->parent_file);
	free(watched);
	return NULL;
}
