/*
 * A layer's directory tree on disk, written entry by entry from hostile input (tar members), in the form that
 * overlayfs wants (Documentation/filesystems/overlayfs.rst): a whiteout is a character device 0:0, an opaque
 * directory has the xattr trusted.overlay.opaque.
 *
 * Every path is resolved beneath the root with openat2(RESOLVE_IN_ROOT), every operation is on a directory fd
 * and one name that is never followed. Directory fds are cached by path, and dropped whenever something that
 * may be on the way to them is removed (CVE-2025-47290). Nobody else may write to the tree meanwhile. Used by
 * one thread at a time.
 *
 * Paths are given as they came: leading "/" and "./" are dropped; "..", overlong and empty names are
 * INVALID_ARGUMENT. Directories that an entry needs but the layer does not name are made as 0755 root:root
 * and reported as implied.
 */
#ifndef IMAGE_LAYER_TREE_H
#define IMAGE_LAYER_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

enum {
	TREE_PATH_MAX = 4095, /* bytes of an entry's path, and of a link's target */
	TREE_DEPTH_MAX = 512, /* components */
	TREE_NAME_MAX = 255,
};

struct tree_limits {
	uint64_t entries_max; /* members and implied directories */
	uint64_t names_max;   /* bytes of directory names held in memory */
};

struct tree_xattr {
	const char *name;
	const void *value;
	size_t len;
};

struct tree_meta {
	uid_t uid;
	gid_t gid;
	mode_t mode; /* permission bits, with setuid, setgid and sticky */
	struct timespec mtime;
	const struct tree_xattr *xattrs; /* of files and directories; written as they are */
	size_t xattrs_len;
};

struct tree_usage {
	uint64_t bytes; /* content written, in whole 4 KiB blocks, and a block for each directory */
	uint64_t inodes;
};

struct layer_tree;

/* root: an empty directory opened for reading; borrowed. */
struct layer_tree *layer_tree_new(int root, const struct tree_limits *limits);
struct layer_tree *layer_tree_free(struct layer_tree *tree); /* accepts NULL, returns NULL */
void layer_tree_freep(struct layer_tree **tree);

int layer_tree_dir(struct layer_tree *tree, const char *path, const struct tree_meta *meta,
		   struct err *err) MUST_CHECK;
/* Makes an empty regular file, replacing what has its name. *ret_fd is open for writing: the caller writes,
 * calls layer_tree_file_end() with the number of bytes written, and closes it. */
int layer_tree_file(struct layer_tree *tree, const char *path, int *ret_fd, struct err *err) MUST_CHECK;
int layer_tree_file_end(struct layer_tree *tree, int fd, const struct tree_meta *meta, uint64_t written,
			struct err *err) MUST_CHECK;
int layer_tree_symlink(struct layer_tree *tree, const char *path, const char *target,
		       const struct tree_meta *meta, struct err *err) MUST_CHECK;
/* Both are paths of the layer; target must exist in it and be no directory. */
int layer_tree_link(struct layer_tree *tree, const char *path, const char *target,
		    struct err *err) MUST_CHECK;
/* type: S_IFCHR, S_IFBLK or S_IFIFO. */
int layer_tree_node(struct layer_tree *tree, const char *path, mode_t type, dev_t device,
		    const struct tree_meta *meta, struct err *err) MUST_CHECK;
/* Hides what lower layers have at path. What this layer has there stays (OCI image-spec, layer.md,
 * "Whiteouts"). */
int layer_tree_whiteout(struct layer_tree *tree, const char *path, struct err *err) MUST_CHECK;
/* Hides all that lower layers have in the directory. */
int layer_tree_opaque(struct layer_tree *tree, const char *path, struct err *err) MUST_CHECK;

/* Sets the directories' times, which making their content has changed. Call it last. */
int layer_tree_finish(struct layer_tree *tree, struct err *err) MUST_CHECK;
const struct tree_usage *layer_tree_usage(const struct layer_tree *tree);
/* Adds the paths (no leading slash) of implied directories, parents first. */
void layer_tree_implied(const struct layer_tree *tree, struct strv *ret);

#endif
