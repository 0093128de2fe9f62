/* Calendar arithmetic uses gmtime_r/timegm only: no locale, no time zone files. */
#include "base/clock.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static int64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

int64_t clock_mono(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_real(void)
{
	return read_clock(CLOCK_REALTIME);
}

int64_t clock_deadline_in(int64_t ns)
{
	int64_t deadline;

	if (__builtin_add_overflow(clock_mono(), ns > 0 ? ns : 0, &deadline))
		return NO_DEADLINE;
	return deadline;
}

int clock_poll_timeout(int64_t deadline)
{
	if (deadline == NO_DEADLINE)
		return -1;
	int64_t now = clock_mono();
	if (deadline <= now)
		return 0;
	int64_t left = deadline - now;
	int64_t ms = (left + NS_PER_MS - 1) / NS_PER_MS;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

struct timespec clock_timespec(int64_t ns)
{
	return (struct timespec){ .tv_sec = ns / NS_PER_SEC, .tv_nsec = ns % NS_PER_SEC };
}

void clock_rfc3339(int64_t real_ns, char text[CLOCK_RFC3339_SIZE])
{
	time_t seconds = real_ns / NS_PER_SEC;
	int64_t fraction = real_ns % NS_PER_SEC;
	struct tm tm;
	char date[24];

	if (fraction < 0) {
		fraction += NS_PER_SEC;
		seconds--;
	}
	gmtime_r(&seconds, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, CLOCK_RFC3339_SIZE, "%s.%09dZ", date, (int)fraction);
}

static const char *parse_fraction(const char *text, int64_t *ret)
{
	int64_t scale = NS_PER_SEC / 10;

	*ret = 0;
	if (*text != '.')
		return text;
	if (text[1] < '0' || text[1] > '9')
		return NULL;
	for (text++; *text >= '0' && *text <= '9'; text++, scale /= 10)
		*ret += (*text - '0') * scale;
	return text;
}

static bool parse_zone(const char *text, int64_t *ret_seconds)
{
	int hours, minutes, used = 0;

	*ret_seconds = 0;
	if (strcmp(text, "Z") == 0 || strcmp(text, "z") == 0)
		return true;
	if (*text != '+' && *text != '-')
		return false;
	if (sscanf(text + 1, "%2d:%2d%n", &hours, &minutes, &used) != 2 || used != 5 || text[6])
		return false;
	if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
		return false;
	*ret_seconds = (hours * 60 + minutes) * 60 * (*text == '-' ? -1 : 1);
	return true;
}

bool clock_parse_rfc3339(const char *text, int64_t *ret)
{
	struct tm tm = { 0 };
	int64_t fraction, zone, ns;
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

	if (!rest)
		return false;
	rest = parse_fraction(rest, &fraction);
	if (!rest || !parse_zone(rest, &zone))
		return false;
	if (__builtin_mul_overflow(timegm(&tm) - zone, NS_PER_SEC, &ns) ||
	    __builtin_add_overflow(ns, fraction, &ns))
		return false; /* outside 1677..2262 */
	*ret = ns;
	return true;
}
