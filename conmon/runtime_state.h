/*
 * What an OCI runtime has written of a container in its state folder, ROOT/ID: read here instead of asking
 * the binary, which costs milliseconds. crun keeps ROOT/ID/status, runc ROOT/ID/state.json; both keep the
 * FIFO ROOT/ID/exec.fifo at which a created container's init waits, and remove it when they have started it.
 *
 * Nothing here is kept; thread-safe.
 */
#ifndef CONMON_RUNTIME_STATE_H
#define CONMON_RUNTIME_STATE_H

#include <stdbool.h>

#include "base/mem.h"
#include "base/spawn.h"
#include "conmon/monitor.h"

enum runtime_state {
	RUNTIME_STATE_ABSENT, /* there is no folder */
	RUNTIME_STATE_UNKNOWN,
	RUNTIME_STATE_DEAD,  /* init has ended */
	RUNTIME_STATE_ALIVE, /* created or running */
};

/* Whether this runtime is one whose state folder we can read. */
bool runtime_state_is_known(const struct handler *handler);

/* *ret is the container's init (a pidfd held) when ALIVE. */
enum runtime_state runtime_state_look(const struct runtime_target *target, struct process *ret);

/* Path of the FIFO, malloc'd. */
char *runtime_state_fifo(const struct runtime_target *target);

/* Whether init has the file open. True also when that can't be told. */
bool runtime_state_holds(const struct process *init, const char *path);

#endif
