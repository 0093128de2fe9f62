/*
 * A path is cleaned into a buffer and cut into directory and name. The directory becomes an O_PATH fd: from
 * the cache, by one openat2(), or by making what is missing. Since the tree belongs to this thread alone,
 * what fstatat() says about a name stays true until we change it, so metadata may be set by (fd, name)
 * without following links.
 *
 * `dirs` remembers each directory's mtime and whether it is implied; its memory is bounded by
 * limits.names_max.
 */
#include "image/layer_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "base/map.h"
#include "image/layer_path.h"

enum { CACHE_SLOTS = 64, BLOCK = 4096, NOTE_COST = 128 };

struct dir_note {
	struct timespec mtime;
	bool implied;
};

struct cached_dir {
	char *path;
	int fd;
};

struct layer_tree {
	int root;
	struct tree_limits limits;
	struct tree_usage usage;
	uint64_t entries, names;
	bool setgid;     /* a directory may have the bit: what is made in it takes its group */
	struct map dirs; /* path -> struct dir_note */
	struct cached_dir cache[CACHE_SLOTS];
};

struct layer_tree *layer_tree_new(int root, const struct tree_limits *limits)
{
	struct layer_tree *tree = xnew(struct layer_tree);

	tree->root = root;
	tree->limits = *limits;
	map_init(&tree->dirs, free);
	for (size_t i = 0; i < CACHE_SLOTS; i++)
		tree->cache[i].fd = -1;
	return tree;
}

static void drop_slot(struct cached_dir *slot)
{
	free(slot->path);
	slot->path = NULL;
	fd_closep(&slot->fd);
	slot->fd = -1;
}

static void drop_cache(struct layer_tree *tree)
{
	for (size_t i = 0; i < CACHE_SLOTS; i++)
		drop_slot(&tree->cache[i]);
}

struct layer_tree *layer_tree_free(struct layer_tree *tree)
{
	if (!tree)
		return NULL;
	drop_cache(tree);
	map_done(&tree->dirs);
	free(tree);
	return NULL;
}

void layer_tree_freep(struct layer_tree **tree)
{
	layer_tree_free(*tree);
}

static int count_entry(struct layer_tree *tree, struct err *err)
{
	if (++tree->entries > tree->limits.entries_max)
		return err_set(err, RPC_INVALID_ARGUMENT, "layer has more than %llu entries",
			       (unsigned long long)tree->limits.entries_max);
	return 0;
}

static int note_dir(struct layer_tree *tree, const char *path, const struct timespec *mtime, bool implied,
		    struct err *err)
{
	struct dir_note *note = map_get(&tree->dirs, path);

	if (!note) {
		tree->names += strlen(path) + NOTE_COST;
		if (tree->names > tree->limits.names_max)
			return err_set(err, RPC_INVALID_ARGUMENT, "layer has too many directories");
		note = xnew(struct dir_note);
		map_put(&tree->dirs, path, note);
		tree->usage.bytes += BLOCK;
		tree->usage.inodes++;
	}
	note->mtime = mtime ? *mtime : (struct timespec){ .tv_nsec = UTIME_OMIT };
	note->implied = implied;
	return 0;
}

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

/* dir: an fd that may be O_PATH. */
static int set_opaque(int dir, const char *name, struct err *err)
{
	CLEANUP(fd_closep)
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0)
		return err_errno(err, "mark \"%.200s\" opaque", name);
	return 0;
}

/* Removes what is at name, whatever it is. */
static int clear_name(struct layer_tree *tree, int dir, const char *name, struct err *err)
{
	if (unlinkat(dir, name, 0) == 0) {
		drop_cache(tree); /* it may have been a link on the way to a cached directory */
		return 0;
	}
	if (errno != EISDIR && errno != EPERM)
		return err_errno(err, "replace \"%.200s\"", name);
	if (tree_remove(dir, name, err) < 0)
		return -1;
	drop_cache(tree); /* dir may have been one of them */
	return 0;
}

/* A new directory at name, in place of a whiteout (then it is opaque) or anything else that is no directory.
 * *ret_fresh is false when there is one already. */
static int make_dir(struct layer_tree *tree, int dir, const char *name, bool *ret_fresh, struct err *err)
{
	struct stat st;
	int result;

	*ret_fresh = true;
	if (mkdirat(dir, name, 0755) == 0)
		return 0;
	if (errno != EEXIST || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "make directory \"%.200s\"", name);
	if (S_ISDIR(st.st_mode)) {
		*ret_fresh = false;
		return 0;
	}
	if (unlinkat(dir, name, 0) < 0 || mkdirat(dir, name, 0755) < 0)
		return err_errno(err, "make directory \"%.200s\"", name);
	result = is_whiteout(&st) ? set_opaque(dir, name, err) : 0;
	drop_cache(tree); /* dir may have been one of them */
	return result;
}

/* Makes one missing directory whose parent exists. */
static int make_implied(struct layer_tree *tree, const char *path, struct err *err)
{
	CLEANUP(fd_closep) int parent = -1;
	struct layer_place place;
	struct stat st;
	bool fresh;

	if (layer_path_locate(path, &place, err) < 0 || count_entry(tree, err) < 0)
		return -1;
	parent = open_in_root(tree->root, place.dir[0] ? place.dir : ".", O_PATH | O_DIRECTORY, 0);
	if (parent < 0)
		return err_errno(err, "open \"%.200s\"", place.dir);
	if (fstatat(parent, place.name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !is_whiteout(&st))
		return layer_path_bad(err, path, "is no directory, but entries lie below it");
	if (make_dir(tree, parent, place.name, &fresh, err) < 0)
		return -1;
	if ((tree->setgid && fchownat(parent, place.name, 0, 0, AT_SYMLINK_NOFOLLOW) < 0) ||
	    fchmodat(parent, place.name, 0755, 0) < 0)
		return err_errno(err, "set owner and mode of \"%.200s\"", path);
	return note_dir(tree, path, NULL, true, err);
}

/* Opens a directory that is not there: finds the longest part that is, and makes the rest. path is scratch.
 */
static int open_missing(struct layer_tree *tree, char *path, struct err *err)
{
	size_t full = strlen(path), have = full;
	int fd = -1;

	while (have > 0 && fd < 0) { /* cut components off until one is there */
		const char *slash = memrchr(path, '/', have);

		have = slash ? (size_t)(slash - path) : 0;
		if (have == 0)
			break;
		path[have] = '\0';
		fd = open_in_root(tree->root, path, O_PATH | O_DIRECTORY, 0);
		path[have] = '/';
		if (fd < 0 && errno != ENOENT && errno != ENOTDIR)
			return err_errno(err, "open \"%.200s\"", path);
	}
	fd_closep(&fd);
	while (have < full) { /* and put them back one by one */
		const char *slash = memchr(path + have + (have > 0), '/', full - have - (have > 0));
		char keep;

		have = slash ? (size_t)(slash - path) : full;
		keep = path[have];
		path[have] = '\0';
		if (make_implied(tree, path, err) < 0)
			return -1;
		path[have] = keep;
	}
	fd = open_in_root(tree->root, path, O_PATH | O_DIRECTORY, 0);
	return fd < 0 ? err_errno(err, "open \"%.200s\"", path) : fd;
}

static size_t slot_of(const char *path)
{
	uint32_t hash = 2166136261u; /* FNV-1a; a collision costs one openat2 */

	for (const char *c = path; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 16777619u;
	return hash % CACHE_SLOTS;
}

/* The directory at a clean path, made if missing; borrowed from the cache. -1 and err. */
static int open_dir(struct layer_tree *tree, const char *path, struct err *err)
{
	struct cached_dir *slot = &tree->cache[slot_of(path)];
	int fd;

	if (path[0] == '\0')
		return tree->root;
	if (slot->path && str_eq(slot->path, path))
		return slot->fd;
	fd = open_in_root(tree->root, path, O_PATH | O_DIRECTORY, 0);
	if (fd < 0) {
		char scratch[TREE_PATH_MAX + 1];

		if (errno != ENOENT && errno != ENOTDIR)
			return err_errno(err, "open \"%.200s\"", path);
		memcpy(scratch, path, strlen(path) + 1);
		fd = open_missing(tree, scratch, err);
		if (fd < 0)
			return -1;
	}
	drop_slot(slot);
	slot->path = xstrdup(path);
	slot->fd = fd;
	return fd;
}

/* Counts the entry and opens the directory it goes to; the root itself is refused. */
static int enter(struct layer_tree *tree, const char *path, struct layer_place *place, struct err *err)
{
	if (count_entry(tree, err) < 0 || layer_path_locate(path, place, err) < 0)
		return -1;
	if (place->name[0] == '\0')
		return layer_path_bad(err, path, "the root of a layer can only be a directory");
	return open_dir(tree, place->dir, err);
}

static int set_xattrs(int fd, const struct tree_meta *meta, struct err *err)
{
	for (size_t i = 0; i < meta->xattrs_len; i++) {
		const struct tree_xattr *xattr = &meta->xattrs[i];

		if (fsetxattr(fd, xattr->name, xattr->value, xattr->len, 0) == 0)
			continue;
		/* Some filesystems keep no user.* (tmpfs before Linux 6.6); no program can count on them. */
		if (errno != ENOTSUP || !str_has_prefix(xattr->name, "user."))
			return err_errno(err, "set xattr %.100s", xattr->name);
	}
	return 0;
}

static int set_dir_meta(struct layer_tree *tree, int dir, const char *name, const struct tree_meta *meta,
			struct err *err)
{
	CLEANUP(fd_closep) int fd = -1;

	tree->setgid |= (meta->mode & S_ISGID) != 0;
	if (fchownat(dir, name, meta->uid, meta->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(dir, name, meta->mode, 0) < 0)
		return err_errno(err, "set owner and mode of \"%.200s\"", name);
	if (meta->xattrs_len == 0)
		return 0;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "open \"%.200s\"", name);
	return set_xattrs(fd, meta, err);
}

int layer_tree_dir(struct layer_tree *tree, const char *path, const struct tree_meta *meta, struct err *err)
{
	char clean[TREE_PATH_MAX + 1];
	struct layer_place place;
	bool fresh;
	int dir;

	if (layer_path_clean(path, clean, err) < 0)
		return -1;
	if (clean[0] == '\0') {
		if (count_entry(tree, err) < 0 || set_dir_meta(tree, tree->root, ".", meta, err) < 0)
			return -1;
		return note_dir(tree, ".", &meta->mtime, false, err);
	}
	dir = enter(tree, clean, &place, err);
	if (dir < 0 || make_dir(tree, dir, place.name, &fresh, err) < 0)
		return -1;
	if (fresh) /* making it may have dropped the cache, and dir with it */
		dir = open_dir(tree, place.dir, err);
	if (dir < 0 || set_dir_meta(tree, dir, place.name, meta, err) < 0)
		return -1;
	return note_dir(tree, clean, &meta->mtime, false, err);
}

/* Runs make(dir, name, data); when the name is taken, clears it and tries once more. */
static int make_entry(struct layer_tree *tree, const struct layer_place *place, int dir,
		      int (*make)(int dir, const char *name, const void *data), const void *data)
{
	struct err ignored;
	int result = make(dir, place->name, data);

	if (result >= 0 || errno != EEXIST)
		return result;
	if (clear_name(tree, dir, place->name, &ignored) == 0)
		dir = open_dir(tree, place->dir, &ignored); /* clearing may have closed it */
	else
		dir = -1;
	if (dir < 0) {
		errno = EIO;
		return -1;
	}
	return make(dir, place->name, data);
}

static int make_file(int dir, const char *name, const void *data UNUSED)
{
	return openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

int layer_tree_file(struct layer_tree *tree, const char *path, int *ret_fd, struct err *err)
{
	struct layer_place place;
	int dir = enter(tree, path, &place, err);
	int fd;

	if (dir < 0)
		return -1;
	fd = make_entry(tree, &place, dir, make_file, NULL);
	if (fd < 0)
		return err_errno(err, "make file \"%.200s\"", path);
	*ret_fd = fd;
	return 0;
}

int layer_tree_file_end(struct layer_tree *tree, int fd, const struct tree_meta *meta, uint64_t written,
			struct err *err)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, meta->mtime };

	/* The order matters: chown clears setuid bits and file capabilities. */
	if (((meta->uid != 0 || meta->gid != 0 || tree->setgid) && fchown(fd, meta->uid, meta->gid) < 0) ||
	    fchmod(fd, meta->mode) < 0)
		return err_errno(err, "set owner and mode");
	if (set_xattrs(fd, meta, err) < 0)
		return -1;
	if (futimens(fd, times) < 0)
		return err_errno(err, "set times");
	tree->usage.bytes += (written + BLOCK - 1) / BLOCK * BLOCK;
	tree->usage.inodes++;
	return 0;
}

static int set_times(int dir, const char *name, const struct tree_meta *meta, struct err *err)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, meta->mtime };

	if (fchownat(dir, name, meta->uid, meta->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "set owner and times of \"%.200s\"", name);
	return 0;
}

static int make_symlink(int dir, const char *name, const void *data)
{
	return symlinkat(data, dir, name);
}

int layer_tree_symlink(struct layer_tree *tree, const char *path, const char *target,
		       const struct tree_meta *meta, struct err *err)
{
	struct layer_place place;
	int dir = enter(tree, path, &place, err);

	if (dir < 0)
		return -1;
	if (target[0] == '\0' || strlen(target) > TREE_PATH_MAX)
		return layer_path_bad(err, path, "link target is empty or too long");
	if (make_entry(tree, &place, dir, make_symlink, target) < 0)
		return err_errno(err, "make link \"%.200s\"", path);
	tree->usage.inodes++;
	dir = open_dir(tree, place.dir, err);
	return dir < 0 ? -1 : set_times(dir, place.name, meta, err);
}

struct link_source {
	int dir;
	const char *name;
};

static int make_link(int dir, const char *name, const void *data)
{
	const struct link_source *source = data;

	return linkat(source->dir, source->name, dir, name, 0);
}

/* True when the link is there already: clearing its name would remove the target too. */
static bool same_file(int dir, const char *name, const struct stat *target)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == target->st_ino &&
	       st.st_dev == target->st_dev;
}

int layer_tree_link(struct layer_tree *tree, const char *path, const char *target, struct err *err)
{
	CLEANUP(fd_closep) int target_dir = -1;
	struct layer_place place, from;
	struct stat st;
	int dir;

	if (layer_path_locate(target, &from, err) < 0)
		return err_prefix(err, "link target");
	target_dir = open_in_root(tree->root, from.dir[0] ? from.dir : ".", O_PATH | O_DIRECTORY, 0);
	if (target_dir < 0 || from.name[0] == '\0' ||
	    fstatat(target_dir, from.name, &st, AT_SYMLINK_NOFOLLOW) < 0 || is_whiteout(&st))
		return layer_path_bad(err, target, "target of a hard link is not in the layer");
	if (S_ISDIR(st.st_mode))
		return layer_path_bad(err, target, "target of a hard link is a directory");
	dir = enter(tree, path, &place, err);
	if (dir < 0)
		return -1;
	if (same_file(dir, place.name, &st))
		return 0;
	const struct link_source source = { target_dir, from.name };

	if (make_entry(tree, &place, dir, make_link, &source) < 0)
		return err_errno(err, "make hard link \"%.200s\"", path);
	return 0;
}

struct node {
	mode_t mode;
	dev_t device;
};

static int make_node(int dir, const char *name, const void *data)
{
	const struct node *node = data;

	return mknodat(dir, name, node->mode, node->device);
}

int layer_tree_node(struct layer_tree *tree, const char *path, mode_t type, dev_t device,
		    const struct tree_meta *meta, struct err *err)
{
	const struct node node = { type | 0600, device };
	struct layer_place place;
	int dir = enter(tree, path, &place, err);

	if (dir < 0)
		return -1;
	if (make_entry(tree, &place, dir, make_node, &node) < 0)
		return err_errno(err, "make device \"%.200s\"", path);
	tree->usage.inodes++;
	dir = open_dir(tree, place.dir, err);
	if (dir < 0 || set_times(dir, place.name, meta, err) < 0)
		return -1;
	if (fchmodat(dir, place.name, meta->mode, 0) < 0)
		return err_errno(err, "chmod \"%.200s\"", path);
	return 0;
}

int layer_tree_whiteout(struct layer_tree *tree, const char *path, struct err *err)
{
	struct layer_place place;
	struct stat st;
	int dir = enter(tree, path, &place, err);

	if (dir < 0)
		return -1;
	if (fstatat(dir, place.name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return S_ISDIR(st.st_mode) ? set_opaque(dir, place.name, err) : 0;
	if (mknodat(dir, place.name, S_IFCHR, makedev(0, 0)) < 0)
		return err_errno(err, "make whiteout \"%.200s\"", path);
	tree->usage.inodes++;
	return 0;
}

int layer_tree_opaque(struct layer_tree *tree, const char *path, struct err *err)
{
	char clean[TREE_PATH_MAX + 1];
	int dir;

	if (count_entry(tree, err) < 0 || layer_path_clean(path, clean, err) < 0)
		return -1;
	dir = open_dir(tree, clean, err);
	return dir < 0 ? -1 : set_opaque(dir, ".", err);
}

int layer_tree_finish(struct layer_tree *tree, struct err *err)
{
	drop_cache(tree);
	map_for_each (slot, &tree->dirs) {
		const struct dir_note *note = slot->value;
		const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, note->mtime };
		CLEANUP(fd_closep) int fd = -1;

		if (note->mtime.tv_nsec == UTIME_OMIT)
			continue;
		fd = open_in_root(tree->root, slot->key, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
			continue; /* a later entry has replaced it */
		if (fd < 0 || futimens(fd, times) < 0)
			return err_errno(err, "set times of \"%.200s\"", slot->key);
	}
	return 0;
}

const struct tree_usage *layer_tree_usage(const struct layer_tree *tree)
{
	return &tree->usage;
}

void layer_tree_implied(const struct layer_tree *tree, struct strv *ret)
{
	map_for_each (slot, &tree->dirs) {
		const struct dir_note *note = slot->value;

		if (note->implied)
			strv_add(ret, slot->key);
	}
}
