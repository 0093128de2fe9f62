/*
 * What the service manager is told (sd_notify(3)): ready, reloading, stopping, a line of status, and the
 * watchdog's sign of life. Without a manager everything here does nothing. Any thread.
 */
#ifndef SERVER_NOTIFY_H
#define SERVER_NOTIFY_H

#include <stdint.h>

#include "base/mem.h"

void notify_ready(const char *fmt, ...) PRINTF(1, 2);  /* READY=1 and STATUS= */
void notify_status(const char *fmt, ...) PRINTF(1, 2); /* STATUS= alone */
void notify_reloading(void);
void notify_stopping(const char *fmt, ...) PRINTF(1, 2);
void notify_alive(void); /* WATCHDOG=1 */
/* ns between signs of life that the manager demands; 0: none. */
int64_t notify_watchdog(void);

#endif
