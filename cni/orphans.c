/*
 * A plugin is known by its environment, which begins as build_env() of plugin.c writes it, and so are the
 * plugins that it runs itself. A container could have such an environment too, but it has no part in our
 * mount namespace.
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

enum { ENVIRON_MAX = 64 * 1024, BEGINNING_TRIES = 1000 };
static const struct timespec a_moment = { .tv_nsec = NS_PER_MS };
static const char first_name[] = "CNI_COMMAND=", id_name[] = "CNI_CONTAINERID=";

struct orphan {
	struct process process;
	char *container_id;
};

struct orphans {
	struct orphan *items;
	size_t len;
};

/* The value of CNI_CONTAINERID of a plugin's environment; NULL: it is none, or of no pod. */
static const char *find_id(const char *environment, size_t len)
{
	if (len < sizeof(first_name) || !str_has_prefix(environment, first_name))
		return NULL;
	for (size_t at = 0; at < len; at += strlen(environment + at) + 1)
		if (str_has_prefix(environment + at, id_name))
			return environment + at + sizeof(id_name) - 1;
	return NULL;
}

static bool same_mounts(pid_t pid)
{
	CLEANUP(freep) char *path = xasprintf("/proc/%d/ns/mnt", (int)pid);
	struct stat ours, theirs;

	return stat("/proc/self/ns/mnt", &ours) == 0 && stat(path, &theirs) == 0 &&
	       ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

static ssize_t read_start(pid_t pid, const char *name, char *text, size_t size)
{
	CLEANUP(freep) char *path = xasprintf("/proc/%d/%s", (int)pid, name);
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -1 : read(fd, text, size);
}

/* In the middle of its exec a process has memory, but neither arguments nor an environment yet. */
static bool is_beginning(pid_t pid)
{
	char text[8];

	return read_start(pid, "cmdline", text, sizeof(text)) == 0 &&
	       read_start(pid, "statm", text, sizeof(text)) > 1 && !str_has_prefix(text, "0 ");
}

static int read_environment(pid_t pid, char **ret, size_t *ret_len)
{
	CLEANUP(freep) char *text = xcalloc(1, ENVIRON_MAX + 1);
	ssize_t len = read_start(pid, "environ", text, sizeof(first_name));

	/* Asked before reading: who is no longer beginning then has an environment to read. */
	for (int tries = 0; len == 0 && tries < BEGINNING_TRIES; tries++) {
		bool beginning = is_beginning(pid);

		len = read_start(pid, "environ", text, sizeof(first_name));
		if (!beginning)
			break;
		nanosleep(&a_moment, NULL);
	}
	/* Of nearly all processes the first bytes are enough. */
	if (len < (ssize_t)sizeof(first_name) || !str_has_prefix(text, first_name))
		return -1;
	len = read_start(pid, "environ", text, ENVIRON_MAX);
	if (len < 0)
		return -1;
	*ret = TAKE(text);
	*ret_len = (size_t)len;
	return 0;
}

static void look_at(struct orphans *orphans, pid_t pid)
{
	struct process process CLEANUP(process_done) = PROCESS_INIT;
	CLEANUP(freep) char *environment = NULL;
	const char *id;
	struct err err;
	size_t len;

	if (read_environment(pid, &environment, &len) < 0)
		return;
	id = find_id(environment, len);
	if (!id || !same_mounts(pid) || process_open(pid, 0, &process, &err) < 0)
		return;
	orphans->items = xrealloc(orphans->items, orphans->len + 1, sizeof(*orphans->items));
	orphans->items[orphans->len++] = (struct orphan){ process, xstrdup(id) };
	process = (struct process)PROCESS_INIT;
}

struct orphans *orphans_find(void)
{
	struct orphans *orphans = xnew(struct orphans);
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	uint64_t pid;

	/* Without /proc nothing works; then there is nothing to be found either. */
	if (dir_list(AT_FDCWD, "/proc", &names, NULL) < 0)
		return orphans;
	for (size_t i = 0; i < names.len; i++)
		if (parse_u64(names.items[i], INT32_MAX, &pid) && pid > 1)
			look_at(orphans, (pid_t)pid);
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
	if (process_signal(&orphan->process, SIGKILL, err) < 0)
		return -1;
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
