/*
 * Time. Deadlines and intervals are nanoseconds of CLOCK_MONOTONIC (clock_mono), stamps shown to clients are
 * nanoseconds of CLOCK_REALTIME (clock_real). The two are never mixed. A deadline of INT64_MAX means none.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_SEC INT64_C(1000000000)
#define NO_DEADLINE INT64_MAX

int64_t clock_mono(void);
int64_t clock_real(void);
/* now + ns, saturating; negative ns counts as 0. */
int64_t clock_deadline_in(int64_t ns);
/* Milliseconds until deadline for poll(): 0 when passed, -1 for none, rounded up. */
int clock_poll_timeout(int64_t deadline);
struct timespec clock_timespec(int64_t ns);

enum { CLOCK_RFC3339_SIZE = 40 };
/* "2026-11-22T03:04:05.123456789Z" (UTC, nine digits). */
void clock_rfc3339(int64_t real_ns, char text[CLOCK_RFC3339_SIZE]);
/* Accepts any number of fraction digits (those past nine are dropped) and Z or +hh:mm. False also for times
 * that nanoseconds in 64 bits cannot hold. */
bool clock_parse_rfc3339(const char *text, int64_t *ret);

#endif
