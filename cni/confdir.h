/*
 * The configuration folder at one moment: each file parsed, or why not, and which network is the one to use.
 *
 * The first file in lexical order with the wanted network's name (or any, without one) is chosen. A file that
 * was good at the load before and cannot be used now (it is just being written, or was broken by hand) counts
 * as it was, so that an editor's half-written file takes no network down. Immutable; belongs to one thread.
 */
#ifndef CNI_CONFDIR_H
#define CNI_CONFDIR_H

#include <jansson.h>

#include "base/mem.h"
#include "cni/conflist.h"

enum { CONFDIR_FILES_MAX = 256 };

struct confdir;

/* network: the name to choose by, "": any. previous: the load before, or NULL. Never fails: what is wrong is
 * in confdir_problem(). */
struct confdir *confdir_load(const char *path, const char *network, const struct confdir *previous);
struct confdir *confdir_free(struct confdir *confdir); /* accepts NULL, returns NULL */

/* Borrowed; NULL: none. The same pointer as in `previous` as long as the file's content is the same. */
const struct conflist *confdir_chosen(const struct confdir *confdir);
/* Why there is none, malloc'd. */
char *confdir_problem(const struct confdir *confdir);
/* [{"file": .., "network": .., "cniVersion": .., "plugins": [..], "problem": .., "warning": ..}], a new
 * reference. */
json_t *confdir_info(const struct confdir *confdir);

#endif
