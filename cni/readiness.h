/*
 * Which network is in use now, and whether it is ready: configuration, plugin binaries, and for networks of
 * CNI spec 1.1.0 the plugins' own STATUS.
 *
 * Opened and freed on the loop's thread or while the loop does not run; the questions may be asked by any
 * thread and only touch memory.
 */
#ifndef CNI_READINESS_H
#define CNI_READINESS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "cni/conflist.h"
#include "config/config.h"

struct readiness;

/* config is borrowed and outlives it. */
struct readiness *readiness_open(const struct config_network *config, struct loop *loop, struct err *err);
/* Cancels and waits for a STATUS in progress. */
struct readiness *readiness_free(struct readiness *readiness); /* accepts NULL, returns NULL */

/* The list in use, a new reference. NULL and *ret_problem (malloc'd) when there is none. */
const struct conflist *readiness_list(struct readiness *readiness, char **ret_problem);
/* When false, *ret_problem (malloc'd) says why. */
bool readiness_ready(struct readiness *readiness, char **ret_problem);
json_t *readiness_info(struct readiness *readiness); /* a new reference */

#endif
