/*
 * pthread mutexes of the error-checking type. The rank check costs a few thread-local reads per take, so it
 * is on in every build: a wrong order found in production is a core file, not a deadlock at night.
 */
#include "base/lock.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { HELD_MAX = 16 };

static _Thread_local const struct lock *held_stack[HELD_MAX];
static _Thread_local unsigned int held_count;

static void must(int error, const struct lock *lock, const char *what)
{
	if (!error)
		return;
	fprintf(stderr, "crispd: lock %s: %s: %s\n", lock->name, what, strerrordesc_np(error));
	abort();
}

static void check_order(const struct lock *lock)
{
	for (unsigned int i = 0; i < held_count; i++) {
		if (held_stack[i]->rank < lock->rank)
			continue;
		fprintf(stderr, "crispd: lock order: %s (rank %d) taken while %s (rank %d) is held\n",
			lock->name, lock->rank, held_stack[i]->name, held_stack[i]->rank);
		abort();
	}
}

static void push(struct lock *lock)
{
	assert(held_count < HELD_MAX);
	held_stack[held_count++] = lock;
	lock->owner = pthread_self();
	lock->held = true;
}

static void pop(struct lock *lock)
{
	lock_assert_held(lock);
	lock->held = false;
	for (unsigned int i = held_count; i-- > 0;) {
		if (held_stack[i] != lock)
			continue;
		memmove(&held_stack[i], &held_stack[i + 1], (held_count - i - 1) * sizeof(held_stack[0]));
		held_count--;
		return;
	}
	assert(!"a held lock is on its owner's stack");
}

void lock_init(struct lock *lock, const char *name, enum lock_rank rank)
{
	pthread_mutexattr_t attr;

	*lock = (struct lock){ .name = name, .rank = rank };
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
	must(pthread_mutex_init(&lock->mutex, &attr), lock, "init");
	pthread_mutexattr_destroy(&attr);
}

void lock_done(struct lock *lock)
{
	must(lock->held ? EBUSY : pthread_mutex_destroy(&lock->mutex), lock, "destroy");
}

void lock_take(struct lock *lock) NO_LOCK_ANALYSIS
{
	check_order(lock);
	must(pthread_mutex_lock(&lock->mutex), lock, "take");
	push(lock);
}

void lock_drop(struct lock *lock) NO_LOCK_ANALYSIS
{
	pop(lock);
	must(pthread_mutex_unlock(&lock->mutex), lock, "drop");
}

void lock_assert_held(const struct lock *lock)
{
	assert(lock->held && pthread_equal(lock->owner, pthread_self()));
}

void cond_init(struct cond *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&cond->cond, &attr);
	pthread_condattr_destroy(&attr);
}

void cond_done(struct cond *cond)
{
	pthread_cond_destroy(&cond->cond);
}

void cond_wait(struct cond *cond, struct lock *lock)
{
	cond_wait_until(cond, lock, INT64_MAX);
}

bool cond_wait_until(struct cond *cond, struct lock *lock, int64_t deadline)
{
	int error;

	pop(lock);
	if (deadline == INT64_MAX) {
		error = pthread_cond_wait(&cond->cond, &lock->mutex);
	} else {
		struct timespec at = clock_timespec(deadline);
		error = pthread_cond_timedwait(&cond->cond, &lock->mutex, &at);
	}
	push(lock);
	if (error != ETIMEDOUT)
		must(error, lock, "wait");
	return error != ETIMEDOUT;
}

void cond_signal(struct cond *cond)
{
	pthread_cond_signal(&cond->cond);
}

void cond_broadcast(struct cond *cond)
{
	pthread_cond_broadcast(&cond->cond);
}
