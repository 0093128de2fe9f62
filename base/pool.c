/*
 * One queue, one condition. A task that arrives when every worker that is not busy has a task waiting for it
 * already gets a new worker, up to the bound; a worker that finds nothing for idle_ns ends. A worker that has
 * ended cannot free its own thread: it moves to `ended`, and whoever comes by next (pool_run, pool_free)
 * joins it.
 */
#include "base/pool.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/step.h"
#include "base/thread.h"

enum { STACK_DEFAULT = 256 * 1024, NAME_SIZE = 16 };

struct worker {
	struct list node;
	struct pool *pool;
	pthread_t thread;
	unsigned int number;
};

struct task {
	struct list node;
	struct step_scope scope;
	void (*fn)(void *data);
	void *data;
};

struct pool {
	char name[NAME_SIZE];
	size_t threads_max, queue_max, stack_size;
	int64_t idle_ns;
	struct lock lock;
	struct cond work;  /* a task came, or stopping */
	struct cond quiet; /* nothing waits or runs, or no thread is left */
	/* all under lock */
	struct list queue;
	size_t queued, running;
	size_t threads;
	struct list ended; /* to be joined */
	unsigned int made; /* for thread names */
	bool stopping;
};

/* Sanitizers multiply what a frame takes. */
static size_t stack_size_of(size_t wanted)
{
	size_t size = wanted ? wanted : STACK_DEFAULT;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	size *= 4;
#endif
	return size < (size_t)PTHREAD_STACK_MIN ? (size_t)PTHREAD_STACK_MIN : size;
}

struct pool *pool_new(const struct pool_options *options)
{
	struct pool *pool = xnew(struct pool);

	assert(options->threads_max > 0);
	snprintf(pool->name, sizeof(pool->name), "%s", options->name);
	pool->threads_max = options->threads_max;
	pool->queue_max = options->queue_max;
	pool->stack_size = stack_size_of(options->stack_size);
	pool->idle_ns = options->idle_ns;
	lock_init(&pool->lock, "pool", LOCK_POOL);
	cond_init(&pool->work);
	cond_init(&pool->quiet);
	list_init(&pool->queue);
	list_init(&pool->ended);
	return pool;
}

/* Waits for a task; NULL when the worker shall end. */
static struct task *next_task_locked(struct pool *pool) REQUIRES(pool->lock)
{
	int64_t deadline = clock_deadline_in(pool->idle_ns);
	bool in_time = true;

	while (list_empty(&pool->queue) && !pool->stopping && in_time)
		in_time = cond_wait_until(&pool->work, &pool->lock, deadline);
	if (list_empty(&pool->queue))
		return NULL;
	struct task *task = list_entry(pool->queue.next, struct task, node);
	list_del(&task->node);
	pool->queued--;
	pool->running++;
	return task;
}

static void finished_locked(struct pool *pool) REQUIRES(pool->lock)
{
	pool->running--;
	if (!pool->running && !pool->queued)
		cond_broadcast(&pool->quiet);
}

static void *worker_main(void *data)
{
	struct worker *worker = data;
	struct pool *pool = worker->pool;
	char name[NAME_SIZE];

	snprintf(name, sizeof(name), "%.10s-%u", pool->name, worker->number % 10000);
	pthread_setname_np(pthread_self(), name);
	lock_take(&pool->lock);
	for (struct task *task; (task = next_task_locked(pool));) {
		lock_drop(&pool->lock);
		step_enter(&task->scope);
		task->fn(task->data);
		step_enter(NULL);
		free(task);
		lock_take(&pool->lock);
		finished_locked(pool);
	}
	list_add_tail(&pool->ended, &worker->node);
	if (--pool->threads == 0)
		cond_broadcast(&pool->quiet);
	lock_drop(&pool->lock);
	return NULL;
}

static struct worker *take_ended(struct pool *pool)
{
	struct worker *worker = NULL;

	lock_take(&pool->lock);
	if (!list_empty(&pool->ended)) {
		worker = list_entry(pool->ended.next, struct worker, node);
		list_del(&worker->node);
	}
	lock_drop(&pool->lock);
	return worker;
}

static void join_ended(struct pool *pool)
{
	for (struct worker *worker; (worker = take_ended(pool));) {
		pthread_join(worker->thread, NULL);
		free(worker);
	}
}

/*
 * Makes a worker when the backlog (one task more than queued) needs one and the bound allows it. An errno
 * when none could be made. The lock is held over it: a thread counted but not there yet would make every
 * decision here doubtful.
 */
static int grow_locked(struct pool *pool) REQUIRES(pool->lock)
{
	if (pool->queued < pool->threads - pool->running || pool->threads >= pool->threads_max)
		return 0;
	struct worker *worker = xnew(struct worker);
	worker->pool = pool;
	worker->number = pool->made;
	int error = thread_start(&worker->thread, NULL, pool->stack_size, worker_main, worker);
	if (error) {
		free(worker);
		return error;
	}
	pool->made++;
	pool->threads++;
	return 0;
}

/* 0, or -1 with errno: EBUSY when the queue is full. */
static int enqueue(struct pool *pool, struct task *task)
{
	lock_take(&pool->lock);
	assert(!pool->stopping);
	/* Tasks for which a worker is idle, starting or may yet be made do not count as waiting. */
	size_t ready = pool->threads_max - pool->running;
	int error = pool->queued >= ready + pool->queue_max ? EBUSY : grow_locked(pool);
	if (error != EBUSY && pool->threads) /* other workers will come round to it */
		error = 0;
	if (!error) {
		list_add_tail(&pool->queue, &task->node);
		pool->queued++;
		cond_signal(&pool->work);
	}
	lock_drop(&pool->lock);
	errno = error;
	return error ? -1 : 0;
}

int pool_run(struct pool *pool, void (*fn)(void *data), void *data, struct err *err)
{
	struct task *task = xnew(struct task);

	task->fn = fn;
	task->data = data;
	task->scope = step_scope();
	int failed = enqueue(pool, task);
	int error = errno;
	join_ended(pool);
	if (!failed)
		return 0;
	free(task);
	if (error == EBUSY)
		return err_set(err, RPC_RESOURCE_EXHAUSTED, "pool %s: %zu tasks wait already", pool->name,
			       pool->queue_max);
	errno = error;
	return err_errno(err, "pool %s: new thread", pool->name);
}

struct pool_load pool_load(struct pool *pool)
{
	struct pool_load load;

	lock_take(&pool->lock);
	load = (struct pool_load){ pool->threads, pool->running, pool->queued };
	lock_drop(&pool->lock);
	return load;
}

size_t pool_busy(struct pool *pool)
{
	lock_take(&pool->lock);
	size_t busy = pool->queued + pool->running;
	lock_drop(&pool->lock);
	return busy;
}

bool pool_wait_quiet(struct pool *pool, int64_t deadline)
{
	bool in_time = true;

	lock_take(&pool->lock);
	while ((pool->running || pool->queued) && in_time)
		in_time = cond_wait_until(&pool->quiet, &pool->lock, deadline);
	bool quiet = !pool->running && !pool->queued;
	lock_drop(&pool->lock);
	return quiet;
}

static void stop_when_quiet(struct pool *pool)
{
	lock_take(&pool->lock);
	while (pool->queued || pool->running)
		cond_wait(&pool->quiet, &pool->lock);
	pool->stopping = true;
	cond_broadcast(&pool->work);
	while (pool->threads)
		cond_wait(&pool->quiet, &pool->lock);
	lock_drop(&pool->lock);
}

struct pool *pool_free(struct pool *pool)
{
	if (!pool)
		return NULL;
	stop_when_quiet(pool);
	join_ended(pool);
	cond_done(&pool->work);
	cond_done(&pool->quiet);
	lock_done(&pool->lock);
	free(pool);
	return NULL;
}
