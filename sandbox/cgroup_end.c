/*
 * The part of sandbox/cgroup.h that ends things: which processes there are, killing them, removing the
 * folders.
 *
 * Nothing here polls by sleeping. v2 has cgroup.kill and tells in cgroup.events when the last process is
 * gone. v1 has neither: the processes are frozen, so that none can fork away, signalled through pidfds and
 * waited for by the same pidfds, and this is repeated until the lists stay empty. Only between a process's
 * end and the moment its cgroup stops counting it is there nothing to wait on in v1; that window of
 * microseconds is waited out in steps of a millisecond.
 */
#include "sandbox/cgroup.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/spawn.h"
#include "base/str.h"
#include "sandbox/cgroup_hierarchy.h"
#include "sandbox/cgroup_systemd.h"

enum { PIDS_MAX = 65536, FILE_MAX = 1024 * 1024, WAIT_BATCH = 256 };
static const int64_t REMOVE_TIMEOUT = NS_PER_SEC;

/* One directory of the walk, its entries read so far. */
struct level {
	DIR *stream;
	char *name; /* in the level above */
};

struct walk {
	struct level levels[CGROUP_DEPTH_MAX];
	size_t len;
};

static void walk_pop(struct walk *walk)
{
	struct level *level = &walk->levels[--walk->len];

	closedir(level->stream);
	free(level->name);
}

static void walk_freep(struct walk **walk)
{
	while (*walk && (*walk)->len)
		walk_pop(*walk);
	free(*walk);
}

/* 0, also when it is gone: *ret_pushed tells. */
static int walk_push(struct walk *walk, int parent, const char *name, bool *ret_pushed, struct err *err)
{
	*ret_pushed = false;
	if (walk->len == CGROUP_DEPTH_MAX)
		return err_set(err, RPC_RESOURCE_EXHAUSTED, "cgroups are nested deeper than %d levels",
			       CGROUP_DEPTH_MAX);
	CLEANUP(fd_closep) int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ENODEV))
		return 0;
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	if (!stream)
		return err_errno(err, "open cgroup folder %s", name);
	fd = -1; /* the stream's now */
	walk->levels[walk->len++] = (struct level){ .stream = stream, .name = xstrdup(name) };
	*ret_pushed = true;
	return 0;
}

/* The next subfolder's name, or NULL at the end. */
static const char *next_folder(DIR *stream)
{
	struct dirent *entry;

	while ((entry = readdir(stream)))
		if (entry->d_type == DT_DIR && !str_eq(entry->d_name, ".") && !str_eq(entry->d_name, ".."))
			return entry->d_name;
	return NULL;
}

static int walk_run(struct walk *walk, int top_parent, cgroup_walk_fn *fn, void *data, struct err *err)
{
	while (walk->len) {
		struct level *level = &walk->levels[walk->len - 1];
		const char *child = next_folder(level->stream);
		bool pushed;
		if (child) {
			if (walk_push(walk, dirfd(level->stream), child, &pushed, err) < 0)
				return -1;
			continue;
		}
		int parent = walk->len > 1 ? dirfd(walk->levels[walk->len - 2].stream) : top_parent;
		if (fn(dirfd(level->stream), parent, level->name, data, err) < 0)
			return -1;
		walk_pop(walk);
	}
	return 0;
}

int cgroup_walk(const struct cgroup_hierarchy *hierarchy, const char *path, cgroup_walk_fn *fn, void *data,
		struct err *err)
{
	CLEANUP(walk_freep) struct walk *walk = xnew(struct walk);
	const char *name = strrchr(path, '/') + 1;
	CLEANUP(freep)
	char *above = name - path > 1 ? xstrndup(path, (size_t)(name - path) - 1) : xstrdup("/");
	CLEANUP(fd_closep) int parent = cgroup_hierarchy_open(hierarchy, above);
	bool pushed;

	if (parent < 0)
		return errno == ENOENT || errno == ENODEV ? 0 : err_errno(err, "open cgroup %s", above);
	if (walk_push(walk, parent, *name ? name : ".", &pushed, err) < 0)
		return -1;
	return walk_run(walk, parent, fn, data, err);
}

void cgroup_pids_done(struct cgroup_pids *pids)
{
	free(pids->items);
	*pids = (struct cgroup_pids){ 0 };
}

static int compare_pids(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return (x > y) - (x < y);
}

/* Sorted, each once: the same process is in every v1 hierarchy. */
static void pids_sort(struct cgroup_pids *pids)
{
	size_t kept = 0;

	if (pids->len)
		qsort(pids->items, pids->len, sizeof(*pids->items), compare_pids);
	for (size_t i = 0; i < pids->len; i++)
		if (kept == 0 || pids->items[kept - 1] != pids->items[i])
			pids->items[kept++] = pids->items[i];
	pids->len = kept;
}

static int add_pids(int dir, int parent, const char *name, void *data, struct err *err)
{
	CLEANUP(freep) char *text = NULL;
	struct cgroup_pids *pids = data;
	struct err ignored;

	(void)parent;
	/* Removed meanwhile, or a threaded cgroup, whose processes are told by its domain. */
	if (file_read_virtual(dir, "cgroup.procs", FILE_MAX, &text, &ignored) < 0) {
		if (ignored.code == RPC_RESOURCE_EXHAUSTED)
			return err_set(err, RPC_RESOURCE_EXHAUSTED, "cgroup folder %s: too many processes",
				       name);
		return 0;
	}
	for (char *rest = text, *line; (line = strtok_r(rest, "\n", &rest));) {
		uint64_t pid;
		if (!parse_u64(line, INT32_MAX, &pid) || pid == 0) /* 0: of a pid namespace we cannot see */
			continue;
		if (pids->len == PIDS_MAX)
			return err_set(err, RPC_RESOURCE_EXHAUSTED,
				       "cgroup folder %s: more than %d processes", name, PIDS_MAX);
		if ((pids->len & (pids->len - 1)) == 0) /* at each power of two */
			pids->items =
				xrealloc(pids->items, pids->len ? 2 * pids->len : 16, sizeof(*pids->items));
		pids->items[pids->len++] = (pid_t)pid;
	}
	return 0;
}

int cgroup_pids(const struct cgroups *cgroups, const char *path, struct cgroup_pids *ret, struct err *err)
{
	CLEANUP(cgroup_pids_done) struct cgroup_pids pids = { 0 };

	assert(path[0] == '/');
	for (size_t i = 0; i < cgroups->len; i++) {
		if (cgroup_walk(&cgroups->items[i], path, add_pids, &pids, err) < 0)
			return -1;
		pids_sort(&pids);
	}
	*ret = pids;
	pids = (struct cgroup_pids){ 0 };
	return 0;
}

/* Killing a cgroup that crispd is in would be suicide: somebody gave the pod a wrong parent. */
static int check_not_ours(const char *path, struct err *err)
{
	CLEANUP(freep) char *text = NULL;
	size_t len = strlen(path);

	if (file_read_virtual(AT_FDCWD, "/proc/self/cgroup", FILE_MAX, &text, err) < 0)
		return -1;
	for (char *rest = text, *line; (line = strtok_r(rest, "\n", &rest));) {
		char *colon = strchr(line, ':');
		char *own = colon ? strchr(colon + 1, ':') : NULL;
		if (own && strncmp(own + 1, path, len) == 0 && (own[1 + len] == '/' || own[1 + len] == '\0'))
			return err_set(err, RPC_FAILED_PRECONDITION,
				       "kill cgroup %s: crispd itself runs in it", path);
	}
	return 0;
}

/* v2: until cgroup.events says "populated 0", or the cgroup is gone. */
static int wait_unpopulated(int dir, const char *path, const struct ctx *ctx, struct err *err)
{
	CLEANUP(fd_closep) int events = openat(dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
	CLEANUP(freep) char *what = xasprintf("wait for cgroup %s to empty", path);

	for (;;) {
		char text[256];
		ssize_t len = events < 0 ? -1 : pread(events, text, sizeof(text) - 1, 0);
		if (len < 0)
			return errno == ENOENT || errno == ENODEV ? 0 : err_errno(err, "%s", what);
		text[len] = '\0';
		if (strstr(text, "populated 0"))
			return 0;
		if (ctx_check(ctx, what, err) < 0 || ctx_poll(ctx, events, POLLPRI, what, err) < 0)
			return -1;
	}
}

/* 0: killed and empty. 1: there is no cgroup.kill (Linux before 5.14). */
static int kill_unified(int dir, const char *path, const struct ctx *ctx, struct err *err)
{
	struct err why;

	if (file_write_virtual(dir, "cgroup.kill", "1", &why) < 0) {
		if (errno == ENOENT)
			return 1;
		if (errno == ENODEV) /* removed meanwhile */
			return 0;
		return err_set(err, why.code, "kill cgroup %s: %s", path, why.text);
	}
	return wait_unpopulated(dir, path, ctx, err);
}

/* freezer.state on v1, cgroup.freeze on v2; where neither exists the kill loop simply runs more often. */
static void freeze(const struct cgroups *cgroups, const char *path, bool frozen)
{
	struct err ignored;

	for (size_t i = 0; i < cgroups->len; i++) {
		CLEANUP(fd_closep) int dir = cgroup_hierarchy_open(&cgroups->items[i], path);
		if (dir < 0)
			continue;
		if (cgroups->items[i].unified)
			(void)!file_write_virtual(dir, "cgroup.freeze", frozen ? "1" : "0", &ignored);
		else
			(void)!file_write_virtual(dir, "freezer.state", frozen ? "FROZEN" : "THAWED",
						  &ignored);
	}
}

static void processes_done(struct process *processes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		process_done(&processes[i]);
}

/* Signals up to WAIT_BATCH processes, thaws, and waits for their ends. */
static int kill_batch(const struct cgroups *cgroups, const char *path, const struct cgroup_pids *pids,
		      const struct ctx *ctx, struct err *err)
{
	struct process processes[WAIT_BATCH];
	struct err gone;
	size_t len = 0;
	int ret = 0;

	freeze(cgroups, path, true);
	for (size_t i = 0; i < pids->len && len < WAIT_BATCH; i++) {
		/* In a frozen cgroup a pid read from it can hardly have been reused; without a freezer the
		 * pidfd at least makes sure that who is waited for is who was signalled. */
		if (process_open(pids->items[i], 0, &processes[len], &gone) < 0)
			continue;
		if (process_signal(&processes[len++], SIGKILL, err) < 0)
			ret = -1;
	}
	freeze(cgroups, path, false);
	for (size_t i = 0; i < len && ret == 0; i++)
		ret = process_wait_gone(&processes[i], ctx, err);
	processes_done(processes, len);
	return ret;
}

/* A millisecond for which there is nothing to wait on. */
static int pass_moment(const struct ctx *parent, const char *what, struct err *err)
{
	struct err over;
	struct ctx ctx;

	if (ctx_check(parent, what, err) < 0)
		return -1;
	ctx_init_child(&ctx, parent, clock_deadline_in(NS_PER_MS));
	(void)!ctx_poll(&ctx, -1, 0, what, &over);
	ctx_done(&ctx);
	return 0;
}

static int kill_by_pids(const struct cgroups *cgroups, const char *path, const struct ctx *ctx,
			struct err *err)
{
	for (;;) {
		CLEANUP(cgroup_pids_done) struct cgroup_pids pids = { 0 };
		if (cgroup_pids(cgroups, path, &pids, err) < 0)
			return -1;
		if (pids.len == 0)
			return 0;
		if (kill_batch(cgroups, path, &pids, ctx, err) < 0 ||
		    pass_moment(ctx, "kill cgroup", err) < 0)
			return err_prefix(err, "cgroup %s", path);
	}
}

int cgroup_kill(const struct cgroups *cgroups, const char *path, const struct ctx *ctx, struct err *err)
{
	assert(path[0] == '/');
	if (!cgroup_exists(cgroups, path))
		return 0;
	if (check_not_ours(path, err) < 0)
		return -1;
	if (cgroups->view == CGROUP_VIEW_V2) {
		CLEANUP(fd_closep) int dir = cgroup_hierarchy_open(&cgroups->items[0], path);
		if (dir < 0)
			return errno == ENOENT ? 0 : err_errno(err, "open cgroup %s", path);
		int done = kill_unified(dir, path, ctx, err);
		if (done <= 0)
			return done;
	}
	return kill_by_pids(cgroups, path, ctx, err);
}

/* data: bool, set when something was busy. */
static int remove_one(int dir, int parent, const char *name, void *data, struct err *err)
{
	bool *busy = data;

	(void)dir;
	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT || errno == ENODEV)
		return 0;
	if (errno != EBUSY)
		return err_errno(err, "remove cgroup folder %s", name);
	*busy = true;
	return 0;
}

/* Waits for one of the processes that keep the folders busy, or a moment when none is listed (any more). */
static int wait_unbusy(const struct cgroups *cgroups, const char *path, const struct ctx *ctx,
		       struct err *err)
{
	CLEANUP(cgroup_pids_done) struct cgroup_pids pids = { 0 };
	CLEANUP(process_done) struct process process = PROCESS_INIT;
	struct err over;

	if (cgroup_pids(cgroups, path, &pids, err) < 0)
		return -1;
	if (pids.len == 0) {
		if (pass_moment(ctx, "remove cgroup", &over) < 0)
			return err_set(err, over.code, "remove cgroup %s: the kernel still calls it busy",
				       path);
		return 0;
	}
	if (process_open(pids.items[0], 0, &process, &over) < 0)
		return 0;
	if (process_wait_gone(&process, ctx, &over) < 0)
		return err_set(err, RPC_FAILED_PRECONDITION,
			       "remove cgroup %s: %zu processes are still in it, the first is %d", path,
			       pids.len, (int)process.pid);
	return 0;
}

static int remove_in(const struct cgroups *cgroups, const struct cgroup_hierarchy *hierarchy,
		     const char *path, const struct ctx *ctx, struct err *err)
{
	for (;;) {
		bool busy = false;
		if (cgroup_walk(hierarchy, path, remove_one, &busy, err) < 0)
			return -1;
		if (!busy)
			return 0;
		if (wait_unbusy(cgroups, path, ctx, err) < 0)
			return -1;
	}
}

int cgroup_remove(const struct cgroups *cgroups, const char *path, const struct ctx *caller, struct err *err)
{
	struct ctx ctx;
	int ret = 0;

	assert(path[0] == '/' && path[1]);
	if (cgroup_path_is_slice(path) && cgroup_exists(cgroups, path) &&
	    cgroup_systemd_stop(strrchr(path, '/') + 1, err) < 0)
		return -1;
	ctx_init_child(&ctx, caller, clock_deadline_in(REMOVE_TIMEOUT));
	for (size_t i = 0; i < cgroups->len && ret == 0; i++)
		ret = remove_in(cgroups, &cgroups->items[i], path, &ctx, err);
	ctx_done(&ctx);
	return ret;
}
