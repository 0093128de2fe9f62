/*
 * What goes on in the background for as long as crispd runs, so that what is there comes to agree with what
 * is known, whoever failed before:
 *
 *   undos           creations that failed and could not be undone (leftovers.c), pods whose stopping failed,
 *                   what the network holds for nobody (attachments.c), the trash: each again after 10 s, then
 *                   at twice the distance, up to 5 minutes
 *   processes       a pause or monitor whose end nobody was told of, exits that are not settled yet
 *   strays          namespaces, mounts, files and cgroups of crispd's own naming that have no record, and
 *                   nothing that still runs: they are taken away (strays.c)
 *
 * A timer on the loop finds out what is due; the work is done on the pool, one round at a time. Nothing is
 * ever killed here.
 */
#ifndef SANDBOX_RECONCILER_H
#define SANDBOX_RECONCILER_H

#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

struct sandboxes;
struct pod;
struct reconciler;

/* The first round is due at once, but begins with the first reconciler_look(). NULL and err. */
struct reconciler *reconciler_new(struct sandboxes *owner, struct err *err);
/* The loop has stopped and the pool is gone. Accepts NULL, returns NULL. */
struct reconciler *reconciler_free(struct reconciler *reconciler);
/* Gives what is due at `now` (clock_mono() ns) to the pool; the timer calls it, too. */
void reconciler_look(struct reconciler *reconciler, int64_t now);

/* A stop of this pod has failed: it is tried again in the background. */
void reconciler_halt_later(struct pod *pod);

/* strays.c: looks for them and takes them away. -1 when one is left; err tells of the last. */
int strays_remove(struct sandboxes *sandboxes, struct err *err) MUST_CHECK;

#endif
