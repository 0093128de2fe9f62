/*
 * The mark of crisp on its state: <root>/version, {"crisp": "<program version>", "state": <number>}. It says
 * that a folder is crispd's own (`crispd wipe` touches no other) and how what is in it is to be read: a
 * crispd that is older than the state refuses to serve on it or wipe it.
 *
 * The mark also has an id, which <runroot>/root.json repeats: with the root's disk not mounted, what runs
 * would otherwise be taken for nobody's. A runroot that has pods or containers of another root is refused.
 */
#ifndef SERVER_MARKER_H
#define SERVER_MARKER_H

#include "base/err.h"
#include "base/mem.h"

enum { MARKER_STATE = 1 };

/* Both folders exist and are claimed (server/claim.h). FAILED_PRECONDITION: a newer crisp's, or not each
 * other's; then nothing has been written. */
int marker_write(const char *root, const char *runroot, struct err *err) MUST_CHECK;
/* Both exist. FAILED_PRECONDITION: they are not each other's. */
int marker_check_pair(const char *root, const char *runroot, struct err *err) MUST_CHECK;
/* NOT_FOUND: no folder, or one without the mark; FAILED_PRECONDITION: a newer crisp's, or something else of
 * that name. */
int marker_check(const char *root, struct err *err) MUST_CHECK;

#endif
