/*
 * A function that runs when its time has come, on a thread that exists only while some time is set.
 */
#ifndef IMAGE_SWEEPER_H
#define IMAGE_SWEEPER_H

#include <stdint.h>

struct sweeper;

/* sweep returns when it shall run next, NO_DEADLINE for not before sweeper_set(). Times are clock_mono(). */
struct sweeper *sweeper_new(int64_t (*sweep)(void *data), void *data);
/* Waits for a sweep in progress; accepts NULL, returns NULL. */
struct sweeper *sweeper_free(struct sweeper *sweeper);
/* At `when`, or earlier if an earlier time is set; NO_DEADLINE changes nothing. Any thread. */
void sweeper_set(struct sweeper *sweeper, int64_t when);

#endif
