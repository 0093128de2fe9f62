/*
 * A plugin is known by its environment, and so are the plugins that it runs itself: it has the two variables
 * of the spec that tell what to do and for whom, anywhere in it. crispd puts them first, but a plugin that is
 * a shell script passes them on in an order of its own. A container could have such an environment too, but
 * it has no part in our mount namespace.
 */
#include "cni/orphans.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "base/str.h"

enum { ENVIRON_MAX = 64 * 1024, MOMENTS_MAX = 1000 };
static const struct timespec a_moment = { .tv_nsec = NS_PER_MS };

struct orphan {
	struct process process;
	char *container_id;
};

struct orphans {
	struct orphan *items;
	size_t len;
};

/* One look at all processes. */
struct search {
	struct orphans *orphans;
	int moments; /* spent on processes in the middle of their exec: bounded over all */
	char environment[ENVIRON_MAX + 1];
};

/* The value of a variable: its name with '='. NULL: there is none. */
static const char *find_value(const char *environment, size_t len, const char *name)
{
	for (size_t at = 0; at < len; at += strlen(environment + at) + 1)
		if (str_has_prefix(environment + at, name))
			return environment + at + strlen(name);
	return NULL;
}

/* Of which pod a plugin is; NULL: it is none, or of no pod. */
static const char *find_id(const char *environment, size_t len)
{
	return find_value(environment, len, "CNI_COMMAND=") ? find_value(environment, len, "CNI_CONTAINERID=")
							    : NULL;
}

static bool same_mounts(pid_t pid)
{
	CLEANUP(freep) char *path = xasprintf("/proc/%d/ns/mnt", (int)pid);
	struct stat ours, theirs;

	return stat("/proc/self/ns/mnt", &ours) == 0 && stat(path, &theirs) == 0 &&
	       ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

static ssize_t read_environment_once(pid_t pid, char *text)
{
	CLEANUP(freep) char *path = xasprintf("/proc/%d/environ", (int)pid);
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -1 : read(fd, text, ENVIRON_MAX);
}

static size_t read_environment(struct search *search, pid_t pid)
{
	ssize_t len = read_environment_once(pid, search->environment);

	while (len == 0 && search->moments < MOMENTS_MAX) {
		bool beginning = process_in_exec(pid);

		/* Asked before reading: who has begun by then has an environment to read. */
		len = read_environment_once(pid, search->environment);
		if (!beginning || len != 0)
			break;
		search->moments++;
		nanosleep(&a_moment, NULL);
	}
	if (len < 0)
		return 0;
	search->environment[len] = '\0';
	return (size_t)len;
}

static void look_at(struct search *search, pid_t pid)
{
	struct process process CLEANUP(process_done) = PROCESS_INIT;
	struct orphans *orphans = search->orphans;
	size_t len = read_environment(search, pid);
	const char *found = find_id(search->environment, len);
	struct err err;

	if (!found || !same_mounts(pid) || process_open(pid, 0, &process, &err) < 0)
		return;
	CLEANUP(freep) char *id = xstrdup(found);

	/* Once more, of the process that is held now. */
	found = find_id(search->environment, read_environment(search, pid));
	if (!found || !str_eq(found, id))
		return;
	orphans->items = xrealloc(orphans->items, orphans->len + 1, sizeof(*orphans->items));
	orphans->items[orphans->len++] = (struct orphan){ process, TAKE(id) };
	process = (struct process)PROCESS_INIT;
}

struct orphans *orphans_find(void)
{
	struct orphans *orphans = xnew(struct orphans);
	CLEANUP(freep) struct search *search = xnew(struct search);
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	uint64_t pid;

	search->orphans = orphans;
	/* Without /proc nothing works; then there is nothing to be found either. */
	if (dir_list(AT_FDCWD, "/proc", &names, NULL) < 0)
		return orphans;
	for (size_t i = 0; i < names.len; i++)
		if (parse_u64(names.items[i], INT32_MAX, &pid) && pid > 1 && (pid_t)pid != getpid())
			look_at(search, (pid_t)pid);
	return orphans;
}

struct orphans *orphans_free(struct orphans *orphans)
{
	if (!orphans)
		return NULL;
	for (size_t i = 0; i < orphans->len; i++) {
		process_done(&orphans->items[i].process);
		free(orphans->items[i].container_id);
	}
	free(orphans->items);
	free(orphans);
	return NULL;
}

static int wait_for(const struct orphan *orphan, int64_t patience, const struct ctx *ctx, struct err *err)
{
	int64_t until = clock_deadline_in(patience);
	struct ctx bounded;
	struct err late;

	ctx_init_child(&bounded, ctx, until);
	int waiting = process_wait_gone(&orphan->process, &bounded, &late);
	ctx_done(&bounded);
	if (waiting == 0)
		return 0;
	if (ctx_deadline(ctx) <= until || ctx_check(ctx, "", NULL) < 0)
		return err_set(err, late.code, "waiting for a network plugin of before the restart: %s",
			       late.text);
	/* With what it has started: each plugin leads a process group. */
	process_kill_group(&orphan->process);
	return process_wait_gone(&orphan->process, ctx, err);
}

int orphans_wait(const struct orphans *orphans, const char *container_id, int64_t patience,
		 const struct ctx *ctx, struct err *err)
{
	for (size_t i = 0; i < orphans->len; i++)
		if (str_eq(orphans->items[i].container_id, container_id) &&
		    wait_for(&orphans->items[i], patience, ctx, err) < 0)
			return -1;
	return 0;
}
