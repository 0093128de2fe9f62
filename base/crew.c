/*
 * Threads are detached; the count and a condition tell when the last has ended.
 */
#include "base/crew.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/lock.h"
#include "base/thread.h"

enum { STACK_SIZE = 256 * 1024 };

struct crew {
	struct ctx ctx;
	size_t max;
	struct lock lock;
	struct cond changed;
	size_t count; /* under lock */
	bool ending;  /* under lock */
};

struct work {
	struct crew *crew;
	void (*fn)(void *data, const struct ctx *ctx);
	void *data;
};

struct crew *crew_new(const char *name, size_t threads_max)
{
	struct crew *crew = xnew(struct crew);

	ctx_init(&crew->ctx, NO_DEADLINE);
	lock_init(&crew->lock, name, LOCK_CREW);
	cond_init(&crew->changed);
	crew->max = threads_max;
	return crew;
}

size_t crew_count(struct crew *crew)
{
	size_t count;

	lock_take(&crew->lock);
	count = crew->count;
	lock_drop(&crew->lock);
	return count;
}

static bool enter(struct crew *crew)
{
	bool may;

	lock_take(&crew->lock);
	may = !crew->ending && crew->count < crew->max;
	if (may)
		crew->count++;
	lock_drop(&crew->lock);
	return may;
}

static void leave(struct crew *crew)
{
	lock_take(&crew->lock);
	crew->count--;
	cond_broadcast(&crew->changed);
	lock_drop(&crew->lock);
}

static void *run(void *data)
{
	struct work *work = data;
	struct crew *crew = work->crew;

	work->fn(work->data, &crew->ctx);
	free(work);
	leave(crew);
	return NULL;
}

static int start_thread(struct work *work)
{
	pthread_t thread;
	int error = thread_start(&thread, NULL, STACK_SIZE, run, work);

	if (!error)
		pthread_detach(thread);
	return error;
}

int crew_start(struct crew *crew, void (*fn)(void *data, const struct ctx *ctx), void *data)
{
	struct work *work = xnew(struct work);
	int error = EAGAIN;

	*work = (struct work){ crew, fn, data };
	if (enter(crew)) {
		error = start_thread(work);
		if (!error)
			return 0;
		leave(crew);
	}
	free(work);
	errno = error;
	return -1;
}

bool crew_wait(struct crew *crew, int64_t deadline)
{
	bool none;

	lock_take(&crew->lock);
	crew->ending = true;
	while (crew->count && cond_wait_until(&crew->changed, &crew->lock, deadline))
		;
	none = !crew->count;
	lock_drop(&crew->lock);
	return none;
}

void crew_end(struct crew *crew)
{
	ctx_cancel(&crew->ctx);
	(void)crew_wait(crew, NO_DEADLINE);
}

struct crew *crew_free(struct crew *crew)
{
	if (!crew)
		return NULL;
	crew_end(crew);
	ctx_done(&crew->ctx);
	cond_done(&crew->changed);
	lock_done(&crew->lock);
	free(crew);
	return NULL;
}
