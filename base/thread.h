/*
 * Threads are made here: with a stack of their own size and all signals blocked, which are the event loop's
 * business (base/loop.h).
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <stddef.h>

#include "base/mem.h"

/* name: at most 15 bytes, NULL for none. 0, or an errno when no thread can be had; then *ret is not set. Who
 * made it joins or detaches it. */
int thread_start(pthread_t *ret, const char *name, size_t stack_size, void *(*fn)(void *data),
		 void *data) MUST_CHECK;

#endif
