/* The path is walked from the root by O_PATH descriptors, one component at a time, as the kernel does; a link
 * that may be followed is put in front of what remains. */
#include "sandbox/log_place.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "sandbox/pod_check.h"

enum { LOG_PATH_MAX = 2048, LINKS_MAX = 40 };

struct walk {
	const char *what; /* the field of the request, for texts */
	const char *path; /* the whole of it */
	char *rest;       /* what remains to be walked; malloc'd */
	int dir;          /* where that begins */
	int links;        /* followed so far */
	bool to_file;     /* its last component is a file, and no link is followed; else it is a folder */
};

static void walk_done(struct walk *walk)
{
	fd_closep(&walk->dir);
	freep(&walk->rest);
}

static int open_root(struct err *err)
{
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	return root < 0 ? err_errno(err, "open /") : root;
}

static int refuse(const struct walk *walk, const char *why, struct err *err)
{
	return err_set(err, RPC_INVALID_ARGUMENT, "%s: %s: %.400s", walk->what, why, walk->path);
}

/* The rest is kept without slashes in front. */
static void set_rest(struct walk *walk, const char *rest)
{
	char *copy = xstrdup(rest + strspn(rest, "/"));

	freep(&walk->rest);
	walk->rest = copy;
}

/* Takes the first component off the rest. malloc'd. */
static char *next_component(struct walk *walk)
{
	size_t len = strcspn(walk->rest, "/");
	char *name = xstrndup(walk->rest, len);

	set_rest(walk, walk->rest + len);
	return name;
}

/* Whether only we can have placed this link in this folder. */
static bool is_ours(int dir, const struct stat *link)
{
	struct stat st;

	return link->st_uid == geteuid() && fstat(dir, &st) == 0 && st.st_uid == geteuid() &&
	       !(st.st_mode & (S_IWGRP | S_IWOTH));
}

static int follow(struct walk *walk, const char *name, const struct stat *st, struct err *err)
{
	char target[4096];
	ssize_t len;

	if (walk->to_file || !*walk->rest || !is_ours(walk->dir, st) || ++walk->links > LINKS_MAX)
		return refuse(walk, "leads over a symbolic link", err);
	len = readlinkat(walk->dir, name, target, sizeof(target) - 1);
	if (len < 0)
		return err_errno(err, "read link %s", name);
	target[len] = '\0';
	CLEANUP(freep) char *rest = xasprintf("%s/%s", target, walk->rest);
	set_rest(walk, rest);
	if (target[0] != '/')
		return 0;
	fd_close(walk->dir);
	walk->dir = open_root(err);
	return walk->dir < 0 ? -1 : 0;
}

static int enter(struct walk *walk, const char *name, struct err *err)
{
	int dir = openat(walk->dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir < 0 && errno == ENOTDIR)
		return refuse(walk, "not a folder", err);
	if (dir < 0)
		return err_errno(err, "open %s of %s", name, walk->path);
	fd_close(walk->dir);
	walk->dir = dir;
	return 0;
}

static int step(struct walk *walk, const char *name, const struct stat *st, struct err *err)
{
	if (S_ISLNK(st->st_mode))
		return follow(walk, name, st, err);
	if (walk->to_file && !*walk->rest)
		return 0;
	return enter(walk, name, err);
}

/* Walks as far as there is something. *ret_last is what is at the very end, with mode 0 when that is absent.
 */
static int walk_on(struct walk *walk, struct stat *ret_last, struct err *err)
{
	memset(ret_last, 0, sizeof(*ret_last));
	while (*walk->rest) {
		CLEANUP(freep) char *name = next_component(walk);
		struct stat st;

		if (fstatat(walk->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno == ENOENT)
				return 0;
			return errno == ENAMETOOLONG ? refuse(walk, "a name in it is too long", err)
						     : err_errno(err, "look at %s of %s", name, walk->path);
		}
		if (step(walk, name, &st, err) < 0)
			return -1;
		if (!*walk->rest)
			*ret_last = st;
	}
	return 0;
}

int log_directory_check(const char *directory, struct err *err)
{
	CLEANUP(walk_done) struct walk walk = { .what = "log_directory", .path = directory, .dir = -1 };
	struct stat last;

	set_rest(&walk, directory);
	if (host_path_check("log_directory", directory, err) < 0 || (walk.dir = open_root(err)) < 0)
		return -1;
	return walk_on(&walk, &last, err);
}

static int check_words(const char *path, struct err *err)
{
	CLEANUP(freep) char *rooted = xasprintf("/%s", path);
	size_t len = strlen(path);

	if (path[0] == '/' || len > LOG_PATH_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "log_path is absolute or too long: %.100s", path);
	if (len && path[len - 1] == '/')
		return err_set(err, RPC_INVALID_ARGUMENT, "log_path is a folder: %.100s", path);
	if (host_path_check("log_path", rooted, NULL) < 0)
		return err_set(err, RPC_INVALID_ARGUMENT, "log_path has dots or line ends in it: %.100s",
			       path);
	return 0;
}

int log_place_check(const char *directory, const char *path, struct err *err)
{
	CLEANUP(walk_done)
	struct walk walk = { .what = "log_path", .path = path, .dir = -1, .to_file = true };
	struct stat last;
	struct err absent;

	if (!*directory)
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "log_path is set, but the pod sandbox has no log_directory");
	if (check_words(path, err) < 0 || log_directory_check(directory, err) < 0)
		return -1;
	walk.dir = dir_open(AT_FDCWD, directory, &absent);
	if (walk.dir < 0) /* still to be made, with all below it */
		return absent.code == RPC_NOT_FOUND ? 0 : err_set(err, absent.code, "%s", absent.text);
	set_rest(&walk, path);
	if (walk_on(&walk, &last, err) < 0)
		return -1;
	return last.st_mode == 0 || S_ISREG(last.st_mode) ? 0 : refuse(&walk, "not a regular file", err);
}

int log_place_make(const char *directory, const char *path, struct err *err)
{
	CLEANUP(fd_closep) int root = dir_make(AT_FDCWD, directory, 0755, err);
	CLEANUP(fd_closep) int dir = -1;
	CLEANUP(freep) char *folder = xstrdup(path);
	char *slash = strrchr(folder, '/');

	if (root < 0 || !slash)
		return root < 0 ? -1 : 0;
	*slash = '\0';
	dir = make_in_root(root, folder, 0755, err);
	return dir < 0 ? -1 : 0;
}
