/*
 * runtime_start() of monitor.h.
 *
 * A created container waits at a FIFO in the runtime's state folder; `start` does no more than to release it,
 * and costs five milliseconds of program start. So the FIFO is served here: crun's init reads a byte from it,
 * runc's writes one into it; both mean by its absence that the container has been started. Whatever is not as
 * expected is left to the binary, which then also says what is wrong. So are poststart hooks, which `start`
 * would run.
 *
 * The FIFO is taken away last. Who is killed before that leaves one that init does not wait at any more:
 * `RUNTIME start` would wait for ever at the other end.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/file.h"
#include "conmon/monitor.h"
#include "conmon/runtime_state.h"
#include "conmon/verb.h"

enum { LOOK_AGAIN_MS = 20 };

/* crun: its init waits for a byte. Nobody at the other end: ENXIO. */
static bool release_crun(const char *fifo)
{
	CLEANUP(fd_closep) int fd = open(fifo, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 && write(fd, "", 1) == 1;
}

/* 1: something has happened, 0: not yet, -1: the time is over. */
static int wait_a_little(struct pollfd *fds, size_t len, const struct ctx *ctx)
{
	int left = ctx_poll_timeout(ctx);

	if (left == 0)
		return -1;
	int ready = poll(fds, len, left < 0 || left > LOOK_AGAIN_MS ? LOOK_AGAIN_MS : left);
	return ready < 0 && errno == EINTR ? 0 : ready;
}

/* runc: its init waits in open(2) for a reader, then writes a byte. */
static bool release_runc(const char *fifo, const struct process *init, const struct ctx *ctx)
{
	CLEANUP(fd_closep) int fd = open(fifo, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	struct pollfd fds[] = { { fd, POLLIN, 0 }, { init->pidfd, POLLIN, 0 }, { ctx_fd(ctx), POLLIN, 0 } };
	int happened = 0;
	char byte;

	if (fd < 0)
		return false;
	while (happened == 0) {
		happened = wait_a_little(fds, ARRAY_LEN(fds), ctx);
		if (happened == 0 && !runtime_state_holds(init, fifo))
			return true;
	}
	return happened > 0 && fds[0].revents && read(fd, &byte, 1) == 1;
}

static bool is_fifo(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISFIFO(st.st_mode);
}

static bool release(const struct runtime_target *target, const struct ctx *ctx)
{
	CLEANUP(freep) char *fifo = runtime_state_fifo(target);
	struct process init CLEANUP(process_done) = PROCESS_INIT;
	struct ctx bounded CLEANUP(ctx_done);

	ctx_init_child(&bounded, ctx, clock_deadline_in(target->config->runtime.runtime_timeout));
	if (target->poststart_hooks || !runtime_state_is_known(target->handler) || !is_fifo(fifo) ||
	    runtime_state_look(target, &init) != RUNTIME_STATE_ALIVE)
		return false;
	if (runtime_state_holds(&init, fifo) &&
	    !(target->handler->is_crun ? release_crun(fifo) : release_runc(fifo, &init, &bounded)))
		return false;
	crash_point("runtime_start.released");
	return unlink(fifo) == 0 || errno == ENOENT;
}

int runtime_start(const struct runtime_target *target, const struct ctx *ctx, struct err *err)
{
	const char *const words[] = { "start", target->id, NULL };

	int64_t began = clock_mono();

	if (ctx_check(ctx, "start container", err) < 0)
		return -1;
	if (!release(target, ctx))
		return verb_run(target, words, ctx, err);
	verb_count("start", began, false);
	return 0;
}

bool runtime_has_started(const struct runtime_target *target, const struct process *init, int64_t *ret_when)
{
	CLEANUP(freep) char *dir = xasprintf("%s/%s", target->handler->root, target->id);
	CLEANUP(freep)
	char *record = xasprintf("%s/%s", dir, target->handler->is_crun ? "status" : "state.json");
	CLEANUP(freep) char *fifo = runtime_state_fifo(target);
	struct stat st;

	if (!runtime_state_is_known(target->handler) || access(record, F_OK) < 0)
		return false;
	if (lstat(fifo, &st) == 0) {
		if (runtime_state_holds(init, fifo))
			return false;
	} else if (errno != ENOENT || lstat(dir, &st) < 0) {
		return false;
	}
	*ret_when = st.st_mtim.tv_sec * NS_PER_SEC + st.st_mtim.tv_nsec;
	return true;
}
