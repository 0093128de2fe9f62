/*
 * start, kill and delete of monitor.h.
 *
 * A created container waits at a FIFO in the runtime's state folder, ROOT/ID/exec.fifo; `start` does no more
 * than to release it, and costs five milliseconds of program start. So the FIFO is served here: crun's init
 * reads a byte from it, runc's writes one into it; both mean by its absence that the container has been
 * started. Whatever is not as expected is left to the binary, which then also says what is wrong. So are
 * poststart hooks, which `start` would run.
 *
 * Deleting is the subtle one. `runc delete --force` of a living container sleeps 100 ms between looks, and
 * both runtimes cost milliseconds where nothing is left to delete. So the runtime's own state file is read
 * first (crun: ROOT/ID/status, runc: ROOT/ID/state.json): no folder, nothing to do; a living init is killed
 * through its pidfd and waited for; then a plain `delete` finds a stopped container. --force is what remains
 * for runtimes whose state is kept elsewhere, and for when the plain way fails.
 */
#include "conmon/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "conmon/verb.h"

enum { STATE_MAX = 1024 * 1024 };

int runtime_kill(const struct runtime_target *target, const struct process *init, int signal, bool all,
		 const struct ctx *ctx, struct err *err)
{
	char number[16];

	if (!all && init && init->pidfd >= 0)
		return process_signal(init, signal, err);
	const char *const all_words[] = { "kill", "--all", target->id, number, NULL };
	const char *const one_word[] = { "kill", target->id, number, NULL };

	snprintf(number, sizeof(number), "%d", signal);
	if (verb_run(target, all ? all_words : one_word, ctx, err) == 0)
		return 0;
	return init && !process_alive(init) ? 0 : -1; /* nothing to signal any more */
}

enum known { ABSENT, UNKNOWN, DEAD, ALIVE };

/* Looks at what the runtime has written of its container; *ret is its init when ALIVE. */
static enum known look(const struct runtime_target *target, struct process *ret)
{
	CLEANUP(freep) char *dir = xasprintf("%s/%s", target->handler->root, target->id);
	CLEANUP(freep) char *text = NULL;
	CLEANUP(json_decrefp) json_t *json = NULL;
	struct stat st;
	size_t len;
	json_t *pid;

	if (lstat(dir, &st) < 0)
		return errno == ENOENT ? ABSENT : UNKNOWN;
	CLEANUP(freep)
	char *path = xasprintf("%s/%s", dir, target->handler->is_crun ? "status" : "state.json");
	if (file_read(AT_FDCWD, path, STATE_MAX, &text, &len, NULL) < 0 ||
	    json_parse(text, len, STATE_MAX, &json, NULL) < 0)
		return UNKNOWN;
	pid = json_object_get(json, target->handler->is_crun ? "pid" : "init_process_pid");
	if (!json_is_integer(pid) || json_integer_value(pid) <= 1)
		return UNKNOWN;
	uint64_t start = (uint64_t)json_integer_value(json_object_get(
		json, target->handler->is_crun ? "process-start-time" : "init_process_start"));
	if (process_open((pid_t)json_integer_value(pid), start, ret, NULL) < 0)
		return DEAD;
	return ALIVE;
}

static bool keeps_state_in_root(const struct handler *handler)
{
	return handler->is_crun || str_has_prefix(handler->version, "runc ");
}

/* crun: its init waits for a byte. Nobody at the other end: ENXIO. */
static bool release_crun(const char *fifo)
{
	CLEANUP(fd_closep) int fd = open(fifo, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 && unlink(fifo) == 0 && write(fd, "", 1) == 1;
}

/* runc: its init waits in open(2) for a reader, then writes a byte. */
static bool release_runc(const char *fifo, const struct process *init, const struct ctx *ctx)
{
	CLEANUP(fd_closep) int fd = open(fifo, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	struct pollfd fds[] = { { fd, POLLIN, 0 }, { init->pidfd, POLLIN, 0 }, { ctx_fd(ctx), POLLIN, 0 } };
	char byte;

	if (fd < 0)
		return false;
	while (poll(fds, ARRAY_LEN(fds), ctx_poll_timeout(ctx)) < 0)
		if (errno != EINTR)
			return false;
	return fds[0].revents && read(fd, &byte, 1) == 1 && unlink(fifo) == 0;
}

static bool release(const struct runtime_target *target, const struct ctx *ctx)
{
	CLEANUP(freep) char *fifo = xasprintf("%s/%s/exec.fifo", target->handler->root, target->id);
	struct process init CLEANUP(process_done) = PROCESS_INIT;
	struct ctx bounded CLEANUP(ctx_done);
	struct stat st;

	ctx_init_child(&bounded, ctx, clock_deadline_in(target->config->runtime.runtime_timeout));
	if (target->poststart_hooks || !keeps_state_in_root(target->handler) || lstat(fifo, &st) < 0 ||
	    !S_ISFIFO(st.st_mode) || look(target, &init) != ALIVE)
		return false;
	return target->handler->is_crun ? release_crun(fifo) : release_runc(fifo, &init, &bounded);
}

int runtime_start(const struct runtime_target *target, const struct ctx *ctx, struct err *err)
{
	const char *const words[] = { "start", target->id, NULL };

	if (ctx_check(ctx, "start container", err) < 0)
		return -1;
	return release(target, ctx) ? 0 : verb_run(target, words, ctx, err);
}

int runtime_delete(const struct runtime_target *target, const struct ctx *ctx, struct err *err)
{
	const char *const plain_words[] = { "delete", target->id, NULL };
	const char *const force_words[] = { "delete", "--force", target->id, NULL };
	struct process init CLEANUP(process_done) = PROCESS_INIT;
	enum known known = UNKNOWN;
	struct err plain;

	if (keeps_state_in_root(target->handler))
		known = look(target, &init);
	if (known == ABSENT)
		return 0;
	if (known == ALIVE &&
	    (process_signal(&init, SIGKILL, err) < 0 || process_wait_gone(&init, ctx, err) < 0))
		return err_prefix(err, "kill container %s", target->id);
	if (known != UNKNOWN && verb_run(target, plain_words, ctx, &plain) == 0)
		return 0;
	if (verb_run(target, force_words, ctx, err) == 0)
		return 0;
	/* Somebody else's delete may have come first. */
	return keeps_state_in_root(target->handler) && look(target, &init) == ABSENT ? 0 : -1;
}
