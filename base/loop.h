/*
 * The event loop: one thread, epoll. Callbacks run on the loop's thread, one at a time, and never block; long
 * work goes to a pool. Sources are made and freed on the loop's thread, or before loop_run starts; other
 * threads use loop_post().
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdint.h>
#include <sys/epoll.h>

#include "base/err.h"
#include "base/mem.h"

struct loop;
struct source;

struct loop *loop_new(struct err *err);
struct loop *loop_free(
	struct loop *loop); /* frees remaining sources (their fds are the owners'); returns NULL */
/* Runs until loop_stop(), which also counts when it came before. */
int loop_run(struct loop *loop, struct err *err);
void loop_stop(struct loop *loop); /* any thread, also a signal source */
/* Runs fn(data) on the loop's thread soon, in order of posting. Any thread. What was still posted when the
 * loop ended is run by loop_free(). */
void loop_post(struct loop *loop, void (*fn)(void *data), void *data);

/* events: EPOLLIN etc. fd is borrowed and must outlive the source. NULL and err on failure. */
struct source *loop_add_fd(struct loop *loop, int fd, uint32_t events,
			   void (*fn)(struct source *source, uint32_t events, void *data), void *data,
			   struct err *err);
/* First after `first` ns, then every `every` ns (0: once; the source stays until freed and can be re-armed).
 */
struct source *loop_add_timer(struct loop *loop, int64_t first, int64_t every,
			      void (*fn)(struct source *source, void *data), void *data, struct err *err);
int source_rearm(struct source *source, int64_t first, int64_t every, struct err *err);
/* Blocks the signals in the calling thread (call before other threads start) and delivers them here. They
 * stay blocked when the source is freed. */
struct source *loop_add_signals(struct loop *loop, const int *signals, size_t count,
				void (*fn)(struct source *source, int signal, void *data), void *data,
				struct err *err);
/* Safe inside any callback, also its own. Accepts NULL, returns NULL. */
struct source *source_free(struct source *source);

#endif
