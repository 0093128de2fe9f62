/*
 * Tells when something changes in folders that may not exist yet: the CNI configuration and plugin folders
 * (inotify(7)).
 *
 * Made, used and freed on the loop's thread (or before the loop runs). Changes that come in a burst are told
 * once, a moment after the first.
 */
#ifndef CNI_CONFWATCH_H
#define CNI_CONFWATCH_H

#include <stdbool.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"

enum { CONFWATCH_DIRS_MAX = 32 };

struct confwatch;

/* dirs: at most CONFWATCH_DIRS_MAX absolute paths, copied; more are not watched. Where inotify has run out of
 * watches, changes are not told; confwatch_works() says so. */
struct confwatch *confwatch_new(struct loop *loop, const char *const *dirs, size_t dirs_len,
				void (*fn)(void *data), void *data, struct err *err);
struct confwatch *confwatch_free(struct confwatch *watch); /* accepts NULL, returns NULL */
bool confwatch_works(const struct confwatch *watch);

#endif
