/*
 * The parts of base/file.h about paths: by their names alone, and inside somebody else's tree, which is all
 * on openat2(2).
 *
 * make_in_root() walks component by component: the text of the path so far is resolved anew from the root
 * each time (so links and ".." obey RESOLVE_IN_ROOT), and what is missing is made by name in the directory
 * held from the step before. A dangling link (an image's /var/run -> /run without /run) is replaced by its
 * target in the text.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LINKS_MAX = 40, RACES_MAX = 32 };

/* EAGAIN: a rename or mount anywhere raced with the resolution of ".."; the kernel asks to try again. */
static int resolve(int root, const char *path, int flags, mode_t mode, uint64_t how)
{
	struct open_how open_how = {
		.flags = (uint64_t)(unsigned int)flags | O_CLOEXEC,
		.mode = flags & (O_CREAT | __O_TMPFILE) ? mode : 0,
		.resolve = how | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	for (int i = 0; i < RACES_MAX; i++) {
		fd = syscall(SYS_openat2, root, path, &open_how, sizeof(open_how));
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	return (int)fd;
}

bool path_is_within(const char *path, const char *folder)
{
	size_t len = strlen(folder);

	if (str_eq(folder, "/"))
		return true;
	return str_has_prefix(path, folder) && (path[len] == '\0' || path[len] == '/');
}

int open_beneath(int root, const char *path, int flags, mode_t mode)
{
	return resolve(root, path, flags, mode, RESOLVE_BENEATH);
}

int open_in_root(int root, const char *path, int flags, mode_t mode)
{
	return resolve(root, path, flags, mode, RESOLVE_IN_ROOT);
}

struct walk {
	int root;
	int at;          /* the last directory reached; owned */
	struct str done; /* text of the path so far, without links expanded */
	char *rest;      /* what is still to be walked; owned */
	int links, races;
	mode_t mode;
	uid_t uid; /* of what is made; -1: nothing is said */
	gid_t gid;
};

static void walk_done(struct walk *walk)
{
	fd_closep(&walk->at);
	str_done(&walk->done);
	free(walk->rest);
}

/* Takes the first component off walk->rest; NULL at the end. malloc'd. */
static char *next_component(struct walk *walk)
{
	const char *start = walk->rest + strspn(walk->rest, "/");
	size_t len = strcspn(start, "/");

	if (!len)
		return NULL;
	char *name = xstrndup(start, len);
	char *rest = xstrdup(start + len);
	free(walk->rest);
	walk->rest = rest;
	return name;
}

/* Puts the target of the link `name` in front of the rest; -1 with errno. */
static int expand_link(struct walk *walk, const char *name)
{
	char target[PATH_MAX];
	ssize_t len = readlinkat(walk->at, name, target, sizeof(target));

	if (len < 0 && errno == EINVAL && walk->races++ < RACES_MAX) {
		len = 0; /* no link: made by somebody else just now; walk into it */
	} else if (len < 0) {
		return -1;
	} else if (len == sizeof(target) || ++walk->links > LINKS_MAX) {
		errno = ELOOP;
		return -1;
	}
	char *rest = len ? xasprintf("%.*s/%s", (int)len, target, walk->rest)
			 : xasprintf("%s/%s", name, walk->rest);
	free(walk->rest);
	walk->rest = rest;
	if (strlen(rest) >= PATH_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (len && target[0] == '/')
		str_clear(&walk->done);
	return 0;
}

static int reopen(struct walk *walk)
{
	int fd = open_in_root(walk->root, walk->done.len ? walk->done.data : ".", O_PATH | O_DIRECTORY, 0);

	if (fd < 0)
		return -1;
	fd_closep(&walk->at);
	walk->at = fd;
	return 0;
}

static int make_missing(struct walk *walk, const char *name)
{
	if (mkdirat(walk->at, name, walk->mode & 0777) < 0) {
		if (errno != EEXIST || expand_link(walk, name) < 0)
			return -1;
		return reopen(walk);
	}
	CLEANUP(fd_closep) int fd = openat(walk->at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchmod(fd, walk->mode) < 0)
		return -1;
	if (walk->uid != (uid_t)-1 && fchown(fd, walk->uid, walk->gid) < 0)
		return -1;
	str_addf(&walk->done, "/%s", name);
	fd_closep(&walk->at);
	walk->at = TAKE_FD(fd);
	return 0;
}

static int walk_step(struct walk *walk, const char *name)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", str_get(&walk->done), name);
	int fd = open_in_root(walk->root, path, O_PATH | O_DIRECTORY, 0);

	if (fd < 0)
		return errno == ENOENT ? make_missing(walk, name) : -1;
	fd_closep(&walk->at);
	walk->at = fd;
	str_addf(&walk->done, "/%s", name);
	return 0;
}

int make_in_root(int root, const char *path, mode_t mode, struct err *err)
{
	return make_in_root_owned(root, path, mode, (uid_t)-1, (gid_t)-1, err);
}

int make_in_root_owned(int root, const char *path, mode_t mode, uid_t uid, gid_t gid, struct err *err)
{
	CLEANUP(walk_done)
	struct walk walk = { .root = root, .at = -1, .mode = mode, .uid = uid, .gid = gid };

	if (strlen(path) >= PATH_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "make directory: path longer than %d bytes",
			       PATH_MAX);
	walk.rest = xstrdup(path);
	if (reopen(&walk) < 0)
		return err_errno(err, "make directory %s", path);
	for (;;) {
		CLEANUP(freep) char *name = next_component(&walk);
		if (!name)
			break;
		if (walk_step(&walk, name) < 0)
			return err_errno(err, "make directory %s", path);
	}
	/* The last step may have opened it for reading; what is promised is O_PATH. */
	int fd = openat(walk.at, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "make directory %s", path);
	return fd;
}
