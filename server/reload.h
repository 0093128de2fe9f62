/*
 * SIGHUP: the configuration is read again. What can change while running takes effect at once and together;
 * the rest is named in the log and waits for a restart. When anything in it is wrong, everything stays as it
 * was. On the loop's thread.
 */
#ifndef SERVER_RELOAD_H
#define SERVER_RELOAD_H

#include "config/config.h"
#include "server/service.h"

void reload(struct service *service, const struct config_paths *paths);
/* Applies [crisp.runtime] log_*; also used at start. */
int reload_log(const struct config *config, struct err *err) MUST_CHECK;

#endif
