/*
 * Crash points: places between two steps of what changes something, where a test can have crispd end as by
 * kill -9. In the program that is installed they are nothing at all; test/crash builds "crispd-crash" from
 * the same sources with CRISP_CRASH_POINTS. There the environment variable CRISP_CRASH names a folder:
 *
 *   FOLDER/trace   when it exists, each point that is passed is appended to it, a name a line
 *   FOLDER/armed   "NAME NTH": the NTH pass of NAME since this file is there ends the process by SIGKILL;
 *                  before that the file is renamed to FOLDER/fired, so that the next crispd lives
 *
 *   FOLDER/hold    "NAME": a pass of this hold point lasts until the file is gone
 *
 * Points that no test passes are found by integration/tests/61-crash-points.bats. Thread-safe.
 */
#ifndef BASE_CRASH_H
#define BASE_CRASH_H

#include <stdbool.h>

/* False, always, so that a point can stand in a chain of steps that ends with the first that fails. */
#ifdef CRISP_CRASH_POINTS
bool crash_point(const char *name);
void hold_point(const char *name);
#else
static inline bool crash_point(const char *name)
{
	(void)name;
	return false;
}

static inline void hold_point(const char *name)
{
	(void)name;
}
#endif

#endif
