/*
 * State is written by file_replace() alone. Its temporary has a fixed name, so a crash leaves at most one
 * leftover for each file; flock(2) tells whether another writer of the same name is at work on it, and then a
 * temporary with a random name is used: no writer waits for another, and the last rename wins. fsync of the
 * directory makes the rename durable.
 *
 * Reading state never opens anything but a regular file: the name is pinned with O_PATH first, looked at, and
 * only then opened through /proc/self/fd, so a FIFO or a device put there is never touched.
 */
#include "base/crash.h"
#include "base/file.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/id.h"

enum { READ_CHUNK = 4096 };

#ifdef CRISP_FAULTS
_Thread_local int file_fault_step = -1;
#endif

/* 0, or -1 with EIO when a test asked this step of file_replace to fail. */
static int fault(enum file_step step)
{
#ifdef CRISP_FAULTS
	if (file_fault_step == (int)step) {
		file_fault_step = -1;
		errno = EIO;
		return -1;
	}
#endif
	(void)step;
	return 0;
}

void fd_closep(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

int fd_close(int fd)
{
	fd_closep(&fd);
	return -1;
}

int write_all(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len) {
		ssize_t n = write(fd, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* An err for a failed system call on a name; ENOENT is the one errno that callers tell apart by code. */
static int name_error(struct err *err, const char *what, const char *name)
{
	if (errno == ENOENT || errno == ENOTDIR)
		return err_set(err, RPC_NOT_FOUND, "%s %s: %m", what, name);
	return err_errno(err, "%s %s", what, name);
}

int dir_open(int dir, const char *path, struct err *err)
{
	int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == EACCES)
		fd = openat(dir, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return name_error(err, "open directory", path);
	return fd;
}

/* Makes one directory with exactly this mode and opens it; -1 with errno, EEXIST when it was there. */
static int make_one(int dir, const char *name, mode_t mode)
{
	if (mkdirat(dir, name, mode & 0777) < 0)
		return -1;
	CLEANUP(fd_closep) int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchmod(fd, mode) < 0)
		return -1;
	return TAKE_FD(fd);
}

static int open_or_make(int dir, const char *name, mode_t mode)
{
	int fd = openat(dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	fd = make_one(dir, name, mode);
	if (fd < 0 && errno == EEXIST) /* somebody else was faster, or a dangling link, which fails again */
		fd = openat(dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd;
}

int dir_make(int dir, const char *path, mode_t mode, struct err *err)
{
	CLEANUP(fd_closep) int at = -1;
	CLEANUP(freep) char *copy = xstrdup(path);
	char *rest = copy;

	if (*path == '/')
		at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	else
		at = openat(dir, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return err_errno(err, "make directory %s", path);
	for (char *name; (name = strsep(&rest, "/"));) {
		if (!*name)
			continue;
		int next = open_or_make(at, name, mode);
		if (next < 0)
			return err_errno(err, "make directory %s", path);
		close(at);
		at = next;
	}
	return dir_open(at, ".", err);
}

/* Opens name for reading if it is a regular file, without any side effect on what it is otherwise. */
static int open_regular(int dir, const char *name, struct stat *ret, struct err *err)
{
	CLEANUP(fd_closep) int pin = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char link[64];

	if (pin < 0)
		return name_error(err, "read", name);
	if (fstat(pin, ret) < 0)
		return err_errno(err, "read %s", name);
	if (!S_ISREG(ret->st_mode))
		return err_set(err, RPC_FAILED_PRECONDITION, "read %s: not a regular file", name);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", pin);
	int fd = open(link, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "read %s", name);
	return fd;
}

/* Reads until EOF into str, whose limit is one more than what may be read. */
static int read_to_end(int fd, size_t first, struct str *str)
{
	for (size_t chunk = first;; chunk = READ_CHUNK) {
		if (chunk > str->limit - str->len)
			chunk = str->limit - str->len;
		if (!chunk)
			return 0;
		char *room = str_room(str, chunk);
		assert(room);
		ssize_t n = read(fd, room, chunk);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			return 0;
		str_grown(str, (size_t)n);
	}
}

static int read_bounded(int fd, const char *name, size_t first, size_t max, struct str *ret, struct err *err)
{
	ret->limit = max + 1;
	if (read_to_end(fd, first, ret) < 0)
		return err_errno(err, "read %s", name);
	if (ret->len > max)
		return err_set(err, RPC_RESOURCE_EXHAUSTED, "read %s: longer than %zu bytes", name, max);
	return 0;
}

int file_read(int dir, const char *name, size_t max, char **ret, size_t *ret_len, struct err *err)
{
	struct stat st;
	CLEANUP(fd_closep) int fd = open_regular(dir, name, &st, err);
	CLEANUP(str_done) struct str text = STR_INIT;

	assert(max < SIZE_MAX);
	if (fd < 0)
		return -1;
	if ((uint64_t)st.st_size > max)
		return err_set(err, RPC_RESOURCE_EXHAUSTED, "read %s: longer than %zu bytes", name, max);
	if (read_bounded(fd, name, (size_t)st.st_size + 1, max, &text, err) < 0)
		return -1;
	if (ret_len)
		*ret_len = text.len;
	*ret = str_take(&text);
	return 0;
}

int file_read_linked(const char *path, size_t max, char **ret, size_t *ret_len, struct err *err)
{
	CLEANUP(freep) char *real = realpath(path, NULL);

	return real ? file_read(AT_FDCWD, real, max, ret, ret_len, err) : name_error(err, "read", path);
}

int file_read_virtual(int dir, const char *name, size_t max, char **ret, struct err *err)
{
	CLEANUP(fd_closep) int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	CLEANUP(str_done) struct str text = STR_INIT;

	assert(max < SIZE_MAX);
	if (fd < 0)
		return name_error(err, "read", name);
	if (read_bounded(fd, name, READ_CHUNK, max, &text, err) < 0)
		return -1;
	*ret = str_take(&text);
	return 0;
}

int file_write_virtual(int dir, const char *name, const char *value, struct err *err)
{
	CLEANUP(fd_closep) int fd = openat(dir, name, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	size_t len = strlen(value);
	ssize_t n;

	if (fd < 0)
		return err_errno(err, "write %s", name);
	do
		n = write(fd, value, len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_errno(err, "write \"%s\" to %s", value, name);
	if ((size_t)n != len)
		return err_set(err, RPC_INTERNAL, "write \"%s\" to %s: taken only in part", value, name);
	return 0;
}

/* The temporary of fixed name, locked and empty; -1 with errno: EWOULDBLOCK when another writer has it. */
static int open_fixed_temp(int dir, const char *temp)
{
	CLEANUP(fd_closep) int fd = openat(dir, temp, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct stat ours, named;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &ours) < 0)
		return -1;
	/* Another writer may have renamed this very file into place between our open and our lock. */
	if (fstatat(dir, temp, &named, AT_SYMLINK_NOFOLLOW) < 0 || ours.st_dev != named.st_dev ||
	    ours.st_ino != named.st_ino) {
		errno = EWOULDBLOCK;
		return -1;
	}
	return ftruncate(fd, 0) < 0 ? -1 : TAKE_FD(fd);
}

/* Opens a temporary that is ours alone; its name goes to *ret_temp, malloc'd. */
static int open_temp(int dir, const char *name, char **ret_temp)
{
	CLEANUP(freep) char *temp = xasprintf(".%s.new", name);
	int fd = open_fixed_temp(dir, temp);

	if (fd < 0 && errno == EWOULDBLOCK) {
		unsigned char bytes[8];
		char hex[2 * sizeof(bytes) + 1];
		random_bytes(bytes, sizeof(bytes));
		hex_encode(bytes, sizeof(bytes), hex);
		free(temp);
		temp = xasprintf(".%s.%s.new", name, hex);
		fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	}
	if (fd >= 0)
		*ret_temp = TAKE(temp);
	return fd;
}

/* dir may be an O_PATH descriptor, which fsync refuses. */
static int sync_dir(int dir)
{
	CLEANUP(fd_closep) int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	return fsync(fd);
}

struct replacement {
	int dir;
	const char *name;
	const void *data;
	size_t len;
	mode_t mode;
	bool durable;
};

/* Everything until the new file stands under its name; -1 with errno leaves the old one. */
static int put_in_place(const struct replacement *r)
{
	CLEANUP(freep) char *temp = NULL;
	CLEANUP(fd_closep) int fd = open_temp(r->dir, r->name, &temp);

	if (fd < 0)
		return -1;
	if (fault(FILE_STEP_WRITE) == 0 && fchmod(fd, r->mode) == 0 && write_all(fd, r->data, r->len) == 0 &&
	    !crash_point("file.written") &&
	    (!r->durable || (fault(FILE_STEP_FSYNC) == 0 && fsync(fd) == 0 && !crash_point("file.synced"))) &&
	    fault(FILE_STEP_RENAME) == 0 && renameat(r->dir, temp, r->dir, r->name) == 0)
		return 0;
	int saved = errno;
	unlinkat(r->dir, temp, 0);
	errno = saved;
	return -1;
}

static int replace(const struct replacement *r, struct err *err)
{
	assert(*r->name && !strchr(r->name, '/'));
	if (put_in_place(r) < 0)
		return err_errno(err, "replace %s", r->name);
	crash_point("file.renamed");
	if (r->durable && (fault(FILE_STEP_FSYNC_DIR) < 0 || sync_dir(r->dir) < 0))
		return err_errno(err, "replace %s: sync its directory", r->name);
	return 0;
}

int file_replace(int dir, const char *name, const void *data, size_t len, mode_t mode, struct err *err)
{
	const struct replacement replacement = {
		.dir = dir,
		.name = name,
		.data = data,
		.len = len,
		.mode = mode,
		.durable = true,
	};

	return replace(&replacement, err);
}

int file_replace_volatile(int dir, const char *name, const void *data, size_t len, mode_t mode,
			  struct err *err)
{
	const struct replacement replacement = {
		.dir = dir, .name = name, .data = data, .len = len, .mode = mode
	};

	return replace(&replacement, err);
}

/* Only the old place is synced: what is gone from there stays gone. A journal has both ends of a rename in
 * one transaction; where there is none the entry may be lost instead, which is what the caller wants to do
 * with it. */
int file_move(int from, const char *name, int to, struct err *err)
{
	if ((fault(FILE_STEP_RENAME) < 0 || renameat(from, name, to, name) < 0) && errno != ENOENT)
		return err_errno(err, "move %s", name);
	crash_point("file.moved");
	if (fault(FILE_STEP_FSYNC_DIR) < 0 || sync_dir(from) < 0)
		return err_errno(err, "move %s: sync its directory", name);
	return 0;
}

void file_sweep(int dir)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;

	if (dir_list(dir, ".", &names, NULL) < 0)
		return;
	for (size_t i = 0; i < names.len; i++)
		if (names.items[i][0] == '.' && str_has_suffix(names.items[i] + 1, ".new"))
			unlinkat(dir, names.items[i], 0);
}

static void closedirp(DIR **stream)
{
	int saved = errno;

	if (*stream)
		closedir(*stream);
	errno = saved;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_names(DIR *stream, struct strv *names)
{
	for (;;) {
		errno = 0;
		const struct dirent *entry =
			readdir(stream); /* NOLINT(concurrency-mt-unsafe): the stream is ours */
		if (!entry)
			return errno ? -1 : 0;
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			strv_add(names, entry->d_name);
	}
}

int dir_list(int dir, const char *path, struct strv *ret, struct err *err)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	CLEANUP(fd_closep) int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return name_error(err, "list", path);
	CLEANUP(closedirp) DIR *stream = fdopendir(fd);
	if (!stream)
		return err_errno(err, "list %s", path);
	fd = -1; /* the stream's now */
	if (read_names(stream, &names) < 0)
		return err_errno(err, "list %s", path);
	if (names.len)
		qsort(names.items, names.len, sizeof(names.items[0]), compare_names);
	for (size_t i = 0; i < names.len; i++)
		strv_add_take(ret, TAKE(names.items[i]));
	return 0;
}
