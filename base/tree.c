/*
 * tree_remove() of base/file.h: a walk with a stack on the heap. Only the deepest OPEN_MAX_LEVELS directories
 * are held open; a directory closed on the way down is opened again on the way up through its child's "..",
 * and must still be the same inode, else somebody is moving directories about and we stop. Mount ids (statx)
 * tell where a mount begins; there we stop too: what is mounted there is not ours to delete.
 */
#include "base/file.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN_MAX_LEVELS = 16, RESCANS_MAX = 8 };

struct level {
	DIR *stream; /* NULL while closed */
	char *name;  /* in the level above */
	dev_t dev;
	ino_t ino;
	int rescans;
};

struct removal {
	int dir; /* borrowed: where the top's name is */
	struct level *levels;
	size_t len, size;
	uint64_t mount; /* mount id of the top */
	bool mount_known;
};

static void removal_done(struct removal *removal)
{
	int saved = errno;

	for (size_t i = 0; i < removal->len; i++) {
		if (removal->levels[i].stream)
			closedir(removal->levels[i].stream);
		free(removal->levels[i].name);
	}
	free(removal->levels);
	errno = saved;
}

/* Kernels before 5.8 do not tell; there the device numbers are all we have (see enter). */
static bool mount_of(int fd, uint64_t *ret)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) < 0 || !(stx.stx_mask & STATX_MNT_ID))
		return false;
	*ret = stx.stx_mnt_id;
	return true;
}

/* Gives the owner full access to a directory that we may not read. */
static int grant(int dir, const char *name)
{
	CLEANUP(fd_closep) int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
	char link[64];

	if (fd < 0)
		return -1;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return chmod(link, S_IRWXU);
}

static int open_level(int dir, const char *name)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dir, name, flags);

	if (fd < 0 && errno == EACCES && grant(dir, name) == 0)
		fd = openat(dir, name, flags);
	return fd;
}

static int parent_fd(const struct removal *removal)
{
	return removal->len ? dirfd(removal->levels[removal->len - 1].stream) : removal->dir;
}

/* Is the directory behind fd on the same mount as the tree's top, and the top on that of its parent? */
static bool same_mount(struct removal *removal, int fd, const struct stat *st)
{
	uint64_t mount;

	if (!removal->len && !removal->mount_known) {
		int here = openat(removal->dir, ".", O_PATH | O_CLOEXEC);
		removal->mount_known = mount_of(here, &removal->mount);
		fd_closep(&here);
	}
	if (removal->mount_known && mount_of(fd, &mount))
		return mount == removal->mount;
	return !removal->len || st->st_dev == removal->levels[removal->len - 1].dev;
}

static void push(struct removal *removal, struct level level)
{
	if (removal->len == removal->size) {
		removal->size = removal->size ? removal->size * 2 : 32;
		removal->levels = xrealloc(removal->levels, removal->size, sizeof(*removal->levels));
	}
	if (removal->len >= OPEN_MAX_LEVELS) {
		struct level *far = &removal->levels[removal->len - OPEN_MAX_LEVELS];
		if (far->stream)
			closedir(far->stream);
		far->stream = NULL;
	}
	removal->levels[removal->len++] = level;
}

/* Goes down into name. 0, or -1 with errno; EXDEV at a mount. A name that is gone is fine. */
static int enter(struct removal *removal, const char *name)
{
	CLEANUP(fd_closep) int fd = open_level(parent_fd(removal), name);
	struct stat st;

	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	if (fstat(fd, &st) < 0)
		return -1;
	if (!same_mount(removal, fd, &st)) {
		errno = EXDEV;
		return -1;
	}
	if ((st.st_mode & S_IRWXU) != S_IRWXU && fchmod(fd, S_IRWXU) < 0)
		return -1;
	DIR *stream = fdopendir(fd);
	if (!stream)
		return -1;
	fd = -1; /* the stream's now */
	push(removal,
	     (struct level){ .stream = stream, .name = xstrdup(name), .dev = st.st_dev, .ino = st.st_ino });
	return 0;
}

/* Makes sure that the level above the last is open. */
static int reopen_above(struct removal *removal)
{
	if (removal->len < 2)
		return 0;
	struct level *above = &removal->levels[removal->len - 2];
	if (above->stream)
		return 0;
	int below = dirfd(removal->levels[removal->len - 1].stream);
	CLEANUP(fd_closep) int fd = openat(below, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return -1;
	if (st.st_dev != above->dev || st.st_ino != above->ino) {
		errno = ESTALE;
		return -1;
	}
	above->stream = fdopendir(fd);
	if (!above->stream)
		return -1;
	fd = -1; /* the stream's now */
	return 0;
}

/* The last level has been read to its end: removes it and goes up. */
static int leave(struct removal *removal)
{
	struct level *last = &removal->levels[removal->len - 1];

	if (reopen_above(removal) < 0)
		return -1;
	int above = removal->len > 1 ? dirfd(removal->levels[removal->len - 2].stream) : removal->dir;
	if (unlinkat(above, last->name, AT_REMOVEDIR) < 0 && errno != ENOENT) {
		if ((errno != ENOTEMPTY && errno != EEXIST) || last->rescans++ >= RESCANS_MAX)
			return -1;
		rewinddir(last->stream); /* some file systems skip names while others are being removed */
		return 0;
	}
	closedir(last->stream);
	free(last->name);
	removal->len--;
	return 0;
}

/* Removes one name in the last level, or goes down into it. */
static int remove_name(struct removal *removal, const char *name, unsigned char type)
{
	if (type != DT_DIR) {
		if (unlinkat(parent_fd(removal), name, 0) == 0 || errno == ENOENT)
			return 0;
		if (errno != EISDIR)
			return -1;
	}
	return enter(removal, name);
}

static int step(struct removal *removal)
{
	const struct dirent *entry;

	errno = 0;
	entry = readdir(
		removal->levels[removal->len - 1].stream); /* NOLINT(concurrency-mt-unsafe): our stream */
	if (!entry)
		return errno ? -1 : leave(removal);
	if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
		return 0;
	return remove_name(removal, entry->d_name, entry->d_type);
}

int tree_remove(int dir, const char *name, struct err *err)
{
	CLEANUP(removal_done) struct removal removal = { .dir = dir };

	assert(*name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strchr(name, '/'));
	int failed = remove_name(&removal, name, DT_UNKNOWN);
	while (!failed && removal.len)
		failed = step(&removal);
	if (!failed)
		return 0;
	if (errno == EXDEV || errno == EBUSY)
		return err_set(err, RPC_FAILED_PRECONDITION, "remove %s: something is mounted in it", name);
	return err_errno(err, "remove %s", name);
}
