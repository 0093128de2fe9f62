/*
 * glibc would make an arena for every thread (up to eight a core), each of which keeps what it once needed:
 * two are enough for a daemon that mostly waits. Large buffers (messages, layers) come from mmap and vanish
 * when freed; fixing the threshold stops it from growing with the largest message ever seen. Threads that
 * libraries start get modest stacks: below 2 MiB, so that transparent huge pages don't turn one touched page
 * into 2 MiB.
 */
#include "server/heap.h"

#include <malloc.h>
#include <pthread.h>

enum {
	ARENAS = 2,
	MMAP_BYTES = 128 * 1024,
	TRIM_BYTES = 128 * 1024,
	STACK_BYTES = 1024 * 1024,
};

void heap_tune(void)
{
	pthread_attr_t attr;

	mallopt(M_ARENA_MAX, ARENAS);
	mallopt(M_MMAP_THRESHOLD, MMAP_BYTES);
	mallopt(M_TRIM_THRESHOLD, TRIM_BYTES);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_setattr_default_np(&attr);
	pthread_attr_destroy(&attr);
}

void heap_trim(void)
{
	malloc_trim(0);
}

size_t heap_spare(void)
{
	return mallinfo2().fordblks;
}
