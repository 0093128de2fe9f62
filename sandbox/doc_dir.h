/*
 * JSON documents that others put into directories of the host: CDI specifications, hooks. What they say is
 * done as root, so a file counts only when nobody but root can have written it: a regular file (no link) of
 * root or of our own user, not writable for group or others, in a directory of which the same holds, of at
 * most DOC_SIZE_MAX bytes. What is refused is logged once, with file and reason, and does not touch the other
 * documents.
 *
 * Each doc_dirs_read() looks at the directories (one stat a file) and parses only what has changed since. A
 * document that was good and has become malformed or too long stays in force as it was. The set that comes
 * back is an immutable, counted snapshot; all functions are thread-safe.
 */
#ifndef SANDBOX_DOC_DIR_H
#define SANDBOX_DOC_DIR_H

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/config.h"

enum { DOC_SIZE_MAX = 1024 * 1024, DOCS_MAX = 1024 };

struct doc {
	char *path;         /* of the file, or of a directory that cannot be used */
	const char *name;   /* the last component of path */
	size_t priority;    /* its directory's place in the list */
	const void *parsed; /* NULL: refused */
	char *problem;      /* why, or why an older version is in force; NULL: none */
};

struct doc_kind {
	const char *what; /* "CDI spec", for the log */
	/* Fills *ret out of the text; what it needs is allocated in arena. INVALID_ARGUMENT. */
	int (*parse)(const char *text, size_t len, struct arena *arena, const void **ret, struct err *err);
	void (*release)(const void *parsed); /* what the arena does not free; may be NULL */
	const char *const
		*refused_suffixes; /* of files that are told of in the log; NULL-terminated; may be NULL */
};

struct doc_dirs;
struct doc_set;

/* kind is borrowed for as long as it lives. Absent directories are fine. */
struct doc_dirs *doc_dirs_new(const struct doc_kind *kind, const struct config_strings *dirs);
struct doc_dirs *doc_dirs_free(struct doc_dirs *dirs); /* accepts NULL, returns NULL */

/* A reference, never NULL. */
struct doc_set *doc_dirs_read(struct doc_dirs *dirs);
struct doc_set *doc_set_unref(struct doc_set *set); /* accepts NULL, returns NULL */
void doc_set_unrefp(struct doc_set **set);
/* In the order of the directories, then of names; NULL past the end. */
const struct doc *doc_set_at(const struct doc_set *set, size_t i);

#endif
