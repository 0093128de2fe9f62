/*
 * The mounts are copied one by one, without what is mounted on them (open_tree(2)), and put together as the
 * root of a thread of its own (unshare(2), move_mount(2), pivot_root(2) with two dots), which ends then.
 * Copies belong to the peer groups of their originals until they are made private: before that, nothing is
 * mounted on them. Those of sources stay in them, so nothing may ever be mounted on those: it would appear on
 * the host.
 */
#include "conmon/slim_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "base/thread.h"

enum { STACK_SIZE = 64 * 1024, MOUNTS_MAX = 64 };

/* Those that every runtime needs, with all that they are mounted on; and folders whose entries they are. */
static const char *const needed[] = { "/",        "/proc", "/sys/kernel/security",
				      "/dev/pts", "/run",  "/tmp",
				      "/etc",     "/usr",  "/lib",
				      "/lib64",   "/bin",  "/var" };
static const char *const needed_below[] = { "/sys/fs", "/sys/fs/cgroup" };

struct work {
	const struct strv *places; /* mount points, those above first */
	int *trees;                /* their mounts, attached to nothing yet */
	int base;                  /* the namespace to copy and extend; -1: one is made from nothing */
	int namespace;             /* what came of it, or -1 and why */
	struct err err;
};

static bool is_mount_point(const char *path)
{
	struct statx stx;

	return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_TYPE,
		     &stx) == 0 &&
	       (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT) && S_ISDIR(stx.stx_mode);
}

static void add_place(struct strv *places, const char *path)
{
	if (!strv_has(places, path) && is_mount_point(path))
		strv_add(places, path);
}

/* Whatever is a mount point on the way to path. */
static void add_way(struct strv *places, const char *path)
{
	CLEANUP(freep) char *way = xstrdup(path);

	for (char *slash = strchr(way + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		add_place(places, way);
		*slash = '/';
	}
	add_place(places, way);
}

/* And of where links on it lead; of a path that is not there yet, of the part that is. */
static void add_path(struct strv *places, const char *path)
{
	CLEANUP(freep) char *there = xstrdup(path);
	CLEANUP(freep) char *real = NULL;
	char *slash;

	add_way(places, path);
	while (!(real = realpath(there, NULL)) && (slash = strrchr(there, '/')) && slash > there)
		*slash = '\0';
	if (real)
		add_way(places, real);
}

static void add_entries(struct strv *places, const char *folder)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	struct err ignored;

	add_way(places, folder);
	if (dir_list(AT_FDCWD, folder, &names, &ignored) < 0)
		return;
	for (size_t i = 0; i < names.len; i++) {
		CLEANUP(freep) char *path = xasprintf("%s/%s", folder, names.items[i]);

		add_place(places, path);
	}
}

/* What is mounted on another has the longer name. */
static int by_length(const void *a, const void *b)
{
	size_t first = strlen(*(char *const *)a), second = strlen(*(char *const *)b);

	return first < second ? -1 : first > second;
}

static int copy_tree(const char *path, unsigned int flags, struct err *err)
{
	int tree = (int)syscall(SYS_open_tree, AT_FDCWD, path,
				OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW | flags);

	return tree < 0 ? err_errno(err, "copy the mount of %s", path) : tree;
}

static int copy_mount(const char *path, struct err *err)
{
	CLEANUP(fd_closep) int tree = copy_tree(path, AT_NO_AUTOMOUNT, err);
	struct mount_attr attributes = { .propagation = MS_PRIVATE };

	if (tree < 0)
		return -1;
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0)
		return err_errno(err, "copy the mount of %s", path);
	return TAKE_FD(tree);
}

static int attach(int tree, int root, const char *path, struct err *err)
{
	if (syscall(SYS_move_mount, tree, "", root, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_errno(err, "mount the copy of %s", path);
	return 0;
}

/* In the namespace of the thread's own. The root needs to be on some mount while the old one is there. */
static int assemble(const struct work *work, struct err *err)
{
	const int root = work->trees[0];

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_errno(err, "make the mounts private");
	if (attach(root, AT_FDCWD, "/proc", err) < 0)
		return -1;
	for (size_t i = 1; i < work->places->len; i++)
		if (attach(work->trees[i], root, work->places->items[i] + 1, err) < 0)
			return -1;
	if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
	    chdir("/") < 0)
		return err_errno(err, "change the root");
	return 0;
}

/* In a copy of the base. */
static int extend(const struct work *work, struct err *err)
{
	for (size_t i = 0; i < work->places->len; i++)
		if (attach(work->trees[i], AT_FDCWD, work->places->items[i], err) < 0)
			return -1;
	return 0;
}

static int enter_base(const struct work *work, struct err *err)
{
	if (work->base >= 0 && (unshare(CLONE_FS) < 0 || setns(work->base, CLONE_NEWNS) < 0))
		return err_errno(err, "enter the mount namespace");
	return unshare(CLONE_NEWNS) < 0 ? err_errno(err, "unshare") : 0;
}

static void *run(void *data)
{
	struct work *work = data;

	if (enter_base(work, &work->err) < 0 ||
	    (work->base < 0 ? assemble(work, &work->err) : extend(work, &work->err)) < 0)
		return NULL;
	work->namespace = open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (work->namespace < 0)
		(void)!err_errno(&work->err, "open the namespace");
	return NULL;
}

/* The namespace, or -1. */
static int run_thread(struct work *work, struct err *err)
{
	pthread_t thread;
	int error = thread_start(&thread, "mounts", STACK_SIZE, run, work);

	if (error) {
		errno = error;
		return err_errno(err, "start a thread");
	}
	pthread_join(thread, NULL);
	if (work->namespace < 0)
		*err = work->err;
	return work->namespace;
}

static int copy_all(const struct work *work, const struct strv *sources, struct err *err)
{
	for (size_t i = 0; i < work->places->len; i++) {
		const char *path = work->places->items[i];

		work->trees[i] =
			strv_has(sources, path) ? copy_tree(path, AT_RECURSIVE, err) : copy_mount(path, err);
		if (work->trees[i] < 0)
			return -1;
	}
	return 0;
}

/* The namespace of these sorted places, those of sources as they are, or -1. */
static int make(const struct strv *places, const struct strv *sources, int base, struct err *err)
{
	int trees[MOUNTS_MAX], ret = -1;
	struct work work = { .places = places, .trees = trees, .base = base, .namespace = -1 };

	memset(trees, -1, sizeof(trees));
	if (copy_all(&work, sources, err) == 0)
		ret = run_thread(&work, err);
	for (size_t i = 0; i < places->len; i++)
		fd_closep(&trees[i]);
	return ret;
}

static int sort(struct strv *places, struct err *err)
{
	if (places->len > MOUNTS_MAX)
		return err_set(err, RPC_FAILED_PRECONDITION, "%zu mounts", places->len);
	qsort(places->items, places->len, sizeof(*places->items), by_length);
	return 0;
}

int slim_mounts_open(const char *const *paths, struct slim_mounts *ret, struct err *err)
{
	CLEANUP(slim_mounts_close) struct slim_mounts mounts = SLIM_MOUNTS_INIT;
	const struct strv none = STRV_INIT;
	struct strv *places = &mounts.places;

	for (size_t i = 0; i < ARRAY_LEN(needed); i++)
		add_path(places, needed[i]);
	for (size_t i = 0; i < ARRAY_LEN(needed_below); i++)
		add_entries(places, needed_below[i]);
	for (; *paths; paths++)
		add_path(places, *paths);
	if (sort(places, err) < 0)
		return -1;
	if (places->len == 0 || !str_eq(places->items[0], "/"))
		return err_set(err, RPC_FAILED_PRECONDITION, "the root is no mount");
	mounts.namespace = make(places, &none, -1, err);
	if (mounts.namespace < 0)
		return -1;
	*ret = mounts;
	mounts = (struct slim_mounts)SLIM_MOUNTS_INIT;
	return 0;
}

void slim_mounts_close(struct slim_mounts *mounts)
{
	fd_closep(&mounts->namespace);
	strv_done(&mounts->places);
}

/* Mounting on a source would be mounting on the host. */
static int check_sources(const struct strv *places, const struct strv *sources, struct err *err)
{
	for (size_t i = 0; i < sources->len; i++) {
		const char *source = sources->items[i];

		if (str_eq(source, "/"))
			return err_set(err, RPC_FAILED_PRECONDITION, "everything is wanted");
		for (size_t j = 0; j < places->len; j++)
			if (!str_eq(places->items[j], source) && path_is_within(places->items[j], source))
				return err_set(err, RPC_FAILED_PRECONDITION, "%s is in %s", places->items[j],
					       source);
	}
	return 0;
}

static int add_sources(struct strv *real, struct strv *ways, const char *const *sources, struct err *err)
{
	for (; *sources; sources++) {
		CLEANUP(freep) char *path = realpath(*sources, NULL);

		if (!path)
			return err_errno(err, "%s", *sources);
		add_way(ways, path);
		if (!str_eq(path, *sources))
			add_way(ways, *sources);
		if (!strv_has(real, path))
			strv_add(real, path);
	}
	return 0;
}

int slim_mounts_extend(const struct slim_mounts *base, const char *const *paths, const char *const *sources,
		       struct err *err)
{
	CLEANUP(strv_done) struct strv places = STRV_INIT, real = STRV_INIT, ways = STRV_INIT;

	if (add_sources(&real, &ways, sources, err) < 0)
		return -1;
	for (; *paths; paths++)
		add_path(&ways, *paths);
	strv_add_all(&places, (const char *const *)real.items, real.len);
	for (size_t i = 0; i < ways.len; i++)
		if (!strv_has(&base->places, ways.items[i]) && !strv_has(&real, ways.items[i]))
			strv_add(&places, ways.items[i]);
	if (check_sources(&places, &real, err) < 0 || sort(&places, err) < 0)
		return -1;
	return make(&places, &real, base->namespace, err);
}
