/*
 * Plugins that go on without the crispd that had started them, which was killed. What such an ADD still
 * makes, a DEL at its side would not see: so they are waited for before anything of their pod is detached.
 *
 * Only what was there when they were looked for: nothing becomes an orphan later, and a crispd that has its
 * claim on the state (server/claim.h) has no child of its predecessor left that is still to become a plugin.
 * Thread-safe.
 */
#ifndef CNI_ORPHANS_H
#define CNI_ORPHANS_H

#include <stdint.h>

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"

struct orphans;

struct orphans *orphans_find(void);
struct orphans *orphans_free(struct orphans *orphans); /* returns NULL */
/* Until those of this pod have ended; who has not after `patience` (ns) is killed. */
int orphans_wait(const struct orphans *orphans, const char *container_id, int64_t patience,
		 const struct ctx *ctx, struct err *err) MUST_CHECK;

#endif
