/*
 * What the OOM killer did in containers' cgroups (cgroup v2: memory.events, Documentation/admin-guide/
 * cgroup-v2.rst), noticed as it happens, by inotify: systemd removes a scope as soon as it is empty, and
 * what its files say with it, before anybody can ask how its container ended. v1 has no such file (there
 * conmon's word counts, and what the cgroup says if it is still there).
 *
 * What goes before it is read is told by the cgroup above, which counts for all below it: one kill for each
 * that ended unexplained. So when memory.oom.group ends several processes of one container at once and a
 * sibling is killed by a stranger in the same moment, that one may be called OOMKilled, too. What happens
 * while crispd is down is conmon's to tell.
 *
 * Thread-safe; files are read on the loop's thread, and by those who ask.
 */
#ifndef SANDBOX_OOM_WATCH_H
#define SANDBOX_OOM_WATCH_H

#include <stdbool.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"

struct oom_watch;
struct oom_watched; /* one cgroup */

struct oom_watch *oom_watch_new(struct loop *loop, struct err *err);
/* Accepts NULL, returns NULL. Everything added was dropped. */
struct oom_watch *oom_watch_free(struct oom_watch *watch);
/* file: a memory.events, or NULL; so may be watch. NULL: it cannot be watched, which is no error: not every
 * host has the controller, or an inotify instance left. */
struct oom_watched *oom_watch_add(struct oom_watch *watch, const char *file);
/* Whether a process of it was killed, at its end. unexplained: SIGKILL ended it, and nobody is known to have
 * sent that. */
bool oom_watch_killed(struct oom_watched *watched, bool unexplained);
struct oom_watched *oom_watch_drop(struct oom_watched *watched); /* accepts NULL, returns NULL */

#endif
