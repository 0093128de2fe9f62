/* See thread.h. */
#include "base/thread.h"

#include <signal.h>

int thread_start(pthread_t *ret, const char *name, size_t stack_size, void *(*fn)(void *data), void *data)
{
	pthread_attr_t attr;
	sigset_t all, old;

	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, stack_size);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int error = pthread_create(ret, &attr, fn, data);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (!error && name)
		pthread_setname_np(*ret, name);
	return error;
}
