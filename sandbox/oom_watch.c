#include "sandbox/oom_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
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

/*
 * The cgroup above counts the kills of all below it, for ever; its own file counts those of one, and goes
 * with it. While that is there, none of what the one above says is more than it says itself: `above` follows.
 * Once it is gone, more above than `above` happened since somebody of the same parent was last looked at.
 */
struct oom_watched {
	struct oom_watch *watch;
	struct list of_watch; /* under the watch's lock; holds a reference */
	atomic_uint refs;
	char *file_above;
	int fd;
	int number; /* inotify's */
	/* under the watch's lock */
	uint64_t kills;
	uint64_t above;
};

static struct oom_watched *ref(struct oom_watched *watched)
{
	atomic_fetch_add(&watched->refs, 1);
	return watched;
}

static void unref(struct oom_watched *watched)
{
	if (!watched || atomic_fetch_sub(&watched->refs, 1) != 1)
		return;
	fd_close(watched->fd);
	free(watched->file_above);
	free(watched);
}

/* ".../a.slice/b.scope/memory.events": that of a.slice; malloc'd. */
static char *above_of(const char *file)
{
	const char *name = strrchr(file, '/');
	const char *folder = name;

	while (folder > file && folder[-1] != '/')
		folder--;
	return xasprintf("%.*s%s", (int)(folder - file), file, name + 1);
}

/* What its own file says, in *ret_more whether that is more than before. False: its cgroup is gone. */
static bool read_own(struct oom_watched *watched, uint64_t above, bool *ret_more)
{
	uint64_t kills;

	if (!cgroup_oom_kills_read(watched->fd, &kills))
		return false;
	lock_take(&watched->watch->lock);
	*ret_more = kills > watched->kills;
	if (*ret_more)
		watched->kills = kills;
	if (watched->above < above)
		watched->above = above;
	lock_drop(&watched->watch->lock);
	return true;
}

/* Those with the same parent as one, or all; NULL at the end. Free with unref_all(). */
static struct oom_watched **those_of(struct oom_watch *watch, const char *file_above)
{
	struct oom_watched **those;
	size_t len = 0;

	lock_take(&watch->lock);
	list_for_each (node, &watch->all)
		len++;
	those = xcalloc(len + 1, sizeof(struct oom_watched *));
	len = 0;
	list_for_each (node, &watch->all) {
		struct oom_watched *watched = list_entry(node, struct oom_watched, of_watch);

		if (!file_above || str_eq(watched->file_above, file_above))
			those[len++] = ref(watched);
	}
	lock_drop(&watch->lock);
	return those;
}

static void unref_all(struct oom_watched ***those)
{
	for (size_t i = 0; (*those)[i]; i++)
		unref((*those)[i]);
	free(*those);
}

/* The one above first: what it counts by then is in the files below. */
static void look_at_family(struct oom_watch *watch, const char *file_above)
{
	struct oom_watched **those CLEANUP(unref_all) = those_of(watch, file_above);
	uint64_t above = cgroup_oom_kills_in(AT_FDCWD, file_above);
	bool more;

	for (size_t i = 0; those[i]; i++)
		(void)read_own(those[i], above, &more);
}

static struct oom_watched *find(struct oom_watch *watch, int number)
{
	struct oom_watched *found = NULL;

	lock_take(&watch->lock);
	list_for_each (node, &watch->all) {
		struct oom_watched *watched = list_entry(node, struct oom_watched, of_watch);

		if (watched->number == number) {
			found = ref(watched);
			break;
		}
	}
	lock_drop(&watch->lock);
	return found;
}

/* The file changes for other reasons, too, and often where a container lives at its limit. */
static void look(struct oom_watched *watched)
{
	bool more;

	if (read_own(watched, 0, &more) && more)
		look_at_family(watched->watch, watched->file_above);
}

static void look_at(struct oom_watch *watch, int number)
{
	struct oom_watched *watched = find(watch, number);

	if (watched)
		look(watched);
	unref(watched);
}

static void look_at_all(struct oom_watch *watch)
{
	struct oom_watched **those CLEANUP(unref_all) = those_of(watch, NULL);

	for (size_t i = 0; those[i]; i++)
		look(those[i]);
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
				look_at(watch, event->wd);
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
	if (!watch || !file)
		return NULL;
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	int number = fd < 0 ? -1 : inotify_add_watch(watch->fd, file, IN_MODIFY);

	if (number < 0) {
		if (errno != ENOENT)
			log_warn("watch %s: %m: a container that the kernel kills for lack of memory may end "
				 "without that reason",
				 file);
		fd_close(fd);
		return NULL;
	}
	struct oom_watched *watched = xnew(struct oom_watched);

	watched->watch = watch;
	atomic_init(&watched->refs, 2);
	watched->file_above = above_of(file);
	watched->fd = fd;
	watched->number = number;
	watched->above = cgroup_oom_kills_in(AT_FDCWD, watched->file_above);
	lock_take(&watch->lock);
	list_add_tail(&watch->all, &watched->of_watch);
	lock_drop(&watch->lock);
	/* What came before it was in the list, and before the kernel told. */
	look_at_family(watch, watched->file_above);
	return watched;
}

/* Its cgroup went before its file was read: one kill that is nobody else's is its own, and no longer theirs.
 */
static void ask_above(struct oom_watched *watched)
{
	struct oom_watch *watch = watched->watch;
	uint64_t above = cgroup_oom_kills_in(AT_FDCWD, watched->file_above);

	lock_take(&watch->lock);
	bool mine = above > watched->above;
	if (mine)
		watched->kills++;
	list_for_each (node, &watch->all) {
		struct oom_watched *other = list_entry(node, struct oom_watched, of_watch);

		if (mine && str_eq(other->file_above, watched->file_above))
			other->above++;
	}
	lock_drop(&watch->lock);
}

static bool was_killed(struct oom_watched *watched)
{
	lock_take(&watched->watch->lock);
	bool killed = watched->kills > 0;
	lock_drop(&watched->watch->lock);
	return killed;
}

bool oom_watch_killed(struct oom_watched *watched, bool unexplained)
{
	bool more;

	if (!read_own(watched, 0, &more) && unexplained && !was_killed(watched))
		ask_above(watched);
	look_at_family(watched->watch, watched->file_above);
	return was_killed(watched);
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
	unref(watched); /* the list's */
	unref(watched);
	return NULL;
}
