/*
 * Of each directory on the way down only the names of its subdirectories yet to come are kept, and its
 * identity: on the way up it is opened through "..", and must still be the same.
 */
#include "sandbox/layer_walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"

struct level {
	ino_t ino;
	struct strv todo;
};

struct walk {
	struct layer_walk *usage;
	size_t left; /* entries */
	const atomic_bool *stop;
	dev_t dev;
	int fd; /* of the deepest level */
	struct level *levels;
	size_t len, size;
	uint64_t *seen; /* inodes with several names; an open-addressed set, 0: free */
	size_t seen_len, seen_size;
};

static void walk_done(struct walk *walk)
{
	for (size_t i = 0; i < walk->len; i++)
		strv_done(&walk->levels[i].todo);
	free(walk->levels);
	free(walk->seen);
	fd_close(walk->fd);
}

static uint64_t *slot_of(uint64_t *seen, size_t size, uint64_t ino)
{
	size_t at = (size_t)((ino * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (size - 1);

	while (seen[at] && seen[at] != ino)
		at = (at + 1) & (size - 1);
	return &seen[at];
}

static void grow(struct walk *walk)
{
	size_t size = walk->seen_size ? walk->seen_size * 2 : 64;
	uint64_t *seen = xcalloc(size, sizeof(*seen));

	for (size_t i = 0; i < walk->seen_size; i++)
		if (walk->seen[i])
			*slot_of(seen, size, walk->seen[i]) = walk->seen[i];
	free(walk->seen);
	walk->seen = seen;
	walk->seen_size = size;
}

static bool first_time(struct walk *walk, const struct stat *st)
{
	uint64_t *slot;

	if (S_ISDIR(st->st_mode) || st->st_nlink < 2)
		return true;
	if (walk->seen_len * 2 >= walk->seen_size)
		grow(walk);
	slot = slot_of(walk->seen, walk->seen_size, st->st_ino);
	if (*slot)
		return false;
	*slot = st->st_ino;
	walk->seen_len++;
	return true;
}

static void count(struct walk *walk, const struct stat *st)
{
	if (!first_time(walk, st))
		return;
	walk->usage->bytes += (uint64_t)st->st_blocks * 512;
	walk->usage->inodes++;
}

static bool may_go_on(const struct walk *walk)
{
	return walk->left && !(walk->stop && atomic_load_explicit(walk->stop, memory_order_relaxed));
}

static void count_entry(struct walk *walk, const char *name, struct strv *todo)
{
	struct stat st;

	if (fstatat(walk->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != walk->dev)
		return;
	if (S_ISDIR(st.st_mode))
		strv_add(todo, name); /* counted when it is entered */
	else
		count(walk, &st);
}

/* Counts the entries of the directory at walk->fd, and pushes it. False: no more, or it can't be read. */
static bool read_level(struct walk *walk, const struct stat *st)
{
	int fd = openat(walk->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct level level = { .ino = st->st_ino };
	struct dirent *entry;

	if (!stream) {
		fd_close(fd);
		return false;
	}
	while (may_go_on(walk) && (entry = readdir(stream))) {
		if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, ".."))
			continue;
		walk->left--;
		count_entry(walk, entry->d_name, &level.todo);
	}
	closedir(stream);
	if (walk->len == walk->size) {
		walk->size = walk->size ? walk->size * 2 : 16;
		walk->levels = xrealloc(walk->levels, walk->size, sizeof(*walk->levels));
	}
	walk->levels[walk->len++] = level;
	return may_go_on(walk);
}

/* Goes down into name; one that is gone or another's is passed over. */
static bool enter(struct walk *walk, const char *name)
{
	CLEANUP(fd_closep) int fd = openat(walk->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_dev != walk->dev)
		return true;
	count(walk, &st);
	fd_close(walk->fd);
	walk->fd = TAKE_FD(fd);
	return read_level(walk, &st);
}

/* Back to the level above; false when there is none or the tree was moved about. */
static bool leave(struct walk *walk)
{
	CLEANUP(fd_closep) int fd = -1;
	struct stat st;

	strv_done(&walk->levels[--walk->len].todo);
	if (!walk->len)
		return false;
	fd = openat(walk->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_dev != walk->dev ||
	    st.st_ino != walk->levels[walk->len - 1].ino)
		return false;
	fd_close(walk->fd);
	walk->fd = TAKE_FD(fd);
	return true;
}

static bool step(struct walk *walk)
{
	struct strv *todo = &walk->levels[walk->len - 1].todo;
	CLEANUP(freep) char *name = NULL;

	if (!may_go_on(walk))
		return false;
	if (!todo->len)
		return leave(walk);
	todo->len--;
	name = TAKE(todo->items[todo->len]);
	return enter(walk, name);
}

int layer_walk(const char *path, size_t entries_max, const atomic_bool *stop, struct layer_walk *ret,
	       struct err *err)
{
	CLEANUP(walk_done) struct walk walk = { .usage = ret, .left = entries_max, .stop = stop, .fd = -1 };
	struct stat st;

	*ret = (struct layer_walk){ 0 };
	walk.fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (walk.fd < 0 && errno == ENOENT)
		return err_set(err, RPC_NOT_FOUND, "%s does not exist", path);
	if (walk.fd < 0 || fstat(walk.fd, &st) < 0)
		return err_errno(err, "%s", path);
	walk.dev = st.st_dev;
	count(&walk, &st);
	if (read_level(&walk, &st))
		while (step(&walk))
			;
	ret->whole = !walk.len;
	return 0;
}
