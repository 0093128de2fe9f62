/*
 * Killing sets of processes that no one handle names, found by reading /proc: the descendants of a process,
 * those that carry a mark, or those that were started with certain arguments.
 *
 * A mark is a value of RLIMIT_LOCKS, soft and hard: the kernel has ignored that limit since 2.4.25
 * (getrlimit(2)) but hands it on through fork and exec, so everything a marked process starts is marked too,
 * also what makes itself a daemon: new sessions, double forks and new parents do not shed it.
 * /proc/PID/limits shows it to any reader. It is for finding, not for containing: a process can lower the
 * limit again.
 *
 * Each process is opened as pidfd and looked at again before it is signalled. A pass is repeated until it
 * finds nobody, so that children born meanwhile are found as well. Zombies count as gone. Thread-safe.
 */
#ifndef CONMON_PROCS_H
#define CONMON_PROCS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/spawn.h"

/* SIGKILL for every process with that mark, except `spared` (0: none); returns when all are gone. -1 when ctx
 * ends before. */
int procs_kill_marked(uint64_t mark, pid_t spared, const struct ctx *ctx, struct err *err) MUST_CHECK;
bool procs_is_marked(pid_t pid, uint64_t mark);
/* A mark nobody else has. */
uint64_t procs_new_mark(void);
bool procs_may_be_mark(uint64_t value); /* whether procs_new_mark() could have made it */

/* SIGKILL for everything below root (not root itself). */
int procs_kill_descendants(pid_t root, const struct ctx *ctx, struct err *err) MUST_CHECK;
/* SIGKILL for every process that has these words, one after the other, among its arguments, and for
 * everything below. They must be words that nobody else could have, such as paths of our own. */
int procs_kill_words(const char *const *words, size_t len, const struct ctx *ctx, struct err *err) MUST_CHECK;
/* Waits until nobody has these words any more. */
int procs_wait_words(const char *const *words, size_t len, const struct ctx *ctx, struct err *err) MUST_CHECK;
/* A process whose command line begins with these two words: its pidfd is open then, else -1 (also when it has
 * ended). A title that a process has given itself counts, too. */
int procs_find_titled(const char *program, const char *word, struct process *ret, struct err *err) MUST_CHECK;
bool procs_is_descendant(pid_t pid, pid_t root);

#endif
