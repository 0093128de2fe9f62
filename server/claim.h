/*
 * The claim of one crispd on its state: a locked file ("crispd.lock") in each of the folders root and
 * runroot, so that no two daemons ever work on the same pods and images, whatever sockets they listen on.
 *
 * The lock is flock(2)'s: the kernel drops it when the process ends, however it ends, and nothing stale can
 * remain. The file holds the pid, for people. Children don't inherit it (O_CLOEXEC).
 */
#ifndef SERVER_CLAIM_H
#define SERVER_CLAIM_H

#include "base/err.h"
#include "base/mem.h"

/* Makes the folder (0700) when missing. Returns the fd that holds the claim; FAILED_PRECONDITION, with the
 * owner's pid, when another process has it. What a killed owner's child still has of it is waited for, for
 * ten seconds at most. */
int claim_take(const char *folder, struct err *err) MUST_CHECK;

#endif
