/*
 * What the OOM killer did in containers' cgroups (cgroup v2: memory.events, Documentation/admin-guide/
 * cgroup-v2.rst), noticed as it happens, by inotify: systemd removes a scope as soon as it is empty, and
 * what its files say with it, before anybody can ask how its container ended. On v1 nothing is watched: there
 * a cgroup stays until it is removed by us.
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
/* file: a memory.events, or NULL. NULL: it cannot be watched, which is no error: not every host has the
 * controller. */
struct oom_watched *oom_watch_add(struct oom_watch *watch, const char *file);
/* Whether a process of it was killed. When the cgroup went before its file was read, the one above is asked,
 * which counts its kills, too: unexplained says that nobody else is known to have sent the SIGKILL that ended
 * it. */
bool oom_watch_killed(struct oom_watched *watched, bool unexplained);
struct oom_watched *oom_watch_drop(struct oom_watched *watched); /* accepts NULL, returns NULL */

#endif
