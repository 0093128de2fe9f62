/*
 * A failing notification is ignored: the manager then acts on its own timeouts, and there is nothing better
 * to do here. RELOADING=1 carries the time it began, as Type=notify-reload asks.
 */
#include "server/notify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <systemd/sd-daemon.h>

#include "base/clock.h"

static void notify(const char *state, const char *fmt, va_list args) __attribute__((format(printf, 2, 0)));

static void notify(const char *state, const char *fmt, va_list args)
{
	CLEANUP(freep) char *status = xvasprintf(fmt, args);

	sd_notifyf(0, "%s=1\nSTATUS=%s", state, status);
}

void notify_ready(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	notify("READY", fmt, args);
	va_end(args);
}

void notify_status(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	CLEANUP(freep) char *status = xvasprintf(fmt, args);
	va_end(args);
	sd_notifyf(0, "STATUS=%s", status);
}

void notify_reloading(void)
{
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_mono() / NS_PER_US);
}

void notify_stopping(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	notify("STOPPING", fmt, args);
	va_end(args);
}

void notify_alive(void)
{
	sd_notify(0, "WATCHDOG=1");
}

int64_t notify_watchdog(void)
{
	uint64_t usec = 0;

	if (sd_watchdog_enabled(0, &usec) <= 0 || usec > INT64_MAX / NS_PER_US)
		return 0;
	return (int64_t)usec * NS_PER_US;
}
