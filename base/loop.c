/*
 * Every source is a descriptor in one epoll set: the caller's own, a timerfd or a signalfd. Posted tasks wait
 * in a list under the lock; an eventfd wakes the loop for them and for loop_stop().
 *
 * epoll_wait returns a batch of pointers to sources, and a callback may free any of them. A source that is
 * freed while the loop runs is therefore only marked and unhooked; its memory goes when the batch is done.
 */
#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/list.h"
#include "base/lock.h"

enum { BATCH = 64 };

enum source_kind { SOURCE_FD, SOURCE_TIMER, SOURCE_SIGNALS };

struct source {
	struct list node; /* in loop->sources or loop->dead */
	struct loop *loop;
	enum source_kind kind;
	int fd; /* owned unless SOURCE_FD */
	bool dead;
	union {
		void (*on_fd)(struct source *source, uint32_t events, void *data);
		void (*on_timer)(struct source *source, void *data);
		void (*on_signal)(struct source *source, int signal, void *data);
	};
	void *data;
};

struct task {
	struct list node;
	void (*fn)(void *data);
	void *data;
};

struct loop {
	int epoll;
	int wake; /* eventfd */
	struct list sources, dead;
	bool running; /* of the loop's thread */
	atomic_bool stopped;
	struct lock lock;
	struct list tasks; /* under lock */
};

struct loop *loop_new(struct err *err)
{
	struct loop *loop = xnew(struct loop);
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };

	list_init(&loop->sources);
	list_init(&loop->dead);
	list_init(&loop->tasks);
	atomic_init(&loop->stopped, false);
	lock_init(&loop->lock, "loop", LOCK_LOOP);
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->epoll >= 0 && loop->wake >= 0 &&
	    epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->wake, &event) == 0)
		return loop;
	err_errno(err, "event loop");
	return loop_free(loop);
}

static void free_dead(struct loop *loop)
{
	list_for_each_safe (node, &loop->dead) {
		list_del(node);
		free(list_entry(node, struct source, node));
	}
}

/* Takes all tasks away and runs them; those posted meanwhile come next time. */
static void run_tasks(struct loop *loop)
{
	struct list tasks;

	list_init(&tasks);
	lock_take(&loop->lock);
	while (!list_empty(&loop->tasks)) {
		struct list *first = loop->tasks.next;
		list_del(first);
		list_add_tail(&tasks, first);
	}
	lock_drop(&loop->lock);
	while (!list_empty(&tasks)) {
		struct task *task = list_entry(tasks.next, struct task, node);
		list_del(&task->node);
		task->fn(task->data);
		free(task);
	}
}

static bool has_tasks(struct loop *loop)
{
	lock_take(&loop->lock);
	bool any = !list_empty(&loop->tasks);
	lock_drop(&loop->lock);
	return any;
}

struct loop *loop_free(struct loop *loop)
{
	if (!loop)
		return NULL;
	assert(!loop->running);
	while (has_tasks(loop)) /* what was posted is run in any case: it may own something */
		run_tasks(loop);
	list_for_each_safe (node, &loop->sources)
		source_free(list_entry(node, struct source, node));
	free_dead(loop);
	fd_closep(&loop->epoll);
	fd_closep(&loop->wake);
	lock_done(&loop->lock);
	free(loop);
	return NULL;
}

static void wake(struct loop *loop)
{
	eventfd_write(loop->wake, 1); /* fails only when it is full of wake-ups already */
}

void loop_stop(struct loop *loop)
{
	atomic_store(&loop->stopped, true);
	wake(loop);
}

void loop_post(struct loop *loop, void (*fn)(void *data), void *data)
{
	struct task *task = xnew(struct task);

	task->fn = fn;
	task->data = data;
	lock_take(&loop->lock);
	list_add_tail(&loop->tasks, &task->node);
	lock_drop(&loop->lock);
	wake(loop);
}

static void dispatch_timer(struct source *source)
{
	uint64_t expirations;

	/* EAGAIN: re-armed since the event was collected */
	if (read(source->fd, &expirations, sizeof(expirations)) == sizeof(expirations))
		source->on_timer(source, source->data);
}

static void dispatch_signals(struct source *source)
{
	struct signalfd_siginfo info;

	while (!source->dead && read(source->fd, &info, sizeof(info)) == sizeof(info))
		source->on_signal(source, (int)info.ssi_signo, source->data);
}

static void dispatch(struct loop *loop, const struct epoll_event *event)
{
	struct source *source = event->data.ptr;
	eventfd_t ignored;

	if (!source) {
		eventfd_read(loop->wake, &ignored);
		run_tasks(loop);
		return;
	}
	if (source->dead)
		return;
	switch (source->kind) {
	case SOURCE_FD:
		source->on_fd(source, event->events, source->data);
		break;
	case SOURCE_TIMER:
		dispatch_timer(source);
		break;
	case SOURCE_SIGNALS:
		dispatch_signals(source);
		break;
	}
}

int loop_run(struct loop *loop, struct err *err)
{
	struct epoll_event events[BATCH];
	int failed = 0;

	assert(!loop->running);
	loop->running = true;
	while (!atomic_load(&loop->stopped)) {
		int n = epoll_wait(loop->epoll, events, BATCH, -1);
		if (n < 0 && errno != EINTR) {
			failed = err_errno(err, "event loop: epoll_wait");
			break;
		}
		for (int i = 0; i < n; i++)
			dispatch(loop, &events[i]);
		free_dead(loop);
	}
	loop->running = false;
	atomic_store(&loop->stopped, false);
	return failed;
}

/* Hooks the source into the loop; on failure frees it (and closes what it owns) and returns NULL. */
static struct source *add(struct loop *loop, struct source *source, uint32_t events, struct err *err)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	source->loop = loop;
	if (source->fd >= 0 && epoll_ctl(loop->epoll, EPOLL_CTL_ADD, source->fd, &event) == 0) {
		list_add_tail(&loop->sources, &source->node);
		return source;
	}
	err_errno(err, "event loop: add source");
	if (source->kind != SOURCE_FD)
		fd_closep(&source->fd);
	free(source);
	return NULL;
}

struct source *loop_add_fd(struct loop *loop, int fd, uint32_t events,
			   void (*fn)(struct source *source, uint32_t events, void *data), void *data,
			   struct err *err)
{
	struct source *source = xnew(struct source);

	source->kind = SOURCE_FD;
	source->fd = fd;
	source->on_fd = fn;
	source->data = data;
	if (fd < 0)
		errno = EBADF;
	return add(loop, source, events, err);
}

int source_rearm(struct source *source, int64_t first, int64_t every, struct err *err)
{
	struct itimerspec when = {
		/* all zero would disarm the timer; at once is what is meant */
		.it_value = clock_timespec(first > 0 ? first : 1),
		.it_interval = clock_timespec(every > 0 ? every : 0),
	};

	assert(source->kind == SOURCE_TIMER);
	if (timerfd_settime(source->fd, 0, &when, NULL) < 0)
		return err_errno(err, "event loop: timer");
	return 0;
}

struct source *loop_add_timer(struct loop *loop, int64_t first, int64_t every,
			      void (*fn)(struct source *source, void *data), void *data, struct err *err)
{
	struct source *source = xnew(struct source);

	source->kind = SOURCE_TIMER;
	source->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	source->on_timer = fn;
	source->data = data;
	source = add(loop, source, EPOLLIN, err);
	if (source && source_rearm(source, first, every, err) < 0)
		return source_free(source);
	return source;
}

struct source *loop_add_signals(struct loop *loop, const int *signals, size_t count,
				void (*fn)(struct source *source, int signal, void *data), void *data,
				struct err *err)
{
	struct source *source = xnew(struct source);
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < count; i++)
		sigaddset(&set, signals[i]);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	source->kind = SOURCE_SIGNALS;
	source->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	source->on_signal = fn;
	source->data = data;
	return add(loop, source, EPOLLIN, err);
}

struct source *source_free(struct source *source)
{
	if (!source || source->dead)
		return NULL;
	struct loop *loop = source->loop;
	epoll_ctl(loop->epoll, EPOLL_CTL_DEL, source->fd, NULL);
	if (source->kind != SOURCE_FD)
		fd_closep(&source->fd);
	source->dead = true;
	list_del(&source->node);
	if (loop->running)
		list_add_tail(&loop->dead, &source->node);
	else
		free(source);
	return NULL;
}
