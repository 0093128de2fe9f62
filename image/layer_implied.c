/*
 * A layer shows its directories unless one above hides them: by a file or a whiteout on the way, or by an
 * opaque directory on the way. The search goes from the new layer down and ends where that is found.
 */
#include "image/layer_implied.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "image/layer_tree.h"

enum { XATTR_NAMES_MAX = 64 * 1024, DIR_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW };

/* Copies the xattrs that unpack() keeps; the rest (overlayfs's own) must not travel. */
static int copy_xattrs(int from, int to, struct err *err)
{
	CLEANUP(freep) char *names = xmalloc(XATTR_NAMES_MAX);
	CLEANUP(freep) char *value = xmalloc(XATTR_NAMES_MAX);
	ssize_t len = flistxattr(from, names, XATTR_NAMES_MAX);

	if (len < 0)
		return errno == ENOTSUP ? 0 : err_errno(err, "list xattrs");
	for (const char *name = names; name < names + len; name += strlen(name) + 1) {
		ssize_t n;

		if (!str_has_prefix(name, "user."))
			continue;
		n = fgetxattr(from, name, value, XATTR_NAMES_MAX);
		if (n < 0 || fsetxattr(to, name, value, (size_t)n, 0) < 0)
			return err_errno(err, "copy xattr %.100s", name);
	}
	return 0;
}

static int copy_dir_meta(int from, int to, struct err *err)
{
	struct stat st;

	if (fstat(from, &st) < 0 || fchown(to, st.st_uid, st.st_gid) < 0 ||
	    fchmod(to, st.st_mode & 07777) < 0)
		return err_errno(err, "copy owner and mode of a directory below");
	if (copy_xattrs(from, to, err) < 0)
		return -1;
	const struct timespec times[2] = { st.st_atim, st.st_mtim };

	return futimens(to, times) < 0 ? err_errno(err, "copy times of a directory below") : 0;
}

/* True when a directory above the last one on the path (or the root) is opaque in the layer. */
static bool hides_below(int root, const char *path)
{
	char above[TREE_PATH_MAX + 1];
	size_t len = strlen(path);

	if (len > TREE_PATH_MAX)
		return true;
	memcpy(above, path, len + 1);
	for (;;) {
		CLEANUP(fd_closep) int dir = -1;
		char *slash = strrchr(above, '/');
		char value;

		*(slash ? slash : above) = '\0';
		dir = open_in_root(root, above[0] ? above : ".", DIR_FLAGS, 0);
		if (dir >= 0 && fgetxattr(dir, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y')
			return true;
		if (above[0] == '\0')
			return false;
	}
}

static int inherit(int root, const char *path, const struct layer_below *below, struct err *err)
{
	CLEANUP(fd_closep) int to = open_in_root(root, path, DIR_FLAGS, 0);

	if (to < 0 || hides_below(root, path))
		return 0; /* replaced by a later entry, or made anew */
	for (size_t i = below->diffs->len; i-- > 0;) {
		CLEANUP(fd_closep) int layer = dir_open(below->store, below->diffs->items[i], err);
		CLEANUP(fd_closep) int from = -1;

		if (layer < 0)
			return -1;
		from = open_in_root(layer, path, DIR_FLAGS, 0);
		if (from >= 0)
			return copy_dir_meta(from, to, err);
		if (errno != ENOENT || hides_below(layer, path))
			return 0; /* a whiteout, a file or an opaque directory: nothing shows through */
	}
	return 0;
}

int layer_implied_inherit(int root, const struct strv *implied, const struct layer_below *below,
			  struct err *err)
{
	for (size_t i = 0; i < implied->len; i++)
		if (inherit(root, implied->items[i], below, err) < 0)
			return -1;
	return 0;
}
