/*
 * monitor_reopen_log(): a line "2 0 0" (type, height, width; 2 means reopen) into conmon's control FIFO in
 * the bundle.
 *
 * conmon makes <log>.tmp and renames it over <log>: the new file is there when <log> is another inode than
 * before. What stood there is gone then: so conmon is not told when it writes there already, as it does when
 * a client repeats a call whose answer it never got. It keeps the FIFO's other end open itself, so opening
 * for writing without waiting fails with ENXIO exactly when the monitor is gone; then nothing has been made.
 * The log's folder is watched from before the line is written, so that no event is missed.
 */
#include "conmon/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crash.h"
#include "base/file.h"
#include "base/str.h"

static const int64_t patience = 10 * NS_PER_SEC;

static ino_t inode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 ? st.st_ino : 0;
}

static int watch_folder_of(const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	CLEANUP(freep) char *folder = xstrndup(path, slash ? (size_t)(slash - path) : 0);
	CLEANUP(fd_closep) int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd < 0 || inotify_add_watch(fd, *folder ? folder : "/", IN_MOVED_TO | IN_CREATE) < 0)
		return err_errno(err, "watch the folder of %s", path);
	return TAKE_FD(fd);
}

static int open_control(const struct monitor_spec *spec, struct err *err)
{
	CLEANUP(freep) char *path = xasprintf("%s/ctl", spec->bundle);
	int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0)
		return err_set(err, RPC_FAILED_PRECONDITION, "the monitor of container %s is gone", spec->id);
	if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode)) {
		fd_close(fd);
		return err_set(err, RPC_INTERNAL, "%s is no FIFO", path);
	}
	return fd;
}

static int wait_for_new(const struct monitor_spec *spec, int watch, ino_t old, const struct ctx *ctx,
			struct err *err)
{
	char events[4096];

	for (;;) {
		ino_t now = inode_of(spec->log_path);

		if (now && now != old)
			return 0;
		if (ctx_poll(ctx, watch, POLLIN, "reopen the log", err) < 0)
			return -1;
		while (read(watch, events, sizeof(events)) > 0)
			;
	}
}

static int open_fds_of_monitor(const struct monitor_spec *spec)
{
	CLEANUP(freep) char *pid_path = xasprintf("%s/conmon.pid", spec->run_dir);
	CLEANUP(freep) char *text = NULL;
	CLEANUP(freep) char *path = NULL;
	uint64_t pid;

	if (file_read(AT_FDCWD, pid_path, 32, &text, NULL, NULL) < 0)
		return -1;
	text[strcspn(text, "\n")] = '\0';
	if (!parse_u64(text, INT32_MAX, &pid))
		return -1;
	path = xasprintf("/proc/%d/fd", (int)pid);
	return dir_open(AT_FDCWD, path, NULL);
}

/* conmon has the file open that is under the log's name. */
static bool is_open(const struct monitor_spec *spec)
{
	CLEANUP(fd_closep) int dir = open_fds_of_monitor(spec);
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	struct stat log, st;

	if (dir < 0 || lstat(spec->log_path, &log) < 0 || dir_list(dir, ".", &names, NULL) < 0)
		return false;
	for (size_t i = 0; i < names.len; i++)
		if (fstatat(dir, names.items[i], &st, 0) == 0 && st.st_dev == log.st_dev &&
		    st.st_ino == log.st_ino)
			return true;
	return false;
}

int monitor_reopen_log(const struct monitor_spec *spec, const struct ctx *ctx, struct err *err)
{
	static const char line[] = "2 0 0\n";
	CLEANUP(fd_closep) int watch = -1, control = -1;
	struct ctx bounded CLEANUP(ctx_done);
	ino_t old;

	ctx_init_child(&bounded, ctx, clock_deadline_in(patience));
	if (!spec->log_path)
		return err_set(err, RPC_FAILED_PRECONDITION, "container %s has no log", spec->id);
	control = open_control(spec, err);
	if (control < 0)
		return -1;
	watch = watch_folder_of(spec->log_path, err);
	if (watch < 0)
		return -1;
	if (is_open(spec))
		return 0;
	old = inode_of(spec->log_path);
	crash_point("reopen_log.begun");
	if (write(control, line, sizeof(line) - 1) != (ssize_t)sizeof(line) - 1)
		return err_set(err, RPC_UNAVAILABLE, "tell the monitor of container %s: %m", spec->id);
	crash_point("reopen_log.told");
	return wait_for_new(spec, watch, old, &bounded, err);
}
