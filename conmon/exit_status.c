/*
 * Exit files: <exits>/<id> holds the exit code as decimal text; conmon writes it beside and renames it in
 * place, so a file of that name is always whole. <exits>/<id>.monitor/oom exists when the kernel killed
 * something of the container for memory.
 *
 * The watch is one inotify descriptor on the folder. When its queue overflows, what was missed is unknown, so
 * the folder is read and every exit file in it is told again: being told twice is harmless to the caller.
 */
#include "conmon/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/id.h"
#include "base/str.h"

static int open_exit_dir(const char *exit_dir, struct err *err)
{
	int dir = open(exit_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		err_errno(err, "open %s", exit_dir);
	return dir;
}

int exit_status_read(const char *exit_dir, const char *id, struct exit_status *ret, struct err *err)
{
	CLEANUP(fd_closep) int dir = open_exit_dir(exit_dir, err);
	CLEANUP(freep) char *text = NULL;
	CLEANUP(freep) char *oom = xasprintf("%s.monitor/oom", id);
	struct stat st;
	int64_t code;

	if (dir < 0)
		return -1;
	if (fstatat(dir, id, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT)
			return err_set(err, RPC_NOT_FOUND, "no exit file of %s", id);
		return err_errno(err, "stat exit file of %s", id);
	}
	if (file_read(dir, id, 32, &text, NULL, err) < 0)
		return err_prefix(err, "exit file");
	text[strcspn(text, "\n")] = '\0';
	if (!parse_i64(text, -1, 255, &code))
		return err_set(err, RPC_DATA_LOSS, "exit file of %s holds no exit code", id);
	*ret = (struct exit_status){ .code = code < 0 ? 255 : (int)code,
				     .oom_killed = faccessat(dir, oom, F_OK, AT_SYMLINK_NOFOLLOW) == 0,
				     .finished_at = st.st_mtim.tv_sec * NS_PER_SEC + st.st_mtim.tv_nsec };
	return 0;
}

void exit_status_remove(const char *exit_dir, const char *id)
{
	CLEANUP(fd_closep) int dir = open_exit_dir(exit_dir, NULL);
	CLEANUP(freep) char *work = xasprintf("%s.monitor", id);

	if (dir < 0)
		return;
	unlinkat(dir, id, 0);
	(void)!tree_remove(dir, work, NULL);
}

struct exit_watch {
	int fd;
	char *exit_dir;
	struct source *source;
	void (*fn)(void *data, const char *id);
	void *data;
};

static void tell_all(struct exit_watch *watch)
{
	struct strv names CLEANUP(strv_done) = STRV_INIT;

	if (dir_list(AT_FDCWD, watch->exit_dir, &names, NULL) < 0)
		return;
	for (size_t i = 0; i < names.len; i++)
		if (id_valid(names.items[i]))
			watch->fn(watch->data, names.items[i]);
}

static void on_events(struct source *source, uint32_t events, void *data)
{
	char buffer[16 * 1024] __attribute__((aligned(__alignof__(struct inotify_event))));
	struct exit_watch *watch = data;
	ssize_t len = read(watch->fd, buffer, sizeof(buffer));

	(void)source;
	(void)events;
	for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= len;) {
		const struct inotify_event *event = (const struct inotify_event *)(buffer + at);

		at += (ssize_t)sizeof(*event) + event->len;
		if (event->mask & IN_Q_OVERFLOW)
			tell_all(watch);
		else if (event->len && id_valid(event->name))
			watch->fn(watch->data, event->name);
	}
}

struct exit_watch *exit_watch_free(struct exit_watch *watch)
{
	if (!watch)
		return NULL;
	source_free(watch->source);
	fd_close(watch->fd);
	free(watch->exit_dir);
	free(watch);
	return NULL;
}

struct exit_watch *exit_watch_new(struct loop *loop, const char *exit_dir,
				  void (*fn)(void *data, const char *id), void *data, struct err *err)
{
	struct exit_watch *watch = xnew(struct exit_watch);

	watch->exit_dir = xstrdup(exit_dir);
	watch->fn = fn;
	watch->data = data;
	watch->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (watch->fd < 0 ||
	    inotify_add_watch(watch->fd, exit_dir, IN_MOVED_TO | IN_CLOSE_WRITE | IN_ONLYDIR) < 0) {
		err_errno(err, "watch %s", exit_dir);
		return exit_watch_free(watch);
	}
	watch->source = loop_add_fd(loop, watch->fd, EPOLLIN, on_events, watch, err);
	if (!watch->source)
		return exit_watch_free(watch);
	return watch;
}
