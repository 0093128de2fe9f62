/*
 * The running daemon: event loop, signals, socket, gRPC, watchdog, and its orderly end.
 *
 * SIGTERM and SIGINT: no new calls; those in progress get the configured drain time, then their contexts are
 * cancelled; a second signal cancels at once. SIGHUP: the configuration is read again and what can change
 * while running, changes (log, registries); with an error in it nothing changes. Containers, monitors and
 * pods live on in every case.
 */
#ifndef SERVER_DAEMON_H
#define SERVER_DAEMON_H

#include "base/err.h"
#include "base/mem.h"
#include "config/config.h"

struct daemon_options {
	const struct config_paths *paths; /* outlives the run: SIGHUP reads them again */
	const struct config *config;      /* what they gave at start */
};

/* Serves until told to stop. 0 after an orderly end; -1 when it could not start or the loop failed. */
int daemon_run(const struct daemon_options *options, struct err *err) MUST_CHECK;

#endif
