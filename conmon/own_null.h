/*
 * A null device that is not the host's.
 *
 * crun gives a command's stdio to the command's user with fchown(2), and who owns a file may change its mode:
 * with /dev/null as its standard input, a process in a container could close /dev/null to all of the host.
 * So an exec gets a node of its own kind, on a tmpfs that is mounted nowhere. What conmon gives to a new
 * container cannot be chosen: there the host's is repaired, before the container's program has begun.
 *
 * Thread-safe.
 */
#ifndef CONMON_OWN_NULL_H
#define CONMON_OWN_NULL_H

#include "base/err.h"
#include "base/mem.h"

/* A new descriptor, read-write, close-on-exec; -1 with err where the kernel has no fsopen(2) or may not. */
int own_null_open(struct err *err) MUST_CHECK;

/* Gives /dev/null back to root if it is anybody else's. */
void host_null_repair(void);

#endif
